//! `bind-dpdk` on made-up trees: what the command line refuses, and what is shown.

use crate::run::run_unchanged;
use crate::support::named::ALL;

fn tree() -> crate::support::tree::Tree {
    ALL[0].1()
}

#[test]
fn usage_errors_say_what_is_wrong() {
    let tree = tree();
    for (args, said) in [
        (&["bind-dpdk"][..], "the VFs are missing"),
        (&["bind-dpdk", "eth0#0", "--mode", "999"], "want an octal mode, such as 0660"),
        (&["bind-dpdk", "eth0#0", "--mode", "01777"], "want an octal mode"),
        (&["bind-dpdk", "eth0#0", "--driver", "../x"], "a driver's name has letters"),
        (&["bind-dpdk", "--restore", "eth0#0", "--vlan", "7"], "cannot be used with"),
        (&["bind-dpdk", "--status", "--restore"], "cannot be used with"),
    ] {
        let ran = run_unchanged(&tree, args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn the_status_of_every_tree_can_be_read() {
    for (name, make) in ALL {
        let ran = run_unchanged(&make(), &["bind-dpdk", "--status"]);
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
    }
}
