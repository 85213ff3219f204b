//! `detach`: gets a device back as it was, whatever became of it; or keeps the record and says why.

use super::attach::{LOCK_WAIT, clear_ports, untell};
use super::neighbours::taken_over;
use super::restore::restore;
use super::store::{Shelf, Store, Stored};
use super::{Kernel, Progress};
use crate::error::{Error, Kind, Result};
use crate::model::ids::DeviceId;
use crate::model::plan::restore as plan;
use crate::model::record::Record;
use crate::model::step::Step;

/// What became of one device.
#[derive(Debug)]
pub enum Detached {
    /// It is as it was.
    Done(Box<Record>),
    /// It had no record: there was nothing to do.
    NotAttached(DeviceId),
    /// Its record was no record; it was put aside, and the device left as it is.
    SetAside {
        /// The device.
        device: DeviceId,
        /// Where what was there is kept.
        kept: String,
    },
}

/// Gets a device back with all of its ports, if `still` holds of the record under the lock: a former
/// owner's detach must not take it from the next one.
pub fn detach<K: Kernel + Store>(
    kernel: &K,
    device: &DeviceId,
    still: &dyn Fn(&Record) -> bool,
    progress: &dyn Progress,
) -> Result<Detached> {
    let pf = match kernel.pf_of(device).filter(|_| device.port() == 0) {
        Some(pf) => Some(pf),
        None => match kernel.stored(Shelf::Attachments, device)? {
            None => return Ok(Detached::NotAttached(device.clone())),
            Some(stored) => stored.record().and_then(|record| record.vf_of.clone()).map(|of| of.pf),
        },
    };
    let _guard = kernel.lock_device(device, pf.as_ref(), LOCK_WAIT)?;
    let record = match kernel.stored(Shelf::Attachments, device)? {
        None => return Ok(Detached::NotAttached(device.clone())),
        Some(Stored::Corrupt { device, .. }) => {
            let kept = kernel.set_aside(Shelf::Attachments, &device)?;
            return Ok(Detached::SetAside { device, kept });
        }
        Some(Stored::Attached(record) | Stored::Unfinished(record)) => record,
    };
    if !still(&record) {
        return Ok(Detached::NotAttached(device.clone()));
    }
    if let Some(netns) = taken_over(kernel, &record) {
        progress.note(&format!("{device} is not touched: another CNI plugin gave it to {netns}"));
        // Nor is what was told to others, which that plugin may have written anew.
        kernel.forget(Shelf::Attachments, device)?;
        return Ok(Detached::Done(Box::new(record)));
    }
    // What another boot's record speaks of is gone; the VFs there are now are new ones.
    if record.boot_id == kernel.moment()?.boot_id {
        let mut problems = clear_ports(kernel, &record, progress);
        problems.extend(restore(kernel, &record, progress)?);
        if !problems.is_empty() {
            return Err(incomplete(&record, &problems));
        }
    }
    untell(kernel, &record)?;
    kernel.forget(Shelf::Attachments, device)?;
    Ok(Detached::Done(Box::new(record)))
}

/// What a detach would do.
pub fn propose<K: Kernel + Store>(
    kernel: &K,
    device: &DeviceId,
) -> Result<Option<(Record, String, Vec<Step>)>> {
    let stored = kernel.stored(Shelf::Attachments, device)?;
    let Some(record) = stored.as_ref().and_then(Stored::record) else { return Ok(None) };
    let seen = kernel.inspect(device, Some(&record.netns))?;
    let of_this_boot = record.boot_id == kernel.moment()?.boot_id;
    let steps = if of_this_boot { plan::preview(record, &seen) } else { Vec::new() };
    Ok(Some((record.clone(), seen.name, steps)))
}

fn incomplete(record: &Record, problems: &[Error]) -> Error {
    let hints = problems.iter().filter_map(Error::next_step).map(|hint| format!("try: {hint}"));
    let lines = problems.iter().map(ToString::to_string).chain(hints);
    Error::new(Kind::Partial, format!("{} is not yet as it was; its record is kept", record.device))
        .device(record.device.to_string())
        .details(lines.collect::<Vec<_>>())
        .hint(format!("run it again: sriovctl detach {}", record.device))
}
