#!/bin/sh
# A divert line that is one outlet of a switched PDU, for `driver = "exec"`: the second cord of a server hangs on an
# outlet that another UPS feeds. Written for a PDU that NUT knows (its outlet.N.status and outlet.N.load.on/off).
#
#   [[line]]
#   name = "b-to-s1"
#   driver = "exec"
#   program = ["/usr/local/lib/pep-agent/outlet.sh", "pdu1@localhost", "3", "ups-b", "s1", "400000"]
#   max_watts = 400
#   reserves = ["ups-b"]
#   servers = ["s1"]
#
# Arguments: the device at its upsd, the outlet, the reserve and server that it joins, the outlet's milliwatts.
# The switch cannot limit power: it says what it was asked for last, as docs/exec-drivers.md has it.
set -eu
device=$1 outlet=$2 reserve=$3 server=$4 most=$5
memory=${OUTLET_MEMORY:-/var/lib/pep-agent/outlet-$device-$outlet}
read -r question

status() { upsc "$device" "outlet.$outlet.status" 2>/dev/null; }
say() { printf '%s\n' "$1"; }
switch() { # on or off, then what to remember
  if upscmd ${OUTLET_USER:+-u "$OUTLET_USER"} ${OUTLET_PASSWORD:+-p "$OUTLET_PASSWORD"} \
    "$device" "outlet.$outlet.load.$1" >/dev/null; then
    say "$2" >"$memory"
    say '{"outcome":"done"}'
  else
    say '{"outcome":"failed","reason":"the PDU refused"}'
  fi
}

case $question in
  *'"do":"read-line"'*)
    case $(status) in
      on)
        watts=$(cat "$memory" 2>/dev/null || say "$most")
        [ "$watts" -gt 0 ] 2>/dev/null || watts=$most
        say "{\"state\":\"closed\",\"joined\":[{\"reserve\":\"$reserve\",\"server\":\"$server\",\"milliwatts\":$watts}]}"
        ;;
      off) say '{"state":"open"}' ;;
      *) say '{"state":"fault"}' ;;
    esac
    ;;
  *'"do":"open"'* | *'"milliwatts":0}') switch off 0 ;;
  *'"do":"join"'*"\"reserve\":\"$reserve\""*"\"server\":\"$server\""*)
    watts=${question##*'"milliwatts":'}
    switch on "${watts%%[!0-9]*}"
    ;;
  *) say '{"outcome":"refused","reason":"this outlet joins something else"}' ;;
esac
