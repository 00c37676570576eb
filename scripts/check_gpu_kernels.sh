#!/usr/bin/env bash
# Compiles every kernel program for GPUs that need not be here.
#   check_gpu_kernels.sh nvrtc     NVIDIA: sm_75, sm_80, sm_90a with NVRTC of CUDA 13.0, and PTX with that of 12.9
#   check_gpu_kernels.sh hiprtc    AMD: gfx906, gfx90a, gfx1030 with hipRTC, an architecture per process
#   check_gpu_kernels.sh opencl    OpenCL C 1.2 with clang's front end
#   check_gpu_kernels.sh metal     Metal, parsed by clang against a stub of its library
# Several words are done one after the other. NVRTC comes from the Python packages of NVIDIA into a folder for caches; what else is
# missing is named. CARGO, CLANG and PYTHON name other commands to use.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=scripts/nvrtc.sh
source scripts/nvrtc.sh

cargo=${CARGO:-cargo}
sources=

usage() {
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 2
}

assemble() {
    [[ -z $sources ]] || return 0
    sources=$(mktemp -d)
    trap 'rm -rf "$sources"' EXIT
    "$cargo" run --quiet --locked --package xtask -- kernels "$sources"
}

nvrtc() {
    local current older
    current=$(library "$(nvrtc_folder nvidia-cuda-nvrtc 13.0.88)" libnvrtc.so.13)
    older=$(library "$(nvrtc_folder nvidia-cuda-nvrtc-cu12 12.9.86)" libnvrtc.so.12)
    assemble
    local started=() failed=0 one
    compile "$current" sm_90a cuda-90
    compile "$current" sm_80 cuda-80
    compile "$current" sm_75 cuda-75
    compile "$older" compute_75 cuda-75
    compile "$older" compute_90 cuda-100
    for one in "${started[@]}"; do
        wait "$one" || failed=1
    done
    ((failed == 0)) || stop "NVRTC refused what is named above"
}

# LIBRARY ARCHITECTURE SOURCES: beside the others, since NVRTC uses one core.
compile() {
    "$python" scripts/compile_kernels.py nvrtc "$1" "$2" "$sources/$3" &
    started+=($!)
}

hiprtc() {
    local found architecture
    found=$(ldconfig -p | awk '/libamdhip64\.so/ && !found {print $NF; found = 1}')
    [[ -n $found ]] || stop "libamdhip64 is missing (Debian: apt-get install libamdhip64-5 libhiprtc-builtins5 libamd-comgr2)"
    assemble
    for architecture in gfx906 gfx90a; do
        "$python" scripts/compile_kernels.py hiprtc "$found" "$architecture" "$sources/hip-64" "$sources/hip-code"
    done
    "$python" scripts/compile_kernels.py hiprtc "$found" gfx1030 "$sources/hip-32" "$sources/hip-code"
    uses gfx906 v_dot4
    uses gfx90a v_dot4
    uses gfx90a v_mfma_f32_32x32x8f16
    uses gfx90a v_mfma_f32_16x16x4f32
    uses gfx1030 v_dot4
}

# ARCHITECTURE INSTRUCTION: products with Q4_0 are made of it.
uses() {
    local disassembler count
    disassembler=$(compgen -c llvm-objdump | grep -E '^llvm-objdump(-[0-9]+)?$' | sort -Vr | head -n 1 || true)
    if [[ -z $disassembler ]]; then
        echo "$1: llvm-objdump is missing, so that nothing looked for $2"
        return
    fi
    count=$("$disassembler" -d --mcpu="$1" "$sources/hip-code/matmul_q4_0.$1" | grep -c "$2" || true)
    ((count > 0)) || stop "$1: products with Q4_0 have no $2"
    echo "$1: $2, $count times in products with Q4_0"
}

clang_named() { # NAME: with or without a version
    local found
    found=${CLANG:-$(compgen -c "$1" | grep -E "^${1//+/\\+}(-[0-9]+)?$" | sort -Vr | head -n 1 || true)}
    [[ -n $found ]] || stop "$1 is missing"
    echo "$found"
}

# As for every C compiler: `a | b & c` is meant.
clang_options=(-fsyntax-only -Wall -Werror -Wno-unused-function -Wno-bitwise-op-parentheses -Wno-shift-op-parentheses)

opencl() {
    local clang source count=0
    clang=$(clang_named clang)
    assemble
    for source in "$sources"/opencl/*.cl; do
        "$clang" -x cl -cl-std=CL1.2 -Xclang -finclude-default-header -Xclang -fdeclare-opencl-builtins \
            "${clang_options[@]}" "$source" || stop "$(basename "$source") is refused"
        count=$((count + 1))
    done
    echo "OpenCL C 1.2: $count programs are accepted by $clang"
}

# Variables of a group are static to C++, which has no others with an address space.
metal() {
    local clang source count=0
    clang=$(clang_named clang++)
    assemble
    for source in "$sources"/metal/*.metal; do
        sed 's/^#define SHARED(type, name, count) threadgroup/#define SHARED(type, name, count) static threadgroup/' "$source" |
            "$clang" -x c++ -std=c++17 -Icrates/device-gpu/kernels/stubs "${clang_options[@]}" -Wno-unknown-attributes -Wno-ignored-attributes \
                -Wno-unknown-pragmas - || stop "$(basename "$source") is refused"
        count=$((count + 1))
    done
    echo "Metal: $count programs are accepted by $clang"
}

(($# > 0)) || usage
for word in "$@"; do
    case $word in
        nvrtc | hiprtc | opencl | metal) "$word" ;;
        *) usage ;;
    esac
done
