//! Devices with SR-IOV and their VFs, from sysfs (kernel: drivers/pci/iov.c;
//! Documentation/ABI/testing/sysfs-bus-pci).

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use super::parallel;
use super::pci_ids::PciIds;
use super::sysfs::{self, Dir};
use crate::error::Result;
use crate::model::assemble::is_userspace_driver;
use crate::model::facts::{PfFacts, Scope, VfFacts};
use crate::model::ids::{DeviceId, PciAddress, PciId, VfIndex};

/// Where devices are found, and other names of their nodes.
pub struct Devices {
    /// The PFs.
    pub pfs: Vec<PfFacts>,
    /// Group node by character device: `/dev/vfio/devices/vfio0` is held, `/dev/vfio/12` is meant.
    pub node_aliases: HashMap<String, String>,
}

/// Reads every PF below `root`.
pub fn read(root: &Path, scope: Scope) -> Result<Devices> {
    let bus = root.join("sys/bus/pci/devices");
    let mut devices = Devices { pfs: Vec::new(), node_aliases: HashMap::new() };
    let names = sysfs::names_or_error(&bus)?;
    // The capability decides, not the driver: a PF on vfio-pci or without a driver is one too.
    let can = parallel::map(&names, |name| bus.join(name).join("sriov_totalvfs").exists());
    for (name, _) in names.iter().zip(can).filter(|(_, can)| *can) {
        let Ok(address) = name.parse::<PciAddress>() else { continue };
        let dir = bus.join(name);
        let class = sysfs::hex(&dir.join("class"));
        if !scope.all_classes && class.is_some_and(|class| class >> 16 != 0x02) {
            continue;
        }
        let Some(open) = Dir::open(&dir) else { continue }; // it has gone meanwhile
        let mut pf = read_pf(&dir, address.into(), class);
        pf.vfs = read_vfs(&open, scope, &mut devices.node_aliases);
        devices.pfs.push(pf);
    }
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

fn group(dir: &Dir) -> Option<u32> {
    dir.link_name("iommu_group")?.parse().ok()
}

/// VFs by their `virtfnN` links, which cannot block; reading `sriov_numvfs` waits for whoever
/// writes it.
fn read_vfs(pf: &Dir, scope: Scope, aliases: &mut HashMap<String, String>) -> Vec<VfFacts> {
    let mut links: Vec<(VfIndex, String)> = pf
        .names(".")
        .into_iter()
        .filter_map(|name| {
            let index = name.strip_prefix("virtfn")?.parse().ok()?;
            Some((VfIndex(index), name))
        })
        .collect();
    links.sort_unstable();
    let read = |(index, link): &(VfIndex, String)| {
        let device = pf.link_name(link).and_then(|name| DeviceId::new("pci", &name));
        match pf.dir(link) {
            Some(dir) => read_vf(&dir, device, *index, scope),
            None => (VfFacts { device, ..VfFacts::without_device(*index) }, None),
        }
    };
    let mut vfs = parallel::map(&links, read);
    // A VF between two drivers is seen without one; what is missing is looked at once more. Where
    // no VF has a driver none is expected (autoprobe off, NVMe): only exceptions are odd.
    let without = vfs.iter().filter(|(vf, _)| vf.driver.is_none()).count();
    if without > 0 && without < vfs.len() {
        std::thread::sleep(Duration::from_millis(5));
        for (vf, link) in vfs.iter_mut().zip(&links) {
            if vf.0.driver.is_none() {
                *vf = read(link);
            }
        }
    }
    let (vfs, found): (Vec<VfFacts>, Vec<Option<Alias>>) = vfs.into_iter().unzip();
    aliases.extend(found.into_iter().flatten());
    vfs
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
    let driver = dir.link_name("driver");
    let iommu_group = group(dir);
    // A VF that is being taken from a process has lost its driver already, and the process still
    // has it.
    let (node, alias) = match driver.as_deref() {
        Some(driver) if !is_userspace_driver(driver) => (None, None),
        Some(_) => node(dir, iommu_group),
        None => match node(dir, iommu_group) {
            (Some(node), alias) if Path::new(&node).exists() => (Some(node), alias),
            _ => (None, None),
        },
    };
    let facts = VfFacts {
        index,
        device,
        driver_override: scope
            .change
            .then(|| dir.text("driver_override"))
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
fn node(dir: &Dir, group: Option<u32>) -> (Option<String>, Option<Alias>) {
    if let Some(uio) = dir.names("uio").first() {
        return (Some(format!("/dev/{uio}")), None);
    }
    let cdev = dir.names("vfio-dev").first().map(|name| format!("/dev/vfio/devices/{name}"));
    let Some(group) = group else { return (cdev, None) };
    // Without an IOMMU the kernel calls the group so, and its node too (drivers/vfio/group.c).
    let noiommu = dir.text("iommu_group/name").as_deref() == Some("vfio-noiommu");
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
