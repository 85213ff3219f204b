//! Who has a device, and how it was before: what is written down before the first change, and what
//! everything is restored from.

use serde::{Deserialize, Serialize};

use super::ids::{DeviceId, MacAddr, VfIndex};
use super::link::VfSettings;
use super::plan::attach::Moment;
use super::plan::replay::SavedVf;
use super::seen::Seen;
use super::step::{IpConfig, NodeAccess, VfAttr};

/// The version of the record's shape that this program writes.
pub const FORMAT: u32 = 1;

/// One attachment. While it is made or undone it is called a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`]; a higher one is another program's.
    pub format: u32,
    /// The boot it belongs to: a record of another boot speaks of VFs that are gone.
    pub boot_id: String,
    /// When it was made, in seconds since 1970.
    pub since: u64,
    /// The device that was moved.
    pub device: DeviceId,
    /// Which of the devices that this address has had, see [`Seen`](super::seen::Seen::incarnation).
    #[serde(default)]
    pub incarnation: Option<u64>,
    /// Its PF, when it is a VF that has one on this host.
    pub vf_of: Option<VfOf>,
    /// For whom.
    pub owner: Owner,
    /// The namespace it was given to; the host's own, of a binding.
    pub netns: NetnsId,
    /// Its name there; empty: it has none.
    pub ifname: String,
    /// How it was.
    pub original: Original,
    /// Further ports of the device that went with it, each with a record of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<DeviceId>,
    /// Files that were written about it for others (other CNI plugins, the container), and go with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
    /// Of a binding that followed another: how it was before the first, where `--restore` goes.
    #[serde(default)]
    pub first: Option<Original>,
    /// How it was set up, to tell drift.
    pub wanted: Wanted,
}

/// The PF of a VF, by what survives a rename.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VfOf {
    /// The PF's device.
    pub pf: DeviceId,
    /// The VF's number.
    pub index: VfIndex,
}

/// For whom a device was attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The network of a CNI call, `manual` for a person's.
    pub network: String,
    /// The container, where one is known.
    pub container: Option<String>,
    /// The interface of a CNI call (`CNI_IFNAME`), which tells attachments of a container apart.
    #[serde(default)]
    pub ifname: Option<String>,
}

/// A network namespace: a path may be used again for another, the inode tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NetnsId {
    /// Where it could be opened.
    pub path: String,
    /// Device of the namespace file system.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
}

/// A device before it was attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// Name of its interface; `None`: it had none (it was on a user-space driver).
    pub name: Option<String>,
    /// Alternative names.
    pub altnames: Vec<String>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// MAC of the interface.
    pub mac: Option<MacAddr>,
    /// Whether it was up.
    pub up: bool,
    /// Its settings in the PF, the administrative MAC among them.
    pub settings: Option<VfSettings>,
    /// Its driver.
    pub driver: Option<String>,
    /// Its `driver_override`.
    pub driver_override: Option<String>,
}

/// What the attachment set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Settings in the PF.
    pub settings: Vec<VfAttr>,
    /// MAC of the interface.
    pub mac: Option<MacAddr>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// Addresses and routes.
    pub config: IpConfig,
    /// Driver, of a binding.
    #[serde(default)]
    pub driver: Option<String>,
    /// Who may open its nodes, of a binding.
    #[serde(default)]
    pub node: Option<NodeAccess>,
    /// Whether the device must not be reset when it changes hands.
    #[serde(default)]
    pub no_reset: bool,
}

impl Record {
    /// One of a device as it is seen; whoever makes it adds what it is called there, how it was where
    /// that is not how it is, and how it shall be.
    pub fn of(seen: &Seen, moment: &Moment, owner: Owner, netns: NetnsId) -> Self {
        Self {
            format: FORMAT,
            boot_id: moment.boot_id.clone(),
            since: moment.time,
            device: seen.device.clone(),
            incarnation: seen.incarnation,
            vf_of: seen.vf_of.clone(),
            owner,
            netns,
            ifname: String::new(),
            original: seen.original(true),
            ports: Vec::new(),
            told: Vec::new(),
            first: None,
            wanted: Wanted::default(),
        }
    }

    /// Whether the record speaks of this device, and not of one that had its address before.
    pub fn is_of(&self, seen: &super::seen::Seen) -> bool {
        self.incarnation.is_none() || self.incarnation == seen.incarnation
    }

    /// What a binding goes back to.
    pub fn before_binding(&self) -> &Original {
        self.first.as_ref().unwrap_or(&self.original)
    }
}

/// A change of a PF's number of VFs while it is made: what comes back if it is cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    /// [`FORMAT`].
    pub format: u32,
    /// The boot it belongs to.
    pub boot_id: String,
    /// When it was begun, in seconds since 1970.
    pub since: u64,
    /// The PF.
    pub pf: DeviceId,
    /// How many VFs it had.
    pub before: u32,
    /// Whether new VFs were given to a driver.
    pub autoprobe: Option<bool>,
    /// Each of them as it was.
    pub saved: Vec<SavedVf>,
    /// Whether it has ended, so that nothing is to come back: written where a record of it could not be
    /// removed.
    #[serde(default)]
    pub ended: bool,
}

impl Owner {
    /// A person at a terminal.
    pub fn manual() -> Self {
        Self { network: "manual".to_owned(), container: None, ifname: None }
    }

    /// Whether it is this interface of this container, in whichever network.
    pub fn is_of(&self, container: &str, ifname: &str) -> bool {
        self.container.as_deref() == Some(container) && self.ifname.as_deref() == Some(ifname)
    }

    /// Whether it is the same of another.
    pub fn is_call_of(&self, other: &Self) -> bool {
        let call = other.container.as_deref().zip(other.ifname.as_deref());
        call.is_some_and(|(container, ifname)| self.is_of(container, ifname))
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.container {
            Some(container) => {
                write!(f, "{} {}", self.network, container.get(..12).unwrap_or(container))
            }
            None => f.write_str(&self.network),
        }
    }
}
