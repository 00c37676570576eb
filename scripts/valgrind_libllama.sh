#!/usr/bin/env bash
# Runs tests of model-loader under valgrind, which must find no fault of ours: reads and writes of memory that is not ours, and memory
# that is lost. What happens inside the library's own files is not counted. FILTER picks tests; the default is those that
# touch every part of the interface without computing much.
#
#   scripts/valgrind_libllama.sh [FILTER...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_INCREMENTAL=0

command -v valgrind >/dev/null || { echo "$0: valgrind is not installed" >&2; exit 1; }
(($# > 0)) || set -- a_loaded_model_says text_comes_back a_state_goes_on sequences_lie embeddings_of_texts pieces_together \
    stop_strings a_reply_ends_when_cancelled sequences_are_forked numbers_out_of_range tokens_that_do_not
folder=${TORCHLESS_LLAMA_LIB:-$PWD/target/libllama/3.22.1}
[[ -n ${TORCHLESS_LLAMA_LIB:-} ]] || scripts/libllama.sh 3.22.1 "$folder"
suite=$(cargo test --locked --package model-loader --test suite --no-run --message-format json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*suite-[^"]*\)".*/\1/p' | tail -1)

suppressions=$(mktemp)
trap 'rm -f "$suppressions"' EXIT
# Memory that the library, its plug-ins and its threads keep until the end, and what they do with memory of their own.
for kind in Leak Cond Value8 Value4 Addr4 Addr8 Addr16 Addr32; do
    for object in libllama libggml libgomp ld-linux; do
        printf '{\n %s_in_%s\n Memcheck:%s\n ...\n obj:*%s*\n ...\n}\n' "$kind" "$object" "$kind" "$object"
    done
done >"$suppressions"

cd crates/model-loader
TORCHLESS_LLAMA_LIB=$folder valgrind --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
    --show-leak-kinds=definite --suppressions="$suppressions" --quiet "$suite" --test-threads 1 "$@"
echo "valgrind found no fault"
