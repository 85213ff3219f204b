//! What was left of earlier changes of a device, and undoing what was begun.

use super::ports::clear_ports;
use crate::engine::neighbours::taken_over;
use crate::engine::restore::restore;
use crate::engine::store::{Shelf, Store, Stored};
use crate::engine::{Kernel, Progress};
use crate::error::{Error, Kind, Result, libc_errno};
use crate::model::ids::DeviceId;
use crate::model::inventory::Vf;
use crate::model::record::{NetnsId, Record};
use crate::model::step::Place;
use crate::model::usage::User;

/// VFs of a PF whose number was being changed when somebody died are not what they were.
pub(in crate::engine) fn no_resize_begun<K: Store>(kernel: &K, pf: &DeviceId) -> Result<()> {
    let pf = pf.with_port(0);
    let mut begun = kernel.resizes()?.into_iter().filter(|of| !of.ended && of.pf == pf);
    // What another boot began ended with it.
    if let Some(resize) = begun.next()
        && resize.boot_id == kernel.moment()?.boot_id
    {
        let message = format!("a change of the VFs of {pf} was cut off");
        return Err(Error::new(Kind::Busy, message)
            .device(pf.to_string())
            .hint("restore them first: sriovctl inspect-state --repair"));
    }
    Ok(())
}

/// Deals with what was left of earlier changes of the device: a journal whose writer died is undone,
/// a record of another boot or of a namespace that is gone is cleared. Returns the record of an
/// attachment that still holds.
pub(in crate::engine) fn clear_the_way<K: Kernel + Store>(
    kernel: &K,
    device: &DeviceId,
    dry_run: bool,
    progress: &dyn Progress,
) -> Result<Option<Record>> {
    let mut holds = None;
    for shelf in Shelf::ALL {
        let (record, finished) = match kernel.stored(shelf, device)? {
            None => continue,
            Some(Stored::Corrupt { path, why, .. }) => {
                if !dry_run {
                    let kept = kernel.set_aside(shelf, device)?;
                    progress.note(&format!("{path} is no record ({why}); kept as {kept}"));
                }
                continue;
            }
            Some(Stored::Attached(record)) => (record, true),
            Some(Stored::Unfinished(record)) => (record, false),
        };
        let of_this_boot = record.boot_id == kernel.moment()?.boot_id;
        let is_over = match shelf {
            Shelf::Attachments => !finished || is_over(kernel, &record)?,
            Shelf::Bindings => {
                let seen = kernel.inspect(device, Some(&record.netns))?;
                // An attachment may have another driver for its time, and gives it back.
                let is_over = holds.is_none() && crate::engine::bind::is_over(&record, &seen);
                !of_this_boot || !finished || is_over
            }
        };
        if !is_over {
            holds = holds.or((shelf == Shelf::Attachments).then_some(record));
        } else if !dry_run {
            clear(kernel, shelf, &record, finished, progress)?;
        }
    }
    Ok(holds)
}

/// Clears a record that holds no longer.
pub(in crate::engine) fn clear<K: Kernel + Store>(
    kernel: &K,
    shelf: Shelf,
    record: &Record,
    finished: bool,
    progress: &dyn Progress,
) -> Result<()> {
    let device = &record.device;
    let seen = kernel.inspect(device, Some(&record.netns))?;
    let is_binding = shelf == Shelf::Bindings;
    if !is_binding && taken_over(kernel, record).is_some() {
        return kernel.forget(shelf, device);
    }
    // Of another boot, or of a VF that was destroyed: those there are now are as their driver made
    // them. A binding that is complete was ended by other means, and is not to be undone.
    let of_another = record.boot_id != kernel.moment()?.boot_id
        || (is_binding && (finished || !record.is_of(&seen)));
    if !of_another {
        let mut problems = clear_ports(kernel, record, progress);
        problems.extend(restore(kernel, record, progress)?);
        // The driver is back: that another interface has its name keeps nobody from using it.
        let only_names = is_binding && problems.iter().all(is_name_taken);
        if let Some(first) = problems.first().filter(|_| !only_names) {
            return Err(not_cleared(shelf, record, first, &problems));
        }
        for problem in &problems {
            progress.note(&problem.to_string());
        }
    }
    untell(kernel, record)?;
    // An attachment ends whole. With a binding that was being ended goes what it was: without its
    // journal, and cut off before the record were gone too, that would be one that holds.
    if finished || !is_binding || record.first.is_none() {
        return kernel.forget(shelf, device);
    }
    kernel.abandon(shelf, device)?;
    // One that was being made followed another, which holds again.
    if let Some(Stored::Attached(before)) = kernel.stored(shelf, device)? {
        let seen = kernel.inspect(device, Some(&before.netns))?;
        if !before.is_of(&seen) || seen.driver != before.wanted.driver {
            return kernel.forget(shelf, device);
        }
    }
    Ok(())
}

/// What was written about an attachment for others goes before its record: were this cut off between
/// the two, the record leads here again.
pub(in crate::engine) fn untell<K: Store>(kernel: &K, record: &Record) -> Result<()> {
    let netns = Some(record.netns.path.as_str());
    record.told.iter().try_for_each(|path| kernel.untell(path, &record.device, netns))
}

/// Whether nothing is wrong but that another interface has the name.
pub(in crate::engine) fn is_name_taken(error: &Error) -> bool {
    error.errno() == Some(libc_errno::EEXIST)
}

/// Whether a finished attachment has come to its end without a detach.
pub fn is_over<K: Kernel + Store>(kernel: &K, record: &Record) -> Result<bool> {
    Ok(record.boot_id != kernel.moment()?.boot_id
        || taken_over(kernel, record).is_some()
        || !has_it(kernel, record)?)
}

/// Whether a VF is kept by nothing but the record of an attachment that is over, with its namespace:
/// whoever takes it next gives it back first.
pub fn is_left_over<K: Kernel + Store>(kernel: &K, vf: &Vf) -> Result<bool> {
    let only_record = matches!(vf.users.as_slice(), [User::Record(_)]);
    let device = vf.facts.device.as_ref().filter(|_| only_record);
    device.map_or(Ok(false), |device| has_left_over(kernel, device))
}

/// Whether the record of a device's attachment is of one that is over, with its namespace.
pub(super) fn has_left_over<K: Kernel + Store>(kernel: &K, device: &DeviceId) -> Result<bool> {
    match kernel.stored(Shelf::Attachments, device)? {
        Some(Stored::Attached(record)) => {
            Ok(is_over(kernel, &record)? && !is_alive(kernel, &record.netns)?)
        }
        _ => Ok(false),
    }
}

/// Whether the owner has the device. What counts is where its interface is: the path of a live
/// namespace may go (its first process ended, its name was removed), and another namespace may get
/// the path and the inode of one that is gone.
fn has_it<K: Kernel>(kernel: &K, record: &Record) -> Result<bool> {
    let seen = kernel.inspect(&record.device, Some(&record.netns))?;
    match seen.link {
        Some((Place::Netns(_), _)) => Ok(true),
        Some((Place::Host, _)) => Ok(false),
        None => is_alive(kernel, &record.netns),
    }
}

/// Whether the namespace is there, under its path or any other.
pub(in crate::engine) fn is_alive<K: Kernel>(kernel: &K, id: &NetnsId) -> Result<bool> {
    Ok(kernel.look_into(id, &[])?.is_some()
        || kernel.namespaces()?.iter().any(|netns| netns.inode == id.inode))
}

fn not_cleared(shelf: Shelf, record: &Record, first: &Error, problems: &[Error]) -> Error {
    let text = match shelf {
        Shelf::Attachments => {
            format!(
                "{} was left behind by {} and could not be cleaned",
                record.device, record.owner
            )
        }
        Shelf::Bindings => {
            format!(
                "a change of the driver of {} was cut off and could not be undone",
                record.device
            )
        }
    };
    Error::new(first.kind(), text)
        .device(record.device.to_string())
        .details(problems.iter().map(ToString::to_string))
        .hint(format!("try again with: {}", finish(shelf, &record.device)))
}

/// The command that finishes what was begun with a device.
fn finish(shelf: Shelf, device: &DeviceId) -> String {
    match shelf {
        Shelf::Attachments => format!("sriovctl detach {device}"),
        Shelf::Bindings => format!("sriovctl inspect-state --repair {device}"),
    }
}

/// Undoes what was begun; the cause says how that went.
pub(in crate::engine) fn undo<K: Kernel + Store>(
    kernel: &K,
    shelf: Shelf,
    record: &Record,
    cause: Error,
    progress: &dyn Progress,
) -> Error {
    let mut problems = clear_ports(kernel, record, progress);
    let restored = restore(kernel, record, progress);
    problems.extend(match restored {
        Ok(left) if left.is_empty() && problems.is_empty() => {
            match kernel.abandon(shelf, &record.device) {
                Ok(()) => return cause.detail(format!("{} is as it was before", record.device)),
                Err(error) => vec![error],
            }
        }
        Ok(left) => left,
        Err(error) => vec![error],
    });
    let lines = problems.iter().map(|error| format!("not undone: {error}"));
    cause
        .details(lines.collect::<Vec<_>>())
        .detail(format!("finish it with: {}", finish(shelf, &record.device)))
}
