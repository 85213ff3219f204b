//! `bind-dpdk`: gives a device another driver, and writes down how it was; or leaves it as it was.
//!
//! A binding has a record of its own beside that of an attachment: a VF that was bound may be
//! attached to a container later, and is given back to the binding then.

pub(super) mod state;
mod words;

use std::time::Duration;

use self::words::{gone, held, is_open, refusal_error};
use super::attach::{LOCK_WAIT, STEP_WITHIN, clear_the_way, no_resize_begun, undo};
use super::restore::restore as make_as_was;
use super::store::{Shelf, Store, Stored};
use super::{Kernel, Progress, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::assemble::is_userspace_driver;
use crate::model::binding::{DriverState, Ground, NoIommu, Platform};
use crate::model::explain;
use crate::model::facts::Holder;
use crate::model::ids::DeviceId;
use crate::model::inventory::Pf;
use crate::model::link::VfSettings;
use crate::model::plan::bind::{self, Plan, Request, Sight};
use crate::model::plan::restore as way_back;
use crate::model::record::{FORMAT, Original, Owner, Record, Wanted};
use crate::model::seen::Seen;
use crate::model::step::{Outcome, Step};
use crate::model::usage::User;

/// How long a kernel driver may take to make an interface.
const INTERFACE_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// A device and what becomes of it.
#[derive(Debug)]
pub struct Bound {
    /// The device.
    pub device: DeviceId,
    /// What it is called.
    pub name: String,
    /// The driver it had.
    pub before: Option<String>,
    /// The steps that were taken, or would be.
    pub steps: Vec<Step>,
    /// Whether anything was changed, or would be.
    pub changed: bool,
    /// What else there is to know.
    pub notes: Vec<String>,
    /// The device as it is now; as it was, if nothing was done.
    pub seen: Seen,
    /// Its surroundings, likewise.
    pub ground: Ground,
}

/// How to go back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Back {
    /// The kernel driver, where none is recorded and several would do.
    pub driver: Option<String>,
    /// Do not reset the device.
    pub no_reset: bool,
}

/// Looks and decides, changing nothing.
pub fn propose<K: Kernel + Store + Surroundings>(
    kernel: &K,
    device: &DeviceId,
    request: &Request,
) -> Result<Bound> {
    if is_way_back(kernel, &kernel.inspect(device, None)?, request)? {
        let way = Back { no_reset: request.no_reset, ..Back::default() };
        return propose_back(kernel, device, &way);
    }
    let (look, plan) = decide(kernel, device, request, true, &super::Silent)?;
    Ok(look.into_bound(plan))
}

/// Whether the driver that is asked for is the one that the device had before it was bound.
fn is_way_back<K: Kernel + Store>(kernel: &K, seen: &Seen, request: &Request) -> Result<bool> {
    let binding = current(kernel, &seen.device)?;
    let before = binding.as_ref().and_then(|record| record.before_binding().driver.as_ref());
    let sets_more = request.mac.is_some()
        || request.node.is_some()
        || request.keep_override
        || request.settings != VfSettings::default();
    Ok(!sets_more && before == Some(&request.driver) && seen.driver.as_ref() != before)
}

/// Gives the device the driver.
pub fn bind<K: Kernel + Store + Surroundings>(
    kernel: &K,
    device: &DeviceId,
    request: &Request,
    progress: &dyn Progress,
) -> Result<Bound> {
    let first = kernel.inspect(device, None)?;
    if is_way_back(kernel, &first, request)? {
        let way = Back { no_reset: request.no_reset, ..Back::default() };
        return back(kernel, device, &way, progress);
    }
    let pf = first.vf_of.map(|of| of.pf);
    let _guard = kernel.lock_device(device, pf.as_ref(), LOCK_WAIT)?;
    if let Some(pf) = &pf {
        no_resize_begun(kernel, pf)?;
    }
    let (look, plan) = decide(kernel, device, request, false, progress)?;
    if plan.steps.is_empty() {
        return Ok(Bound { changed: false, ..look.into_bound(plan) });
    }
    kernel.begin(Shelf::Bindings, &plan.record)?;
    match run(kernel, &look, &plan, request, progress) {
        Ok((changed, seen)) => {
            let ground = kernel.ground(device)?;
            Ok(Bound { changed, seen, ground, ..look.into_bound(plan) })
        }
        // A write that still waits in the kernel holds the device: any other would wait too.
        Err(error) if error.kind() == Kind::TimedOut => Err(error.detail(format!(
            "once it has ended, finish it with: sriovctl inspect-state --repair {device}"
        ))),
        Err(error) => {
            let error = undo(kernel, Shelf::Bindings, &plan.record, error, progress);
            Err(with_noiommu_off(kernel, &look, &plan, error))
        }
    }
}

/// What was looked at before deciding.
struct Look {
    seen: Seen,
    ground: Ground,
    platform: Platform,
}

impl Look {
    fn into_bound(self, plan: Plan) -> Bound {
        Bound {
            device: self.seen.device.clone(),
            name: self.seen.name.clone(),
            before: self.seen.driver.clone(),
            changed: !plan.steps.is_empty(),
            steps: plan.steps,
            notes: plan.notes,
            seen: self.seen,
            ground: self.ground,
        }
    }
}

fn decide<K: Kernel + Store + Surroundings>(
    kernel: &K,
    device: &DeviceId,
    request: &Request,
    dry_run: bool,
    progress: &dyn Progress,
) -> Result<(Look, Plan)> {
    let attachment = clear_the_way(kernel, device, dry_run, progress)?;
    let seen = kernel.inspect(device, None)?;
    plan_on(kernel, seen, request, attachment.as_ref())
}

/// How a device that nobody has gets a driver for the time of an attachment.
pub(super) fn plan_for<K: Kernel + Store + Surroundings>(
    kernel: &K,
    seen: &Seen,
    request: &Request,
) -> Result<Plan> {
    plan_on(kernel, seen.clone(), request, None).map(|(_, plan)| plan)
}

fn plan_on<K: Kernel + Store + Surroundings>(
    kernel: &K,
    mut seen: Seen,
    request: &Request,
    attachment: Option<&Record>,
) -> Result<(Look, Plan)> {
    let device = seen.device.clone();
    let binding = current(kernel, &device)?;
    if let Some(link) = seen.host_link() {
        let uppers = kernel.uppers_elsewhere(link.ifindex)?;
        seen.users.extend(uppers.into_iter().map(User::Upper));
    }
    let look = Look { seen, ground: kernel.ground(&device)?, platform: kernel.platform()? };
    let driver = kernel.driver_state(&request.driver)?;
    let sight = Sight {
        seen: &look.seen,
        ground: &look.ground,
        platform: &look.platform,
        driver: &driver,
        attachment,
        binding: binding.as_ref(),
        is_named: look.seen.host_link().is_none_or(|link| kernel.is_named(link.ifindex)),
        host: &kernel.host_netns()?,
        moment: &kernel.moment()?,
    };
    let plan = bind::plan(request, sight)
        .map_err(|refusal| refusal_error(request, &look, &driver, &refusal))?;
    Ok((look, plan))
}

/// The binding that a device has: of this boot, of this very device, and not ended by other means.
fn current<K: Kernel + Store>(kernel: &K, device: &DeviceId) -> Result<Option<Record>> {
    let Some(Stored::Attached(record)) = kernel.stored(Shelf::Bindings, device)? else {
        return Ok(None);
    };
    let seen = kernel.inspect(device, Some(&record.netns))?;
    let of_this_boot = record.boot_id == kernel.moment()?.boot_id;
    Ok(Some(record).filter(|record| of_this_boot && !is_over(record, &seen)))
}

/// Whether a binding was ended by other means: the device is another one, or somebody gave it back
/// to a driver of the kernel's. How it was before is not how it shall be any more.
pub(super) fn is_over(record: &Record, seen: &Seen) -> bool {
    let by_other_means = seen.driver != record.wanted.driver
        && seen.driver.as_deref().is_some_and(|driver| !is_userspace_driver(driver));
    !seen.exists || !record.is_of(seen) || by_other_means
}

/// Takes the steps; returns whether anything was changed, and the device as it is then.
fn run<K: Kernel + Store + Surroundings>(
    kernel: &K,
    look: &Look,
    plan: &Plan,
    request: &Request,
    progress: &dyn Progress,
) -> Result<(bool, Seen)> {
    let mut changed = false;
    for step in &plan.steps {
        let name = &look.seen.name;
        progress.stage(&step.to_string().replace(&look.seen.device.to_string(), name), 0);
        let applied = kernel.apply(step, STEP_WITHIN).map_err(|error| match step {
            Step::Reset { .. } => error.hint("go on without with --no-reset"),
            _ => error,
        });
        changed |= applied? == Outcome::Changed;
    }
    let seen = look_until_so(kernel, &plan.record, request)?;
    let device = &plan.record.device;
    kernel.commit(Shelf::Bindings, device)?;
    Ok((changed, seen))
}

fn look_until_so<K: Kernel>(kernel: &K, record: &Record, request: &Request) -> Result<Seen> {
    let begun = kernel.now();
    loop {
        let seen = kernel.inspect(&record.device, Some(&record.netns))?;
        let drift = state::drift(record, &seen);
        let awaits = !is_userspace_driver(&request.driver) && seen.link.is_none();
        if drift.is_empty() && !awaits {
            return Ok(seen);
        }
        if kernel.now().saturating_sub(begun) >= INTERFACE_WITHIN {
            let why = drift.first().map_or_else(
                || format!("its driver {} made no interface", request.driver),
                |first| format!("{first}, though every step was accepted"),
            );
            return Err(
                Error::new(Kind::Unsupported, format!("{}: {why}", seen.name)).device(seen.name)
            );
        }
        kernel.pause(POLL);
    }
}

/// The mode without an IOMMU is a switch of the whole host: it is not left on for nothing.
fn with_noiommu_off<K: Kernel + Surroundings>(
    kernel: &K,
    look: &Look,
    plan: &Plan,
    error: Error,
) -> Error {
    let planned = plan.steps.contains(&Step::AllowNoIommu { on: true });
    let is_on = kernel.platform().is_ok_and(|platform| platform.noiommu == NoIommu::On);
    if !planned || !is_on || look.platform.noiommu == NoIommu::On {
        return error;
    }
    match kernel.apply(&Step::AllowNoIommu { on: false }, STEP_WITHIN) {
        Ok(_) => error,
        Err(_) => error.detail("VFIO's mode without an IOMMU may still be on"),
    }
}

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
    let way = way(kernel, device, back, true, &super::Silent)?;
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
    kernel.forget(Shelf::Bindings, device)?;
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
        let ours = ours.filter(|record| record.before_binding().driver != seen.driver);
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
        let original = Original { driver_override: None, ..bind::original(&seen, true) };
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
        format: FORMAT,
        boot_id: moment.boot_id,
        since: moment.time,
        device: seen.device.clone(),
        incarnation: seen.incarnation,
        vf_of: seen.vf_of.clone(),
        owner: Owner::manual(),
        netns: kernel.host_netns()?,
        ifname: String::new(),
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
        first: None,
        wanted: Wanted { no_reset: back.no_reset, ..Wanted::default() },
    })
}

/// What udev calls when a device has appeared. While somebody changes the number of VFs of its PF,
/// that one makes the bindings, and waiting for it would keep udev from the interfaces that it
/// waits for.
pub fn appeared<K: Kernel + Store + Surroundings>(kernel: &K, device: &DeviceId) -> Result<()> {
    let pf = kernel.inspect(device, None)?.vf_of.map(|of| of.pf);
    match kernel.lock_device(device, pf.as_ref(), Duration::ZERO) {
        Err(error) if error.kind() == Kind::Busy => Ok(()),
        guard => {
            drop(guard?);
            bind_persistent(kernel, device, &super::Silent).map(|_| ())
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
pub(super) fn bind_persistent_of<K: Kernel + Store + Surroundings>(
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

/// After a change of the number of a PF's VFs: bindings of VFs that went are forgotten, as is what
/// was begun with them; those that were made again are of the new ones.
pub(super) fn carry_over<K: Kernel + Store>(kernel: &K, pf: &DeviceId) -> Result<()> {
    let shelf = Shelf::Bindings;
    for stored in kernel.all_stored(shelf)? {
        let finished = matches!(stored, Stored::Attached(_));
        let Some(record) = stored.record() else { continue };
        if record.vf_of.as_ref().is_none_or(|of| of.pf != *pf) {
            continue;
        }
        let seen = kernel.inspect(&record.device, Some(&record.netns))?;
        let is_bound = seen.exists && seen.driver == record.wanted.driver;
        if !is_bound || !finished {
            kernel.forget(shelf, &record.device)?;
        } else if !record.is_of(&seen) {
            let record = Record { incarnation: seen.incarnation, ..record.clone() };
            kernel.begin(shelf, &record)?;
            kernel.commit(shelf, &record.device)?;
        }
    }
    Ok(())
}
