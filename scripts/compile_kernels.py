#!/usr/bin/env python3
"""Compiles assembled kernels with NVRTC or hipRTC, without a GPU: every *.cu or *.hip of a folder for one architecture.

usage: compile_kernels.py nvrtc|hiprtc LIBRARY ARCHITECTURE SOURCES [OUTPUT]

ARCHITECTURE is sm_75, compute_75 (for PTX), gfx906 and so on. Results go to OUTPUT, one file per source, where it is given. One
process compiles for one architecture: hipRTC does not survive two.
"""

import ctypes
import pathlib
import sys

# As the drivers compile: each operation is rounded on its own.
OPTIONS = {"nvrtc": ["--std=c++17", "--fmad=false"], "hiprtc": ["-std=c++17", "-ffp-contract=off"]}
SUFFIX = {"nvrtc": "cu", "hiprtc": "hip"}


class Compiler:
    def __init__(self, kind, library):
        # NVRTC looks for its second library by name; loaded before, it is found.
        for builtins in sorted(pathlib.Path(library).parent.glob("libnvrtc-builtins.so*")):
            ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
        self.kind = kind
        self.library = ctypes.CDLL(library)
        error_string = self.function("GetErrorString")
        error_string.restype = ctypes.c_char_p

    def function(self, name):
        return getattr(self.library, self.kind + name)

    def call(self, name, *arguments):
        status = self.function(name)(*arguments)
        if status != 0:
            raise RuntimeError(f"{name}: {self.function('GetErrorString')(status).decode()}")

    def bytes_of(self, program, what):
        size = ctypes.c_size_t()
        self.call(f"Get{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self.call(f"Get{what}", program, buffer)
        return buffer.raw

    def compile(self, source, architecture):
        options = [option.encode() for option in [f"--gpu-architecture={architecture}", *OPTIONS[self.kind]]]
        program = ctypes.c_void_p()
        text, name = source.read_bytes(), source.name.encode()
        self.call("CreateProgram", ctypes.byref(program), text, name, 0, None, None)
        try:
            self.call("CompileProgram", program, len(options), (ctypes.c_char_p * len(options))(*options))
        except RuntimeError as error:
            log = self.bytes_of(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
            raise RuntimeError(f"{error}\n{log}") from None
        code = "PTX" if architecture.startswith("compute_") else "CUBIN" if self.kind == "nvrtc" else "Code"
        result = self.bytes_of(program, code)
        self.call("DestroyProgram", ctypes.byref(program))
        # The zero that ends PTX is the caller's affair.
        return result.rstrip(b"\0") if code == "PTX" else result


def main(arguments):
    if len(arguments) not in (4, 5) or arguments[0] not in OPTIONS:
        sys.exit(__doc__.strip())
    kind, library, architecture, sources = arguments[:4]
    output = pathlib.Path(arguments[4]) if len(arguments) == 5 else None
    compiler = Compiler(kind, library)
    files = sorted(pathlib.Path(sources).glob(f"*.{SUFFIX[kind]}"))
    if not files:
        sys.exit(f"{sources} has no *.{SUFFIX[kind]}")
    failed = 0
    for source in files:
        try:
            code = compiler.compile(source, architecture)
        except RuntimeError as error:
            failed += 1
            print(f"{source.name} for {architecture}: {error}", file=sys.stderr)
            continue
        if output:
            output.mkdir(parents=True, exist_ok=True)
            (output / source.stem).with_suffix(f".{architecture}").write_bytes(code)
    print(f"{architecture}: {len(files) - failed} of {len(files)} programs compile")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
