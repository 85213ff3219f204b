//! The power goes while VFs are attached and bound, and while an ADD is under way; the machine boots
//! again on the same state directory.

use serde_json::{Value, json};

use super::attach::{differences, records, state};
use super::cni::{call, config, inside, leases, node};
use crate::guest::{KEPT, ok, sh, sriovctl};

fn of_vf(vf: u8) -> Value {
    config(json!({"deviceID": format!("0000:01:10.{}", vf * 2), "vlan": 100, "mtu": 1400}))
}

/// The state directory is on what outlives the boot.
fn on_kept_disk() {
    let kept = std::env::var(KEPT).expect("the lab says where");
    ok(&format!("mkdir -p /var/lib/cni; mount --bind {kept} /var/lib/cni"));
}

pub fn what_is_attached_when_the_power_goes() {
    on_kept_disk();
    node();
    call("ADD", "c1", "blue", &of_vf(1)).exits(0);
    sriovctl(&["attach", "eth0#2", "--netns", "red", "--vlan", "9"]).exits(0);
    sriovctl(&["bind-dpdk", "eth0#3"]).exits(0);
    // One that had begun, and a resize that had.
    let add = "CNI_COMMAND=ADD CNI_CONTAINERID=c0 CNI_IFNAME=net1 CNI_NETNS=/run/netns/red CNI_PATH=/run/cni-bin";
    ok(&format!(
        "{add} strace -f -o /dev/null -e trace=renameat -e inject=renameat:signal=KILL:when=2 $S cni <<< '{}' > /dev/null; true",
        of_vf(0)
    ));
    assert!(records().contains("pci-0000:01:10.0"), "{}", records());
}

pub fn is_in_nobodys_way_after_it() {
    on_kept_disk();
    assert_eq!(records().lines().filter(|line| line.contains("pci-")).count(), 4, "{}", records());
    // The VFs are new ones, as their driver makes them; the leases are the first boot's.
    ok("echo 4 > /sys/class/net/eth0/device/sriov_numvfs; ip netns add blue; ip netns add red
        mkdir -p /run/cni-bin; ln -sf $S /run/cni-bin/sriov; ln -sf $LAB_PROGRAMS/usr/lib/cni/host-local /run/cni-bin/");
    let before = state();
    let listed = sriovctl(&["inspect-state"]).exits(6);
    assert_eq!(listed.out.matches("before the last boot").count(), 4, "{}", listed.out);
    // What runtimes do: DEL of what was, though its namespace is gone; ADD again, of the same and others.
    call("DEL", "c1", "", &of_vf(1)).exits(0);
    call("ADD", "c1", "blue", &of_vf(1)).exits(0);
    assert_eq!(inside("blue")["mtu"], 1400);
    call("DEL", "c1", "blue", &of_vf(1)).exits(0);
    call("ADD", "c9", "blue", &of_vf(0)).exits(0);
    call("DEL", "c9", "blue", &of_vf(0)).exits(0);
    sriovctl(&["attach", "eth0#3", "--netns", "blue"]).exits(0);
    sriovctl(&["detach", "eth0#3"]).exits(0);
    sh("$S inspect-state --repair").exits(0);
    let now = state();
    assert!(now == before, "not as it was made:\n{}", differences(&before, &now));
    assert_eq!(records(), "");
    assert_eq!(leases(), "", "leases");
    ok("umount /var/lib/cni");
}
