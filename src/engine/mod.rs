//! DO: verbs, each a decision of the model carried out on a [`Kernel`].

pub mod numvfs;

use std::time::Duration;

use crate::error::Result;
use crate::model::facts::Scope;
use crate::model::ids::DeviceId;
use crate::model::inventory::Inventory;
use crate::model::step::{Outcome, Step};

/// The one seam: what the engine needs of a host. `host::Host` is the real one; tests have a small
/// one in memory that fails, stalls and lies on demand.
pub trait Kernel {
    /// What keeps others away from a PF while it lives.
    type Guard;

    /// Reads what the host looks like.
    fn observe(&self, scope: Scope) -> Result<Inventory>;

    /// Makes one change; it is so when this returns without an error.
    ///
    /// `timeout` bounds a write that the kernel may hold for ever.
    fn apply(&self, step: &Step, timeout: Duration) -> Result<Outcome>;

    /// Keeps every other changer away from the PF, waiting at most `timeout` for the present one.
    fn lock_pf(&self, pf: &DeviceId, timeout: Duration) -> Result<Self::Guard>;

    /// Whether nothing will rename this interface any more: udev is done with it, or there is none.
    fn is_named(&self, ifindex: u32) -> bool;

    /// Lets time pass, until something may have changed.
    fn pause(&self, time: Duration);

    /// A clock that only goes forward.
    fn now(&self) -> Duration;
}

/// What the engine tells while it works.
pub trait Progress {
    /// A stage has begun; `total` of what it counts, 0 where it counts nothing.
    fn stage(&self, what: &str, total: u64);
    /// So many are done.
    fn done(&self, count: u64);
    /// Something worth a line, e.g. a VF that is being bound again.
    fn note(&self, text: &str);
}

/// Tells nobody.
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &str, _: u64) {}
    fn done(&self, _: u64) {}
    fn note(&self, _: &str) {}
}
