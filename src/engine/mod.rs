//! DO: verbs, each a decision of the model carried out on a [`Kernel`].

pub mod apply;
pub mod attach;
pub mod bind;
pub mod detach;
pub mod doctor;
pub mod export;
pub mod neighbours;
pub mod numvfs;
mod restore;
pub mod set_vf;
pub mod state;
pub mod store;
pub mod top;
pub mod watch;

use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::model::binding::{DriverState, Ground, HugePages, Platform};
use crate::model::facts::{Scope, Vectors};
use crate::model::ids::{Cidr, DeviceId};
use crate::model::inventory::Inventory;
use crate::model::link::Netns;
use crate::model::persist::Persistent;
use crate::model::record::NetnsId;
use crate::model::seen::{Seen, Target};
use crate::model::step::{Outcome, Step};
use crate::model::stock::{PfName, Stock};

/// The one seam: what the engine needs of a host. `host::Host` is the real one; tests have a small
/// one in memory that fails, stalls and lies on demand.
pub trait Kernel {
    /// What keeps others away from a PF while it lives.
    type Guard;

    /// Reads what the host looks like.
    fn observe(&self, scope: Scope) -> Result<Inventory>;

    /// What PFs have to give, without a look at each of their VFs; `None`: one of these names may be a
    /// PF's or not, which only [`Kernel::observe`] tells.
    fn stock(&self, _: &[PfName<'_>]) -> Result<Option<Vec<Stock>>> {
        Ok(None)
    }

    /// Makes one change; it is so when this returns without an error.
    ///
    /// `timeout` bounds a write that the kernel may hold for ever.
    fn apply(&self, step: &Step, timeout: Duration) -> Result<Outcome>;

    /// Makes several changes of one VF's settings at once; whether it did. If not, some may be made and others
    /// not: one by one they tell which is refused.
    fn apply_at_once(&self, _steps: &[Step]) -> bool {
        false
    }

    /// Keeps every other changer away from the PF, waiting at most `timeout` for the present one.
    fn lock_pf(&self, pf: &DeviceId, timeout: Duration) -> Result<Self::Guard>;

    /// Keeps other changers away from one VF, and resizes from its PF, likewise.
    fn lock_device(
        &self,
        device: &DeviceId,
        pf: Option<&DeviceId>,
        timeout: Duration,
    ) -> Result<Self::Guard>;

    /// Keeps other calls about the same interface of a container away, likewise.
    fn lock_call(&self, container: &str, ifname: &str, timeout: Duration) -> Result<Self::Guard>;

    /// Looks at one device, wherever its interface is: in the namespace of the hint most likely.
    fn inspect(&self, device: &DeviceId, hint: Option<&NetnsId>) -> Result<Seen>;

    /// The same, with the addresses and routes that its interface has in another namespace.
    fn inspect_with_ip(&self, device: &DeviceId, hint: Option<&NetnsId>) -> Result<Seen>;

    /// Looks again at a device that was just moved to a namespace, where its interface has this name; `before`
    /// is how it was seen last. What a move and settings do not change may be taken from there.
    fn inspect_moved(
        &self,
        before: &Seen,
        at: &NetnsId,
        _ifname: &str,
        with_ip: bool,
    ) -> Result<Seen> {
        let look = if with_ip { Self::inspect_with_ip } else { Self::inspect };
        look(self, &before.device, Some(at))
    }

    /// The PF of a VF, at hardly any cost; `None`: it is no VF, or none that is there.
    fn pf_of(&self, device: &DeviceId) -> Option<DeviceId>;

    /// The namespace that a person or a runtime means.
    fn find_netns(&self, choice: &NetnsChoice) -> Result<NetnsId>;

    /// Every other namespace, for a person to choose from.
    fn namespaces(&self) -> Result<Vec<Netns>>;

    /// Looks into a namespace, whether interfaces of it have these names; `None`: it is gone, or another one
    /// has its path by now.
    fn look_into(&self, netns: &NetnsId, names: &[String]) -> Result<Option<Target>>;

    /// Tells the neighbours of an interface's addresses. Nothing depends on whether they hear it.
    fn announce(&self, device: &DeviceId, at: &NetnsId, addresses: &[Cidr]);

    /// Whether nothing will rename this interface any more: udev is done with it, or there is none.
    fn is_named(&self, ifindex: u32) -> bool;

    /// How many VFs the kernel counts, also when some of them were removed one by one; `None`
    /// where it does not say.
    fn num_vfs(&self, pf: &DeviceId) -> Result<Option<u32>>;

    /// Closes what is kept open from one look to the next, which keeps namespaces and file systems
    /// from going: whoever waits for anything calls it first.
    fn let_go(&self) {}

    /// Lets time pass, until something may have changed.
    fn pause(&self, time: Duration);

    /// A clock that only goes forward.
    fn now(&self) -> Duration;
}

/// What a change of a driver needs to know beyond the device.
pub trait Surroundings {
    /// What surrounds a device: its IOMMU group, nodes and drivers.
    fn ground(&self, device: &DeviceId) -> Result<Ground>;

    /// The interrupt vectors of a VF.
    fn vectors(&self, device: &DeviceId) -> Result<Vectors>;

    /// What the machine and its kernel allow.
    fn platform(&self) -> Result<Platform>;

    /// Whether a driver is there, or could be loaded.
    fn driver_state(&self, driver: &str) -> Result<DriverState>;

    /// The device behind an interface of the host.
    fn device_of(&self, netdev: &str) -> Option<DeviceId>;

    /// Interfaces in other namespaces that sit on this one of the host.
    fn uppers_elsewhere(&self, ifindex: u32) -> Result<Vec<String>>;

    /// The number of a user, or of a group.
    fn account(&self, name: &str, kind: Account) -> Result<u32>;

    /// The binding that is made whenever the device appears.
    fn persistent(&self, device: &DeviceId) -> Result<Option<Persistent>>;

    /// Keeps such a binding, or none.
    fn persist(&self, device: &DeviceId, kept: Option<&Persistent>) -> Result<Outcome>;

    /// A text file, or those of a directory that `apply` reads (`*.yaml`, `*.yml`, `*.json`), each with
    /// its path, by rising name.
    fn texts(&self, path: &str) -> Result<Vec<(String, String)>>;

    /// Keeps a file for `apply`, and has what is kept applied at every boot; returns the paths of what is
    /// new.
    fn apply_at_boot(&self, name: &str, text: &str) -> Result<Vec<String>>;

    /// Makes links to this program in a directory, each in one go; returns those that are new.
    fn link_to_program(&self, dir: &str, names: &[&str]) -> Result<Vec<String>>;

    /// Hugepages by size and NUMA node.
    fn hugepages(&self) -> Result<Vec<HugePages>>;

    /// The namespace that this program runs in.
    fn host_netns(&self) -> Result<NetnsId>;
}

/// What an account is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// A user.
    User,
    /// A group.
    Group,
}

/// How a namespace is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetnsChoice {
    /// By name (`ip netns`) or path.
    Named(String),
    /// By a process in it.
    Pid(u32),
    /// By the container whose processes are in it: its id or the beginning of it.
    Container(String),
}

/// What the engine tells while it works.
pub trait Progress {
    /// A stage has begun; `total` of what it counts, 0 where it counts nothing.
    fn stage(&self, what: &str, total: u64);
    /// So many are done.
    fn done(&self, count: u64);
    /// Something worth a line, e.g. a VF that is being bound again.
    fn note(&self, text: &str);
    /// Whether somebody wants it to end: no further step is begun then, and what was done is undone.
    fn is_interrupted(&self) -> bool {
        false
    }
}

/// What is the end of a change goes on though somebody wants that to end.
struct ToTheEnd<'a>(&'a dyn Progress);

impl Progress for ToTheEnd<'_> {
    fn stage(&self, what: &str, total: u64) {
        self.0.stage(what, total);
    }
    fn done(&self, count: u64) {
        self.0.done(count);
    }
    fn note(&self, text: &str) {
        self.0.note(text);
    }
}

/// Refuses to go on once somebody wants it to end.
fn unless_interrupted(progress: &dyn Progress) -> Result<()> {
    if progress.is_interrupted() {
        return Err(Error::new(Kind::Failed, "interrupted"));
    }
    Ok(())
}

/// Tells nobody.
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &str, _: u64) {}
    fn done(&self, _: u64) {}
    fn note(&self, _: &str) {}
}
