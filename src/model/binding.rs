//! What a change of a device's driver depends on beyond the device itself: its IOMMU group, the
//! drivers that there are, and what the platform allows.

use std::fmt;

use super::assemble::is_userspace_driver;
use super::ids::{DeviceId, PciId};

/// A device's surroundings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ground {
    /// 24-bit class code, e.g. `0x020000`.
    pub class: Option<u32>,
    /// Vendor and device.
    pub id: Option<PciId>,
    /// Driver of its PF, if it is a VF.
    pub pf_driver: Option<String>,
    /// How many VFs it has itself: its driver takes them with it.
    pub vfs: usize,
    /// Its IOMMU group; `None`: it has none.
    pub group: Option<Group>,
    /// Drivers of the kernel's that know this device by its number (`modules.alias`).
    pub native: Vec<String>,
    /// VFIO drivers made for this very device (`vfio_pci:` in `modules.alias`).
    pub variants: Vec<String>,
    /// Whether the kernel knows a way to reset it.
    pub can_reset: bool,
    /// Nodes through which user space drives it.
    pub nodes: Vec<Node>,
}

/// Devices that the IOMMU cannot tell apart: user space gets all of them or none
/// (kernel: Documentation/driver-api/vfio.rst).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its number, which does not survive.
    pub number: u32,
    /// Whether VFIO made it up for a device without an IOMMU.
    pub noiommu: bool,
    /// All its devices.
    pub members: Vec<Member>,
}

/// A device of an IOMMU group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The device.
    pub device: DeviceId,
    /// Its driver.
    pub driver: Option<String>,
    /// Whether it is a bridge, which the kernel lets be in any group.
    pub bridge: bool,
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its path, e.g. `/dev/vfio/12`.
    pub path: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// What the machine and its kernel allow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Platform {
    /// Who made the processor.
    pub cpu: Cpu,
    /// The kernel command line.
    pub cmdline: String,
    /// Whether any IOMMU is in use.
    pub has_iommu: bool,
    /// Whether VFIO takes devices without an IOMMU.
    pub noiommu: NoIommu,
    /// The kernel's lockdown mode, unless it is `none` (Secure Boot).
    pub lockdown: Option<String>,
    /// Bytes of memory that a process may lock here; `None`: any number.
    pub memlock: Option<u64>,
}

/// Hugepages of one size on one NUMA node (kernel: Documentation/admin-guide/mm/hugetlbpage.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HugePages {
    /// Size of a page in KiB.
    pub size_kib: u64,
    /// NUMA node; `None` where the kernel does not tell nodes apart.
    pub node: Option<u32>,
    /// How many there are.
    pub total: u64,
    /// How many of them are free.
    pub free: u64,
}

/// Maker of the processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cpu {
    /// Intel.
    Intel,
    /// AMD, or Hygon.
    Amd,
    /// Arm.
    Arm,
    /// Another.
    #[default]
    Other,
}

/// VFIO's mode without an IOMMU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NoIommu {
    /// Whether there is one cannot be told before the module is loaded.
    #[default]
    Unknown,
    /// This kernel was built without it.
    Absent,
    /// It is off.
    Off,
    /// It is on.
    On,
}

/// Whether a driver is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriverState {
    /// It is loaded.
    Loaded,
    /// Its module can be loaded.
    Loadable,
    /// It is not known; perhaps this one was meant.
    Unknown(Option<String>),
}

impl Member {
    /// Whether user space can have the group with this device in it.
    pub fn is_viable(&self) -> bool {
        let fits = |driver: &str| {
            driver == "pci-stub" || (is_userspace_driver(driver) && driver.contains("vfio"))
        };
        self.bridge || self.driver.as_deref().is_none_or(fits)
    }
}

impl Group {
    /// Members other than `device` that keep user space from having the group.
    pub fn in_the_way_of(&self, device: &DeviceId) -> Vec<&Member> {
        self.members.iter().filter(|m| m.device != *device && !m.is_viable()).collect()
    }
}

impl Platform {
    /// How to get an IOMMU, as far as this machine shows.
    pub fn iommu_hint(&self) -> String {
        let has = |word: &str| self.cmdline.split_whitespace().any(|arg| arg == word);
        let boot = "on the kernel command line, then reboot";
        if self.has_iommu {
            return "the IOMMU is on, but does not cover this device: dmesg | grep -iE 'DMAR|IVRS|IOMMU'"
                .to_owned();
        }
        match self.cpu {
            Cpu::Intel if has("intel_iommu=off") => {
                format!("it was switched off: put intel_iommu=on instead of intel_iommu=off {boot}")
            }
            Cpu::Intel if has("intel_iommu=on") => {
                "intel_iommu=on is given already: enable VT-d in the firmware setup".to_owned()
            }
            Cpu::Intel => {
                format!("enable VT-d in the firmware setup, and put intel_iommu=on iommu=pt {boot}")
            }
            Cpu::Amd if has("amd_iommu=off") => {
                format!("it was switched off: take amd_iommu=off away {boot}")
            }
            Cpu::Amd => {
                format!("enable AMD-Vi (IOMMU) in the firmware setup, and put iommu=pt {boot}")
            }
            Cpu::Arm => {
                "enable the SMMU in the firmware (its IORT table or device tree)".to_owned()
            }
            Cpu::Other => format!("enable the IOMMU in the firmware setup and {boot}"),
        }
    }
}

/// As `ls -l` shows it.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{} {:04o}", self.path, self.uid, self.gid, self.mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(cpu: Cpu, cmdline: &str) -> Platform {
        Platform { cpu, cmdline: cmdline.into(), ..Platform::default() }
    }

    #[test]
    fn the_hint_says_what_this_machine_lacks() {
        for (cpu, cmdline, said) in [
            (Cpu::Intel, "quiet", "put intel_iommu=on iommu=pt"),
            (Cpu::Intel, "quiet intel_iommu=off", "instead of intel_iommu=off"),
            (Cpu::Intel, "intel_iommu=on", "enable VT-d in the firmware setup"),
            (Cpu::Amd, "amd_iommu=off", "take amd_iommu=off away"),
            (Cpu::Amd, "", "AMD-Vi"),
            (Cpu::Arm, "", "SMMU"),
        ] {
            let hint = platform(cpu, cmdline).iommu_hint();
            assert!(hint.contains(said), "{hint}");
        }
        let on = Platform { has_iommu: true, ..platform(Cpu::Intel, "") };
        assert!(on.iommu_hint().contains("does not cover this device"));
    }

    #[test]
    fn a_group_is_viable_with_bridges_vfio_and_devices_without_drivers() {
        let member = |device: &str, driver: Option<&str>, bridge| Member {
            device: device.parse().unwrap(),
            driver: driver.map(str::to_owned),
            bridge,
        };
        let me = "0000:01:10.0".parse().unwrap();
        let group = Group {
            number: 7,
            noiommu: false,
            members: vec![
                member("0000:01:10.0", Some("igbvf"), false),
                member("0000:00:01.0", Some("pcieport"), true),
                member("0000:01:10.2", None, false),
                member("0000:01:10.4", Some("vfio-pci"), false),
                member("0000:01:10.6", Some("mlx5_vfio_pci"), false),
                member("0000:01:11.0", Some("pci-stub"), false),
                member("0000:01:11.2", Some("uio_pci_generic"), false),
                member("0000:01:11.4", Some("igbvf"), false),
            ],
        };
        let others: Vec<String> =
            group.in_the_way_of(&me).iter().map(|member| member.device.to_string()).collect();
        assert_eq!(others, ["0000:01:11.2", "0000:01:11.4"]);
    }
}
