# What packaging/deb and packaging/rpm share, both of them called with BINARY DIRECTORY [SBOM]: what the package says of itself,
# and a tree of the files in it below $root. Times are those of the last commit, or SOURCE_DATE_EPOCH.
# shellcheck shell=bash disable=SC2034 # used by those that read this
binary=$(realpath "$1") out=$(realpath "$2") sbom=${3:+$(realpath "$3")}
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
maintainer='The sriovctl authors <sriovctl@example.org>'
summary='owns the whole life of SR-IOV virtual functions'
description='Lists PFs and VFs completely, creates VFs safely, sets them up, gives them
to network namespaces, containers and DPDK and gets them back as they were,
tells who has which, and repairs what others left behind. The same program
is the CNI plugin "sriov" of container runtimes.'

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
umask 022

put() { # MODE FILE PLACE
  install -D -m "$1" "$2" "$root/$3"
}
packed() { # FILE PLACE
  install -d "$(dirname "$root/$2")"
  gzip -9nc "$1" >"$root/$2"
  chmod 644 "$root/$2"
}
tree() { # COMPLETIONS-OF-ZSH UNITS: the files, with the two directories that not all distributions call the same
  local page
  put 755 "$binary" usr/sbin/sriovctl
  for page in man/*.8; do packed "$page" "usr/share/man/man8/$(basename "$page").gz"; done
  put 644 completions/sriovctl.bash usr/share/bash-completion/completions/sriovctl
  put 644 completions/_sriovctl "$1/_sriovctl"
  put 644 completions/sriovctl.fish usr/share/fish/vendor_completions.d/sriovctl.fish
  put 644 contrib/systemd/sriovctl.service "$2/sriovctl.service"
  put 644 schemas/host.schema.json usr/share/doc/sriovctl/host.schema.json
  [[ -z $sbom ]] || put 644 "$sbom" usr/share/doc/sriovctl/sbom.cdx.json
  install -d -m 755 "$root/etc/sriovctl"
}
same_times() {
  find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}
