//! One change of a host, named so that it means the same after a crash or a rename.
//!
//! A step *ensures*: applied where the host is so already, it changes nothing. Devices are named
//! by PF and VF index, never by ifindex, interface name or IOMMU group, which do not survive.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{DeviceId, MacAddr, VfIndex};
use super::link::{LinkState, VlanTag};

/// A VF by what survives: its PF's device and its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VfRef {
    /// The PF's device.
    pub pf: DeviceId,
    /// The VF's number.
    pub index: VfIndex,
}

impl fmt::Display for VfRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.pf, self.index)
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// The PF has this many VFs (`sriov_numvfs`).
    SetNumVfs {
        /// The PF.
        pf: DeviceId,
        /// How many.
        count: u32,
    },
    /// Whether new VFs are given to a driver (`sriov_drivers_autoprobe`).
    SetAutoprobe {
        /// The PF.
        pf: DeviceId,
        /// Whether they are.
        on: bool,
    },
    /// The driver's module is loaded.
    LoadDriver {
        /// Name of the driver.
        driver: String,
    },
    /// Which driver alone may take the VF (`driver_override`).
    SetOverride {
        /// The VF.
        vf: VfRef,
        /// The driver, or none: any that matches.
        driver: Option<String>,
    },
    /// The VF has no driver.
    Unbind {
        /// The VF.
        vf: VfRef,
    },
    /// The VF has this driver.
    Bind {
        /// The VF.
        vf: VfRef,
        /// Name of the driver.
        driver: String,
    },
    /// A setting of the VF in its PF: one netlink message, since the kernel keeps what it applied
    /// of a message before the attribute that it refused.
    SetVf {
        /// The VF.
        vf: VfRef,
        /// The setting.
        attr: VfAttr,
    },
    /// A property of the VF's own interface in this namespace.
    SetLink {
        /// The VF.
        vf: VfRef,
        /// The property.
        attr: LinkAttr,
    },
}

/// A setting of a VF that its PF keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VfAttr {
    /// Administrative MAC, zero: not set by the host.
    Mac(MacAddr),
    /// VLAN.
    Vlan(VlanTag),
    /// Both rates in Mbit/s, 0 = none: the kernel takes them only together.
    Rate {
        /// Lowest guaranteed.
        min: u32,
        /// Highest.
        max: u32,
    },
    /// Spoof checking.
    Spoofchk(bool),
    /// Trust.
    Trust(bool),
    /// Carrier.
    LinkState(LinkState),
    /// RSS query.
    QueryRss(bool),
}

/// A property of a VF's interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkAttr {
    /// Hardware address.
    Mac(MacAddr),
    /// Largest packet in bytes.
    Mtu(u32),
    /// Name.
    Name(String),
}

/// What applying a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The host was changed.
    Changed,
    /// The host was so already.
    AlreadySo,
}

impl Step {
    /// The VF that the step is about, if it is about one.
    pub fn vf(&self) -> Option<&VfRef> {
        match self {
            Self::SetOverride { vf, .. }
            | Self::Unbind { vf }
            | Self::Bind { vf, .. }
            | Self::SetVf { vf, .. }
            | Self::SetLink { vf, .. } => Some(vf),
            Self::SetNumVfs { .. } | Self::SetAutoprobe { .. } | Self::LoadDriver { .. } => None,
        }
    }

    /// The PF that the step is about, if it is about one.
    pub fn pf(&self) -> Option<&DeviceId> {
        match self {
            Self::SetNumVfs { pf, .. } | Self::SetAutoprobe { pf, .. } => Some(pf),
            other => other.vf().map(|vf| &vf.pf),
        }
    }

    /// The command an administrator would type for it; `pf_netdev` is the PF's interface.
    pub fn shell(&self, pf_netdev: &str) -> String {
        let vf_dir = |vf: &VfRef| format!("/sys/{}/virtfn{}", vf.pf.sysfs_dir(), vf.index);
        match self {
            Self::SetNumVfs { pf, count } => {
                format!("echo {count} > /sys/{}/sriov_numvfs", pf.sysfs_dir())
            }
            Self::SetAutoprobe { pf, on } => {
                format!("echo {} > /sys/{}/sriov_drivers_autoprobe", u8::from(*on), pf.sysfs_dir())
            }
            Self::LoadDriver { driver } => format!("modprobe {driver}"),
            Self::SetOverride { vf, driver } => format!(
                "echo {} > {}/driver_override",
                driver.as_deref().unwrap_or("''"),
                vf_dir(vf)
            ),
            Self::Unbind { vf } => {
                let dir = vf_dir(vf);
                format!("basename $(readlink {dir}) > {dir}/driver/unbind")
            }
            Self::Bind { vf, driver } => format!(
                "basename $(readlink {}) > /sys/bus/{}/drivers/{driver}/bind",
                vf_dir(vf),
                vf.pf.bus()
            ),
            Self::SetVf { vf, attr } => {
                format!("ip link set dev {pf_netdev} vf {} {attr}", vf.index)
            }
            Self::SetLink { vf, attr } => {
                format!("ip link set dev $(ls {}/net | head -1) {attr}", vf_dir(vf))
            }
        }
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// As `ip link set PF vf N ...` spells it.
impl fmt::Display for VfAttr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => write!(f, "mac {mac}"),
            Self::Vlan(tag) => {
                write!(f, "vlan {}", tag.id)?;
                if tag.qos != 0 {
                    write!(f, " qos {}", tag.qos)?;
                }
                if tag.proto != super::link::VlanProto::Dot1q {
                    write!(f, " proto {}", tag.proto)?;
                }
                Ok(())
            }
            Self::Rate { min, max } => write!(f, "min_tx_rate {min} max_tx_rate {max}"),
            Self::Spoofchk(on) => write!(f, "spoofchk {}", on_off(*on)),
            Self::Trust(on) => write!(f, "trust {}", on_off(*on)),
            Self::LinkState(state) => write!(f, "state {state}"),
            Self::QueryRss(on) => write!(f, "query_rss {}", on_off(*on)),
        }
    }
}

/// As `ip link set NAME ...` spells it.
impl fmt::Display for LinkAttr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => write!(f, "address {mac}"),
            Self::Mtu(mtu) => write!(f, "mtu {mtu}"),
            Self::Name(name) => write!(f, "name {name}"),
        }
    }
}

/// An infinitive phrase: continues "could not ...".
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetNumVfs { pf, count } => write!(f, "set the number of VFs of {pf} to {count}"),
            Self::SetAutoprobe { pf, on } => {
                write!(f, "switch driver autoprobe of {pf}'s VFs {}", on_off(*on))
            }
            Self::LoadDriver { driver } => write!(f, "load the driver {driver}"),
            Self::SetOverride { vf, driver: Some(driver) } => {
                write!(f, "reserve {vf} for the driver {driver}")
            }
            Self::SetOverride { vf, driver: None } => {
                write!(f, "let {vf} be taken by any driver")
            }
            Self::Unbind { vf } => write!(f, "take {vf} from its driver"),
            Self::Bind { vf, driver } => write!(f, "bind {vf} to {driver}"),
            Self::SetVf { vf, attr } => write!(f, "set {attr} on {vf}"),
            Self::SetLink { vf, attr } => write!(f, "set {attr} on the interface of {vf}"),
        }
    }
}
