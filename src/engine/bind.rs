//! `bind-dpdk`: gives a device another driver, and writes down how it was; or leaves it as it was.
//!
//! A binding has a record of its own beside that of an attachment: a VF that was bound may be
//! attached to a container later, and is given back to the binding then.

mod back;
mod persist;
pub(super) mod state;
mod words;

use std::time::Duration;

pub use self::back::{back, propose_back};
pub use self::persist::appeared;
pub(super) use self::persist::{bind_persistent_of, carry_over, forget_gone};

use self::words::refusal_error;
use super::attach::{LOCK_WAIT, STEP_WITHIN, clear_the_way, no_resize_begun, undo};
use super::store::{Shelf, Store, Stored};
use super::{Account, Kernel, Progress, Surroundings, unless_interrupted};
use crate::error::{Error, Kind, Result};
use crate::model::assemble::is_userspace_driver;
use crate::model::binding::{Ground, NoIommu, Platform};
use crate::model::ids::DeviceId;
use crate::model::link::VfSettings;
use crate::model::plan::bind::{self, Plan, Request, Sight};
use crate::model::record::Record;
use crate::model::seen::Seen;
use crate::model::step::{NodeAccess, Outcome, Step};
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

/// Who may open a device's nodes, by names or numbers: `USER`, `USER:GROUP`, `:GROUP`; what says so is
/// called `option`.
pub fn node_access<K: Surroundings>(
    kernel: &K,
    owner: Option<&str>,
    mode: Option<u32>,
    option: &str,
) -> Result<Option<NodeAccess>> {
    let mut access = NodeAccess { mode, ..NodeAccess::default() };
    if let Some(owner) = owner {
        let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
        let number =
            |name: &str, kind| (!name.is_empty()).then(|| kernel.account(name, kind)).transpose();
        access.uid = number(user, Account::User)?;
        access.gid = number(group, Account::Group)?;
        if access.uid.is_none() && access.gid.is_none() {
            return Err(Error::new(Kind::Usage, format!("\"{owner}\" names nobody"))
                .hint(format!("give {option} USER, USER:GROUP or :GROUP")));
        }
        // A group that may not open it gains nothing.
        access.mode = access.mode.or(access.gid.map(|_| 0o660));
    }
    Ok(Some(access).filter(|access| *access != NodeAccess::default()))
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
pub(super) fn current<K: Kernel + Store>(kernel: &K, device: &DeviceId) -> Result<Option<Record>> {
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
        unless_interrupted(progress)?;
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
