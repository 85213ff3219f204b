//! What the host room reads, before anything is concluded from it.

use super::ids::{DeviceId, PciId, VfIndex};
use super::link::Link;

/// All that one observation read.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Devices that can have VFs.
    pub pfs: Vec<PfFacts>,
    /// Interfaces of this namespace and, where a VF's was missing here, of the others.
    pub links: Vec<Link>,
    /// Addresses on interfaces of this namespace, link-local IPv6 left out: it comes by itself with "up".
    pub addresses: Vec<(u32, String)>,
    /// Routes of this namespace through an interface, where they were asked for.
    pub routes: Vec<(u32, String)>,
    /// Processes that hold a VFIO or UIO node open.
    pub holders: Vec<Holder>,
    /// Whom each recorded device belongs to.
    pub owners: Vec<(DeviceId, String)>,
    /// What could not be read though it should have been: one sentence each.
    pub warnings: Vec<String>,
    /// Whether addresses and holders were read, so that none means none.
    pub knows_usage: bool,
}

/// One device with SR-IOV capability, as its sysfs directory shows it.
#[derive(Debug, Clone)]
pub struct PfFacts {
    /// The device.
    pub device: DeviceId,
    /// 24-bit class code, e.g. `0x020000`.
    pub class: Option<u32>,
    /// Vendor and device.
    pub id: Option<PciId>,
    /// `sriov_vf_device`: the device number of its VFs.
    pub vf_device: Option<u16>,
    /// Names of vendor and device from the PCI id list.
    pub model: Option<String>,
    /// Name of the VFs' model, likewise.
    pub vf_model: Option<String>,
    /// Bound driver.
    pub driver: Option<String>,
    /// `sriov_totalvfs`: the most VFs the driver allows.
    pub total_vfs: Option<u32>,
    /// `sriov_drivers_autoprobe`.
    pub autoprobe: Option<bool>,
    /// NUMA node; `None` also where the firmware names none (-1).
    pub numa_node: Option<u32>,
    /// IOMMU group.
    pub iommu_group: Option<u32>,
    /// RDMA devices.
    pub rdma: Vec<String>,
    /// Eswitch mode by devlink: `legacy`, `switchdev`.
    pub eswitch_mode: Option<String>,
    /// Firmware version, where it was asked for.
    pub firmware: Option<String>,
    /// Other programs that manage this device, where it was asked for.
    pub managed_by: Vec<String>,
    /// `sriov_numvfs`, where it was asked for: what the kernel counts, also when VFs of these were
    /// removed one by one.
    pub num_vfs: Option<u32>,
    /// VFs by rising index.
    pub vfs: Vec<VfFacts>,
}

impl PfFacts {
    /// A device of which nothing else is known yet.
    pub fn of(device: DeviceId) -> Self {
        Self {
            device,
            class: None,
            id: None,
            vf_device: None,
            model: None,
            vf_model: None,
            driver: None,
            total_vfs: None,
            autoprobe: None,
            numa_node: None,
            iommu_group: None,
            rdma: Vec::new(),
            eswitch_mode: None,
            firmware: None,
            managed_by: Vec::new(),
            num_vfs: None,
            vfs: Vec::new(),
        }
    }
}

/// One VF, as its sysfs directory shows it.
#[derive(Debug, Clone)]
pub struct VfFacts {
    /// Which VF of the PF.
    pub index: VfIndex,
    /// The device; `None` where VFs have no device of their own (netdevsim).
    pub device: Option<DeviceId>,
    /// Bound driver.
    pub driver: Option<String>,
    /// `driver_override`, where it was asked for and is set.
    pub driver_override: Option<String>,
    /// IOMMU group.
    pub iommu_group: Option<u32>,
    /// Device node through which a user-space driver uses the VF.
    pub node: Option<String>,
}

/// A process that has a device node open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The node, e.g. `/dev/vfio/12`.
    pub node: String,
    /// Process id.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
}

/// The interrupt vectors (MSI-X) of a VF.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vectors {
    /// How many it has.
    pub count: Option<u32>,
    /// Whether its PF's driver can give it more or fewer.
    pub can_change: bool,
}

/// How much to read. Everything costs something: only what was asked for is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scope {
    /// VF counters.
    pub stats: bool,
    /// Firmware and managing programs.
    pub wide: bool,
    /// Names of models from the PCI id list, a large file.
    pub models: bool,
    /// Routes, driver overrides and the kernel's own count of VFs: what a change must know and a list need not.
    pub change: bool,
    /// Devices whose class is not "network" too.
    pub all_classes: bool,
    /// Only this namespace, and not who holds device nodes: for waiting, where usage is of no
    /// interest.
    pub here_only: bool,
}

impl Scope {
    /// No more than what every list has.
    pub const NOTHING: Self = Self {
        stats: false,
        wide: false,
        models: false,
        change: false,
        all_classes: false,
        here_only: false,
    };
}
