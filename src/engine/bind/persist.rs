//! Bindings that are made whenever their device appears, and what a change of the number of VFs
//! makes of bindings.

use std::time::Duration;

use super::{Bound, bind};
use crate::engine::store::{Shelf, Store, of_pf};
use crate::engine::{Kernel, Progress, Silent, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::ids::DeviceId;
use crate::model::inventory::Pf;
use crate::model::record::Record;
use crate::model::seen::Seen;

/// What udev calls when a device has appeared. While somebody changes the number of VFs of its PF,
/// that one makes the bindings, and waiting for it would keep udev from the interfaces that it
/// waits for.
pub fn appeared<K: Kernel + Store + Surroundings>(kernel: &K, device: &DeviceId) -> Result<()> {
    let pf = kernel.inspect(device, None)?.vf_of.map(|of| of.pf);
    match kernel.lock_device(device, pf.as_ref(), Duration::ZERO) {
        Err(error) if error.kind() == Kind::Busy => Ok(()),
        guard => {
            drop(guard?);
            bind_persistent(kernel, device, &Silent).map(|_| ())
        }
    }
}

/// Makes the persistent binding of a device, if it has one.
fn bind_persistent<K: Kernel + Store + Surroundings>(
    kernel: &K,
    device: &DeviceId,
    progress: &dyn Progress,
) -> Result<Option<Bound>> {
    let Some(kept) = kernel.persistent(device)? else { return Ok(None) };
    let id = kernel.ground(device)?.id.map(|id| id.to_string());
    if id.as_ref() != Some(&kept.id) {
        let is = id.unwrap_or_else(|| "none".to_owned());
        let text =
            format!("{device} is {is}, not the {} that was bound: it is left alone", kept.id);
        return Err(Error::new(Kind::Busy, text)
            .device(device.to_string())
            .hint(format!("bind it anew, or: sriovctl bind-dpdk --restore --persist {device}")));
    }
    bind(kernel, device, &kept.request(), progress).map(Some)
}

/// Makes the persistent bindings of a PF's VFs, once these are there: what was done, and what could
/// not be.
pub(in crate::engine) fn bind_persistent_of<K: Kernel + Store + Surroundings>(
    kernel: &K,
    pf: &Pf,
    progress: &dyn Progress,
) -> (Vec<String>, Vec<Error>) {
    let (mut bound, mut problems) = (Vec::new(), Vec::new());
    for device in pf.vfs.iter().filter_map(|vf| vf.facts.device.as_ref()) {
        match bind_persistent(kernel, device, progress) {
            Ok(Some(done)) if done.changed => {
                let driver = done.seen.driver.unwrap_or_default();
                bound.push(format!("{} to {driver}", done.name));
            }
            Ok(_) => {}
            Err(error) => problems.push(error),
        }
    }
    (bound, problems)
}

/// After a change of the number of a PF's VFs: bindings of VFs that were made again are of the new
/// ones. The change is ended after it: cut off here, it is undone, and this is done once more.
pub(in crate::engine) fn carry_over<K: Kernel + Store>(kernel: &K, pf: &DeviceId) -> Result<()> {
    let shelf = Shelf::Bindings;
    for (record, finished, seen) in bindings_of(kernel, pf)? {
        let is_bound = seen.exists && seen.driver == record.wanted.driver;
        // What had been begun was undone before the change: a journal is one of this, cut off.
        if is_bound && !(finished && record.is_of(&seen)) {
            let record = Record { incarnation: seen.incarnation, ..record };
            kernel.begin(shelf, &record)?;
            kernel.commit(shelf, &record.device)?;
        } else if !is_bound && record.incarnation.is_none() {
            // Whether its VF went cannot be told later.
            kernel.forget(shelf, &record.device)?;
        }
    }
    Ok(())
}

/// Forgets bindings of VFs that went: not before a change of the number is ended, since undoing it
/// brings them back, and before the next, which is not to take one made anew for them.
pub(in crate::engine) fn forget_gone<K: Kernel + Store>(kernel: &K, pf: &DeviceId) -> Result<()> {
    for (record, _, seen) in bindings_of(kernel, pf)? {
        if !seen.exists || !record.is_of(&seen) {
            kernel.forget(Shelf::Bindings, &record.device)?;
        }
    }
    Ok(())
}

/// Bindings of a PF's VFs, whether they are complete, and their devices.
fn bindings_of<K: Kernel + Store>(kernel: &K, pf: &DeviceId) -> Result<Vec<(Record, bool, Seen)>> {
    let seen = |(record, finished): (Record, bool)| {
        let seen = kernel.inspect(&record.device, Some(&record.netns))?;
        Ok((record, finished, seen))
    };
    of_pf(kernel, Shelf::Bindings, pf)?.into_iter().map(seen).collect()
}
