#!/usr/bin/env bash
# Fuzzes the readers of model files and the firewall: scripts/fuzz.sh [seconds per target] [target ...]
# Needs cargo-fuzz (cargo install cargo-fuzz). Sanitizers are a feature of nightly Rust; where there is none, the stable compiler is told to
# allow them. Seeds: the project's own files, and the files under
# TORCHLESS_FIXTURES where that is set. Findings land in fuzz/artifacts/TARGET.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-600}
shift || true
if [ $# -gt 0 ]; then targets=("$@"); else targets=(gguf safetensors native_bin tokenizer_json sentencepiece chat_template normalise output_guard policy); fi
case $seconds in '' | *[!0-9]*) echo "usage: scripts/fuzz.sh [seconds] [gguf|safetensors|native_bin|tokenizer_json|sentencepiece|chat_template|normalise|output_guard|policy ...]" >&2; exit 2 ;; esac

# Copies the files under the given places that are at most 256 KiB, packed ones unpacked, into a corpus.
seed() {
    local corpus=$1 pattern=$2
    shift 2
    local place file
    for place in "$@"; do
        [ -e "$place" ] || continue
        while IFS= read -r -d '' file; do
            cp -n "$file" "$corpus/seed-$(basename "$file")"
        done < <(find "$place" -name "$pattern" -size -257k -print0)
        while IFS= read -r -d '' file; do
            gzip -dc "$file" >"$corpus/seed-$(basename "$file" .gz)"
        done < <(find "$place" -name "$pattern.gz" -print0)
    done
}

if rustup toolchain list 2>/dev/null | grep -q '^nightly'; then export RUSTUP_TOOLCHAIN=nightly; else export RUSTC_BOOTSTRAP=1; fi

fixtures=${TORCHLESS_FIXTURES:-/nonexistent}
hostile=fuzz/target/hostile_bins
cargo run -q -p torchless-formats --example hostile_bins -- "$hostile"

for target in "${targets[@]}"; do
    corpus=fuzz/corpus/$target
    mkdir -p "$corpus"
    # Without memory of its own to mishandle, a target runs ten times as often without the sanitizer.
    case $target in normalise | output_guard | policy) sanitizer=none ;; *) sanitizer=address ;; esac
    case $target in
        gguf) seed "$corpus" '*.gguf' "$fixtures/malformed/gguf" "$hostile" ;;
        safetensors) seed "$corpus" '*.safetensors' "$fixtures/malformed/safetensors" "$hostile" ;;
        native_bin) seed "$corpus" '*.bin' "$hostile" tests/fixtures ;;
        tokenizer_json) seed "$corpus" '*.json' fuzz/seeds "$fixtures/tokenizers" ;;
        sentencepiece) seed "$corpus" '*.model' fuzz/seeds ;;
        chat_template) seed "$corpus" '*.jinja' "$fixtures/chat" ;;
        normalise | output_guard) seed "$corpus" '*.md' docs "$fixtures/guard" ;;
        policy) seed "$corpus" '*.toml' crates/llamafirewall/presets ;;
        *) echo "unknown target: $target" >&2; exit 2 ;;
    esac
    echo "== $target: $(find "$corpus" -type f | wc -l) seeds, $seconds seconds"
    cargo fuzz run --sanitizer "$sanitizer" "$target" "$corpus" -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
        -malloc_limit_mb=256 -max_len=300000 -print_final_stats=1 -verbosity=1 -close_fd_mask=0
done
