//! `list-pfs`: every device that can have VFs, whatever drives it.

use serde_json::{Value, json};

use crate::run::{column, field, list, printed};
use crate::support::named;
use crate::support::tree::Tree;

fn pfs(tree: &Tree) -> Vec<Value> {
    list(tree, &["list-pfs"])
}

#[test]
fn a_pf_has_every_key_and_what_a_tree_cannot_tell_is_null() {
    let pfs = pfs(&named::igb_two_pfs());
    assert_eq!(
        pfs[0],
        json!({
            "name": "eth0",
            "pci_address": "0000:01:00.0",
            "device": "0000:01:00.0",
            "class": "0x020000",
            "vendor_id": "8086",
            "device_id": "10c9",
            "model": "Intel Corporation 82576 Gigabit Network Connection",
            "driver": "igb",
            "netdevs": [{
                "name": "eth0",
                "altnames": [],
                "ifindex": 2,
                "mac": "52:54:00:aa:00:00",
                "mtu": 1500,
                "up": true,
                "operstate": "up",
                "speed_mbps": 1000,
                "phys_port_name": null,
                "phys_switch_id": null,
                "netns": {
                    "host": true,
                    "name": null,
                    "path": null,
                    "inode": null,
                    "pid": null,
                    "comm": null,
                    "container": null,
                },
            }],
            "mac": "52:54:00:aa:00:00",
            "mtu": 1500,
            "operstate": "up",
            "speed_mbps": 1000,
            "vfs_total": 7,
            "vfs_enabled": 4,
            "vfs_in_use": null,
            "autoprobe": true,
            "eswitch_mode": null,
            "numa_node": 0,
            "iommu_group": 1,
            "rdma_devices": [],
            "firmware": null,
            "managed_by": [],
        })
    );
    assert_eq!(pfs.len(), 2);
}

#[test]
fn a_pf_that_is_down_has_no_speed() {
    let pfs = pfs(&named::igb_two_pfs());
    assert_eq!(*field(&pfs[1], "speed_mbps"), Value::Null);
    assert_eq!(*field(&pfs[1], "operstate"), "down");
    assert_eq!(*field(&pfs[1], "numa_node"), 1);
    assert_eq!(*field(&pfs[1], "vfs_enabled"), 0);
}

#[test]
fn pfs_are_found_whatever_their_driver_and_listed_by_address() {
    for (tree, names, drivers) in [
        (
            named::mlx5_legacy_dual(),
            json!(["ens3f0np0", "ens3f1np1"]),
            json!(["mlx5_core", "mlx5_core"]),
        ),
        (named::pf_on_vfio(), json!(["0000:41:00.0"]), json!(["vfio-pci"])),
        (named::pf_without_driver(), json!(["0000:01:00.0", "eth0"]), json!([null, "igb"])),
        (named::other_domain(), json!(["ens9"]), json!(["ice"])),
        (named::bnxt_down(), json!(["enp59s0f0np0"]), json!(["bnxt_en"])),
    ] {
        let pfs = pfs(&tree);
        assert_eq!(json!(column(&pfs, "name")), names);
        assert_eq!(json!(column(&pfs, "driver")), drivers);
    }
}

#[test]
fn a_domain_of_five_digits_is_kept() {
    assert_eq!(
        json!(column(&pfs(&named::other_domain()), "pci_address")),
        json!(["10000:e1:00.0"])
    );
}

#[test]
fn counts_are_enabled_and_possible() {
    for (tree, enabled, total) in [
        (named::ixgbe_63(), 63, 63),
        (named::i40e_32(), 32, 32),
        (named::ice_64(), 64, 64),
        (named::bnxt_down(), 0, 16),
        (named::vfs_512(), 512, 512),
        (named::holes(), 3, 63),
        (named::connectx3_dual_port(), 2, 16),
    ] {
        let pfs = pfs(&tree);
        assert_eq!(json!(column(&pfs, "vfs_enabled")), json!([enabled]));
        assert_eq!(json!(column(&pfs, "vfs_total")), json!([total]));
    }
}

#[test]
fn in_switchdev_mode_the_uplink_is_the_pf_and_representors_are_not() {
    let pfs = pfs(&named::mlx5_switchdev());
    assert_eq!(json!(column(&pfs, "name")), json!(["ens3f0np0"]));
    assert_eq!(*field(&pfs[0], "mtu"), 9000);
    assert_eq!(*field(&pfs[0], "mac"), "0c:42:a1:7f:c0:00");
    assert_eq!(*field(&pfs[0], "vfs_enabled"), 4);
}

#[test]
fn both_ports_of_one_function_are_told() {
    let pfs = pfs(&named::connectx3_dual_port());
    assert_eq!(pfs.len(), 1, "one device, however many ports");
    assert_eq!(*field(&pfs[0], "name"), "ens5");
    let ports = field(&pfs[0], "netdevs").as_array().unwrap();
    assert_eq!(json!(column(ports, "name")), json!(["ens5", "ens5d1"]));
    assert_eq!(json!(column(ports, "speed_mbps")), json!([40000, null]));
}

#[test]
fn what_is_no_nic_is_shown_only_on_request() {
    let nvme = named::nvme();
    assert_eq!(json!(column(&pfs(&nvme), "name")), json!(["eth0"]));
    let all = list(&nvme, &["list-pfs", "--all-classes"]);
    assert_eq!(json!(column(&all, "name")), json!(["eth0", "0000:0a:00.0"]));
    assert_eq!(json!(column(&all, "vfs_enabled")), json!([0, 4]));

    let gpu = named::gpu();
    assert_eq!(pfs(&gpu), Vec::<Value>::new());
    let all = list(&gpu, &["list-pfs", "--all-classes"]);
    assert_eq!(json!(column(&all, "driver")), json!(["i915"]));
    assert_eq!(json!(column(&all, "numa_node")), json!([null]));
}

#[test]
fn without_sriov_the_list_is_empty_and_that_is_no_error() {
    for tree in [named::no_sriov(), named::empty()] {
        assert_eq!(pfs(&tree), Vec::<Value>::new());
        assert_eq!(printed(&tree, &["list-pfs", "-o", "name"]), "");
        assert_eq!(printed(&tree, &["list-pfs", "-o", "jsonl"]), "");
    }
}

#[test]
fn an_unreadable_attribute_is_unknown_and_hides_nothing() {
    let pfs = pfs(&named::unreadable());
    assert_eq!(json!(column(&pfs, "name")), json!(["eth0", "eth1"]));
    for key in ["numa_node", "speed_mbps", "mtu", "autoprobe"] {
        assert_eq!(*field(&pfs[0], key), Value::Null, "{key}");
    }
    assert_eq!(*field(&pfs[0], "vfs_enabled"), 4);
    assert_eq!(*field(&pfs[0], "mac"), "52:54:00:aa:00:00");
    assert_eq!(*field(&pfs[1], "vfs_total"), Value::Null);
    assert_eq!(*field(&pfs[1], "vfs_enabled"), 0);
    assert_eq!(*field(&pfs[1], "vendor_id"), Value::Null);
    assert_eq!(*field(&pfs[1], "driver"), "igb");
}

#[test]
fn who_manages_a_device_is_told() {
    let managed = |tree: &Tree| json!(column(&list(tree, &["list-pfs"]), "managed_by"));
    assert_eq!(managed(&named::ice_64()), json!([["sriov-network-operator"]]));
    assert_eq!(managed(&named::pf_on_vfio()), json!([["driverctl"]]));
    assert_eq!(managed(&named::i40e_32()), json!([[]]));
}
