//! `list-vfs`: every VF by its number, with its device, driver, interface and node.

use serde_json::{Value, json};

use crate::run::{column, field, list, refused, run};
use crate::support::named;
use crate::support::tree::Tree;

fn vfs(tree: &Tree) -> Vec<Value> {
    list(tree, &["list-vfs"])
}

#[test]
fn a_vf_has_every_key_and_what_a_tree_cannot_tell_is_null() {
    let vfs = vfs(&named::igb_two_pfs());
    assert_eq!(
        vfs[1],
        json!({
            "vf": "eth0#1",
            "pf": "eth0",
            "pf_device": "0000:01:00.0",
            "index": 1,
            "pci_address": "0000:01:10.2",
            "driver": "igbvf",
            "model": "Intel Corporation 82576 Virtual Function",
            "netdev": "eth0v1",
            "netdevs": ["eth0v1"],
            "altnames": [],
            "netns": {
                "host": true,
                "name": null,
                "path": null,
                "inode": null,
                "pid": null,
                "comm": null,
                "container": null,
            },
            "representor": null,
            "admin_mac": null,
            "mac": "02:00:01:00:00:01",
            "mtu": 1500,
            "up": false,
            "operstate": "down",
            "vlan": null,
            "vlan_qos": null,
            "vlan_proto": null,
            "min_tx_rate": null,
            "max_tx_rate": null,
            "spoofchk": null,
            "trust": null,
            "link_state": null,
            "query_rss": null,
            "node_guid": null,
            "port_guid": null,
            "numa_node": 0,
            "iommu_group": 3,
            "device_node": null,
            "in_use": null,
            "used_by": [],
            "stats": null,
        })
    );
}

#[test]
fn a_vf_on_vfio_has_a_node_and_no_interface() {
    let vfs = vfs(&named::igb_two_pfs());
    assert_eq!(json!(column(&vfs, "vf")), json!(["eth0#0", "eth0#1", "eth0#2", "eth0#3"]));
    assert_eq!(json!(column(&vfs, "driver")), json!(["igbvf", "igbvf", "igbvf", "vfio-pci"]));
    assert_eq!(json!(column(&vfs, "netdev")), json!(["eth0v0", "eth0v1", "eth0v2", null]));
    assert_eq!(json!(column(&vfs, "device_node")), json!([null, null, null, "/dev/vfio/5"]));
    assert_eq!(json!(column(&vfs, "iommu_group")), json!([2, 3, 4, 5]));
}

#[test]
fn without_an_iommu_the_node_is_the_noiommu_one() {
    let vfs = vfs(&named::noiommu());
    assert_eq!(json!(column(&vfs, "device_node")), json!(["/dev/vfio/noiommu-7", null]));
    assert_eq!(json!(column(&vfs, "iommu_group")), json!([7, null]));
}

#[test]
fn five_hundred_vfs_are_all_there_in_numeric_order() {
    let vfs = vfs(&named::vfs_512());
    let numbers: Vec<u64> = vfs.iter().map(|vf| field(vf, "index").as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..512).collect::<Vec<_>>());
    // 0000:80:00.0 is the PF; the VFs run on over two bus numbers.
    for (index, address, netdev, mac) in [
        (0, "0000:80:00.1", "ens8v0", "02:00:80:00:00:00"),
        (9, "0000:80:01.2", "ens8v9", "02:00:80:00:00:09"),
        (10, "0000:80:01.3", "ens8v10", "02:00:80:00:00:0a"),
        (255, "0000:81:00.0", "ens8v255", "02:00:80:00:00:ff"),
        (511, "0000:82:00.0", "ens8v511", "02:00:80:00:01:ff"),
    ] {
        let vf: &Value = &vfs[index];
        assert_eq!(*field(vf, "pci_address"), address);
        assert_eq!(*field(vf, "netdev"), netdev);
        assert_eq!(*field(vf, "mac"), mac);
    }
}

#[test]
fn many_pfs_are_found_each_with_its_vfs() {
    let vfs = vfs(&named::mixed_4k());
    let of = |pf: usize| (0..256).map(move |vf| format!("ens{pf}#{vf}"));
    assert_eq!(json!(column(&vfs, "vf")), json!((0..16).flat_map(of).collect::<Vec<_>>()));
}

#[test]
fn vf_numbers_are_the_kernels_also_where_some_are_missing() {
    let vfs = vfs(&named::holes());
    assert_eq!(json!(column(&vfs, "index")), json!([0, 2, 10]));
    assert_eq!(json!(column(&vfs, "vf")), json!(["ens2f0#0", "ens2f0#2", "ens2f0#10"]));
    let addresses = json!(["0000:04:10.0", "0000:04:10.4", "0000:04:12.4"]);
    assert_eq!(json!(column(&vfs, "pci_address")), addresses);
}

#[test]
fn vfs_of_two_functions_do_not_mix() {
    let vfs = vfs(&named::mlx5_legacy_dual());
    let found: Vec<_> = vfs.iter().map(|vf| (field(vf, "vf"), field(vf, "pci_address"))).collect();
    assert_eq!(
        json!(found),
        json!([
            ["ens3f0np0#0", "0000:03:00.2"],
            ["ens3f0np0#1", "0000:03:00.3"],
            ["ens3f0np0#2", "0000:03:00.4"],
            ["ens3f0np0#3", "0000:03:00.5"],
            ["ens3f1np1#0", "0000:03:01.2"],
            ["ens3f1np1#1", "0000:03:01.3"],
        ])
    );
    assert_eq!(json!(column(&vfs, "representor")), json!([null, null, null, null, null, null]));
}

#[test]
fn each_vf_has_its_own_representor() {
    let vfs = vfs(&named::mlx5_switchdev());
    assert_eq!(
        json!(column(&vfs, "representor")),
        json!(["ens3f0npf0vf0", "ens3f0npf0vf1", "ens3f0npf0vf2", "ens3f0npf0vf3"])
    );
    assert_eq!(
        json!(column(&vfs, "netdev")),
        json!(["ens3f0v0", "ens3f0v1", "ens3f0v2", "ens3f0v3"])
    );
}

#[test]
fn a_vf_of_a_dual_port_card_has_both_interfaces() {
    let vfs = vfs(&named::connectx3_dual_port());
    assert_eq!(json!(column(&vfs, "netdev")), json!(["ens5v0", "ens5v1"]));
    for (vf, second) in vfs.iter().zip(["\"ens5v0d1\"", "\"ens5v1d1\""]) {
        assert!(vf.to_string().contains(second), "{second} is missing: {vf}");
    }
}

#[test]
fn vfs_of_what_is_no_nic_are_shown_only_on_request() {
    let nvme = named::nvme();
    assert_eq!(vfs(&nvme), Vec::<Value>::new());
    let all = list(&nvme, &["list-vfs", "--all-classes"]);
    assert_eq!(json!(column(&all, "driver")), json!([null, null, null, null]));
    assert_eq!(*field(&all[0], "vf"), "0000:0a:00.0#0");
}

#[test]
fn an_unreadable_vf_is_listed_beside_its_neighbours() {
    let vfs = vfs(&named::unreadable());
    assert_eq!(json!(column(&vfs, "index")), json!([0, 1, 2, 3]));
    // A link's name is the driver's, even where a copy left out what it points at.
    assert_eq!(json!(column(&vfs, "driver")), json!(["igbvf", "gone", null, null]));
    assert_eq!(json!(column(&vfs, "iommu_group")), json!([2, 3, null, 5]));
    assert_eq!(
        json!(column(&vfs, "mac")),
        json!(["02:00:01:00:00:00", "02:00:01:00:00:01", null, null])
    );
}

#[test]
fn filters_take_what_they_say() {
    let mixed = named::igb_two_pfs();
    mixed.write("sys/class/net/eth0v1/flags", "0x1003\n");
    let names = |args: &[&str]| json!(column(&list(&mixed, args), "vf"));
    assert_eq!(names(&["list-vfs", "--driver", "vfio-pci"]), json!(["eth0#3"]));
    assert_eq!(names(&["list-vfs", "--in-use"]), json!(["eth0#1"]));
    // Nobody who uses it is seen, but a tree does not show everybody.
    refused(
        &run(&named::igb_two_pfs(), &["list-vfs", "--free"]),
        2,
        &["does not tell which VFs are free"],
    );
    assert_eq!(names(&["list-vfs", "--driver", "nobody"]), json!([]));
}
