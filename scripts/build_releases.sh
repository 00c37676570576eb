#!/usr/bin/env bash
# Builds the torchless command for this machine's target and packs it, with its checksum, under dist/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'TEXT'
usage: scripts/build_releases.sh [--dry-run]

  (none)     build, then write dist/torchless-VERSION-TARGET.tar.gz and its .sha256
  --dry-run  say what would be built and packed; do nothing

Builds for the target of this machine's Rust toolchain only.
TEXT
}

dry_run=no
case ${1:-} in
"") ;;
--dry-run) dry_run=yes ;;
-h | --help)
    usage
    exit 0
    ;;
*)
    echo "scripts/build_releases.sh: unknown option '$1'" >&2
    usage >&2
    exit 2
    ;;
esac

target=$(rustc -vV | sed -n 's/^host: //p')
version=$(sed -n '/^\[workspace\.package\]/,/^\[/ s/^version = "\(.*\)"/\1/p' Cargo.toml)
name=torchless-$version-$target
archive=dist/$name.tar.gz
binary=${CARGO_TARGET_DIR:-target}/release/torchless
case $target in *windows*) binary=$binary.exe ;; esac
contents=("$binary" README.md LICENSE CHANGELOG.md)

if [[ $dry_run == yes ]]; then
    printf 'would build  %s for %s\n' "$binary" "$target"
    printf 'would write  %s\n' "$archive" "$archive.sha256"
    printf 'containing   %s\n' "${contents[@]}"
    exit 0
fi

scripts/build.sh
staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT
mkdir -p "$staging/$name" dist
cp "${contents[@]}" "$staging/$name/"
tar -C "$staging" -czf "$archive" "$name"
if command -v sha256sum >/dev/null; then
    (cd dist && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
else
    (cd dist && shasum -a 256 "$name.tar.gz" >"$name.tar.gz.sha256")
fi
printf 'wrote %s\n' "$archive" "$archive.sha256"
