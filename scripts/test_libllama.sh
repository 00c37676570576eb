#!/usr/bin/env bash
# Runs the tests of model-loader with several releases of libllama, each fetched through npm if it is not there. Versions of the package may be given; the default is one for each
# of the layouts that its structs have had in releases of two years: 0.5.0, b8179, b6122 and b4753.
#
#   scripts/test_libllama.sh [VERSION...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_INCREMENTAL=0

(($# > 0)) || set -- 3.22.1 3.17.1 3.12.0 3.6.0
for version; do
    folder=$PWD/target/libllama/$version
    scripts/libllama.sh "$version" "$folder"
    printf '\n== libllama of package %s\n' "$version"
    TORCHLESS_LLAMA_LIB=$folder cargo test --locked --package model-loader --test suite --test cycles
done
