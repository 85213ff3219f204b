//! The made-up trees are as the kernel's are, or tests on them would prove nothing.

#[allow(dead_code, reason = "every test binary uses another part of it")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::named::{self, ALL};
use support::tree::Tree;

/// Every symbolic link of a tree.
fn links(tree: &Tree) -> Vec<PathBuf> {
    tree.snapshot().into_keys().filter(|path| path.is_symlink()).collect()
}

fn resolve(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    fs::canonicalize(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_link_is_relative_and_leads_to_a_place_inside_the_tree() {
    for (name, make) in ALL {
        let tree = make();
        let root = resolve(tree.root());
        for link in links(&tree) {
            let target = fs::read_link(&link).unwrap();
            assert!(target.is_relative(), "{name}: {} -> {}", link.display(), target.display());
            if name == "unreadable" && link.ends_with("0000:01:10.2/driver") {
                assert!(!link.exists(), "this one alone is to lead nowhere");
            } else {
                assert!(resolve(&link).starts_with(&root), "{name}: {} leaves", link.display());
            }
        }
    }
}

#[test]
fn virtfn_and_physfn_lead_to_each_other() {
    let mut seen = 0;
    for (name, make) in ALL {
        let tree = make();
        let virtfn = |link: &PathBuf| link.to_str().unwrap().contains("/virtfn");
        for link in links(&tree).iter().filter(|link| virtfn(link)) {
            let pf = resolve(link.parent().unwrap());
            assert_eq!(resolve(link.join("physfn")), pf, "{name}: {}", link.display());
            seen += 1;
        }
    }
    // 4+4+6+63+32+64+2+2*1+512+2+4+2+3+2+4, as the trees' descriptions say
    assert_eq!(seen, 706);
}

#[test]
fn links_read_as_the_kernel_writes_them() {
    let tree = named::igb_two_pfs();
    for (link, target) in [
        (
            "sys/bus/pci/devices/0000:01:00.0",
            "../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0",
        ),
        ("sys/bus/pci/devices/0000:01:00.0/driver", "../../../../bus/pci/drivers/igb"),
        ("sys/bus/pci/devices/0000:01:00.0/subsystem", "../../../../bus/pci"),
        ("sys/bus/pci/devices/0000:01:00.0/virtfn1", "../0000:01:10.2"),
        ("sys/bus/pci/devices/0000:01:10.2/physfn", "../0000:01:00.0"),
        ("sys/bus/pci/devices/0000:01:10.6/driver", "../../../../bus/pci/drivers/vfio-pci"),
        ("sys/bus/pci/devices/0000:01:10.6/iommu_group", "../../../../kernel/iommu_groups/5"),
        (
            "sys/bus/pci/drivers/igb/0000:01:00.0",
            "../../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0",
        ),
        ("sys/class/net/eth0", "../../devices/pci0000:00/0000:00:01.0/0000:01:00.0/net/eth0"),
        ("sys/class/net/eth0/device", "../../../0000:01:00.0"),
        ("sys/class/net/eth0/subsystem", "../../../../../../class/net"),
        ("sys/class/net/lo", "../../devices/virtual/net/lo"),
    ] {
        assert_eq!(fs::read_link(tree.path(link)).unwrap().to_str(), Some(target), "{link}");
    }
    assert!(!tree.path("sys/class/net/eth0v3").exists(), "vfio-pci makes no interface");
    assert!(tree.path("dev/vfio/5").exists());
}

#[test]
fn vfs_stand_where_the_card_puts_them() {
    let at = |tree: &Tree, pf: &str, index: u16| {
        let vf = resolve(tree.path(format!("sys/bus/pci/devices/{pf}/virtfn{index}")));
        vf.file_name().unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!(at(&named::igb_two_pfs(), "0000:01:00.0", 3), "0000:01:10.6");
    assert_eq!(at(&named::ixgbe_63(), "0000:04:00.0", 62), "0000:04:1f.4");
    assert_eq!(at(&named::i40e_32(), "0000:18:00.0", 31), "0000:18:05.7");
    assert_eq!(at(&named::ice_64(), "0000:51:00.0", 63), "0000:51:08.7");
    assert_eq!(at(&named::other_domain(), "10000:e1:00.0", 1), "10000:e1:01.1");
    let dual = named::mlx5_legacy_dual();
    assert_eq!(at(&dual, "0000:03:00.0", 3), "0000:03:00.5");
    assert_eq!(at(&dual, "0000:03:00.1", 0), "0000:03:01.2");
    let many = named::vfs_512();
    assert_eq!(at(&many, "0000:80:00.0", 254), "0000:80:1f.7");
    assert_eq!(at(&many, "0000:80:00.0", 255), "0000:81:00.0");
    assert_eq!(at(&many, "0000:80:00.0", 511), "0000:82:00.0");
}

#[test]
fn the_benchmarks_trees_have_all_their_vfs() {
    let devices = |tree: &Tree| fs::read_dir(tree.path("sys/bus/pci/devices")).unwrap().count();
    // VFs, PFs and a root port for each PF
    assert_eq!(devices(&named::scale(4096)), 4096 + 1 + 1);
    assert_eq!(devices(&named::mixed_4k()), 4096 + 16 + 16);
}
