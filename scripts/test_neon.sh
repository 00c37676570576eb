#!/usr/bin/env bash
# Runs the tests of the kernels for AArch64 under emulation: scripts/test_neon.sh [TEST...]
# Needs qemu-user, a C compiler for AArch64 (gcc-aarch64-linux-gnu) and its target (rustup target add aarch64-unknown-linux-gnu).
# The emulated processor has dot products of bytes and matrix products, so every table of AArch64 is tested.
set -euo pipefail
cd "$(dirname "$0")/.."

for program in qemu-aarch64 aarch64-linux-gnu-gcc; do
    if ! command -v "$program" >/dev/null; then
        echo "scripts/test_neon.sh: $program is missing (Debian: apt install qemu-user gcc-aarch64-linux-gnu)" >&2
        exit 2
    fi
done

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu"
exec "${CARGO:-cargo}" test --target aarch64-unknown-linux-gnu --package torchless-kernels "$@"
