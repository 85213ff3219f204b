//! One change of a host, named so that it means the same after a crash or a rename.
//!
//! A step *ensures*: applied where the host is so already, it changes nothing. Devices are named
//! by PF and VF index, never by ifindex, interface name or IOMMU group, which do not survive.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::ids::{Cidr, DeviceId, Guid, MacAddr, VfIndex};
use super::link::{LinkState, VfSettings, VlanTag};
use super::record::NetnsId;
use super::spec::Eswitch;

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

/// A device by what survives: a VF that may yet have to be made by its PF and number, any other, and
/// one that is there, by its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A VF of a PF.
    Vf(VfRef),
    /// A device.
    Device(DeviceId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vf(vf) => vf.fmt(f),
            Self::Device(device) => device.fmt(f),
        }
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
    /// Mode of the PF's embedded switch (devlink).
    SetEswitch {
        /// The PF.
        pf: DeviceId,
        /// The mode.
        mode: Eswitch,
    },
    /// The driver's module is loaded.
    LoadDriver {
        /// Name of the driver.
        driver: String,
    },
    /// Whether VFIO takes devices without an IOMMU (`enable_unsafe_noiommu_mode`).
    AllowNoIommu {
        /// Whether it does.
        on: bool,
    },
    /// Which driver alone may take the device (`driver_override`).
    SetOverride {
        /// The device.
        of: Subject,
        /// The driver, or none: any that matches.
        driver: Option<String>,
    },
    /// The device has no driver.
    Unbind {
        /// The device.
        of: Subject,
    },
    /// The device is as after power-on, where it can be reset (`reset`): nothing that its last user
    /// left in it is there for the next.
    Reset {
        /// The device.
        device: DeviceId,
    },
    /// The device has this driver.
    Bind {
        /// The device.
        of: Subject,
        /// Name of the driver.
        driver: String,
    },
    /// Who may open the nodes through which user space drives the device.
    SetNode {
        /// The device.
        device: DeviceId,
        /// What shall be.
        access: NodeAccess,
    },
    /// A setting of the VF in its PF: one netlink message, since the kernel keeps what it applied
    /// of a message before the attribute that it refused.
    SetVf {
        /// The VF.
        vf: VfRef,
        /// The setting.
        attr: VfAttr,
    },
    /// How many interrupt vectors (MSI-X) the VF has, 0: as many as its PF's driver gives it
    /// (`sriov_vf_msix_count`).
    SetVectors {
        /// The VF.
        vf: VfRef,
        /// How many.
        count: u32,
    },
    /// A property of the VF's own interface in this namespace.
    SetLink {
        /// The VF.
        vf: VfRef,
        /// The property.
        attr: LinkAttr,
    },
    /// Properties of a device's interface, wherever it is: one message, and so one change.
    Link {
        /// The device.
        device: DeviceId,
        /// Where its interface is.
        at: Place,
        /// What shall be.
        set: LinkSet,
    },
    /// The interface is in the host's namespace under this name, and down. It is renamed before it
    /// is moved, so that the host never sees another name.
    BringHome {
        /// The device.
        device: DeviceId,
        /// Where its interface is.
        at: NetnsId,
        /// Its name on the host.
        name: String,
        /// Whether it must be renamed in a namespace made for that, since the name is taken where
        /// it is.
        detour: bool,
    },
    /// Alternative names of a device's interface.
    AltNames {
        /// The device.
        device: DeviceId,
        /// Where its interface is.
        at: Place,
        /// Names to add.
        add: Vec<String>,
        /// Names to remove.
        remove: Vec<String>,
    },
    /// The interface can be used in the namespace: addresses, up, routes.
    Configure {
        /// The device.
        device: DeviceId,
        /// The namespace it is in.
        at: NetnsId,
        /// What it gets.
        config: IpConfig,
    },
}

/// Owner and mode of a device node; `None` is left alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAccess {
    /// User id.
    pub uid: Option<u32>,
    /// Group id.
    pub gid: Option<u32>,
    /// Permission bits.
    pub mode: Option<u32>,
}

/// Where an interface is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the namespace that this program runs in.
    Host,
    /// In another.
    Netns(NetnsId),
}

/// What one message sets on an interface; `None` is left alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSet {
    /// Up or down.
    pub up: Option<bool>,
    /// No longer promiscuous, nor taking all multicast.
    pub quiet: bool,
    /// Hardware address.
    pub mac: Option<MacAddr>,
    /// Largest packet in bytes.
    pub mtu: Option<u32>,
    /// Name, in the namespace it is moved to if it is moved.
    pub name: Option<String>,
    /// Namespace to move to.
    pub to: Option<NetnsId>,
}

/// Addresses and routes of an interface in a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpConfig {
    /// Addresses with their prefix length.
    pub addresses: Vec<Cidr>,
    /// Routes.
    pub routes: Vec<Route>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Destination.
    pub to: Cidr,
    /// Next hop; none: on the link itself.
    pub via: Option<IpAddr>,
    /// What else it has.
    #[serde(default)]
    pub options: RouteOptions,
}

impl Route {
    /// Where it leads, as lists of routes have it: `default` or a CIDR.
    pub fn destination(&self) -> String {
        if self.to.prefix == 0 { "default".to_owned() } else { self.to.to_string() }
    }

    /// The same with the next hop, where it has one.
    pub fn listed(&self) -> String {
        let via = self.via.map(|via| format!(" via {via}")).unwrap_or_default();
        self.destination() + &via
    }

    /// What leads there instead, of such a list; `None`: this one is in it, or, without a next hop,
    /// any to its destination.
    pub fn differs(&self, listed: &[String]) -> Option<String> {
        let to = self.destination();
        let mut there = listed.iter().filter(|text| text.split(' ').next() == Some(&to));
        let is_it = |text: &String| self.via.is_none() || *text == self.listed();
        if there.clone().any(is_it) {
            return None;
        }
        Some(there.next().cloned().unwrap_or_else(|| "missing".to_owned()))
    }
}

/// Attributes of a route; `None` is the kernel's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteOptions {
    /// Largest packet in bytes.
    pub mtu: Option<u32>,
    /// Largest TCP segment in bytes.
    pub advmss: Option<u32>,
    /// Metric.
    pub priority: Option<u32>,
    /// Routing table.
    pub table: Option<u32>,
    /// Scope (`rt_scope_t`): 0 global, 253 link.
    pub scope: Option<u8>,
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
    /// InfiniBand node GUID.
    NodeGuid(Guid),
    /// InfiniBand port GUID: a message of its own, since the kernel drops it beside a node GUID.
    PortGuid(Guid),
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

impl VfAttr {
    /// The same setting as `settings` have it; `None` where the driver does not say.
    pub fn now_in(self, settings: &VfSettings) -> Option<Self> {
        Some(match self {
            Self::Mac(_) => Self::Mac(settings.mac?),
            Self::Vlan(_) => Self::Vlan(settings.vlan?),
            Self::Rate { .. } => {
                Self::Rate { min: settings.min_tx_rate?, max: settings.max_tx_rate? }
            }
            Self::Spoofchk(_) => Self::Spoofchk(settings.spoofchk?),
            Self::Trust(_) => Self::Trust(settings.trust?),
            Self::LinkState(_) => Self::LinkState(settings.link_state?),
            Self::QueryRss(_) => Self::QueryRss(settings.query_rss?),
            Self::NodeGuid(_) => Self::NodeGuid(Guid(settings.node_guid?)),
            Self::PortGuid(_) => Self::PortGuid(Guid(settings.port_guid?)),
        })
    }

    /// Whether `settings` are so; `None` where the driver does not say.
    pub fn is_set_in(self, settings: &VfSettings) -> Option<bool> {
        Some(self.now_in(settings)? == self)
    }
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
            Self::SetOverride { of: Subject::Vf(vf), .. }
            | Self::Unbind { of: Subject::Vf(vf) }
            | Self::Bind { of: Subject::Vf(vf), .. }
            | Self::SetVf { vf, .. }
            | Self::SetVectors { vf, .. }
            | Self::SetLink { vf, .. } => Some(vf),
            _ => None,
        }
    }

    /// Whether it sets something of a VF in its PF, as several do in one message.
    pub fn is_vf_setting(&self) -> bool {
        matches!(self, Self::SetVf { .. })
    }

    /// Whether it takes an administrative MAC away, which some drivers refuse (not igb, ixgbe,
    /// i40e, ice). The VF is as good without.
    pub fn is_zero_mac(&self) -> bool {
        matches!(self, Self::SetVf { attr: VfAttr::Mac(MacAddr::ZERO), .. })
    }

    /// The PF that the step is about, if it is about one.
    pub fn pf(&self) -> Option<&DeviceId> {
        match self {
            Self::SetNumVfs { pf, .. }
            | Self::SetAutoprobe { pf, .. }
            | Self::SetEswitch { pf, .. } => Some(pf),
            other => other.vf().map(|vf| &vf.pf),
        }
    }

    /// The device that the step names by itself, not as a VF of a PF.
    pub fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::SetOverride { of: Subject::Device(device), .. }
            | Self::Unbind { of: Subject::Device(device) }
            | Self::Bind { of: Subject::Device(device), .. }
            | Self::Reset { device }
            | Self::SetNode { device, .. }
            | Self::Link { device, .. }
            | Self::BringHome { device, .. }
            | Self::AltNames { device, .. }
            | Self::Configure { device, .. } => Some(device),
            _ => None,
        }
    }
}
