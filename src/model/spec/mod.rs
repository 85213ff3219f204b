//! What a host shall be like, as a file says it: PFs, how many VFs each has, and how these are set up.
//! The shape is `schemas/host.schema.json`, told in sriovctl-apply(8).

mod check;
mod read;
mod values;
mod write;

use serde::{Deserialize, Serialize};

use super::assemble::is_userspace_driver;
use super::ids::{Guid, MacAddr, VfIndex, VlanId};
use super::link::{LinkState, VfSettings, VlanProto, VlanTag};
use super::plan::set_vf;
use super::selector::Selector;

pub use self::read::{Unreadable, read};
pub use self::values::{Driver, Eswitch, Mode, Numbers, Switch};

/// The version of the file's shape.
pub const VERSION: u32 = 1;

/// Where the files are that hold at every boot.
pub const KEPT_IN: &str = "/etc/sriovctl";

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// [`VERSION`].
    pub version: u32,
    /// PFs; those that are not named are left alone.
    #[serde(default)]
    pub pfs: Vec<PfSpec>,
}

/// How a PF shall be; what is `None` is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PfSpec {
    /// The PF, or all with this `vendor:device`.
    pub pf: Selector,
    /// Its permanent MAC: another card in its slot is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// Whether it may be missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Eswitch mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eswitch_mode: Option<Eswitch>,
    /// MTU of its interface in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Whether its interface is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<Switch>,
    /// Whether new VFs are given to a driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoprobe: Option<Switch>,
    /// How many VFs it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numvfs: Option<u32>,
    /// How its VFs are set up: of several entries for one VF the later has the last word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vfs: Vec<VfsSpec>,
}

/// How some VFs shall be; what is `None` is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VfsSpec {
    /// Which: `all`, `3`, `0-3,7`.
    pub vfs: Numbers,
    /// Its driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<Driver>,
    /// Who may open its device nodes: `USER`, `USER:GROUP`, `:GROUP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Permission bits of its device nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Whether VFIO may have it without an IOMMU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_noiommu: Option<Switch>,
    /// MAC that the PF keeps, and that its interface has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// VLAN, 0: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<VlanId>,
    /// Priority in the VLAN tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos: Option<u8>,
    /// Protocol of the VLAN tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proto: Option<VlanProto>,
    /// Whether the VF may change its MAC, become promiscuous and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Switch>,
    /// Whether frames with a foreign source MAC are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoofchk: Option<Switch>,
    /// What the VF sees as carrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_state: Option<LinkState>,
    /// Lowest guaranteed rate in Mbit/s, 0: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_tx_rate: Option<u32>,
    /// Highest rate in Mbit/s, 0: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tx_rate: Option<u32>,
    /// Whether the VF may read the PF's RSS table and key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_rss: Option<Switch>,
    /// MTU of its interface in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// InfiniBand node GUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_guid: Option<Guid>,
    /// InfiniBand port GUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_guid: Option<Guid>,
}

impl PfSpec {
    /// An entry that leaves everything alone.
    pub fn of(pf: Selector) -> Self {
        Self {
            pf,
            mac: None,
            optional: false,
            eswitch_mode: None,
            mtu: None,
            up: None,
            autoprobe: None,
            numvfs: None,
            vfs: Vec::new(),
        }
    }

    /// How the VF shall be, by all entries that name it.
    pub fn of_vf(&self, index: VfIndex) -> VfsSpec {
        let named = self.vfs.iter().filter(|entry| entry.vfs.has(index));
        named.fold(VfsSpec::of(Numbers::of(&[index.0])), |first, entry| entry.over(first))
    }
}

impl VfsSpec {
    /// An entry that leaves everything alone.
    pub fn of(vfs: Numbers) -> Self {
        Self {
            vfs,
            driver: None,
            owner: None,
            mode: None,
            allow_noiommu: None,
            mac: None,
            vlan: None,
            qos: None,
            proto: None,
            trust: None,
            spoofchk: None,
            link_state: None,
            min_tx_rate: None,
            max_tx_rate: None,
            query_rss: None,
            mtu: None,
            node_guid: None,
            port_guid: None,
        }
    }

    /// Whether it leaves everything alone.
    pub fn is_empty(&self) -> bool {
        *self == Self::of(self.vfs.clone())
    }

    /// Whether it says what only one VF can have.
    pub fn has_own(&self) -> bool {
        self.mac.is_some() || self.node_guid.is_some() || self.port_guid.is_some()
    }

    /// Whether its driver gives the VF to user space.
    pub fn is_for_user_space(&self) -> bool {
        self.driver.as_ref().is_some_and(|driver| is_userspace_driver(&driver.0))
    }

    /// The same, with what it does not say from `below`.
    fn over(&self, below: Self) -> Self {
        let set = self.clone();
        // A tag is one thing: without its own priority it has none.
        let tag = if set.vlan.is_some() { self } else { &below };
        let (vlan, qos, proto) = (tag.vlan, tag.qos, tag.proto);
        Self {
            vfs: below.vfs,
            vlan,
            qos,
            proto,
            driver: set.driver.or(below.driver),
            owner: set.owner.or(below.owner),
            mode: set.mode.or(below.mode),
            allow_noiommu: set.allow_noiommu.or(below.allow_noiommu),
            mac: set.mac.or(below.mac),
            trust: set.trust.or(below.trust),
            spoofchk: set.spoofchk.or(below.spoofchk),
            link_state: set.link_state.or(below.link_state),
            min_tx_rate: set.min_tx_rate.or(below.min_tx_rate),
            max_tx_rate: set.max_tx_rate.or(below.max_tx_rate),
            query_rss: set.query_rss.or(below.query_rss),
            mtu: set.mtu.or(below.mtu),
            node_guid: set.node_guid.or(below.node_guid),
            port_guid: set.port_guid.or(below.port_guid),
        }
    }

    /// What the PF keeps of it, its MAC left out.
    pub fn settings(&self) -> VfSettings {
        let tag = |id| VlanTag {
            id,
            qos: self.qos.unwrap_or(0),
            proto: self.proto.unwrap_or(VlanProto::Dot1q),
        };
        VfSettings {
            mac: None,
            vlan: self.vlan.map(tag),
            min_tx_rate: self.min_tx_rate,
            max_tx_rate: self.max_tx_rate,
            spoofchk: self.spoofchk.map(bool::from),
            trust: self.trust.map(bool::from),
            link_state: self.link_state,
            query_rss: self.query_rss.map(bool::from),
            node_guid: self.node_guid.map(|guid| guid.0),
            port_guid: self.port_guid.map(|guid| guid.0),
        }
    }

    /// What `set-vf` would be asked for.
    pub fn request(&self) -> set_vf::Request {
        set_vf::Request {
            settings: self.settings(),
            mac: self.mac,
            mtu: self.mtu,
            vectors: None,
            reset: false,
        }
    }
}
