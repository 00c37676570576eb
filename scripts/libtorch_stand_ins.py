#!/usr/bin/env python3
"""Makes stand-ins for the CUDA libraries that a torch wheel is linked against, so that it loads on a machine without them.

The wheel for Linux brings code for CUDA and asks for NVIDIA's libraries when it is loaded, gigabytes that a processor has no use
for. For each library that is missing this writes one of the same name that has the functions asked for: each says that there is no
device, and those whose result is a text give one. Needs a C compiler and binutils.

    python3 scripts/libtorch_stand_ins.py TORCH_FOLDER OUTPUT_FOLDER
"""

import argparse
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

# cudaErrorNoDevice; the other libraries also count any number but 0 as a failure.
NO_DEVICE = 100
SYSTEM = re.compile(r"^(lib(c|m|dl|rt|gcc_s|stdc\+\+|pthread|gomp)\.so|ld-linux)")


def read(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def needed(library):
    """Names of the libraries that `library` asks for."""
    return re.findall(r"\(NEEDED\).*\[(.+)\]", read("readelf", "-d", "-W", str(library)))


def symbols(library):
    """What `library` defines, and what it asks for: names with their versions or None, and whether they are weak."""
    defined, wanted = set(), {}
    for line in read("nm", "-D", "--with-symbol-versions", str(library)).splitlines():
        fields = line.split()
        kind, full = fields[-2], fields[-1]
        name, _, version = full.partition("@")
        if kind in "Uwv":
            wanted[name] = (version.lstrip("@") or None, kind != "U")
        else:
            defined.add(name)
    return defined, wanted


def owner(name, version, missing):
    """Which of the missing libraries a symbol belongs to: by its version, else by the beginning of its name."""
    if version in missing:
        return version
    bare = name.lstrip("_").lower()
    stems = {lib: re.sub(r"^lib|(_host)?\.so.*$", "", lib).lower() for lib in missing}
    names = {"cudart": "cuda", "cuda": "cu", "cupti": "cupti", "nvshmem": "nvshmem"}
    # The longest fitting beginning: `cublasLt` before `cublas` before `cu`.
    fitting = [(len(names.get(stem, stem)), lib) for lib, stem in stems.items() if bare.startswith(names.get(stem, stem))]
    return max(fitting)[1] if fitting else None


def source(names):
    lines = ['static const char *TEXT = "no CUDA library is installed";']
    for name in sorted(names):
        if re.search(r"(Error|Status|Result)(String|Name)$|GetErrorString|GetLastError$", name) and "Peek" not in name:
            gives_text = not name.startswith("cu") or not re.match(r"cuGetError", name)
            if gives_text and not re.match(r"cuda(GetLastError|PeekAtLastError)$", name):
                lines.append(f"const char *{name}(void) {{ return TEXT; }}")
                continue
        lines.append(f"long {name}(void) {{ return {NO_DEVICE}; }}")
    return "\n".join(lines) + "\n"


def build(lib, wanted, folder):
    code, versions, out = folder / f"{lib}.c", folder / f"{lib}.map", folder / lib
    code.write_text(source(wanted))
    by_version = defaultdict(list)
    for name, version in wanted.items():
        if version:
            by_version[version].append(name)
    options = []
    if by_version:
        versions.write_text("".join(f"{v} {{ global: {'; '.join(sorted(n))}; }};\n" for v, n in by_version.items()))
        options = [f"-Wl,--version-script={versions}"]
    command = ["cc", "-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{lib}", *options, str(code), "-o", str(out)]
    subprocess.run(command, check=True)
    code.unlink()
    versions.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("torch", type=Path, help="folder of the package, the one with lib/")
    parser.add_argument("output", type=Path, help="where the stand-ins go")
    args = parser.parse_args()
    libraries = sorted((args.torch / "lib").glob("*.so*"))
    if not libraries:
        sys.exit(f"{args.torch}/lib has no libraries: give the folder of the torch package")
    own = {library.name for library in libraries}
    missing = {name for library in libraries for name in needed(library)} - own
    missing = {name for name in missing if not SYSTEM.match(name)}
    defined, wanted = set(), {}
    for library in libraries:
        defines, asks = symbols(library)
        defined |= defines
        wanted.update(asks)
    args.output.mkdir(parents=True, exist_ok=True)
    per_library = {lib: {} for lib in missing}
    for name, (version, _weak) in wanted.items():
        lib = None if name in defined else owner(name, version, missing)
        if lib:
            per_library[lib][name] = version
    for lib, names in sorted(per_library.items()):
        build(lib, names, args.output)
        print(f"{args.output / lib}: {len(names)} functions")


if __name__ == "__main__":
    main()
