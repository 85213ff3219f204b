//! Devices with SR-IOV and their VFs, from sysfs (kernel: drivers/pci/iov.c;
//! Documentation/ABI/testing/sysfs-bus-pci).

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use super::pci_ids::PciIds;
use super::sysfs::{self, Dir};
use super::{links, parallel};
use crate::error::Result;
use crate::model::assemble::is_userspace_driver;
use crate::model::facts::{PfFacts, Scope, VfFacts};
use crate::model::ids::{DeviceId, PciAddress, PciId, VfIndex};
use crate::model::link::Link;
use crate::order;

/// What is found.
pub struct Devices {
    /// The PFs.
    pub pfs: Vec<PfFacts>,
    /// Group node by character device: `/dev/vfio/devices/vfio0` is held, `/dev/vfio/12` is meant.
    pub node_aliases: HashMap<String, String>,
    /// Interfaces of PFs and VFs, where their directories were to tell.
    pub links: Vec<Link>,
}

/// A `virtfnN` of a PF.
pub(super) struct Virtfn {
    pub index: VfIndex,
    pub link: String,
    pub device: Option<DeviceId>,
}

/// A PF, its directory, and its VFs' names.
struct FoundPf {
    pf: PfFacts,
    dir: Dir,
    vfs: Vec<Virtfn>,
}

/// What a VF's directory says.
struct Found {
    vf: VfFacts,
    alias: Option<Alias>,
    links: Vec<Link>,
}

/// Reads every PF below `root`; `with_links`: also which interfaces there are, by their directories.
pub fn read(root: &Path, scope: Scope, with_links: bool) -> Result<Devices> {
    let path = root.join("sys/bus/pci/devices");
    let names = sysfs::names_or_error(&path)?;
    let mut devices = Devices { pfs: Vec::new(), node_aliases: HashMap::new(), links: Vec::new() };
    let Some(bus) = Dir::open(&path) else { return Ok(devices) };
    let (mut dirs, mut virtfns) = (Vec::new(), Vec::new());
    let find = |names: &[String]| find_pfs(names, &bus, &path, scope);
    for FoundPf { pf, dir, vfs } in parallel::in_parts(&names, find) {
        if with_links {
            devices.links.extend(links::of_device(&dir, ".", &pf.device, false));
        }
        devices.pfs.push(pf);
        dirs.push(dir);
        virtfns.push(vfs);
    }
    read_vfs(&mut devices, &dirs, virtfns, scope, with_links);
    if !scope.models {
        return Ok(devices);
    }
    let ids: Vec<PciId> = devices.pfs.iter().flat_map(ids_of).collect();
    let names = PciIds::load(root, &ids);
    for pf in &mut devices.pfs {
        pf.model = pf.id.and_then(|id| names.model(id));
        pf.vf_model = vf_id(pf).and_then(|id| names.model(id));
    }
    Ok(devices)
}

/// The PFs among devices of the bus.
fn find_pfs(names: &[String], bus: &Dir, path: &Path, scope: Scope) -> Vec<FoundPf> {
    let mut found = Vec::new();
    // A VF mostly comes after its PF, and is none itself: most devices need not be looked at. Those of a PF in another part
    // are, and have no capability.
    let mut known = HashSet::new();
    for name in names {
        // The capability decides, not the driver: a PF on vfio-pci or without a driver is one too.
        if known.contains(name.as_str()) || !bus.has(&format!("{name}/sriov_totalvfs")) {
            continue;
        }
        let Ok(address) = name.parse::<PciAddress>() else { continue };
        let Some(dir) = bus.dir(name) else { continue }; // it has gone meanwhile
        let class = dir.hex("class");
        if !scope.all_classes && class.is_some_and(|class| class >> 16 != 0x02) {
            continue;
        }
        let pf = read_pf(&path.join(name), address.into(), class);
        let vfs = list_vfs(&dir);
        known.extend(vfs.iter().filter_map(|vf| Some(vf.device.as_ref()?.name().to_owned())));
        found.push(FoundPf { pf, dir, vfs });
    }
    found
}

fn vf_id(pf: &PfFacts) -> Option<PciId> {
    Some(PciId { vendor: pf.id?.vendor, device: pf.vf_device? })
}

fn ids_of(pf: &PfFacts) -> impl Iterator<Item = PciId> {
    pf.id.into_iter().chain(vf_id(pf))
}

fn read_pf(dir: &Path, device: DeviceId, class: Option<u32>) -> PfFacts {
    let half = |name: &str| sysfs::hex(&dir.join(name)).and_then(|id| u16::try_from(id).ok());
    PfFacts {
        class,
        id: half("vendor").zip(half("device")).map(|(vendor, device)| PciId { vendor, device }),
        // Unlike its neighbours this file has no 0x (iov.c `sriov_vf_device_show`).
        vf_device: half("sriov_vf_device"),
        driver: sysfs::link_name(&dir.join("driver")),
        total_vfs: sysfs::number(&dir.join("sriov_totalvfs")),
        autoprobe: sysfs::switch(&dir.join("sriov_drivers_autoprobe")),
        numa_node: sysfs::number(&dir.join("numa_node")),
        iommu_group: sysfs::link_name(&dir.join("iommu_group"))
            .and_then(|group| group.parse().ok()),
        rdma: sysfs::names(&dir.join("infiniband")),
        ..PfFacts::of(device)
    }
}

/// VFs by their `virtfnN` links, which cannot block; reading `sriov_numvfs` waits for whoever
/// writes it.
pub(super) fn list_vfs(pf: &Dir) -> Vec<Virtfn> {
    let virtfn = |link: String| {
        let index = VfIndex(link.strip_prefix("virtfn")?.parse().ok()?);
        let device = pf.link_name(&link).and_then(|name| DeviceId::new("pci", &name));
        Some(Virtfn { index, link, device })
    };
    let mut vfs: Vec<Virtfn> = pf.names(".").into_iter().filter_map(virtfn).collect();
    order::sort_by_key(&mut vfs, |vf| vf.index);
    vfs
}

/// Reads the VFs of all PFs at once.
fn read_vfs(
    devices: &mut Devices,
    dirs: &[Dir],
    virtfns: Vec<Vec<Virtfn>>,
    scope: Scope,
    with_links: bool,
) {
    let counts: Vec<usize> = virtfns.iter().map(Vec::len).collect();
    let each =
        dirs.iter().zip(virtfns).flat_map(|(dir, vfs)| vfs.into_iter().map(move |vf| (dir, vf)));
    let each: Vec<(&Dir, Virtfn)> = each.collect();
    let read = |(pf, virtfn): &(&Dir, Virtfn)| {
        let Virtfn { index, link, device } = virtfn;
        let (vf, alias) = read_vf_at(pf, link, device.clone(), *index, scope);
        let device = device.as_ref().filter(|_| with_links);
        let links = device.map(|device| links::of_device(pf, link, device, true));
        Found { vf, alias, links: links.unwrap_or_default() }
    };
    let mut found = parallel::map(&each, read);
    // A VF between two drivers is seen without one; what is missing is looked at once more. Where
    // no VF has a driver none is expected (autoprobe off, NVMe): only exceptions are odd.
    let mut odd = Vec::new();
    let mut first = 0;
    for count in &counts {
        let own = first..first + count;
        let without = own.clone().filter(|nth| found[*nth].vf.driver.is_none());
        let without: Vec<usize> = without.collect();
        if without.len() < own.len() {
            odd.extend(without);
        }
        first = own.end;
    }
    if !odd.is_empty() {
        std::thread::sleep(Duration::from_millis(5));
        for (nth, again) in odd.iter().zip(parallel::map(&odd, |nth| read(&each[*nth]))) {
            found[*nth] = again;
        }
    }
    let mut found = found.into_iter();
    for (pf, count) in devices.pfs.iter_mut().zip(counts) {
        for Found { vf, alias, links } in found.by_ref().take(count) {
            pf.vfs.push(vf);
            devices.node_aliases.extend(alias);
            devices.links.extend(links);
        }
    }
}

/// A character device, and the group node it stands for.
pub type Alias = (String, String);

/// Reads a VF from its own directory.
pub(super) fn read_vf(
    dir: &Dir,
    device: Option<DeviceId>,
    index: VfIndex,
    scope: Scope,
) -> (VfFacts, Option<Alias>) {
    read_vf_at(dir, ".", device, index, scope)
}

/// Reads a VF by way of its PF's directory: opening that of each costs more than what is read there.
fn read_vf_at(
    pf: &Dir,
    at: &str,
    device: Option<DeviceId>,
    index: VfIndex,
    scope: Scope,
) -> (VfFacts, Option<Alias>) {
    let driver = pf.link_name(&format!("{at}/driver"));
    let iommu_group =
        pf.link_name(&format!("{at}/iommu_group")).and_then(|group| group.parse().ok());
    // A VF that is being taken from a process has lost its driver already, and the process still
    // has it.
    let (node, alias) = match driver.as_deref() {
        Some(driver) if !is_userspace_driver(driver) => (None, None),
        Some(_) => node(pf, at, iommu_group),
        None => match node(pf, at, iommu_group) {
            (Some(node), alias) if Path::new(&node).exists() => (Some(node), alias),
            _ => (None, None),
        },
    };
    let facts = VfFacts {
        index,
        device,
        driver_override: scope
            .change
            .then(|| pf.text(&format!("{at}/driver_override")))
            .flatten()
            .filter(|driver| driver != "(null)"),
        driver,
        iommu_group,
        node,
    };
    (facts, alias)
}

/// The node of a VF on a user-space driver: its VFIO group's, else its own character device, else
/// its UIO device's.
fn node(pf: &Dir, at: &str, group: Option<u32>) -> (Option<String>, Option<Alias>) {
    if let Some(uio) = pf.names(&format!("{at}/uio")).first() {
        return (Some(format!("/dev/{uio}")), None);
    }
    let cdev = pf.names(&format!("{at}/vfio-dev"));
    let cdev = cdev.first().map(|name| format!("/dev/vfio/devices/{name}"));
    let Some(group) = group else { return (cdev, None) };
    // Without an IOMMU the kernel calls the group so, and its node too (drivers/vfio/group.c).
    let noiommu = pf.text(&format!("{at}/iommu_group/name")).as_deref() == Some("vfio-noiommu");
    let node = format!("/dev/vfio/{}{group}", if noiommu { "noiommu-" } else { "" });
    let alias = cdev.map(|cdev| (cdev, node.clone()));
    (Some(node), alias)
}

/// A device of another bus that has VFs of its own making (netdevsim).
pub fn read_other(root: &Path, device: &DeviceId) -> Option<PfFacts> {
    let dir = root.join("sys").join(device.sysfs_dir());
    dir.join("sriov_numvfs").exists().then(|| {
        let mut pf = read_pf(&dir, device.clone(), None);
        pf.numa_node = None;
        pf
    })
}
