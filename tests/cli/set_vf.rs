//! `set-vf` on made-up trees: what the command line refuses, what is planned, and that nothing is written.

use serde_json::Value;

use crate::run::{refused, run_unchanged};
use crate::support::named;

#[test]
fn usage_errors_say_what_is_wrong() {
    let tree = named::igb_two_pfs();
    for (args, said) in [
        (&["eth0#1"][..], "nothing is given that could be set"),
        (&["eth0#1", "--strict"], "--mac --vlan --trust --spoofchk --link-state --min-tx-rate"),
        (&["--trust", "on"], "<VF>"),
        (&["eth0#1", "--mac", "01:00:00:00:00:01"], "it is zero or names a group"),
        (&["eth0#1", "--mac", "00:00:00:00:00:00"], "it is zero or names a group"),
        (&["eth0#1", "--mac", "02:00"], "want 02:00:00:00:00:01"),
        (&["eth0#0-1", "--mac", "02:00:00:00:00:01"], "that of one VF, and these are 2"),
        (&["eth0#0-1", "--node-guid", "00:11:22:33:44:55:66:77"], "these are 2"),
        (&["eth0#1", "--node-guid", "7"], "want 00:11:22:33:44:55:66:77"),
        (&["eth0#1", "--min-tx-rate", "9", "--max-tx-rate", "5"], "the lowest rate, 9, is above"),
        (&["eth0#1", "--vlan", "0", "--qos", "3"], "VLAN 0 means no tag"),
        (&["eth0#1", "--qos", "3"], "--vlan"),
        (&["eth0#1", "--vlan", "4095"], "4094"),
        (&["eth0#1", "--trust", "yes"], "possible values: on, off"),
        (&["eth0#1", "--mtu", "10"], "68..=65535"),
        (&["eth0#1", "--msix-count", "4096"], "2048"),
    ] {
        let ran = run_unchanged(&tree, &[&["set-vf"], args].concat());
        refused(&ran, 2, &[said]);
    }
}

#[test]
fn vfs_that_are_not_there_are_not_found() {
    let tree = named::igb_two_pfs();
    for (vf, said) in [("eth0#7", "no VF 7"), ("eth9", "no PF or VF"), ("eth1", "eth1 has no VFs")]
    {
        refused(&run_unchanged(&tree, &["set-vf", vf, "--trust", "on"]), 3, &[said]);
    }
}

#[test]
fn a_tree_is_never_changed() {
    let tree = named::igb_two_pfs();
    for args in [
        &["eth0", "--trust", "on"][..],
        &["eth0#1", "--reset"],
        &["eth0#1", "--mtu", "1400", "--strict"],
    ] {
        let ran = run_unchanged(&tree, &[&["set-vf"], args].concat());
        refused(&ran, 2, &["--root"]);
    }
}

#[test]
fn a_dry_run_prints_the_shells_way_in_a_safe_order() {
    let tree = named::igb_two_pfs();
    let asked = [
        "set-vf",
        "eth0#1",
        "0000:01:10.2",
        "--mac",
        "02:00:00:00:00:07",
        "--vlan",
        "100",
        "--trust",
        "on",
        "--max-tx-rate",
        "500",
        "--mtu",
        "1400",
        "--dry-run",
    ];
    let ran = run_unchanged(&tree, &asked);
    assert_eq!(ran.code, 0, "{ran:?}");
    let own = "ip link set dev $(ls /sys/bus/pci/devices/0000:01:00.0/virtfn1/net | head -1)";
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(
        lines[0].starts_with("# eth0#1: trust unknown -> on, vlan unknown -> 100, "),
        "{}",
        lines[0]
    );
    assert_eq!(
        lines[1..],
        [
            "ip link set dev eth0 vf 1 trust on",
            "ip link set dev eth0 vf 1 vlan 100",
            "ip link set dev eth0 vf 1 min_tx_rate 0 max_tx_rate 500",
            &format!("{own} mtu 1400"),
            &format!("{own} address 02:00:00:00:00:07"),
            "ip link set dev eth0 vf 1 mac 02:00:00:00:00:07",
        ]
    );
    let ran = run_unchanged(&tree, &[&asked[..], &["--json"]].concat());
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["vfs"].as_array().unwrap().len(), 1, "named twice, set once");
    assert_eq!((&json["changed"], &json["dry_run"]), (&true.into(), &true.into()));
    assert_eq!(json["vfs"][0]["steps"][0]["text"], "set trust on on eth0#1");
}

#[test]
fn what_cannot_be_is_told_in_a_dry_run() {
    let tree = named::igb_two_pfs();
    let ran = run_unchanged(&tree, &["set-vf", "eth0#1", "--mtu", "9000", "--dry-run"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("its PF's is 1500"), "{ran:?}");
    let ran = run_unchanged(&tree, &["set-vf", "eth0#1", "--msix-count", "4", "--dry-run"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    let ran = run_unchanged(&tree, &["set-vf", "eth0#3", "--mtu", "1400", "--dry-run"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("vfio-pci has it"), "{ran:?}");
}
