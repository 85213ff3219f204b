//! What must hold of whatever the kernel's texts and the files of this host say (see
//! [`crate::fuzzing`]).

mod tree;

use std::cell::RefCell;
use std::path::Path;

use serde_json::Value;

use self::tree::{FILES, Tree};
pub use super::netlink::fuzzing::check as netlink;
use super::pci_ids::PciIds;
use super::{Host, accounts, ground, holders, links, modules, netns, state, sysfs};
use crate::engine::{Kernel, Surroundings};
use crate::model::binding::Cpu;
use crate::model::facts::Scope;
use crate::model::ids::{DeviceId, PciId};
use crate::model::record::Record;

/// Reads a file of the state directory, under the name that its device gives it.
pub fn record(text: &[u8]) -> Option<Record> {
    let value: Option<Value> = serde_json::from_slice(text).ok();
    let device = value.as_ref().and_then(|value| value.get("device")?.as_str()?.parse().ok());
    let device: DeviceId = device.unwrap_or_else(|| "0000:01:10.0".parse().expect("an address"));
    let name = state::file_name(&device);
    assert_eq!(state::device_of(&name).as_ref(), Some(&device), "{name:?}");
    let read = state::parse(text, &device);
    assert_eq!(state::parse(text, &device), read);
    read.ok()
}

/// The list of names, and that one is found whatever else is looked for.
pub fn pci_ids(list: &[u8]) {
    let ids = ids_in(list);
    let all = PciIds::parse(list, &ids);
    for id in &ids {
        let name = all.model(*id);
        assert!(name.is_some(), "{id} is not found");
        assert_eq!(PciIds::parse(list, &[*id]).model(*id), name);
    }
    let other = PciId { vendor: 0xfffe, device: 0xfffe };
    assert_eq!(all.model(other).is_some(), ids.contains(&other));
    assert_eq!(PciIds::parse(list, &[]).model(other), None);
}

/// The first devices of a list, as simply as can be.
fn ids_in(list: &[u8]) -> Vec<PciId> {
    let number = |digits: &[u8]| u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let (mut vendor, mut ids) = (None, Vec::new());
    for line in list.split(|byte| *byte == b'\n') {
        if line.starts_with(b"C ") || ids.len() == 8 {
            break;
        } else if line.is_empty() || line.starts_with(b"#") || line.starts_with(b"\t\t") {
        } else if let Some(device) = line.strip_prefix(b"\t") {
            let device = device.get(..4).and_then(number);
            ids.extend(vendor.zip(device).map(|(vendor, device)| PciId { vendor, device }));
        } else {
            vendor = line.get(..4).and_then(number);
        }
    }
    ids
}

thread_local! {
    static TREE: RefCell<Tree> = RefCell::new(Tree::new());
}

/// Texts with a zero byte between each two: what is made of each by itself, and what a host is said
/// to be whose files they are.
pub fn sysfs(data: &[u8]) {
    let texts: Vec<&[u8]> = data.split(|byte| *byte == 0).take(FILES.len()).collect();
    let strings: Vec<String> =
        texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    for text in &strings {
        of_text(text);
    }
    let [first, second] = [0, 1].map(|at| strings.get(at).map_or("", String::as_str));
    of_modules(first, second);
    TREE.with_borrow_mut(|tree| {
        for (at, file) in FILES.into_iter().enumerate() {
            tree.write(file, texts.get(at).copied());
        }
        of_host(tree.root());
    });
}

fn of_text(text: &str) {
    if let Some(number) = sysfs::parse_hex(text) {
        for printed in [format!("{number:x}"), format!("{number:#x}")] {
            assert_eq!(sysfs::parse_hex(&printed), Some(number));
        }
    }
    assert!(links::valid_speed(text).is_none_or(|speed| speed > 0 && speed < u32::MAX));
    if let Some(id) = netns::container_of(text) {
        assert!(id.len() == 64 && text.contains(&id), "{id}");
        assert_eq!(netns::container_of(&format!("0::/docker/{id}")).as_ref(), Some(&id));
    }
    let is_intel = text.lines().any(|line| line.contains("GenuineIntel"));
    assert_eq!(ground::cpu(text) == Cpu::Intel, is_intel);
    assert!(!holders::is_node(text) || text.starts_with("/dev/"));
    for line in text.lines() {
        if let Some(number) = accounts::entry(line, "alice") {
            assert_eq!(accounts::entry(&format!("alice:x:{number}"), "alice"), Some(number));
        }
    }
}

fn of_modules(first: &str, second: &str) {
    let (native, variants) = modules::knowing(Path::new("/nowhere"), first, second);
    assert!(native.iter().chain(&variants).all(|module| first.contains(module)));
    let is_plain = |text: &str| !text.contains(['*', '?', '[']);
    if is_plain(first) {
        assert_eq!(modules::fits(first.as_bytes(), second.as_bytes()), first == second);
    }
    for pattern in [format!("*{}", second.replace(['[', '?'], "*")), "*".to_owned()] {
        assert!(modules::fits(pattern.as_bytes(), second.as_bytes()), "{pattern:?}");
    }
}

fn of_host(root: &Path) {
    let scope = Scope {
        stats: true,
        wide: true,
        models: true,
        change: true,
        all_classes: true,
        here_only: false,
    };
    let host = Host::new(root);
    let read = || host.observe(scope).map(|inventory| format!("{:?}", inventory.pfs));
    assert_eq!(read().expect("it can be read"), read().expect("it can be read again"));
    let device: DeviceId = "0000:01:10.0".parse().expect("an address");
    assert_eq!(host.ground(&device), Host::new(root).ground(&device));
    assert_eq!(host.platform(), host.platform());
    assert_eq!(host.driver_state("vfio-pci"), host.driver_state("vfio-pci"));
    assert_eq!(host.hugepages(), host.hugepages());
    assert_eq!(host.owners(), host.owners());
}
