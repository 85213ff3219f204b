# shellcheck shell=bash disable=SC2034,SC2154 # variables from and for the scripts that read this
# Shared by tests/vm/setup and tests/vm/lab: where things are cached and how a cached state is recognised.
# The caller has set $vm to the directory tests/vm.

lab_cache=${SRIOVCTL_LAB_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/sriovctl-lab}

# The names carry a hash of the scripts that made them: a changed script means another name, so a
# stale state is never taken for a good one, and a directory only gets its name once it is complete.
lab_names() {
  local sum_setup sum_init rest
  { read -r sum_setup rest; read -r sum_init rest; } < <(sha256sum <"$vm/setup"; sha256sum <"$vm/lab.d/init")
  : "$rest"
  lab_kernel=$lab_cache/kernel-${sum_setup:0:12}
  lab_initramfs=$lab_kernel/initramfs-${sum_init:0:12}
}
