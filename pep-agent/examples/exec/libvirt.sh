#!/bin/sh
# A virtual machine of libvirt as an activity, for `driver = "exec"`, with live migration.
#
#   [[activity]]
#   name = "vm-mail"
#   server = "s1"
#   driver = "exec"
#   program = ["/usr/local/lib/pep-agent/libvirt.sh", "mail", "qemu:///system", "qemu+ssh://s2/system"]
#   movable = true
#   stop_seconds = 120
#   start_seconds = 180
#
# Arguments: the domain, the hypervisor of this server, and that of the server that the machine may come from. Each server
# that could run it has such an activity, its own hypervisor first. A machine is shut down by ACPI, never destroyed: one
# that ignores it is reported as not stopped.
set -eu
domain=$1 here=$2 other=${3:-}
read -r question

say() { printf '%s\n' "$1"; }
state_at() { # of the domain at a hypervisor, "absent" where that does not know it; fails where nobody answers
  if state=$(LC_ALL=C virsh -q -c "$1" domstate "$domain" 2>&1); then
    say "$state" | head -n 1
  else
    case $state in
      *'failed to get domain'* | *'Domain not found'*) say absent ;;
      *)
        say "$state" >&2
        return 1
        ;;
    esac
  fi
}
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
    state=$(state_at "$here") # ends here where nobody answers: that is no reading
    case $state in
      running | idle | blocked) say '{"state":"running"}' ;;
      'in shutdown') say '{"state":"stopping"}' ;;
      'shut off') say '{"state":"stopped"}' ;;
      absent) say '{"state":"absent"}' ;;
      *) say '{"state":"failed"}' ;; # paused, crashed, pmsuspended: somebody has to look
    esac
    ;;
  *'"do":"start"'*'"moved":true'*)
    # The machine is taken over while it runs, and is defined here from then on.
    attempt virsh -q -c "$other" migrate --live --persistent --undefinesource "$domain" "$here"
    ;;
  *'"do":"start"'*) attempt virsh -q -c "$here" start "$domain" ;;
  *'"do":"stop"'*) attempt virsh -q -c "$here" shutdown "$domain" --mode acpi ;;
  *) say '{"outcome":"refused","reason":"a virtual machine is read, started and stopped"}' ;;
esac
