//! The one way back: detach, rollback, crash recovery and clean-up of what is stale.

use std::time::Duration;

use super::store::{Shelf, Store, Stored};
use super::{Kernel, Progress};
use crate::error::{Error, Kind, Result};
use crate::model::assemble::is_userspace_driver;
use crate::model::plan::restore;
use crate::model::record::Record;
use crate::model::seen::Seen;
use crate::model::step::{Step, VfAttr};

/// How long an interface may take to appear, or a dying namespace to give it back.
const INTERFACE_WITHIN: Duration = Duration::from_secs(15);
/// How long one step may be held by the kernel.
const STEP_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// More stages than any way back has; reached only by a device that will not stay as it is put.
const ROUNDS: usize = 12;

/// [`restore`] by a record that is not kept yet: it is written down first like any other change, so that
/// the next one finishes it should this die, and forgotten when the device is as it was. What is kept of
/// the device and is no record is put aside.
pub fn restore_as_ours<K: Kernel + Store>(
    kernel: &K,
    record: &Record,
    progress: &dyn Progress,
) -> Result<Vec<Error>> {
    let (shelf, device) = (Shelf::Attachments, &record.device);
    if matches!(kernel.stored(shelf, device)?, Some(Stored::Corrupt { .. })) {
        let kept = kernel.set_aside(shelf, device)?;
        progress.note(&format!("what was no record of {device} is kept as {kept}"));
    }
    kernel.begin(shelf, record)?;
    let problems = restore(kernel, record, progress)?;
    if problems.is_empty() {
        kernel.forget(shelf, device)?;
    }
    Ok(problems)
}

/// Makes the device what the record says it was. Returns what could not be done: nothing, when it
/// is as it was.
pub fn restore<K: Kernel>(
    kernel: &K,
    record: &Record,
    progress: &dyn Progress,
) -> Result<Vec<Error>> {
    let begun = kernel.now();
    if let Some(stuck) = reset_bare(kernel, record, progress)? {
        return Ok(vec![stuck]);
    }
    let mut last: Vec<Step> = Vec::new();
    let mut problems: Vec<Error> = Vec::new();
    for _ in 0..ROUNDS {
        let seen = look(kernel, record, begun)?;
        let steps = restore::next(record, &seen);
        if steps.is_empty() {
            return Ok(unseen(record, &seen).into_iter().collect());
        }
        if steps == last {
            // The same again: it was refused, or accepted and dropped.
            let dropped = |step: &Step| {
                Error::new(
                    Kind::Unsupported,
                    format!("could not {}: it was accepted, but is not so", phrase(step, &seen)),
                )
            };
            if problems.is_empty() {
                problems = steps.iter().filter(|step| matters(step, record)).map(dropped).collect();
            }
            return Ok(problems);
        }
        problems.clear();
        if steps.len() > 1 && steps.iter().all(Step::is_vf_setting) {
            for step in &steps {
                progress.stage(&phrase(step, &seen), 0);
            }
            if kernel.apply_at_once(&steps) {
                last = steps;
                continue;
            }
        }
        for step in &steps {
            progress.stage(&phrase(step, &seen), 0);
            if let Err(error) = kernel.apply(step, STEP_WITHIN) {
                // A write that still waits in the kernel holds the device, and any other would wait
                // too. Without its driver the device keeps the one it has.
                if error.kind() == Kind::TimedOut || matches!(step, Step::LoadDriver { .. }) {
                    problems.push(error);
                    return Ok(problems);
                }
                if matches!(step, Step::Reset { .. }) {
                    progress.note(&format!("{error}; going on without"));
                } else if matters(step, record) || error.kind() != Kind::Unsupported {
                    problems.push(error);
                } else {
                    progress.note(&format!("left as it is: {error}"));
                }
            }
        }
        last = steps;
    }
    Ok(problems)
}

/// What had no driver before and has none again may have been cut off before its reset: nothing shows
/// that, and a reset too many does no harm. Returns the error of one that still waits in the kernel.
fn reset_bare<K: Kernel>(
    kernel: &K,
    record: &Record,
    progress: &dyn Progress,
) -> Result<Option<Error>> {
    let was_userspace = record.wanted.driver.as_deref().is_some_and(is_userspace_driver);
    if !was_userspace || record.original.driver.is_some() || record.wanted.no_reset {
        return Ok(None);
    }
    let seen = kernel.inspect(&record.device, Some(&record.netns))?;
    if seen.exists && seen.driver.is_none() {
        let step = Step::Reset { device: record.device.clone() };
        progress.stage(&phrase(&step, &seen), 0);
        match kernel.apply(&step, STEP_WITHIN) {
            Err(error) if error.kind() == Kind::TimedOut => return Ok(Some(error)),
            Err(error) => progress.note(&format!("{error}; going on without")),
            Ok(_) => {}
        }
    }
    Ok(None)
}

/// Looks, waiting for an interface that must come.
fn look<K: Kernel>(kernel: &K, record: &Record, begun: Duration) -> Result<Seen> {
    loop {
        let seen = kernel.inspect(&record.device, Some(&record.netns))?;
        let waited = kernel.now().saturating_sub(begun);
        if !restore::awaits_interface(record, &seen) || waited >= INTERFACE_WITHIN {
            return Ok(seen);
        }
        kernel.pause(POLL);
    }
}

/// An interface that should be there and is nowhere, or settings that nobody can tell: nothing can
/// be concluded about them.
fn unseen(record: &Record, seen: &Seen) -> Option<Error> {
    if seen.exists && record.original.settings.is_some() && seen.settings.is_none() {
        let message = format!(
            "the settings of {} cannot be seen: its PF has no interface on the host",
            seen.name
        );
        return Some(
            Error::new(Kind::NotFound, message)
                .device(seen.name.clone())
                .hint("bring its PF back first: sriovctl inspect-state"),
        );
    }
    restore::awaits_interface(record, seen).then(|| {
        Error::new(
            Kind::TimedOut,
            format!("the interface of {} is in no namespace that can be seen", seen.name),
        )
        .device(seen.name.clone())
        .hint("end what holds its namespace, then run this again")
    })
}

/// Whether a failure of the step leaves the device other than it was in a way that counts: a
/// setting that a driver never could make was never ours.
fn matters(step: &Step, record: &Record) -> bool {
    let Step::SetVf { attr, .. } = step else { return true };
    let same_kind = |ours: &VfAttr| std::mem::discriminant(ours) == std::mem::discriminant(attr);
    match attr {
        VfAttr::Mac(_) => !step.is_zero_mac(),
        _ => record.wanted.settings.iter().any(same_kind),
    }
}

fn phrase(step: &Step, seen: &Seen) -> String {
    let text = step.to_string().replace(&seen.device.to_string(), &seen.name);
    match &seen.vf_of {
        Some(of) => text.replace(&format!("{}#{}", of.pf, of.index), &seen.name),
        None => text,
    }
}
