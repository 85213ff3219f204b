//! `set-numvfs` where it must not, or cannot, do what it is asked to.

use crate::guest::{SRIOVCTL, eventually, ok, sh, sriovctl};

const NUMVFS: &str = "cat /sys/class/net/eth0/device/sriov_numvfs";

pub fn more_than_possible() {
    ok("echo 2 > /sys/class/net/eth0/device/sriov_numvfs");
    let done = sh("strace -f -o /tmp/trace -e trace=openat $S set-numvfs eth0 8").exits(4);
    let done = done.says("can have at most 7 VFs, not 8").says("set-numvfs eth0 7");
    assert_eq!(done.out, "");
    let written = ok("grep -E 'O_WRONLY|O_RDWR' /tmp/trace | grep -v /dev/null || true");
    assert_eq!(written, "");
    assert_eq!(ok(NUMVFS), "2");
    let json = sriovctl(&["set-numvfs", "eth0", "8", "--json"]).exits(4).json();
    assert_eq!(json["error"]["code"], "busy");
    assert_eq!(json["error"]["device"], "eth0");
}

pub fn vfs_in_use_are_named() {
    ok("echo 6 > /sys/class/net/eth0/device/sriov_numvfs
        v() { ls /sys/class/net/eth0/device/virtfn$1/net; }
        ip netns add blue
        ip link set $(v 0) netns blue
        ip link add br0 type bridge; ip link set $(v 1) master br0
        ip link set $(v 2) up
        ip addr add 192.0.2.1/24 dev $(v 3)
        ip link set $(v 4) up; ip addr add 192.0.2.9/24 dev $(v 4); ip route add 198.51.100.0/24 dev $(v 4)");
    let before = ok("ip -d link; ls /sys/class/net/eth0/device/");
    let done =
        sriovctl(&["set-numvfs", "eth0", "7"]).exits(4).says("5 of the 6 VFs of eth0 are in use");
    for line in [
        "eth0#0: netns blue",
        "eth0#1: master br0",
        "eth0#2: up",
        "eth0#3: 192.0.2.1/24",
        "eth0#4: 192.0.2.9/24, route 198.51.100.0/24, up",
    ] {
        assert!(done.err.lines().any(|said| said.trim() == line), "no line {line:?}: {}", done.err);
    }
    assert!(!done.err.contains("eth0#5"), "{}", done.err);
    assert_eq!(ok("ip -d link; ls /sys/class/net/eth0/device/"), before);
    let done = sriovctl(&["set-numvfs", "eth0", "1", "--force", "--json"]).exits(0);
    assert_eq!(done.json()["destroyed"].as_array().unwrap().len(), 5);
    ok("ip link del br0");
}

/// Two VFs on vfio-pci, the group of the first held open by a process, whose pid is returned.
fn hold_a_group() -> String {
    sriovctl(&["set-numvfs", "eth0", "2", "--driver", "vfio-pci"]).exits(0);
    ok("n=/dev/vfio/$(basename $(readlink /sys/class/net/eth0/device/virtfn0/iommu_group))
        exec 9<> $n; sleep 1000 > /dev/null 2>&1 & echo $! | tee /tmp/check.pids")
}

pub fn a_held_vfio_group_names_the_process() {
    let pid = hold_a_group();
    sriovctl(&["set-numvfs", "eth0", "0"]).exits(4).says(&format!("eth0#0: sleep[{pid}]"));
    assert_eq!(ok(NUMVFS), "2");
    let table = sriovctl(&["list-vfs", "eth0", "--in-use"]).exits(0).out;
    assert!(table.contains(&format!("sleep[{pid}]")) && !table.contains("eth0#1"), "{table}");
}

pub fn a_stalled_write_ends_in_time() {
    let pid = hold_a_group();
    let done = sriovctl(&["set-numvfs", "eth0", "0", "--force", "--timeout", "2"]).exits(7);
    done.says("within 2 s").says("lets it go");
    // Another change would wait for the device as well: it is told who has it.
    let waits = format!("timeout 60 {SRIOVCTL} set-numvfs eth0 1 --force");
    let second = sh(&waits);
    assert!([4, 7].contains(&second.code), "{second:?}");
    ok(&format!("kill -9 {pid}"));
    eventually("the write goes through", || ok(NUMVFS) == "0");
}

pub fn a_second_changer_waits_and_names_the_first() {
    ok("mkdir -p -m 700 /run/sriovctl/lock
        flock /run/sriovctl/lock/pci-$(basename $(readlink /sys/class/net/eth0/device)).lock sleep 1000 > /dev/null 2>&1 &
        echo $! > /tmp/check.pids; pgrep -P $! >> /tmp/check.pids; true");
    eventually("the lock is held", || sh("grep -q FLOCK /proc/locks").code == 0);
    let done = sriovctl(&["set-numvfs", "eth0", "2"]).exits(4);
    done.says("is being changed by");
    assert_eq!(ok(NUMVFS), "0");
    ok("pkill sleep; true");
}

pub fn an_unknown_driver_leaves_everything() {
    ok(
        "modprobe vfio-pci; echo 2 > /sys/class/net/eth0/device/sriov_numvfs; ip link set eth0 vf 1 vlan 9",
    );
    let before = ok("ip -d link show eth0");
    sriovctl(&["set-numvfs", "eth0", "4", "--driver", "vfio_pci"])
        .exits(3)
        .says("spelled vfio-pci");
    sriovctl(&["set-numvfs", "eth0", "4", "--driver", "no-such"])
        .exits(3)
        .says("no driver no-such");
    assert_eq!(ok("ip -d link show eth0"), before);
}

pub fn without_rights() {
    let done = sh("setpriv --reuid 65534 --clear-groups $S set-numvfs eth0 2").exits(8);
    done.says("run it as root");
    assert_eq!(ok(NUMVFS), "0");
}

pub fn vfio_without_iommu_restores_the_former_vfs() {
    ok("echo 2 > /sys/class/net/eth0/device/sriov_numvfs
        ip link set eth0 vf 0 vlan 77; ip link set eth0 vf 1 trust on
        for n in 0 1; do
            d=$(ls /sys/class/net/eth0/device/virtfn$n/net)
            ip link set $d name blue$n
        done");
    let state = "ip -d link show eth0; ip -br link show blue0; ip -br link show blue1";
    let before = ok(state);
    let done = sriovctl(&["set-numvfs", "eth0", "3", "--driver", "vfio-pci"]).exits(5);
    done.says("the device has no IOMMU group").says("the former 2 VFs of eth0 were restored");
    assert_eq!(ok(state), before);
    assert_eq!(ok("cat /sys/class/net/eth0/device/sriov_drivers_autoprobe"), "1");
}
