#!/bin/sh
# Installs the plugin, then makes the node what its file says, again whenever that changes.
#
# BIN: the node's directory of CNI plugins. CONFIG: files by node name (NODE.yaml), or default.yaml.
set -eu
: "${BIN:=/host/opt/cni/bin}" "${CONFIG:=/config}" "${NODE:?the name of the node}" "${EVERY:=15}"

# Whole or not at all: whoever calls it meanwhile finds the old one or the new one.
install_plugin() {
  cmp -s /usr/sbin/sriovctl "$BIN/sriov" && return
  cp /usr/sbin/sriovctl "$BIN/.sriov.new"
  chmod 755 "$BIN/.sriov.new"
  mv "$BIN/.sriov.new" "$BIN/sriov"
  echo "installed $BIN/sriov"
}

file() {
  if [ -e "$CONFIG/$NODE.yaml" ]; then echo "$CONFIG/$NODE.yaml"; else echo "$CONFIG/default.yaml"; fi
}

trap 'exit 0' TERM INT
install_plugin
applied=
while :; do
  now=$(md5sum "$(file)" 2>/dev/null || true)
  if [ -n "$now" ] && [ "$now" != "$applied" ]; then
    # What could not be done is tried again the next time.
    if sriovctl apply "$(file)" --keep-going --wait 60; then applied=$now; fi
  fi
  sleep "$EVERY" &
  wait $!
done
