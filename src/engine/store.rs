//! What the engine needs of whatever keeps the records.

use crate::error::Result;
use crate::model::ids::DeviceId;
use crate::model::plan::attach::Moment;
use crate::model::record::{Owner, Record, Resize};
use crate::order;

/// A record as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// The attachment is complete.
    Attached(Record),
    /// It was begun and not ended: whoever began it died.
    Unfinished(Record),
    /// Something is kept under the device's name that is no record.
    Corrupt {
        /// The device, by the file's name.
        device: DeviceId,
        /// Where it is.
        path: String,
        /// Why it is none.
        why: String,
    },
}

impl Stored {
    /// The record, where it is one.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Attached(record) | Self::Unfinished(record) => Some(record),
            Self::Corrupt { .. } => None,
        }
    }

    /// The device it is about.
    pub fn device(&self) -> &DeviceId {
        match self {
            Self::Attached(record) | Self::Unfinished(record) => &record.device,
            Self::Corrupt { device, .. } => device,
        }
    }
}

/// Which records: one device may have one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shelf {
    /// Who has a device in a namespace.
    Attachments,
    /// Which devices were given another driver.
    Bindings,
}

impl Shelf {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Attachments, Self::Bindings];
}

/// Records of a PF's VFs, and whether each is complete.
pub fn of_pf<S: Store>(store: &S, shelf: Shelf, pf: &DeviceId) -> Result<Vec<(Record, bool)>> {
    let stored = store.all_stored(shelf)?.into_iter();
    let records = stored.filter_map(|stored| match stored {
        Stored::Attached(record) => Some((record, true)),
        Stored::Unfinished(record) => Some((record, false)),
        Stored::Corrupt { .. } => None,
    });
    let of = |(record, _): &(Record, bool)| record.vf_of.as_ref().is_some_and(|of| of.pf == *pf);
    Ok(records.filter(of).collect())
}

/// Records by device, each either whole or not there, whatever happens.
pub trait Store {
    /// The record of one device.
    fn stored(&self, shelf: Shelf, device: &DeviceId) -> Result<Option<Stored>>;

    /// All records of a shelf.
    fn all_stored(&self, shelf: Shelf) -> Result<Vec<Stored>>;

    /// What is kept of the attachment of a CNI call, of a device's first port first.
    fn stored_of_call(&self, owner: &Owner) -> Result<Vec<Stored>> {
        self.stored_of_all(owner)
    }

    /// The same, where nothing but the records themselves is trusted.
    fn stored_of_all(&self, owner: &Owner) -> Result<Vec<Stored>> {
        let mut all = self.all_stored(Shelf::Attachments)?;
        let is_its = |record: &Record| record.owner.is_call_of(owner);
        all.retain(|stored| stored.record().is_some_and(is_its));
        order::sort_by_key(&mut all, |stored| stored.device().port());
        Ok(all)
    }

    /// Forgets what a call that died left beside its record, when that has gone.
    fn forget_call(&self, _owner: &Owner) -> Result<()> {
        Ok(())
    }

    /// The same of all calls that died.
    fn forget_dead_calls(&self) -> Result<()> {
        Ok(())
    }

    /// Keeps a record as a journal, beside a record that there is: safe on disk when this returns.
    fn begin(&self, shelf: Shelf, record: &Record) -> Result<()>;

    /// Makes a journal the record, in place of one that there was.
    fn commit(&self, shelf: Shelf, device: &DeviceId) -> Result<()>;

    /// Forgets the journal only.
    fn abandon(&self, shelf: Shelf, device: &DeviceId) -> Result<()>;

    /// Forgets the device: journal and record.
    fn forget(&self, shelf: Shelf, device: &DeviceId) -> Result<()>;

    /// The namespace to which a device is allocated as sriov-cni writes it down, which this program does
    /// as well.
    fn allocated(&self, device: &DeviceId) -> Option<String>;

    /// Takes away a file that was written about an attachment for others, and their allocation of the
    /// device if it is to that namespace.
    fn untell(&self, path: &str, device: &DeviceId, netns: Option<&str>) -> Result<()>;

    /// Puts what is no record out of the way, keeping it.
    fn set_aside(&self, shelf: Shelf, device: &DeviceId) -> Result<String>;

    /// Keeps what a change of a PF's number of VFs would destroy: safe on disk when this returns.
    fn begin_resize(&self, resize: &Resize) -> Result<()>;

    /// Changes of numbers that were begun and not ended.
    fn resizes(&self) -> Result<Vec<Resize>>;

    /// Forgets the change.
    fn end_resize(&self, pf: &DeviceId) -> Result<()>;

    /// This boot, and now.
    fn moment(&self) -> Result<Moment>;
}
