#!/usr/bin/env bash
# Brings crates/device-gpu/kernels/compiled up to date: programs as PTX and as machine code, so that users need no compiler. Compiles
# what changed. Needs Python with pip and no GPU. NVRTC is that of CUDA 12.9, whose PTX and code every driver from CUDA 12.9 on takes.
# CARGO and PYTHON name other commands to use.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/nvrtc.sh
source scripts/nvrtc.sh

cargo=${CARGO:-cargo}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compiler=$(library "$(nvrtc_folder nvidia-cuda-nvrtc-cu12 12.9.86)" libnvrtc.so.12)
"$cargo" run --quiet --locked --package xtask -- stale "$work/stale"
for folder in "$work"/stale/*; do
    [[ -d $folder ]] || continue
    "$python" scripts/compile_kernels.py nvrtc "$compiler" "$(basename "$folder")" "$folder" "$work/code"
done
"$cargo" run --quiet --locked --package xtask -- ahead "$work/code"
