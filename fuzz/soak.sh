#!/usr/bin/env bash
# usage: fuzz/soak.sh [MAX_SECONDS] [TARGET...]
#
# Runs a target until it has had 10,000,000 executions and 300 s without a new edge, or MAX_SECONDS (3600 if not given) are
# over. One line a target says which it was; every finding is told and ends its target. EXECUTIONS and QUIET_SECONDS set
# other goals; PROGRAMS names a folder with targets that were built before, which are taken as they are.
set -euo pipefail
cd "$(dirname "$0")/.."

max=${1:-3600}
[[ $max =~ ^[1-9][0-9]*$ ]] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
shift $(($# > 0))
wanted=${EXECUTIONS:-10000000}
quiet=${QUIET_SECONDS:-300}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ -n ${PROGRAMS:-} ]]; then
    programs=$PROGRAMS
    all=$(ls "$programs")
else
    common=(--fuzz-dir fuzz --features libfuzzer --target-dir fuzz/target -s none)
    command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
    rm -f fuzz/target/.rustc_info.json
    export CARGO_PROFILE_RELEASE_LTO=off
    cargo fuzz build "${common[@]}"
    all=$(cargo fuzz list --fuzz-dir fuzz)
    # What runs for hours is a copy, so that the sources can be worked on meanwhile.
    programs=$work/programs
    mkdir "$programs"
    host=$(rustc -vV | sed -n 's/^host: //p')
    for target in $all; do cp "fuzz/target/$host/release/$target" "$programs/"; done
fi
targets=("$@")
((${#targets[@]} > 0)) || mapfile -t targets <<<"$all"

# Octets of an input: as many as operations of each kind need, since an execution costs by its length.
longest() {
    case $1 in
        row_stores | session_pair | pdp_session | pep_session) echo 320 ;;
        planner) echo 640 ;;
        config_*) echo 1024 ;;
        *) echo 4096 ;;
    esac
}

# Notes in $work/edges the most edges seen, and when there was a new one.
watch_edges() {
    local line edges most=0 since=$begun
    read -r most since 2>/dev/null <"$work/edges" || true
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$log"
        [[ $line =~ \ cov:\ ([0-9]+)\ ft:\ ([0-9]+) ]] || continue
        edges=${BASH_REMATCH[1]}
        if ((edges > most)); then
            most=$edges
            printf -v since '%(%s)T' -1
            echo "$most $since" >"$work/edges"
        fi
    done
}

failed=0
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    printf -v begun '%(%s)T' -1
    log=$work/log
    echo "0 $begun" >"$work/edges"
    executions=0
    while true; do
        printf -v now '%(%s)T' -1
        read -r edges since <"$work/edges"
        left=$((max - now + begun))
        result=
        if ((executions >= wanted && now - since >= quiet)); then
            result=reached
        elif ((left <= 0)); then
            result="time is up"
        fi
        [[ -z $result ]] || break
        # First the executions, then as many seconds as are missing.
        if ((executions < wanted)); then
            goal=(-runs=$((wanted - executions)) -max_total_time=$left)
        else
            missing=$((quiet - now + since))
            goal=(-max_total_time=$((missing < left ? missing : left)))
        fi
        : >"$log"
        status=0
        "$programs/$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -artifact_prefix="fuzz/artifacts/$target/" \
            -dict=fuzz/dictionary.txt -max_len="$(longest "$target")" -timeout=10 -rss_limit_mb=1024 \
            -print_final_stats=1 "${goal[@]}" 2>&1 | watch_edges || status=$?
        count=$(sed -nE 's/^stat::number_of_executed_units: +([0-9]+).*/\1/p' "$log")
        executions=$((executions + ${count:-0}))
        features=$(sed -nE 's/^#[0-9]+.* cov: [0-9]+ ft: ([0-9]+) .*/\1/p' "$log" | tail -1)
        if ((status != 0)); then
            failed=1
            result=FOUND
            read -r edges since <"$work/edges"
            printf -v now '%(%s)T' -1
            grep -aE 'panicked at|ERROR: libFuzzer|^error' -A 3 "$log" | head -20 || tail -20 "$log"
            grep -aE 'Test unit written to' "$log" || true
            break
        fi
    done
    printf '%-16s %12d executions in %5d s, cov %s, ft %s, %5d s without a new edge: %s\n' \
        "$target" "$executions" $((now - begun)) "$edges" "${features:-0}" $((now - since)) "$result"
done
exit $failed
