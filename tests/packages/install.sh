#!/usr/bin/env bash
# Installs the packages with dpkg, and looks at what an operator would: the units, the programs run as their units say,
# an upgrade, removal and purging. Run as root, in a mount namespace of its own (`unshare --mount`): the machine's root
# folder is the lower layer of an overlay, so nothing of what is done here stays.
#
#   install.sh FOLDER-OF-FIRST-DEBS FOLDER-OF-LATER-DEBS SCRATCH-FOLDER
set -euo pipefail
first=$1 later=$2 scratch=$3

mount -t tmpfs -o mode=0755 tmpfs "$scratch"
mkdir "$scratch"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
root=$scratch/root
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir -p "$root/debs"
cp -r "$first" "$root/debs/first"
cp -r "$later" "$root/debs/later"

in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
install_debs() { in_root sh -c "dpkg --install --force-confold /debs/$1/*.deb"; }
say() { echo "== $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
# Ends what is still running, whatever happened.
running=()
trap 'for pid in "${running[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done' EXIT

# Runs the ExecStart line of a unit as its user, as systemd would; its pid is in $started.
start_unit() {
  local unit=$root/lib/systemd/system/$1.service user line
  [ -e "$unit" ] || unit=$root/usr/lib/systemd/system/$1.service
  line=$(sed -n 's/^ExecStart=//p' "$unit")
  user=$(sed -n 's/^User=//p' "$unit")
  # RuntimeDirectory=
  in_root install -d -m 0700 -o "${user:-root}" -g "${user:-root}" "/run/$1"
  if [ -n "$user" ]; then
    # shellcheck disable=SC2086 # the line is words
    chroot "$root" setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs $line 2>"$scratch/$1.log" &
  else
    # shellcheck disable=SC2086
    chroot "$root" $line 2>"$scratch/$1.log" &
  fi
  started=$!
  running+=("$started")
}

# Waits until a command succeeds; the unit's log is shown where it never does.
until_done() {
  local what=$1; shift
  for _ in $(seq 600); do
    if "$@" >"$scratch/out" 2>&1; then return; fi
    kill -0 "$started" 2>/dev/null || { cat "$scratch"/*.log >&2; fail "$what: the program ended"; }
    sleep 0.1
  done
  cat "$scratch/out" "$scratch"/*.log >&2
  fail "$what did not come"
}

stop_unit() {
  kill -TERM "$started"
  wait "$started" || { cat "$scratch/$1.log" >&2; fail "$1 ended with status $? after SIGTERM"; }
}

say "installing"
install_debs first
for package in pdp-server pep-agent; do
  in_root dpkg --verify "$package" | grep . && fail "$package differs from what was packed"
  [ "$(in_root dpkg-query --show --showformat '${db:Status-Abbrev}' "$package")" = "ii " ] || fail "$package is not installed"
  for file in /usr/share/man/man1/$package.1.gz /usr/share/bash-completion/completions/$package \
    /usr/share/doc/$package/copyright; do
    [ -s "$root$file" ] || fail "$file is not there"
  done
done
in_root getent passwd pdp-server | grep -q . || fail "the user of the service is not there"

say "units"
in_root systemd-analyze verify pdp-server.service pep-agent.service 2>&1 | grep -E 'pdp-server|pep-agent' &&
  fail "systemd-analyze has something to say"
in_root bash -n /usr/share/bash-completion/completions/pdp-server
in_root bash -n /usr/share/bash-completion/completions/pep-agent

say "the PDP as its unit runs it"
in_root setpriv --reuid=pdp-server --regid=pdp-server --clear-groups \
  /usr/bin/pdp-server check-config /etc/pdp-server/pdp.toml >/dev/null || fail "the installed file is wrong"
# The port is the system's choice here; the operator's file has to live through the upgrade.
sed -i 's/^address = .*/address = "127.0.0.1:0"/; s/^name = .*/name = "of-the-operator"/' "$root/etc/pdp-server/pdp.toml"
start_unit pdp-server
until_done "the PDP's status" in_root pdp-server status --config /etc/pdp-server/pdp.toml
in_root pdp-server interrupt --yes --config /etc/pdp-server/pdp.toml --scope cluster --id before-the-upgrade >/dev/null
stop_unit pdp-server
[ "$(in_root stat -c '%U %a' /var/lib/pdp-server)" = "pdp-server 700" ] || fail "the journal's folder has other rights"
in_root test -s /var/lib/pdp-server/journal.sqlite || fail "no journal"

say "the agent as its unit runs it"
in_root pep-agent discover --seconds 1 --output /etc/pep-agent/agent.toml
start_unit pep-agent
until_done "the agent's status" in_root pep-agent status --config /etc/pep-agent/agent.toml
in_root pep-agent disarm --config /etc/pep-agent/agent.toml >/dev/null
stop_unit pep-agent
in_root find /var/lib/pep-agent -type f | grep -q . || fail "the agent keeps no state"
in_root sh -c 'cd / && find var/lib/pep-agent etc/pdp-server etc/pep-agent -type f -exec sha256sum {} +' | sort >"$scratch/before"

say "upgrading"
install_debs later
in_root sh -c 'cd / && find var/lib/pep-agent etc/pdp-server etc/pep-agent -type f -exec sha256sum {} +' | grep -v dpkg- | sort >"$scratch/after"
diff "$scratch/before" "$scratch/after" || fail "the upgrade changed what the operator or the agent had written"
start_unit pdp-server
until_done "the status after the upgrade" in_root pdp-server status --config /etc/pdp-server/pdp.toml
# A command that is in the journal is not done again.
in_root pdp-server interrupt --yes --config /etc/pdp-server/pdp.toml --scope cluster --id before-the-upgrade >"$scratch/again"
grep -q "done before" "$scratch/again" || { cat "$scratch/again" >&2; fail "the journal did not live through the upgrade"; }
stop_unit pdp-server

say "removing"
in_root dpkg --remove pdp-server pep-agent
in_root test -s /var/lib/pdp-server/journal.sqlite || fail "removal lost the journal"
in_root test -e /usr/bin/pdp-server && fail "the program is still there"

say "purging"
in_root dpkg --purge pdp-server pep-agent
for left in /var/lib/pdp-server /var/lib/pep-agent /etc/pdp-server; do
  in_root test -e "$left" && fail "$left is left"
done
in_root test -s /etc/pep-agent/agent.toml || fail "purging took what the operator wrote"
say "done"
