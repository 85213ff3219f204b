//! The way back: the kernel's driver, and the device as it was before it was bound.

use super::words::{gone, held, is_open};
use super::{Back, Bound, current};
use crate::engine::attach::{LOCK_WAIT, STEP_WITHIN, clear_the_way, no_resize_begun};
use crate::engine::restore::restore as make_as_was;
use crate::engine::store::{Shelf, Store};
use crate::engine::{Kernel, Progress, Silent, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::assemble::is_userspace_driver;
use crate::model::binding::{DriverState, Ground};
use crate::model::explain;
use crate::model::facts::Holder;
use crate::model::ids::DeviceId;
use crate::model::plan::restore as way_back;
use crate::model::record::{Original, Owner, Record, Wanted};
use crate::model::seen::Seen;
use crate::model::step::Step;
use crate::model::usage::User;

/// What going back comes to.
enum Way {
    /// There is nothing to do.
    Already(Seen),
    /// To what the record says.
    To(Box<Record>, Seen),
}

/// Looks and decides how the device gets its kernel driver back, changing nothing.
pub fn propose_back<K: Kernel + Store + Surroundings>(
    kernel: &K,
    device: &DeviceId,
    back: &Back,
) -> Result<Bound> {
    let way = way(kernel, device, back, true, &Silent)?;
    let ground = kernel.ground(device)?;
    Ok(match way {
        Way::Already(seen) => bound(seen, ground, Vec::new(), None),
        Way::To(record, seen) => {
            let steps = way_back::preview(&record, &seen);
            bound(seen, ground, steps, None)
        }
    })
}

/// Gives the device back to its kernel driver, as it was before it was bound; without a record of
/// that, to the driver that knows it.
pub fn back<K: Kernel + Store + Surroundings>(
    kernel: &K,
    device: &DeviceId,
    back: &Back,
    progress: &dyn Progress,
) -> Result<Bound> {
    let pf = kernel.inspect(device, None)?.vf_of.map(|of| of.pf);
    let _guard = kernel.lock_device(device, pf.as_ref(), LOCK_WAIT)?;
    if let Some(pf) = &pf {
        no_resize_begun(kernel, pf)?;
    }
    let (record, before) = match way(kernel, device, back, false, progress)? {
        Way::Already(seen) => {
            kernel.forget(Shelf::Bindings, device)?;
            return Ok(bound(seen, kernel.ground(device)?, Vec::new(), None));
        }
        Way::To(record, seen) => (record, seen),
    };
    // Before anything is written down: where there is no driver nothing is begun.
    if let Some(driver) = &record.original.driver {
        kernel.apply(&Step::LoadDriver { driver: driver.clone() }, STEP_WITHIN)?;
    }
    kernel.begin(Shelf::Bindings, &record)?;
    let problems = make_as_was(kernel, &record, progress)?;
    if !problems.is_empty() {
        let hints = problems.iter().filter_map(Error::next_step).map(|hint| format!("try: {hint}"));
        let lines = problems.iter().map(ToString::to_string).chain(hints);
        return Err(Error::new(Kind::Partial, format!("{} is not yet as it was", before.name))
            .device(before.name.clone())
            .details(lines.collect::<Vec<_>>())
            .hint(format!("run it again: sriovctl bind-dpdk --restore {device}")));
    }
    kernel.forget(Shelf::Bindings, device).map_err(|error| {
        error.detail(format!("finish it with: sriovctl bind-dpdk --restore {device}"))
    })?;
    let steps = way_back::preview(&record, &before);
    let now = kernel.inspect(device, Some(&record.netns))?;
    Ok(bound(now, kernel.ground(device)?, steps, before.driver))
}

fn bound(seen: Seen, ground: Ground, steps: Vec<Step>, before: Option<String>) -> Bound {
    Bound {
        device: seen.device.clone(),
        name: seen.name.clone(),
        before: before.or_else(|| seen.driver.clone()),
        changed: !steps.is_empty(),
        steps,
        notes: Vec::new(),
        seen,
        ground,
    }
}

fn way<K: Kernel + Store + Surroundings>(
    kernel: &K,
    device: &DeviceId,
    back: &Back,
    dry_run: bool,
    progress: &dyn Progress,
) -> Result<Way> {
    let attachment = clear_the_way(kernel, device, dry_run, progress)?;
    let seen = kernel.inspect(device, None)?;
    if !seen.exists {
        // That it is bound when it appears can be ended all the same.
        return match kernel.persistent(device)? {
            Some(_) => Ok(Way::Already(seen)),
            None => Err(gone(&seen)),
        };
    }
    if let Some(record) = attachment {
        return Err(held(&seen, &record));
    }
    let open: Vec<&Holder> = seen.users.iter().filter_map(User::holder).collect();
    if !open.is_empty() {
        return Err(is_open(&seen, &open));
    }
    let has_kernel_driver = seen.driver.as_deref().is_some_and(|d| !is_userspace_driver(d));
    let record = current(kernel, device)?;
    if let Some(driver) = &back.driver {
        if let DriverState::Unknown(nearest) = kernel.driver_state(driver)? {
            return Err(explain::no_driver(driver, nearest.as_deref()));
        }
        let recorded = record.as_ref().and_then(|record| record.before_binding().driver.as_ref());
        if let Some(recorded) = recorded.filter(|recorded| *recorded != driver) {
            let text = format!("{} was bound from {recorded}, not from {driver}", seen.name);
            return Err(Error::new(Kind::Busy, text)
                .device(seen.name.clone())
                .hint("leave --driver away, and bind it afterwards"));
        }
    }
    if has_kernel_driver {
        // Somebody else gave it back: how it was before is not how it shall be any more. What was
        // bound to a kernel driver here is another matter.
        let ours = record.filter(|record| record.wanted.driver == seen.driver);
        if let Some(record) = ours {
            return Ok(Way::To(Box::new(backwards(record, back)), seen));
        }
        // An override that a persistent binding kept, or that would take it at the next probe.
        let reserved = seen.driver_override.as_deref();
        let is_ours = reserved.is_some_and(is_userspace_driver)
            || (reserved.is_some() && kernel.persistent(device)?.is_some());
        if !is_ours {
            return Ok(Way::Already(seen));
        }
        let driver = seen.driver.clone().unwrap_or_default();
        let record = to_native(kernel, &seen, driver, back)?;
        let original = Original { driver_override: None, ..seen.original(true) };
        return Ok(Way::To(Box::new(Record { original, ..record }), seen));
    }
    if let Some(record) = record {
        return Ok(Way::To(Box::new(backwards(record, back)), seen));
    }
    let driver = match &back.driver {
        Some(driver) => driver.clone(),
        None => native(kernel, &seen)?,
    };
    let record = to_native(kernel, &seen, driver, back)?;
    Ok(Way::To(Box::new(record), seen))
}

/// The journal of the way back.
fn backwards(record: Record, back: &Back) -> Record {
    let original = record.before_binding().clone();
    let wanted = Wanted { no_reset: record.wanted.no_reset || back.no_reset, ..record.wanted };
    Record { original, first: None, wanted, ..record }
}

/// The driver of the kernel's that knows the device.
fn native<K: Surroundings>(kernel: &K, seen: &Seen) -> Result<String> {
    let ground = kernel.ground(&seen.device)?;
    let mut kernels = ground.native.iter().filter(|driver| !is_userspace_driver(driver));
    kernels.next().cloned().ok_or_else(|| {
        let id = ground.id.map(|id| format!(" ({id})")).unwrap_or_default();
        Error::new(Kind::NotFound, format!("no driver of this kernel's knows {}{id}", seen.name))
            .device(seen.name.clone())
            .hint("name it: sriovctl bind-dpdk --restore --driver NAME")
    })
}

/// Bound by other means: it comes back as its driver makes it.
fn to_native<K: Kernel + Store + Surroundings>(
    kernel: &K,
    seen: &Seen,
    driver: String,
    back: &Back,
) -> Result<Record> {
    let moment = kernel.moment()?;
    Ok(Record {
        original: Original {
            name: None,
            altnames: Vec::new(),
            mtu: None,
            mac: None,
            up: false,
            settings: seen.settings.clone(),
            driver: Some(driver),
            driver_override: None,
        },
        // Cut off without a driver, it must be told that it comes from user space.
        wanted: Wanted {
            driver: seen.driver.clone(),
            no_reset: back.no_reset,
            ..Wanted::default()
        },
        ..Record::of(seen, &moment, Owner::manual(), kernel.host_netns()?)
    })
}
