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
  --pgo       reserved: a build guided by profiles does not exist yet (exit status 2)

There is one binary. The instruction set is chosen when it starts, and so are the devices:
`torchless --list-backends` says which ones this binary can drive on this machine.
TEXT
}

case ${1:-} in
"" | --cpu-only | --gpu) ;;
--pgo)
    echo "scripts/build.sh: --pgo is reserved; there is no build guided by profiles yet" >&2
    exit 2
    ;;
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

"${CARGO:-cargo}" build --release --locked --package torchless-cli
echo "built ${CARGO_TARGET_DIR:-target}/release/torchless"
