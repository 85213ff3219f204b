//! What a shell is told when the tabulator is pressed.

use std::process::Command;

use crate::support::named;
use crate::support::tree::Tree;

/// Values that are offered for the last of the words.
fn offered(tree: &Tree, words: &[&str]) -> Vec<String> {
    let root = tree.root().to_str().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sriovctl"))
        .env("SRIOVCTL_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", (words.len() + 2).to_string())
        .args(["--", "sriovctl", "--root", root])
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn operands_are_the_pfs_and_vfs_of_the_host() {
    let tree = named::igb_two_pfs();
    assert_eq!(offered(&tree, &["set-numvfs", "e"]), ["eth0", "eth1"]);
    let vfs = offered(&tree, &["attach", "eth0#"]);
    assert!(vfs.contains(&"eth0#1".to_owned()), "{vfs:?}");
    assert!(vfs.iter().all(|name| name.starts_with("eth0#")), "{vfs:?}");
    let all = offered(&tree, &["attach", ""]);
    assert!(all.contains(&"eth0#1".to_owned()) && !all.contains(&"--mac".to_owned()), "{all:?}");
    let drivers = offered(&tree, &["set-numvfs", "eth0", "4", "--driver", ""]);
    assert_eq!(drivers, ["igbvf", "uio_pci_generic", "vfio-pci"]);
}

#[test]
fn subcommands_and_options_are_offered_too() {
    let tree = named::igb_two_pfs();
    assert_eq!(offered(&tree, &["set-n"]), ["set-numvfs"]);
    assert_eq!(offered(&tree, &["attach", "--spoof"]), ["--spoofchk"]);
    assert_eq!(offered(&tree, &["attach", "--spoofchk", "o"]), ["on", "off"]);
}

#[test]
fn where_nothing_is_there_nothing_is_offered_and_nothing_said() {
    let tree = Tree::new();
    assert_eq!(offered(&tree, &["attach", "eth0#"]), Vec::<String>::new());
}
