#!/usr/bin/env bash
# Fetches a prebuilt llama.cpp library with its CPU back-ends for this machine through the npm client, with whatever registry that is
# configured for; npm checks the package against the registry's checksum. Used by tests.
#
#   scripts/libllama.sh VERSION FOLDER     the package's version, and where its files go (nothing is done if they are there)
set -euo pipefail

(($# == 2)) || { echo "usage: $0 VERSION FOLDER" >&2; exit 2; }
version=$1 folder=$2

case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) platform=linux-x64 ;;
    Linux-aarch64) platform=linux-arm64 ;;
    Darwin-arm64) platform=mac-arm64-metal ;;
    Darwin-x86_64) platform=mac-x64 ;;
    *) echo "$0: there is no package for $(uname -s) on $(uname -m)" >&2; exit 1 ;;
esac

is_there() { compgen -G "$folder/libllama*" >/dev/null; }
is_there && exit 0
command -v npm >/dev/null || { echo "$0: npm is not installed" >&2; exit 1; }

parent=$(dirname "$folder")
mkdir -p "$parent"
# Unpacked beside and moved into place whole, as several tests may ask at once.
work=$(mktemp -d "$parent/.libllama.XXXXXX")
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "@node-llama-cpp/$platform@$version" >/dev/null && tar xzf ./*.tgz)
chmod -R go-w "$work/package"
mv -T "$work/package/bins/$platform" "$folder" 2>/dev/null || is_there ||
    mv "$work/package/bins/$platform" "$folder"
is_there
