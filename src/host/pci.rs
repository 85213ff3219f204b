//! Devices with SR-IOV and their VFs, from sysfs (kernel: drivers/pci/iov.c;
//! Documentation/ABI/testing/sysfs-bus-pci).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::pci_ids::PciIds;
use super::sysfs;
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
    for name in sysfs::names_or_error(&bus)? {
        let Ok(address) = name.parse::<PciAddress>() else { continue };
        let dir = bus.join(&name);
        // The capability decides, not the driver: a PF on vfio-pci or without a driver is one too.
        if !dir.join("sriov_totalvfs").exists() {
            continue;
        }
        let class = sysfs::hex(&dir.join("class"));
        if !scope.all_classes && class.is_some_and(|class| class >> 16 != 0x02) {
            continue;
        }
        devices.pfs.push(read_pf(&dir, address.into(), class));
        let vfs = read_vfs(&dir, scope, &mut devices.node_aliases);
        if let Some(pf) = devices.pfs.last_mut() {
            pf.vfs = vfs;
        }
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
        model: None,
        vf_model: None,
        driver: sysfs::link_name(&dir.join("driver")),
        total_vfs: sysfs::number(&dir.join("sriov_totalvfs")),
        autoprobe: sysfs::switch(&dir.join("sriov_drivers_autoprobe")),
        numa_node: sysfs::number(&dir.join("numa_node")),
        iommu_group: group(dir),
        rdma: sysfs::names(&dir.join("infiniband")),
        eswitch_mode: None,
        firmware: None,
        managed_by: Vec::new(),
        num_vfs: None,
        vfs: Vec::new(),
        device,
    }
}

fn group(dir: &Path) -> Option<u32> {
    sysfs::link_name(&dir.join("iommu_group"))?.parse().ok()
}

/// VFs by their `virtfnN` links, which cannot block; reading `sriov_numvfs` waits for whoever
/// writes it.
fn read_vfs(pf: &Path, scope: Scope, aliases: &mut HashMap<String, String>) -> Vec<VfFacts> {
    let mut links: Vec<(VfIndex, PathBuf)> = sysfs::names(pf)
        .into_iter()
        .filter_map(|name| {
            let index = name.strip_prefix("virtfn")?.parse().ok()?;
            Some((VfIndex(index), pf.join(name)))
        })
        .collect();
    links.sort_unstable();
    let mut vfs: Vec<VfFacts> =
        links.iter().map(|(index, dir)| read_vf(dir, *index, scope, aliases)).collect();
    reread_drivers(&links, &mut vfs, scope, aliases);
    vfs
}

pub(super) fn read_vf(
    dir: &Path,
    index: VfIndex,
    scope: Scope,
    aliases: &mut HashMap<String, String>,
) -> VfFacts {
    let driver = sysfs::link_name(&dir.join("driver"));
    let iommu_group = group(dir);
    // A VF that is being taken from a process has lost its driver already, and the process still
    // has it.
    let node = match driver.as_deref() {
        Some(driver) if !is_userspace_driver(driver) => None,
        Some(_) => node(dir, iommu_group, aliases),
        None => node(dir, iommu_group, aliases).filter(|node| Path::new(node).exists()),
    };
    VfFacts {
        index,
        device: sysfs::link_name(dir).and_then(|name| DeviceId::new("pci", &name)),
        driver_override: scope
            .change
            .then(|| sysfs::text(&dir.join("driver_override")))
            .flatten()
            .filter(|driver| driver != "(null)"),
        driver,
        iommu_group,
        node,
    }
}

/// The node of a VF on a user-space driver: its VFIO group's, else its own character device, else
/// its UIO device's.
fn node(dir: &Path, group: Option<u32>, aliases: &mut HashMap<String, String>) -> Option<String> {
    if let Some(uio) = sysfs::names(&dir.join("uio")).first() {
        return Some(format!("/dev/{uio}"));
    }
    let cdev =
        sysfs::names(&dir.join("vfio-dev")).first().map(|name| format!("/dev/vfio/devices/{name}"));
    let Some(group) = group else { return cdev };
    // Without an IOMMU the kernel calls the group so, and its node too (drivers/vfio/group.c).
    let noiommu = sysfs::text(&dir.join("iommu_group/name")).as_deref() == Some("vfio-noiommu");
    let node = format!("/dev/vfio/{}{group}", if noiommu { "noiommu-" } else { "" });
    if let Some(cdev) = cdev {
        aliases.insert(cdev, node.clone());
    }
    Some(node)
}

/// A VF between two drivers is seen without one; what is missing is looked at once more.
fn reread_drivers(
    links: &[(VfIndex, PathBuf)],
    vfs: &mut [VfFacts],
    scope: Scope,
    aliases: &mut HashMap<String, String>,
) {
    // Where no VF has a driver none is expected (autoprobe off, NVMe): only exceptions are odd.
    let without = vfs.iter().filter(|vf| vf.driver.is_none()).count();
    if without == 0 || without == vfs.len() {
        return;
    }
    std::thread::sleep(Duration::from_millis(5));
    for (vf, (index, dir)) in vfs.iter_mut().zip(links) {
        if vf.driver.is_none() {
            *vf = read_vf(dir, *index, scope, aliases);
        }
    }
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
