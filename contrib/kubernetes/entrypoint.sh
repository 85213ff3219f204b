#!/bin/sh
# Installs the plugin, then makes the node what its file says, again whenever that changes.
#
# BIN: the node's directory of CNI plugins. CONFIG: files by node name (NODE.yaml), or default.yaml.
set -eu
: "${BIN:=/host/opt/cni/bin}" "${CONFIG:=/config}" "${NODE:?the name of the node}" "${EVERY:=15}"

# Whole or not at all: whoever calls it meanwhile finds the old one or the new one.
install_plugin() {
  # A link would be followed in here, not on the node.
  [ ! -L "$BIN/sriov" ] && cmp -s /usr/sbin/sriovctl "$BIN/sriov" && return
  cp /usr/sbin/sriovctl "$BIN/.sriov.new"
  chmod 755 "$BIN/.sriov.new"
  mv "$BIN/.sriov.new" "$BIN/sriov"
  ln -sf sriov "$BIN/fixipam"
  echo "installed $BIN/sriov"
}

file() {
  if [ -e "$CONFIG/$NODE.yaml" ]; then echo "$CONFIG/$NODE.yaml"; else echo "$CONFIG/default.yaml"; fi
}

# What is under way ends as a whole: it is told, and waited for.
running=
trap '[ -z "$running" ] || { kill -TERM "$running" 2>/dev/null; wait "$running"; }; exit 0' TERM INT
install_plugin
applied='' told=''
while :; do
  if ! now=$(md5sum "$(file)" 2>&1); then
    # It may come; that it is not there is said once.
    [ "$now" = "$told" ] || echo "nothing is applied: $now" >&2
    told=$now
  elif [ "$now" != "$applied" ]; then
    # What could not be done is tried again the next time.
    sriovctl apply "$(file)" --keep-going --wait 60 &
    running=$!
    if wait "$running"; then applied=$now told=''; fi
    running=
  fi
  sleep "$EVERY" &
  wait $!
done
