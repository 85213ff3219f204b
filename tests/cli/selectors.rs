//! Every way to name a device, and what is said when nothing is called so.

use serde_json::{Value, json};

use crate::run::{column, list, refused, run};
use crate::support::named;
use crate::support::tree::Tree;

fn names(tree: &Tree, operands: &[&str]) -> Value {
    json!(column(&list(tree, &[&["list-vfs"], operands].concat()), "vf"))
}

#[test]
fn a_pf_goes_by_all_of_its_names() {
    let tree = named::igb_two_pfs();
    let all = json!(["eth0#0", "eth0#1", "eth0#2", "eth0#3"]);
    for operand in
        ["eth0", "0000:01:00.0", "01:00.0", "52:54:00:aa:00:00", "52-54-00-AA-00-00", "8086:10c9"]
    {
        assert_eq!(names(&tree, &[operand]), all, "{operand}");
    }
}

#[test]
fn a_vf_goes_by_all_of_its_names() {
    let tree = named::igb_two_pfs();
    for operand in ["eth0#2", "01:00.0#2", "0000:01:10.4", "01:10.4", "eth0v2", "02:00:01:00:00:02"]
    {
        assert_eq!(names(&tree, &[operand]), json!(["eth0#2"]), "{operand}");
    }
    assert_eq!(names(&named::mlx5_switchdev(), &["ens3f0npf0vf1"]), json!(["ens3f0np0#1"]));
    assert_eq!(names(&named::connectx3_dual_port(), &["ens5v1d1"]), json!(["ens5#1"]));
    assert_eq!(names(&named::other_domain(), &["10000:e1:00.0#1"]), json!(["ens9#1"]));
}

#[test]
fn numbers_and_ranges_are_vf_numbers() {
    let tree = named::ixgbe_63();
    assert_eq!(
        names(&tree, &["ens2f0#9-11,62"]),
        json!(["ens2f0#9", "ens2f0#10", "ens2f0#11", "ens2f0#62"])
    );
    assert_eq!(names(&named::holes(), &["ens2f0#2-10"]), json!(["ens2f0#2", "ens2f0#10"]));
}

#[test]
fn a_device_named_twice_is_listed_once() {
    let tree = named::igb_two_pfs();
    assert_eq!(names(&tree, &["eth0#0-1", "eth0v1", "01:10.2"]), json!(["eth0#0", "eth0#1"]));
}

#[test]
fn a_slip_of_the_keyboard_is_answered_with_the_nearest_name() {
    let tree = named::ixgbe_63();
    refused(&run(&tree, &["list-vfs", "ens2f"]), 3, &["\"ens2f\"", "did you mean ens2f0?"]);
    refused(
        &run(&tree, &["set-numvfs", "esn2f0", "4"]),
        3,
        &["\"esn2f0\"", "did you mean ens2f0?"],
    );
    refused(&run(&tree, &["list-vfs", "wlan7"]), 3, &["\"wlan7\"", "sriovctl list-pfs"]);
}

#[test]
fn a_number_that_is_no_vf_is_not_found() {
    let tree = named::igb_two_pfs();
    refused(
        &run(&tree, &["list-vfs", "eth0#4"]),
        3,
        &["eth0 has no VF 4", "sriovctl list-vfs eth0"],
    );
    refused(&run(&tree, &["list-vfs", "eth0#0-9"]), 3, &["eth0 has no VF 9"]);
    refused(
        &run(&tree, &["list-vfs", "eth1#0"]),
        3,
        &["eth1 has no VF 0", "sriovctl set-numvfs eth1"],
    );
}

#[test]
fn what_cannot_be_a_list_of_numbers_is_a_slip_of_the_command_line() {
    let tree = named::igb_two_pfs();
    for operand in ["eth0#", "eth0#x", "eth0#3-1", "eth0#1,", "eth0#70000", "#1"] {
        assert_eq!(run(&tree, &["list-vfs", operand]).code, 2, "{operand}");
    }
}

#[test]
fn an_interface_without_sriov_is_told_from_one_that_is_not_there() {
    let tree = named::igb_two_pfs();
    refused(&run(&tree, &["set-numvfs", "eth2", "4"]), 3, &["eth2 exists", "no SR-IOV"]);
}
