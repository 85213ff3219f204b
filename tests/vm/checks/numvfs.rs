//! `set-numvfs` where it succeeds.

use serde_json::Value;

use crate::guest::{ok, sh, sriovctl};

const NUMVFS: &str = "cat /sys/class/net/eth0/device/sriov_numvfs";

/// VFs as `ip` shows them in the PF, with each one's own interface.
fn state_of_vfs(count: usize) -> Vec<(Value, String)> {
    let ip: Value = serde_json::from_str(&ok("ip -d -j link show eth0")).unwrap();
    let seen = ip[0]["vfinfo_list"].as_array().unwrap();
    (0..count)
        .map(|index| {
            let own = ok(&format!(
                "cd /sys/class/net/eth0/device/virtfn{index}/net/; n=$(ls); echo $n $(cat $n/address $n/mtu) $(ip link show $n | grep altname)"
            ));
            (seen[index].clone(), own)
        })
        .collect()
}

pub fn from_none_to_four() {
    let done = sriovctl(&["set-numvfs", "eth0", "4", "--json"]).exits(0);
    let json = done.json();
    assert_eq!(
        (&json["changed"], &json["before"], &json["after"]),
        (&true.into(), &0.into(), &4.into())
    );
    assert_eq!(ok(NUMVFS), "4");
    // They can be used when it returns: each has its driver and interface.
    assert_eq!(ok("ls -d /sys/class/net/eth0/device/virtfn*/net/eth* | wc -l"), "4");
    let done = sriovctl(&["set-numvfs", "eth0", "0"]).exits(0);
    assert!(done.out.contains("eth0"), "{}", done.out);
    assert_eq!(ok(NUMVFS), "0");
}

pub fn four_configured_vfs_survive_a_resize() {
    ok("echo 4 > /sys/class/net/eth0/device/sriov_numvfs
        for n in 0 1 2 3; do
            d=$(ls /sys/class/net/eth0/device/virtfn$n/net)
            ip link set $d address 02:00:00:00:01:0$n name vf$((3 - n)) mtu $((1400 + n))
            ip link set eth0 vf $n mac 02:00:00:00:01:0$n
            ip link set eth0 vf $n vlan $((100 + n)) qos $n
            ip link property add dev vf$((3 - n)) altname alt$n
        done
        ip link set eth0 vf 0 trust on; ip link set eth0 vf 1 spoofchk off
        ip link set eth0 vf 2 max_tx_rate 100
        ip link set eth0 vf 3 mac 00:00:00:00:00:00");
    let before = state_of_vfs(4);
    let done = sriovctl(&["set-numvfs", "eth0", "7", "--json"]).exits(0);
    assert_eq!(ok(NUMVFS), "7");
    assert_eq!(state_of_vfs(4), before);
    assert_eq!(done.json()["failed"], Value::from(Vec::<Value>::new()));
    // And those that stay do so on the way down.
    sriovctl(&["set-numvfs", "eth0", "2"]).exits(0);
    assert_eq!(state_of_vfs(2), before[..2]);
}

pub fn the_same_number_writes_nothing() {
    ok("echo 7 > /sys/class/net/eth0/device/sriov_numvfs");
    let done =
        sh("strace -f -o /tmp/trace -e trace=openat,write $S set-numvfs eth0 7 --json").exits(0);
    assert_eq!(done.json()["changed"], false);
    let opened = ok("grep -E 'O_WRONLY|O_RDWR|O_CREAT' /tmp/trace | grep -v /dev/null || true");
    assert_eq!(opened, "", "opened for writing");
    let said = sriovctl(&["set-numvfs", "eth0", "7"]).exits(0);
    assert!(said.out.contains("has 7 VFs already"), "{}", said.out);
}

pub fn vfio_at_creation() {
    sriovctl(&["set-numvfs", "eth0", "3", "--driver", "vfio-pci"]).exits(0);
    let drivers = ok(
        "for n in 0 1 2; do basename $(readlink /sys/class/net/eth0/device/virtfn$n/driver); done",
    );
    assert_eq!(drivers, "vfio-pci\nvfio-pci\nvfio-pci");
    assert_eq!(ok("cat /sys/class/net/eth0/device/sriov_drivers_autoprobe"), "1");
    let overrides = ok("cat /sys/class/net/eth0/device/virtfn*/driver_override");
    assert_eq!(overrides, "(null)\n(null)\n(null)");
    let vf = &sriovctl(&["list-vfs", "eth0#1", "--json"]).exits(0).json()["vfs"][0];
    let node = vf["device_node"].as_str().expect("a node").to_owned();
    assert!(std::path::Path::new(&node).exists(), "{node}");
    assert_eq!(vf["in_use"], false);
}

pub fn without_autoprobe() {
    sriovctl(&["set-numvfs", "eth0", "2", "--no-autoprobe"]).exits(0);
    assert_eq!(ok("ls -d /sys/class/net/eth0/device/virtfn*/driver 2>/dev/null | wc -l"), "0");
    assert_eq!(ok("cat /sys/class/net/eth0/device/sriov_drivers_autoprobe"), "1");
}

pub fn a_vf_on_vfio_stays_on_vfio() {
    ok("modprobe vfio-pci; echo 2 > /sys/class/net/eth0/device/sriov_numvfs
        cd /sys/class/net/eth0/device/virtfn1
        ip link set eth0 vf 1 mac 02:00:00:00:01:01
        echo vfio-pci > driver_override
        basename $(readlink -f .) > driver/unbind
        basename $(readlink -f .) > /sys/bus/pci/drivers/vfio-pci/bind");
    sriovctl(&["set-numvfs", "eth0", "3"]).exits(0);
    let dir = "/sys/class/net/eth0/device/virtfn1";
    assert_eq!(
        ok(&format!("basename $(readlink {dir}/driver); cat {dir}/driver_override")),
        "vfio-pci\nvfio-pci"
    );
    assert!(ok("ip link show eth0").contains("02:00:00:00:01:01"));
}

pub fn dry_run_changes_nothing_and_its_shell_works() {
    ok("echo 2 > /sys/class/net/eth0/device/sriov_numvfs; ip link set eth0 vf 1 vlan 55");
    let done = sriovctl(&["set-numvfs", "eth0", "4", "--dry-run"]).exits(0);
    assert_eq!(ok(NUMVFS), "2");
    let json = sriovctl(&["set-numvfs", "eth0", "4", "--dry-run", "--json"]).exits(0).json();
    assert_eq!((&json["changed"], &json["dry_run"]), (&true.into(), &true.into()));
    let steps = json["steps"].as_array().unwrap();
    let shell: Vec<&str> = steps.iter().map(|step| step["shell"].as_str().unwrap()).collect();
    for line in &shell {
        assert!(done.out.contains(line), "{line} is not in {}", done.out);
    }
    // The VF's interface has a new random MAC until it is set: every line but those works as is.
    ok(&format!("set -e\n{}", shell.join("\n")));
    assert_eq!(ok(NUMVFS), "4");
    assert!(ok("ip link show eth0").contains("vlan 55"));
}

pub fn of_a_storage_device() {
    let address = ok(
        "modprobe nvme; basename $(dirname $(grep -l 0x010802 /sys/bus/pci/devices/*/class | head -1))",
    );
    sriovctl(&["set-numvfs", &address, "2"]).exits(0);
    assert_eq!(ok(&format!("cat /sys/bus/pci/devices/{address}/sriov_numvfs")), "2");
    let vfs = sriovctl(&["list-vfs", &address, "-o", "name"]).exits(0).out;
    assert_eq!(vfs, format!("{address}#0\n{address}#1\n"));
}

pub fn killed_half_way_the_former_vfs_come_back() {
    ok("echo 3 > /sys/class/net/eth0/device/sriov_numvfs
        for n in 0 1 2; do
            d=$(ls /sys/class/net/eth0/device/virtfn$n/net)
            ip link set dev $d address 02:00:00:00:01:0$n name vf$n
            ip link set eth0 vf $n mac 02:00:00:00:01:0$n vlan $((100 + n))
        done");
    let before = state_of_vfs(3);
    // The first kill comes while there are no VFs at all, the others while settings are put back.
    for (call, nth) in [("clone", 6), ("sendto", 14), ("sendto", 19)] {
        let done = sh(&format!(
            "strace -f -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={nth} $S set-numvfs eth0 5"
        ));
        assert!([137, -1].contains(&done.code), "{call} {nth} was not reached: {done:?}");
        if call == "sendto" {
            ok("ip netns add blue 2> /dev/null; true");
            let attach = sriovctl(&["attach", "eth0#0", "--netns", "blue"]).exits(4);
            attach.says("inspect-state --repair");
        }
        sriovctl(&["inspect-state"]).exits(6);
        sriovctl(&["inspect-state", "--repair"]).exits(0);
        assert_eq!(ok(NUMVFS), "3", "{call} {nth}");
        assert_eq!(state_of_vfs(3), before, "{call} {nth}");
        sriovctl(&["inspect-state"]).exits(0);
    }
}
