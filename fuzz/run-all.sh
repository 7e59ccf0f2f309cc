#!/usr/bin/env bash
# usage: fuzz/run-all.sh [SECONDS] [TARGET...]
#
# Runs every target (or the ones named) for SECONDS each, 30 if not given, one after the other on one core and the plain
# stable toolchain. Fails if one finds something. What a run learns is kept in fuzz/corpus/, which git does not.
#
#   SANITIZER=address fuzz/run-all.sh ...   the same under AddressSanitizer, about half as fast
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-30}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
shift $(($# > 0))
sanitizer=${SANITIZER:-none}
common=(--fuzz-dir fuzz --features libfuzzer --target-dir fuzz/target -s "$sanitizer")

if ! command -v cargo-fuzz >/dev/null; then
    echo "cargo-fuzz is not there; installing it (about a minute)"
    cargo install --locked cargo-fuzz
fi
# A build without a sanitizer leaves a note of the compiler in which the unstable options of one with it are refused.
rm -f fuzz/target/.rustc_info.json
[[ $sanitizer == none ]] || export RUSTC_BOOTSTRAP=1
# The release profile's link-time optimisation would cost more time than it saves here.
export CARGO_PROFILE_RELEASE_LTO=off

mapfile -t targets < <(if (($# > 0)); then printf '%s\n' "$@"; else cargo fuzz list --fuzz-dir fuzz; fi)
cargo fuzz build "${common[@]}"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()
row='%-16s %12s %8s %8s %9s %7s  %s\n'
# shellcheck disable=SC2059
printf "$row" target executions per-s coverage features corpus result
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    result=ok
    if ! cargo fuzz run "${common[@]}" "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -dict=fuzz/dictionary.txt -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 >"$log" 2>&1; then
        result=FOUND
        failed+=("$target")
    fi
    status=$(grep -aE '^#[0-9]+.* cov: ' "$log" | tail -1 || true)
    figure() { sed -nE "s/.*$1 ([0-9]+).*/\1/p" <<<"$status"; }
    executions=$(sed -nE 's/^stat::number_of_executed_units: +([0-9]+).*/\1/p' "$log")
    rate=$(sed -nE 's/^stat::average_exec_per_sec: +([0-9]+).*/\1/p' "$log")
    # shellcheck disable=SC2059
    printf "$row" "$target" "${executions:--}" "${rate:--}" "$(figure cov:)" "$(figure ft:)" "$(figure corp:)" "$result"
    if [[ $result != ok ]]; then
        grep -aE 'panicked at|ERROR: libFuzzer|^error' -A 3 "$log" | head -20 || tail -20 "$log"
        grep -aE 'Test unit written to' "$log" || true
    fi
done
if ((${#failed[@]} > 0)); then
    echo "found something: ${failed[*]} (fuzz/README.md says how to look at it)"
    exit 1
fi
