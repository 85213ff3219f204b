//! Whether a binding is still true, and putting it right.

use super::back;
use crate::engine::attach::{LOCK_WAIT, STEP_WITHIN, clear, no_resize_begun};
use crate::engine::state::{Drift, Verdict, of_settings};
use crate::engine::store::{Shelf, Store, Stored};
use crate::engine::{Kernel, Progress, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::ids::DeviceId;
use crate::model::record::Record;
use crate::model::seen::Seen;
use crate::model::step::{Step, VfAttr};

/// The truth beside the record of a binding of this boot that is complete.
pub(in crate::engine) fn judge<K: Kernel + Store>(kernel: &K, record: &Record) -> Result<Verdict> {
    let seen = kernel.inspect(&record.device, Some(&record.netns))?;
    if !seen.exists {
        return Ok(Verdict::Stale("the device is gone".to_owned()));
    }
    if !record.is_of(&seen) {
        return Ok(Verdict::Stale("its VF was destroyed, and another one made".to_owned()));
    }
    // What is attached has the driver and the settings of its attachment, until that is over.
    if kernel.stored(Shelf::Attachments, &record.device)?.is_some() {
        return Ok(Verdict::Ok);
    }
    if seen.driver != record.wanted.driver {
        return Ok(Verdict::Stale(match &seen.driver {
            Some(driver) => format!("{driver} has it now"),
            None => "it has no driver".to_owned(),
        }));
    }
    let drift = drift(record, &seen);
    Ok(if drift.is_empty() { Verdict::Ok } else { Verdict::Drift(drift) })
}

/// How a device differs from what it was bound as.
pub(in crate::engine) fn drift(record: &Record, seen: &Seen) -> Vec<Drift> {
    let mut found = Vec::new();
    if seen.driver != record.wanted.driver {
        let text = |driver: &Option<String>| driver.clone().unwrap_or_else(|| "none".to_owned());
        found.push(Drift {
            field: "driver",
            wanted: text(&record.wanted.driver),
            actual: text(&seen.driver),
        });
    }
    found.extend(of_settings(record, seen));
    found
}

/// Puts a binding right; returns what was done, as a phrase.
pub(in crate::engine) fn repair<K: Kernel + Store + Surroundings>(
    kernel: &K,
    device: &DeviceId,
    progress: &dyn Progress,
) -> Result<String> {
    let pf = kernel.inspect(device, None)?.vf_of.map(|of| of.pf);
    let guard = kernel.lock_device(device, pf.as_ref(), LOCK_WAIT)?;
    if let Some(pf) = &pf {
        // Its VF may come back, and the record with it.
        no_resize_begun(kernel, pf)?;
    }
    let shelf = Shelf::Bindings;
    let record = match kernel.stored(shelf, device)? {
        None => return Ok("it was put right meanwhile".to_owned()),
        Some(Stored::Corrupt { .. }) => {
            let kept = kernel.set_aside(shelf, device)?;
            return Ok(format!("what was no record is kept as {kept}"));
        }
        Some(Stored::Unfinished(record)) => {
            clear(kernel, shelf, &record, false, progress)?;
            return Ok("the cut-off change of its driver was undone".to_owned());
        }
        Some(Stored::Attached(record)) => record,
    };
    let cleared = || {
        kernel.forget(shelf, device)?;
        Ok("its record, which held no longer, was cleared".to_owned())
    };
    if record.boot_id != kernel.moment()?.boot_id {
        return cleared();
    }
    match judge(kernel, &record)? {
        Verdict::Ok => Ok("nothing to do".to_owned()),
        Verdict::Drift(_) => set_again(kernel, &record),
        _ => {
            let seen = kernel.inspect(device, Some(&record.netns))?;
            if seen.exists && record.is_of(&seen) && seen.driver.is_none() {
                drop(guard);
                back(kernel, device, &super::Back::default(), progress)?;
                return Ok("given back to its driver, as it was".to_owned());
            }
            cleared()
        }
    }
}

fn set_again<K: Kernel + Store>(kernel: &K, record: &Record) -> Result<String> {
    let seen = kernel.inspect(&record.device, Some(&record.netns))?;
    let has = seen.settings.clone().unwrap_or_default();
    let wanted = record.wanted.settings.iter().copied();
    let wanted = wanted.chain(record.wanted.mac.map(VfAttr::Mac));
    for attr in wanted.filter(|attr| attr.is_set_in(&has) != Some(true)) {
        if let Some(vf) = seen.vf() {
            kernel.apply(&Step::SetVf { vf, attr }, STEP_WITHIN)?;
        }
    }
    let now = kernel.inspect(&record.device, Some(&record.netns))?;
    match drift(record, &now).first() {
        None => Ok("set again as recorded".to_owned()),
        Some(first) => Err(Error::new(Kind::Partial, format!("{}: still {first}", now.name))),
    }
}
