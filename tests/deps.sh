#!/usr/bin/env bash
# What the tests need beside Rust, mostly from Debian's packages. As root: installs what is missing. Else: lists it and fails,
# because a test that silently skips is a test that cannot fail.
set -euo pipefail

# command it brings : package
needs=(
  "cc:gcc"                        # the bundled SQLite
  "tshark:tshark"                 # reads captures of our traffic
  "openssl:openssl"               # makes digests beside ours
  "smilint:smitools"              # judges docs/POWER-DIVERT-PIB
  "/lib/nut/upsd:nut-server"      # a real upsd with dummy-ups
  "upsrw:nut-client"              # sets the dummy's variables
  "certutil:libnss3-tools"        # gives that upsd a certificate
  "snmpsimd:snmpsim"              # a PDU
  "snmpd:snmpd"                   # speaks SNMPv3
  "chromium:chromium"             # shows the live page
  "chromedriver:chromium-driver"  # drives it
  "promtool:prometheus"           # judges the metrics and the alert rules
  "dbus-daemon:dbus-daemon"       # a bus for a stand-in of systemd
  "dpkg-deb:dpkg"                 # installs our own packages
  "adduser:adduser"               # which they depend on
  "systemd-analyze:systemd"       # judges their units
  "setpriv:util-linux"            # runs a unit's command line as its user
  "unshare:util-linux"            # and all that where nothing stays
)
# And one of Python's, in a folder of its own: Debian has no emulator of Redfish.
redfish=target/tools/sushy-tools
redfish_version=2.2.0
cd "$(dirname "$0")/.."

missing=()
for need in "${needs[@]}"; do
  command -v "${need%%:*}" >/dev/null 2>&1 || missing+=("${need##*:}")
done
has_redfish() { [ -x "$redfish/bin/sushy-emulator" ] || command -v sushy-emulator >/dev/null 2>&1; }
has_redfish || { python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv); }
if [ ${#missing[@]} -eq 0 ]; then
  has_redfish && exit 0
elif [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing for the tests: ${missing[*]}" >&2
  echo "install them (Debian: apt-get install ${missing[*]}) and run again" >&2
  exit 1
else
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if ! has_redfish; then
  echo "installing sushy-tools $redfish_version below $redfish"
  python3 -m venv "$redfish"
  "$redfish/bin/pip" install --quiet --disable-pip-version-check "sushy-tools==$redfish_version"
fi
