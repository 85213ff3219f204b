//! What a host looks like: its PFs, their VFs, and who uses them.

use std::sync::Arc;

use super::facts::{PfFacts, VfFacts};
use super::ids::{DeviceId, MacAddr, PciAddress, PciId, VfIndex};
use super::link::{Link, Netns, VfSettings, VfStats};
use super::usage::User;

/// Everything that one observation concluded.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// PFs by rising device.
    pub pfs: Vec<Pf>,
    /// Interfaces that are neither a PF's nor a VF's, to tell "no such thing" from "not SR-IOV".
    pub others: Vec<String>,
    /// What could not be read though it should have been: one sentence each.
    pub warnings: Vec<String>,
    /// Whether everything that tells of use was looked at: not so for a copied tree, where a VF
    /// without users may have some all the same.
    pub knows_usage: bool,
}

/// A device that can have VFs.
#[derive(Debug, Clone)]
pub struct Pf {
    /// The device as sysfs shows it; its list of VFs is empty here, see [`Pf::vfs`].
    pub facts: PfFacts,
    /// Its interfaces, one a port, representors left out, by rising ifindex.
    pub netdevs: Vec<Link>,
    /// Its VFs by rising index; indexes may have holes.
    pub vfs: Vec<Vf>,
}

/// One VF.
#[derive(Debug, Clone)]
pub struct Vf {
    /// The device as sysfs shows it.
    pub facts: VfFacts,
    /// Its interfaces, one a port, in whichever namespace they are.
    pub netdevs: Vec<Link>,
    /// Interface of its representor in switchdev mode.
    pub representor: Option<String>,
    /// Its settings in the PF; `None` where the PF has no interface to ask.
    pub settings: Option<VfSettings>,
    /// Its counters, where asked for and kept.
    pub stats: Option<VfStats>,
    /// Why it counts as in use; empty: free.
    pub users: Vec<User>,
}

impl Inventory {
    /// Every VF, beside its PF.
    pub fn vfs(&self) -> impl Iterator<Item = (&Pf, &Vf)> {
        self.pfs.iter().flat_map(|pf| pf.vfs.iter().map(move |vf| (pf, vf)))
    }
}

impl Pf {
    /// What a person calls the PF: its (first) interface, or its address when it has none.
    pub fn name(&self) -> String {
        match self.netdevs.first() {
            Some(link) => link.name.clone(),
            None => self.facts.device.to_string(),
        }
    }

    /// How many VFs it has, of how many: `4 of 7 VFs`.
    pub fn count(&self) -> String {
        let total = self.facts.total_vfs.map_or_else(String::new, |total| format!(" of {total}"));
        format!("{}{total} VFs", self.vfs.len())
    }

    /// Its PCI address; `None` for a device of another bus.
    pub fn pci(&self) -> Option<PciAddress> {
        self.facts.device.pci()
    }

    /// Its first interface.
    pub fn netdev(&self) -> Option<&Link> {
        self.netdevs.first()
    }

    /// Whether it is a network device (PCI class 02), or of a bus without classes.
    pub fn is_network(&self) -> bool {
        self.facts.class.is_none_or(|class| class >> 16 == 0x02)
    }

    /// How many of its VFs are in use.
    pub fn vfs_in_use(&self) -> usize {
        self.vfs.iter().filter(|vf| !vf.users.is_empty()).count()
    }

    /// How many VFs the kernel counts.
    pub fn num_vfs(&self) -> u32 {
        let seen = u32::try_from(self.vfs.len()).unwrap_or(u32::MAX);
        self.facts.num_vfs.unwrap_or(seen)
    }

    /// The VF called `index`: by number, never by position.
    pub fn vf(&self, index: VfIndex) -> Option<&Vf> {
        self.vfs.iter().find(|vf| vf.facts.index == index)
    }

    /// Vendor and device numbers of its VFs.
    pub fn vf_id(&self) -> Option<PciId> {
        Some(PciId { vendor: self.facts.id?.vendor, device: self.facts.vf_device? })
    }

    /// `PF#index`, the selector of one of its VFs.
    pub fn vf_name(&self, index: VfIndex) -> String {
        format!("{}#{index}", self.name())
    }

    /// Whether any of its interfaces is called `name`.
    pub fn is_called(&self, name: &str) -> bool {
        self.netdevs.iter().any(|link| link.is_called(name))
    }
}

impl Vf {
    /// Which VF of the PF.
    pub fn index(&self) -> VfIndex {
        self.facts.index
    }

    /// Its PCI address; `None` where VFs have no device of their own.
    pub fn pci(&self) -> Option<PciAddress> {
        self.facts.device.as_ref().and_then(DeviceId::pci)
    }

    /// Its first interface.
    pub fn netdev(&self) -> Option<&Link> {
        self.netdevs.first()
    }

    /// The namespace its interface is in, when that is not this program's own.
    pub fn netns(&self) -> Option<&Arc<Netns>> {
        self.netdevs.iter().find_map(|link| link.netns.as_ref())
    }

    /// The MAC its interface has now.
    pub fn mac(&self) -> Option<MacAddr> {
        self.netdev().and_then(|link| link.mac)
    }
}

impl Link {
    /// Whether `name` is its name or one of its alternative names.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.altnames.iter().any(|alt| alt == name)
    }
}
