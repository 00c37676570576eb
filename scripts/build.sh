#!/usr/bin/env bash
# Builds the torchless command for this machine into target/release/torchless.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'TEXT'
usage: scripts/build.sh [--cpu-only | --gpu | --pgo]

  (none)      build the command
  --cpu-only  the same build
  --gpu       the same build
  --pgo       build it twice: the second time guided by a profile of what the first one did in a few short
              runs (prompts and replies of random models, a scan). Needs rustup's component llvm-tools, which
              is installed if it is missing. Where it was measured, prompts were slower that way and replies no
              faster (docs/performance.md): for whoever wants to try it on another machine

There is one binary. The instruction set is chosen when it starts, and so are the devices:
`torchless --list-backends` says which ones this binary can drive on this machine.
TEXT
}

pgo=no
case ${1:-} in
"" | --cpu-only | --gpu) ;;
--pgo) pgo=yes ;;
-h | --help)
    usage
    exit 0
    ;;
*)
    echo "scripts/build.sh: unknown option '$1'" >&2
    usage >&2
    exit 2
    ;;
esac
if (($# > 1)); then
    echo "scripts/build.sh: takes one option, got $#" >&2
    exit 2
fi

out=${CARGO_TARGET_DIR:-target}

build() { # OPTIONS...
    "${CARGO:-cargo}" build --release --locked --package torchless-cli "$@"
}

# The tool that merges profiles has to be of the compiler's own version.
profdata() { # HOST
    local tool
    tool=$(rustc --print sysroot)/lib/rustlib/$1/bin/llvm-profdata
    [[ -x $tool ]] || rustup component add llvm-tools >&2
    if [[ ! -x $tool ]]; then
        echo "scripts/build.sh: --pgo needs llvm-profdata of this toolchain: rustup component add llvm-tools" >&2
        return 1
    fi
    echo "$tool"
}

# What users do, in short: types of weights, prompts and replies, several sequences, a long context, a scan of texts.
train() { # PROGRAM
    local type
    for type in Q4_0 Q8_0 Q4_K_M Q6_K BF16; do
        "$1" bench --shape smollm2-135m --type "$type" -p 128 -n 16 -r 1
    done
    "$1" bench --shape smollm2-135m -p 64 -n 8 -r 1 -b 8
    "$1" bench --shape smollm2-135m -p 0 -n 8 -d 1024 -r 1
    "$1" scan --role tool docs >/dev/null || (($? >= 5 && $? <= 7))
}

if [[ $pgo == no ]]; then
    build
    echo "built $out/release/torchless"
    exit 0
fi

host=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p "$out/pgo"
profiles=$(cd "$out/pgo" && pwd)
program=$profiles/$host/release/torchless
rm -rf "$profiles/raw"
# By naming the target, build scripts and macros are left without instruments.
RUSTFLAGS="${RUSTFLAGS:-} -Cprofile-generate=$profiles/raw" build --target "$host" --target-dir "$profiles"
if [[ ! -x $program ]]; then
    echo "scripts/build.sh: the first build left no program at $program" >&2
    exit 1
fi
merge=$(profdata "$host")
train "$program"
"$merge" merge -o "$profiles/merged.profdata" "$profiles/raw"
RUSTFLAGS="${RUSTFLAGS:-} -Cprofile-use=$profiles/merged.profdata" build --target "$host" --target-dir "$profiles"
mkdir -p "$out/release"
# What lies there may share its content with one of cargo's own files.
rm -f "$out/release/torchless"
cp "$program" "$out/release/torchless"
echo "built $out/release/torchless, guided by a profile"
