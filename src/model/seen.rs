//! One device and its surroundings, as a decision about it needs them.

use std::collections::BTreeSet;

use super::assemble::is_userspace_driver;
use super::ids::{Cidr, DeviceId};
use super::link::{Link, VfSettings};
use super::record::{NetnsId, Original, VfOf};
use super::step::{Place, VfRef};
use super::usage::User;

/// A device that is, or shall be, attached.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The device.
    pub device: DeviceId,
    /// Whether it is there at all.
    pub exists: bool,
    /// Which of the devices that this address has had: a VF that was destroyed and made again has
    /// another number.
    pub incarnation: Option<u64>,
    /// Its PF, when it is a VF whose PF is on this host.
    pub vf_of: Option<VfOf>,
    /// What people call it: `PF#index`, an interface, or the address.
    pub name: String,
    /// Its PF's interface.
    pub pf_netdev: Option<String>,
    /// MTU of its PF.
    pub pf_mtu: Option<u32>,
    /// Its driver.
    pub driver: Option<String>,
    /// Its `driver_override`.
    pub driver_override: Option<String>,
    /// Its interface and where that is; `None`: it has none, or none that can be seen.
    pub link: Option<(Place, Link)>,
    /// Its further ports that have an interface on the host.
    pub ports: Vec<DeviceId>,
    /// Device node through which a user-space driver uses it.
    pub node: Option<String>,
    /// Addresses of its interface, when that is in another namespace and they were asked for.
    pub addresses: Vec<Cidr>,
    /// Routes through its interface, likewise: `default` or a CIDR, with
    /// ` via ` and the next hop, where it has one. Those that the kernel makes for an address are left
    /// out.
    pub routes: Vec<String>,
    /// Its settings in the PF.
    pub settings: Option<VfSettings>,
    /// Names and altnames of all other interfaces of the host.
    pub host_names: BTreeSet<String>,
    /// Names and altnames of the other interfaces where its own is, if that is not the host.
    pub there_names: BTreeSet<String>,
    /// Who uses it on the host.
    pub users: Vec<User>,
}

impl Seen {
    /// As steps name it.
    pub fn vf(&self) -> Option<VfRef> {
        self.vf_of.as_ref().map(|of| VfRef { pf: of.pf.clone(), index: of.index })
    }

    /// Whether a driver has it that hands it to user space.
    pub fn is_userspace(&self) -> bool {
        self.driver.as_deref().is_some_and(is_userspace_driver)
    }

    /// How it is, to be written down before a change; the name of its interface only where that is
    /// final.
    pub fn original(&self, is_named: bool) -> Original {
        let link = self.host_link();
        Original {
            name: link.filter(|_| is_named).map(|link| link.name.clone()),
            altnames: link.map(|link| link.altnames.clone()).unwrap_or_default(),
            mtu: link.and_then(|link| link.mtu),
            mac: link.and_then(|link| link.mac),
            up: link.is_some_and(|link| link.up == Some(true)),
            settings: self.settings.clone(),
            driver: self.driver.clone(),
            driver_override: self.driver_override.clone(),
        }
    }

    /// A name that nothing on the host has, for an interface whose own is taken.
    pub fn spare_name(&self) -> Option<String> {
        (0..u16::MAX).map(|n| format!("sriov{n}")).find(|name| !self.host_names.contains(name))
    }

    /// Its interface, when that is on the host.
    pub fn host_link(&self) -> Option<&Link> {
        self.link.as_ref().filter(|(at, _)| *at == Place::Host).map(|(_, link)| link)
    }
}

/// A namespace that something shall be attached to.
#[derive(Debug, Clone)]
pub struct Target {
    /// The namespace.
    pub netns: NetnsId,
    /// Whether it is the host's own.
    pub is_host: bool,
    /// Which of the names that were asked for its interfaces have, be it as altnames.
    pub taken: BTreeSet<String>,
}
