//! `set-numvfs` on a tree: all that it decides before it would write, and that it never writes.

use serde_json::Value;

use crate::run::{Ran, refused, run_unchanged};
use crate::support::named;

#[test]
fn the_same_number_is_done_already() {
    let tree = named::igb_two_pfs();
    let ran = run_unchanged(&tree, &["set-numvfs", "eth0", "4"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let said = ran.stdout + &ran.stderr;
    assert!(said.contains("eth0") && said.contains('4') && said.contains("already"), "{said}");
    let json = json_of(&run_unchanged(&tree, &["set-numvfs", "eth0", "4", "--json"]));
    assert_eq!(json["changed"], false, "{json}");
    let json = json_of(&run_unchanged(&tree, &["set-numvfs", "eth1", "0", "--json"]));
    assert_eq!(json["changed"], false, "{json}");
}

/// The document of a run that succeeded.
fn json_of(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.stdout).expect("one JSON document")
}

#[test]
fn more_than_the_device_can_have_is_refused_with_both_numbers() {
    let tree = named::igb_two_pfs();
    let ran = run_unchanged(&tree, &["set-numvfs", "eth0", "8"]);
    refused(&ran, 4, &["eth0", "8", "7"]);
    let ran = run_unchanged(&tree, &["set-numvfs", "eth0", "8", "--json"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["error"]["code"], "busy");
    assert_eq!(json["error"]["device"], "eth0");
    assert!(json["error"]["hint"].is_string(), "a next step: {json}");
}

#[test]
fn force_does_not_lift_the_limit() {
    let tree = named::igb_two_pfs();
    refused(&run_unchanged(&tree, &["set-numvfs", "eth0", "8", "--force"]), 4, &["eth0", "7"]);
}

#[test]
fn what_is_no_number_of_vfs_is_a_slip_of_the_command_line() {
    let tree = named::igb_two_pfs();
    for number in ["-1", "abc", "70000", "4.5", "0x4", "", " 4"] {
        let ran = run_unchanged(&tree, &["set-numvfs", "eth0", "--", number]);
        refused(&ran, 2, &[]);
    }
}

#[test]
fn a_vf_is_no_pf() {
    let tree = named::igb_two_pfs();
    for operand in ["eth0v1", "0000:01:10.2", "eth0#1", "02:00:01:00:00:01"] {
        let ran = run_unchanged(&tree, &["set-numvfs", operand, "2"]);
        refused(&ran, 2, &["VF 1 of eth0", "name its PF: eth0"]);
    }
}

#[test]
fn several_pfs_are_too_many() {
    let tree = named::igb_two_pfs();
    let ran = run_unchanged(&tree, &["set-numvfs", "8086:10c9", "2"]);
    refused(&ran, 2, &["eth0", "eth1"]);
}

#[test]
fn a_pf_that_is_not_there_is_not_found() {
    for tree in [named::empty(), named::no_sriov()] {
        refused(&run_unchanged(&tree, &["set-numvfs", "ens9", "2"]), 3, &["ens9"]);
    }
}

#[test]
fn a_pf_without_a_driver_cannot_make_vfs() {
    let tree = named::pf_without_driver();
    let ran = run_unchanged(&tree, &["set-numvfs", "0000:01:00.0", "2"]);
    refused(&ran, 4, &["0000:01:00.0", "driver"]);
}

#[test]
fn bnxt_is_not_asked_while_its_interface_is_down() {
    let tree = named::bnxt_down();
    let ran = run_unchanged(&tree, &["set-numvfs", "enp59s0f0np0", "2"]);
    refused(&ran, 4, &["enp59s0f0np0", "down", "ip link set"]);
    // once it is up, only the tree is in the way
    tree.write("sys/class/net/enp59s0f0np0/flags", "0x1003\n");
    let ran = run_unchanged(&tree, &["set-numvfs", "enp59s0f0np0", "2", "--dry-run"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn vfs_in_use_are_named_and_kept() {
    let tree = named::igb_two_pfs();
    tree.write("sys/class/net/eth0v1/flags", "0x1003\n");
    let ran = run_unchanged(&tree, &["set-numvfs", "eth0", "7"]);
    refused(&ran, 4, &["eth0#1", "up", "--force"]);
    assert!(!ran.stderr.contains("eth0#2"), "a free VF is no obstacle: {}", ran.stderr);
    let ran = run_unchanged(&tree, &["set-numvfs", "eth0", "0"]);
    refused(&ran, 4, &["eth0#1"]);
    let ran = run_unchanged(&tree, &["set-numvfs", "eth0", "7", "--force", "--dry-run"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!((ran.stdout + &ran.stderr).contains("eth0#1"), "what dies is named");
}

#[test]
fn a_tree_is_never_changed() {
    let tree = named::igb_two_pfs();
    for args in [
        &["set-numvfs", "eth1", "4"][..],
        &["set-numvfs", "eth0", "7"],
        &["set-numvfs", "eth0", "0"],
        &["set-numvfs", "eth0", "7", "--force", "--no-wait"],
        &["set-numvfs", "eth1", "4", "--driver", "vfio-pci"],
        &["set-numvfs", "eth1", "4", "--no-autoprobe"],
    ] {
        let ran = run_unchanged(&tree, args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains("--root"), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("restored"), "nothing was done to undo: {}", ran.stderr);
    }
}

/// The lines of a plan that a shell would run.
fn shell(ran: &Ran) -> Vec<String> {
    assert_eq!(ran.code, 0, "{ran:?}");
    let runs = |line: &&str| {
        ["echo ", "modprobe ", "ip ", "basename "].iter().any(|c| line.starts_with(c))
    };
    ran.stdout.lines().map(str::trim).filter(runs).map(str::to_owned).collect()
}

#[test]
fn a_dry_run_prints_the_shells_way() {
    let tree = named::igb_two_pfs();
    let pf = "/sys/bus/pci/devices/0000:02:00.0";
    let ran = run_unchanged(&tree, &["set-numvfs", "eth1", "4", "--dry-run"]);
    assert_eq!(shell(&ran), [format!("echo 4 > {pf}/sriov_numvfs")]);
    let ran = run_unchanged(&tree, &["set-numvfs", "eth1", "4", "--no-autoprobe", "--dry-run"]);
    assert_eq!(
        shell(&ran),
        [
            format!("echo 0 > {pf}/sriov_drivers_autoprobe"),
            format!("echo 4 > {pf}/sriov_numvfs"),
            format!("echo 1 > {pf}/sriov_drivers_autoprobe"),
        ]
    );
}

#[test]
fn a_resize_goes_by_way_of_zero() {
    let tree = named::igb_two_pfs();
    let pf = "/sys/bus/pci/devices/0000:01:00.0";
    let shell = shell(&run_unchanged(&tree, &["set-numvfs", "eth0", "7", "--dry-run"]));
    let writes = [format!("echo 0 > {pf}/sriov_numvfs"), format!("echo 7 > {pf}/sriov_numvfs")];
    assert_eq!(shell[..2], writes);
}

#[test]
fn a_pf_on_vfio_and_one_of_another_domain_can_be_planned_for() {
    let ran = run_unchanged(&named::pf_on_vfio(), &["set-numvfs", "41:00.0", "0", "--dry-run"]);
    assert_eq!(shell(&ran), ["echo 0 > /sys/bus/pci/devices/0000:41:00.0/sriov_numvfs"]);
    let ran = run_unchanged(&named::other_domain(), &["set-numvfs", "ens9", "0", "--dry-run"]);
    assert_eq!(shell(&ran), ["echo 0 > /sys/bus/pci/devices/10000:e1:00.0/sriov_numvfs"]);
}

#[test]
fn the_number_of_vfs_is_the_kernels_not_that_of_the_ones_left() {
    // sriov_numvfs is 11 and eight of the VFs were taken off the bus: 3 is not "done already".
    let tree = named::holes();
    let ran = run_unchanged(&tree, &["set-numvfs", "ens2f0", "3", "--dry-run"]);
    let pf = "/sys/bus/pci/devices/0000:04:00.0";
    let writes = [format!("echo 0 > {pf}/sriov_numvfs"), format!("echo 3 > {pf}/sriov_numvfs")];
    assert_eq!(shell(&ran)[..2], writes);
}
