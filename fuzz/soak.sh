#!/usr/bin/env bash
# usage: fuzz/soak.sh [MAX_SECONDS] [TARGET...]
#
# Runs a target, 300 s at a time, until it has had 10,000,000 executions and 300 s without new coverage, or MAX_SECONDS
# (3600 if not given) are over. One line a target says which it was; every finding is told and ends its target.
set -euo pipefail
cd "$(dirname "$0")/.."

max=${1:-3600}
[[ $max =~ ^[1-9][0-9]*$ ]] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
shift $(($# > 0))
wanted=${EXECUTIONS:-10000000}
quiet=${QUIET_SECONDS:-300}
common=(--fuzz-dir fuzz --features libfuzzer --target-dir fuzz/target -s none)
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
rm -f fuzz/target/.rustc_info.json
export CARGO_PROFILE_RELEASE_LTO=off
mapfile -t targets < <(if (($# > 0)); then printf '%s\n' "$@"; else cargo fuzz list --fuzz-dir fuzz; fi)
cargo fuzz build "${common[@]}"

# What runs for hours is a copy, so that the sources can be worked on meanwhile.
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
host=$(rustc -vV | sed -n 's/^host: //p')
for target in "${targets[@]}"; do
    cp "fuzz/target/$host/release/$target" "$programs/"
done
log=$programs/log
failed=0
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    begun=$SECONDS
    executions=0
    while true; do
        left=$((max - SECONDS + begun))
        result=ok
        "$programs/$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -artifact_prefix="fuzz/artifacts/$target/" \
            -dict=fuzz/dictionary.txt -max_total_time=$((left < quiet ? left : quiet)) -timeout=10 \
            -rss_limit_mb=1024 -print_final_stats=1 >"$log" 2>&1 || result=FOUND
        count=$(sed -nE 's/^stat::number_of_executed_units: +([0-9]+).*/\1/p' "$log")
        executions=$((executions + ${count:-0}))
        before=$(sed -nE 's/^#[0-9]+[[:space:]]+INITED cov: ([0-9]+).*/\1/p' "$log" | tail -1)
        after=$(sed -nE 's/^#[0-9]+.* cov: ([0-9]+) ft: .*/\1/p' "$log" | tail -1)
        features=$(sed -nE 's/^#[0-9]+.* cov: [0-9]+ ft: ([0-9]+) .*/\1/p' "$log" | tail -1)
        if [[ $result == FOUND ]]; then
            failed=1
            grep -aE 'panicked at|ERROR: libFuzzer|^error' -A 3 "$log" | head -20 || tail -20 "$log"
            grep -aE 'Test unit written to' "$log" || true
            break
        fi
        if [[ $before == "$after" ]] && ((left >= quiet && executions >= wanted)); then
            result="ok: $wanted executions, $quiet s without new coverage"
            break
        fi
        if ((SECONDS - begun >= max)); then
            result="time is up; last run's coverage $before -> $after"
            break
        fi
    done
    printf '%-16s %12d executions in %5d s, cov %s, ft %s: %s\n' \
        "$target" "$executions" $((SECONDS - begun)) "$after" "$features" "$result"
done
exit $failed
