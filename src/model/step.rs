//! One change of a host, named so that it means the same after a crash or a rename.
//!
//! A step *ensures*: applied where the host is so already, it changes nothing. Devices are named
//! by PF and VF index, never by ifindex, interface name or IOMMU group, which do not survive.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::ids::{Cidr, DeviceId, MacAddr, VfIndex};
use super::link::{LinkState, VfSettings, VlanTag};
use super::record::NetnsId;

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

impl VfAttr {
    /// Whether `settings` are so; `None` where the driver does not say.
    pub fn is_set_in(self, settings: &VfSettings) -> Option<bool> {
        Some(match self {
            Self::Mac(mac) => settings.mac? == mac,
            Self::Vlan(tag) => settings.vlan? == tag,
            Self::Rate { min, max } => (settings.min_tx_rate?, settings.max_tx_rate?) == (min, max),
            Self::Spoofchk(on) => settings.spoofchk? == on,
            Self::Trust(on) => settings.trust? == on,
            Self::QueryRss(on) => settings.query_rss? == on,
            Self::LinkState(state) => settings.link_state? == state,
        })
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
            Self::SetOverride { vf, .. }
            | Self::Unbind { vf }
            | Self::Bind { vf, .. }
            | Self::SetVf { vf, .. }
            | Self::SetLink { vf, .. } => Some(vf),
            _ => None,
        }
    }

    /// Whether it takes an administrative MAC away, which some drivers refuse (not igb, ixgbe,
    /// i40e, ice). The VF is as good without.
    pub fn is_zero_mac(&self) -> bool {
        matches!(self, Self::SetVf { attr: VfAttr::Mac(MacAddr::ZERO), .. })
    }

    /// The PF that the step is about, if it is about one.
    pub fn pf(&self) -> Option<&DeviceId> {
        match self {
            Self::SetNumVfs { pf, .. } | Self::SetAutoprobe { pf, .. } => Some(pf),
            other => other.vf().map(|vf| &vf.pf),
        }
    }

    /// The device whose interface the step is about, if it is about one by device.
    pub fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::Link { device, .. }
            | Self::BringHome { device, .. }
            | Self::AltNames { device, .. }
            | Self::Configure { device, .. } => Some(device),
            _ => None,
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
            Self::Link { device, at, set } => {
                format!("{} link set dev {} {set}", ip(at), interface(at, device))
            }
            Self::BringHome { device, at, name, .. } => {
                let at = Place::Netns(at.clone());
                let (ip, interface) = (ip(&at), interface(&at, device));
                format!(
                    "{ip} link set dev {interface} down name {name} && {ip} link set dev {name} netns 1"
                )
            }
            Self::AltNames { device, at, add, remove } => {
                let words = |verb: &str, names: &[String]| {
                    let names = names.iter().map(|name| format!(" altname {name}"));
                    let ip =
                        format!("{} link property {verb} dev {}", ip(at), interface(at, device));
                    ip + &names.collect::<String>()
                };
                let lines = [
                    (!remove.is_empty()).then(|| words("del", remove)),
                    (!add.is_empty()).then(|| words("add", add)),
                ];
                lines.into_iter().flatten().collect::<Vec<_>>().join(" && ")
            }
            Self::Configure { device, at, config } => {
                let at = Place::Netns(at.clone());
                let (ip, interface) = (ip(&at), interface(&at, device));
                let addresses = config.addresses.iter();
                let addresses = addresses.map(|a| format!("{ip} address add {a} dev {interface}"));
                let routes = config.routes.iter();
                let routes = routes.map(|r| format!("{ip} route add {r} dev {interface}"));
                let up = format!("{ip} link set dev {interface} up");
                addresses.chain([up]).chain(routes).collect::<Vec<_>>().join(" && ")
            }
        }
    }
}

/// The command of iproute2 for a place.
fn ip(at: &Place) -> String {
    match at {
        Place::Host => "ip".to_owned(),
        Place::Netns(netns) => format!("nsenter --net={} ip", netns.path),
    }
}

/// The interface of a device in a shell command, asked for in the place where it is.
fn interface(at: &Place, device: &DeviceId) -> String {
    let pick = format!(".[]|select(.parentdev==\"{}\").ifname", device.name());
    format!("$({} -j -d link | jq -r '{pick}')", ip(at))
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

/// As `ip link set NAME ...` spells it.
impl fmt::Display for LinkSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            self.up.map(|up| if up { "up" } else { "down" }.to_owned()),
            self.quiet.then(|| "promisc off allmulticast off".to_owned()),
            self.mac.map(|mac| format!("address {mac}")),
            self.mtu.map(|mtu| format!("mtu {mtu}")),
            self.to.as_ref().map(|to| format!("netns {}", to.path)),
            self.name.as_ref().map(|name| format!("name {name}")),
        ];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

/// As `ip route add` spells it.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.via {
            Some(via) => write!(f, "{} via {via}", self.to),
            None => write!(f, "{}", self.to),
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
            Self::Link { device, set: LinkSet { to: Some(to), name, .. }, .. } => {
                let name = name.as_deref().unwrap_or("its present name");
                write!(f, "move {device} to {} as {name}", to.path)
            }
            Self::Link { device, set, .. } => write!(f, "set {set} on the interface of {device}"),
            Self::BringHome { device, name, .. } => {
                write!(f, "bring {device} back to the host as {name}")
            }
            Self::AltNames { device, add, remove, .. } if add.is_empty() => {
                write!(f, "remove the altnames {} of {device}", remove.join(", "))
            }
            Self::AltNames { device, add, .. } => {
                write!(f, "give {device} the altnames {}", add.join(", "))
            }
            Self::Configure { device, at, config } => {
                let addresses: Vec<_> = config.addresses.iter().map(Cidr::to_string).collect();
                let with = if addresses.is_empty() { "no address" } else { &*addresses.join(", ") };
                write!(f, "bring {device} up in {} with {with}", at.path)
            }
        }
    }
}
