//! What a pool has to give, by what can be told of its VFs without looking at each.

use super::ids::{DeviceId, PciAddress, VfIndex};

/// A PF as a person names one that can be found without looking at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PfName<'a> {
    /// By its address.
    Pci(PciAddress),
    /// By what may be its interface.
    Netdev(&'a str),
}

/// A PF with its VFs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stock {
    /// The PF.
    pub pf: DeviceId,
    /// Its NUMA node.
    pub numa_node: Option<u32>,
    /// Its VFs by rising index.
    pub vfs: Vec<Item>,
}

/// One VF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Which VF of the PF.
    pub index: VfIndex,
    /// The device.
    pub device: DeviceId,
    /// What it seems to be.
    pub state: State,
}

/// What can be told of a VF from the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing speaks against its being free; only a look at it tells.
    Free,
    /// Nothing but that something is written down about it, which may be over.
    Recorded,
    /// Its interface is up, belongs to another one, or is not on the host.
    Used,
}

impl Stock {
    /// How many of its VFs seem to be in use.
    pub fn in_use(&self) -> usize {
        self.vfs.iter().filter(|vf| vf.state != State::Free).count()
    }

    /// The VF called `index`.
    pub fn vf(&self, index: VfIndex) -> Option<&Item> {
        let at = self.vfs.binary_search_by_key(&index, |vf| vf.index).ok()?;
        self.vfs.get(at)
    }
}
