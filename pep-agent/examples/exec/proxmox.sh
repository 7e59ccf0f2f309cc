#!/bin/sh
# A virtual machine of a Proxmox VE cluster as an activity, for `driver = "exec"`, with live migration.
#
#   [[activity]]
#   name = "vm-101"
#   server = "s1"
#   driver = "exec"
#   program = ["/usr/local/lib/pep-agent/proxmox.sh", "101", "s1", "s2"]
#   movable = true
#   stop_seconds = 120
#   start_seconds = 180
#
# Arguments: the machine's number, the node of this server, and the node that it may come from. Run by a user who may use
# pvesh (root, or one with a token). A machine is shut down, never stopped hard. If the cluster's own high availability
# looks after the machine, leave it out of one of the two: both would start it.
set -eu
vm=$1 here=$2 other=${3:-}
read -r question

say() { printf '%s\n' "$1"; }
attempt() { # a command, whose complaint is the reason where it fails
  if complaint=$("$@" 2>&1 >/dev/null); then
    say '{"outcome":"done"}'
  else
    reason=$(say "$complaint" | head -n 1 | tr -d '"\\\n' | tr -c '[:print:]' ' ')
    say "{\"outcome\":\"failed\",\"reason\":\"$reason\"}"
  fi
}

case $question in
  *'"do":"read-activity"'*)
    if told=$(pvesh get "/nodes/$here/qemu/$vm/status/current" --output-format json 2>&1); then
      case $told in
        *'"lock":"migrate"'*) say '{"state":"stopping"}' ;;
        *'"status":"running"'*) say '{"state":"running"}' ;;
        *'"status":"stopped"'*) say '{"state":"stopped"}' ;;
        *) say '{"state":"failed"}' ;;
      esac
    else
      case $told in
        *'does not exist'*) say '{"state":"absent"}' ;;
        *)
          say "$told" >&2
          exit 1
          ;;
      esac
    fi
    ;;
  *'"do":"start"'*'"moved":true'*)
    attempt pvesh create "/nodes/$other/qemu/$vm/migrate" --target "$here" --online 1
    ;;
  *'"do":"start"'*) attempt pvesh create "/nodes/$here/qemu/$vm/status/start" ;;
  *'"do":"stop"'*) attempt pvesh create "/nodes/$here/qemu/$vm/status/shutdown" --forceStop 0 ;;
  *) say '{"outcome":"refused","reason":"a virtual machine is read, started and stopped"}' ;;
esac
