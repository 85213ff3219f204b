//! Hundreds of VFs with every setting, without PCI devices behind them.

use crate::guest::{ok, sriovctl};

pub fn simulate(vfs: u32) -> String {
    ok(&format!(
        "modprobe psample; modprobe netdevsim
        [ -e /sys/bus/netdevsim/devices/netdevsim7 ] && echo 7 > /sys/bus/netdevsim/del_device
        echo '7 1 4' > /sys/bus/netdevsim/new_device
        echo {vfs} > /sys/kernel/debug/netdevsim/netdevsim7/max_vfs
        echo {vfs} > /sys/bus/netdevsim/devices/netdevsim7/sriov_numvfs
        ls /sys/bus/netdevsim/devices/netdevsim7/net"
    ))
}

pub fn lists_512_vfs_with_every_setting() {
    let pf = simulate(512);
    ok(&format!(
        "for n in 0 255 333 334 335 511; do
            ip link set {pf} vf $n mac 02:00:00:00:$(printf %02x:%02x $((n >> 8)) $((n & 255)))
            ip link set {pf} vf $n vlan $((n + 1)) qos 5 proto 802.1ad
            ip link set {pf} vf $n min_tx_rate $n max_tx_rate 1000
            ip link set {pf} vf $n spoofchk on
            ip link set {pf} vf $n trust on
            ip link set {pf} vf $n state enable
            ip link set {pf} vf $n query_rss on
        done"
    ));
    let json = sriovctl(&["list-vfs", &pf, "--json"]).exits(0).json();
    let vfs = json["vfs"].as_array().unwrap();
    assert_eq!(vfs.len(), 512);
    for (n, vf) in vfs.iter().enumerate() {
        let set = [0, 255, 333, 334, 335, 511].contains(&n);
        assert_eq!(vf["index"], n);
        assert_eq!(vf["pci_address"], serde_json::Value::Null);
        let mac = format!("02:00:00:00:{:02x}:{:02x}", n >> 8, n & 255);
        assert_eq!(vf["admin_mac"], if set { mac } else { "00:00:00:00:00:00".into() }, "VF {n}");
        assert_eq!(vf["vlan"], if set { n + 1 } else { 0 }, "VF {n}");
        assert_eq!(vf["vlan_qos"], if set { 5 } else { 0 });
        assert_eq!(vf["vlan_proto"], if set { "802.1ad" } else { "802.1q" }, "VF {n}");
        assert_eq!(vf["min_tx_rate"], if set { n } else { 0 });
        assert_eq!(vf["max_tx_rate"], if set { 1000 } else { 0 });
        assert_eq!((&vf["spoofchk"], &vf["trust"]), (&set.into(), &set.into()));
        assert_eq!(vf["link_state"], if set { "enable" } else { "auto" });
        assert_eq!(vf["query_rss"], set);
    }
    let pfs = sriovctl(&["list-pfs", "--json"]).exits(0).json();
    assert_eq!(pfs["pfs"][0]["vfs_enabled"], 512);
    assert_eq!(pfs["pfs"][0]["eswitch_mode"], "legacy");
    assert_eq!(pfs["pfs"][0]["device"], "netdevsim/netdevsim7");
}

pub fn lists_256_vfs_with_counters() {
    let pf = simulate(256);
    let json = sriovctl(&["list-vfs", &pf, "--stats", "--json"]).exits(0).json();
    let vfs = json["vfs"].as_array().unwrap();
    assert_eq!(vfs.len(), 256);
    for (n, vf) in vfs.iter().enumerate() {
        assert_eq!(vf["index"], n);
        assert!(vf["stats"].is_object(), "{vf}");
    }
}

pub fn set_numvfs_works_without_pci() {
    let pf = simulate(3);
    ok(&format!("ip link set {pf} vf 1 vlan 44; ip link set {pf} vf 2 trust on"));
    sriovctl(&["set-numvfs", &pf, "2"]).exits(0);
    let vfs = sriovctl(&["list-vfs", &pf, "--json"]).exits(0).json();
    assert_eq!(vfs["vfs"].as_array().unwrap().len(), 2);
    assert_eq!(vfs["vfs"][1]["vlan"], 44);
    // The driver's own limit, which only it knows.
    let done = sriovctl(&["set-numvfs", "netdevsim/netdevsim7", "99"]).exits(5);
    done.says("99").says("the former 2 VFs");
    assert_eq!(ok("cat /sys/bus/netdevsim/devices/netdevsim7/sriov_numvfs"), "2");
}
