use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::model::ids::VfIndex;

const PF: &str = "0000:01:00.0";

fn vf(index: usize) -> String {
    format!("0000:01:10.{index}")
}

/// A host whose `eth0` has seven VFs, with the drivers that are given.
fn tree(drivers: [Option<&str>; 7]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let devices = root.path().join("sys/bus/pci/devices");
    let pf = devices.join(PF);
    fs::create_dir_all(&pf).unwrap();
    for (file, text) in [("sriov_totalvfs", "7"), ("class", "0x020000"), ("numa_node", "1")] {
        fs::write(pf.join(file), text).unwrap();
    }
    for (index, driver) in drivers.into_iter().enumerate() {
        let dir = devices.join(vf(index));
        fs::create_dir(&dir).unwrap();
        symlink(format!("../{}", vf(index)), pf.join(format!("virtfn{index}"))).unwrap();
        if let Some(driver) = driver {
            symlink(format!("../../drivers/{driver}"), dir.join("driver")).unwrap();
        }
    }
    for (name, device) in [("eth0", PF), ("eth0v1", &vf(1)), ("rep", PF)] {
        let dir = root.path().join("sys/class/net").join(name);
        fs::create_dir_all(&dir).unwrap();
        symlink(format!("../../../bus/pci/devices/{device}"), dir.join("device")).unwrap();
    }
    fs::write(root.path().join("sys/class/net/rep/phys_port_name"), "pf0vf1\n").unwrap();
    root
}

/// The interface of a VF: down, with nothing on it.
fn link(index: usize) -> Link {
    Link {
        ifindex: 10 + u32::try_from(index).unwrap(),
        parent: Some(vf(index).parse().unwrap()),
        up: Some(false),
        ..Link::default()
    }
}

fn stock(root: &tempfile::TempDir, links: &[Link]) -> Stock {
    let found = Host::new(root.path()).stock_by(&[PfName::Netdev("eth0")], links).unwrap();
    found.unwrap().pop().unwrap()
}

fn states(stock: &Stock) -> Vec<State> {
    stock.vfs.iter().map(|vf| vf.state).collect()
}

#[test]
fn of_use_without_a_record_that_counts_which_an_interface_shows() {
    use State::{Free, Used};
    // The last three have no interface: elsewhere, of user space, and of nobody.
    let root = tree(
        [[Some("iavf"); 5].as_slice(), &[Some("vfio-pci"), None]].concat().try_into().unwrap(),
    );
    let links = [
        link(0),
        Link { up: Some(true), ..link(1) },
        Link { master: Some(99), ..link(2) },
        link(3),
        Link { ifindex: 99, lower: Some(link(3).ifindex), ..Link::default() },
    ];
    let stock = stock(&root, &links);
    assert_eq!(states(&stock), [Free, Used, Used, Used, Used, Free, Free]);
    assert_eq!((stock.in_use(), stock.numa_node), (4, Some(1)));
    assert_eq!(stock.vf(VfIndex(5)).unwrap().device.to_string(), vf(5));
}

#[test]
fn what_is_written_down_is_told_without_being_read() {
    use State::{Free, Recorded, Used};
    let root = tree([None; 7]);
    for (dir, file) in [
        ("sriovctl/attached", format!("pci-{}.json", vf(0))),
        ("sriovctl/journal", format!("pci-{}.json", vf(1))),
        ("pci", vf(2)),
        ("sriovctl/attached", format!("pci-{}.json", vf(3))),
        ("sriovctl/bound", format!("pci-{}.json", vf(4))),
    ] {
        let dir = root.path().join("var/lib/cni/sriov").join(dir);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(file), "").unwrap();
    }
    let links = [Link { up: Some(true), ..link(3) }];
    let states = states(&stock(&root, &links));
    assert_eq!(states, [Recorded, Recorded, Recorded, Used, Free, Free, Free]);
}

#[test]
fn a_name_that_is_no_pfs_is_left_to_those_who_look_at_everything() {
    let root = tree([None; 7]);
    let host = Host::new(root.path());
    let is_known = |name| host.stock_by(&[PfName::Netdev("eth0"), name], &[]).unwrap().is_some();
    assert!(is_known(PfName::Pci(PF.parse().unwrap())));
    assert!(!is_known(PfName::Pci(vf(0).parse().unwrap())));
    for name in ["eth0v1", "rep", "eth1", "an altname", "../net/eth0"] {
        assert!(!is_known(PfName::Netdev(name)), "{name}");
    }
}
