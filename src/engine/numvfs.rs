//! `set-numvfs`: gives a PF a number of VFs, waits until they can be used, puts back what the old
//! ones were set to, and restores the former number when it cannot be done.

mod settle;

use std::time::Duration;

use super::store::{self, Shelf, Store};
use super::{Kernel, Progress, Surroundings, ToTheEnd, bind, unless_interrupted};
use crate::error::{Error, Kind, Result};
use crate::model::facts::Scope;
use crate::model::ids::DeviceId;
use crate::model::inventory::Pf;
use crate::model::plan::numvfs::{self, InUse, Plan, Refusal, Request};
use crate::model::plan::replay;
use crate::model::record::{FORMAT, Resize};
use crate::model::selector::Selector;
use crate::model::step::{Outcome, Step};

/// How long to wait for another change of the same PF.
const LOCK_WAIT: Duration = Duration::from_secs(20);
/// Bound of what recovery waits for.
const RECOVER_WITHIN: Duration = Duration::from_secs(60);

/// How patient to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bound of each write, and of the wait for the VFs.
    pub timeout: Duration,
    /// Whether to wait until the VFs have their interfaces.
    pub wait: bool,
}

/// A PF, and what would be done to it.
#[derive(Debug)]
pub struct Proposal {
    /// The PF as it is.
    pub pf: Pf,
    /// The plan, or why there is none.
    pub plan: std::result::Result<Plan, Refusal>,
}

/// What was done.
#[derive(Debug)]
pub struct Report {
    /// The PF as it is now.
    pub pf: Pf,
    /// The number of VFs it had.
    pub before: u32,
    /// Whether anything was changed.
    pub changed: bool,
    /// VFs in use that were destroyed.
    pub destroyed: Vec<InUse>,
    /// Settings that were put back, as phrases.
    pub restored: Vec<String>,
    /// VFs that were bound since they are whenever they appear, as phrases.
    pub bound: Vec<String>,
    /// What could not be put back, or came too late: the number of VFs is right all the same.
    pub problems: Vec<Error>,
}

/// Looks at the PF and decides, changing nothing.
pub fn propose<K: Kernel>(kernel: &K, selector: &Selector, request: &Request) -> Result<Proposal> {
    let scope = Scope { change: true, all_classes: true, ..Scope::default() };
    let inventory = kernel.observe(scope)?;
    let mut pf = selector.pf(&inventory)?.clone();
    // Of this PF alone: another one whose write is stuck would not answer.
    pf.facts.num_vfs = kernel.num_vfs(&pf.facts.device)?;
    let plan = numvfs::plan(&pf, request);
    Ok(Proposal { pf, plan })
}

/// Does it.
pub fn set<K: Kernel + Store + Surroundings>(
    kernel: &K,
    selector: &Selector,
    request: &Request,
    options: Options,
    progress: &dyn Progress,
) -> Result<Report> {
    let first = propose(kernel, selector, request)?;
    let begun = kernel.resizes()?.into_iter().find(|resize| resize.pf == first.pf.facts.device);
    if begun.is_some() {
        // What a former change left is no state to start from.
        recover(kernel, &first.pf.facts.device, progress)?;
        return set_anew(kernel, selector, request, options, progress);
    }
    let plan = first.plan.map_err(|refusal| refusal_error(&first.pf, &refusal))?;
    if plan.is_empty() {
        return Ok(Report::unchanged(first.pf));
    }
    let device = first.pf.facts.device;
    with_bindings(kernel, device, request, options, progress)
}

/// With the bindings that are made whenever a VF appears: unless a driver was asked for.
fn with_bindings<K: Kernel + Store + Surroundings>(
    kernel: &K,
    device: DeviceId,
    request: &Request,
    options: Options,
    progress: &dyn Progress,
) -> Result<Report> {
    let mut report = set_locked(kernel, device, request, options, progress)?;
    if request.driver.is_none() && !request.no_autoprobe {
        let (bound, problems) = bind::bind_persistent_of(kernel, &report.pf, &ToTheEnd(progress));
        report.bound = bound;
        report.problems.extend(problems);
    }
    Ok(report)
}

/// The same, once the way is clear.
fn set_anew<K: Kernel + Store + Surroundings>(
    kernel: &K,
    selector: &Selector,
    request: &Request,
    options: Options,
    progress: &dyn Progress,
) -> Result<Report> {
    let pf = propose(kernel, selector, request)?.pf;
    with_bindings(kernel, pf.facts.device, request, options, progress)
}

fn set_locked<K: Kernel + Store>(
    kernel: &K,
    device: DeviceId,
    request: &Request,
    options: Options,
    progress: &dyn Progress,
) -> Result<Report> {
    // Decided anew under the lock: what was seen before it may have changed meanwhile.
    let _guard = kernel.lock_pf(&device, LOCK_WAIT)?;
    undo_begun(kernel, &device, progress)?;
    bind::forget_gone(kernel, &device)?;
    let Proposal { pf, plan } = propose(kernel, &by_device(&device)?, request)?;
    let plan = plan.map_err(|refusal| refusal_error(&pf, &refusal))?;
    if plan.is_empty() {
        return Ok(Report::unchanged(pf));
    }
    let job = Job { kernel, device, name: pf.name(), options, progress };
    job.run_safely(&pf, &plan, request)
}

/// What was begun with a VF and cut off left it in no state to be kept; so did a detach that took its
/// driver away.
fn undo_begun<K: Kernel + Store>(kernel: &K, pf: &DeviceId, progress: &dyn Progress) -> Result<()> {
    for shelf in Shelf::ALL {
        for (record, finished) in store::of_pf(kernel, shelf, pf)? {
            let is_bare = kernel.inspect(&record.device, Some(&record.netns))?.driver.is_none();
            let was_driven = record.original.driver.is_some();
            let is_halfway = shelf == Shelf::Attachments && is_bare && was_driven;
            if finished && !is_halfway {
                continue;
            }
            match super::attach::clear(kernel, shelf, &record, finished, progress) {
                // Whoever goes on all the same has said so.
                Err(error) if shelf == Shelf::Attachments => progress.note(&error.to_string()),
                done => done?,
            }
        }
    }
    Ok(())
}

/// The selector that names just this device.
pub fn by_device(device: &DeviceId) -> Result<Selector> {
    Selector::of_device(device).map_err(|error| Error::new(Kind::Failed, error))
}

impl Report {
    fn unchanged(pf: Pf) -> Self {
        Self {
            before: pf.num_vfs(),
            pf,
            changed: false,
            destroyed: Vec::new(),
            restored: Vec::new(),
            bound: Vec::new(),
            problems: Vec::new(),
        }
    }
}

/// One change of one PF.
struct Job<'a, K: Kernel> {
    kernel: &'a K,
    device: DeviceId,
    name: String,
    options: Options,
    progress: &'a dyn Progress,
}

/// Finishes a change that was cut off: the former VFs come back, as they were. Nothing is done if
/// there is none.
pub fn recover<K: Kernel + Store>(
    kernel: &K,
    device: &DeviceId,
    progress: &dyn Progress,
) -> Result<()> {
    let _guard = kernel.lock_pf(device, LOCK_WAIT)?;
    let Some(resize) = kernel.resizes()?.into_iter().find(|resize| resize.pf == *device) else {
        return Ok(());
    };
    if !resize.ended && resize.boot_id == kernel.moment()?.boot_id {
        let name = device.to_string();
        let options = Options { timeout: RECOVER_WITHIN, wait: true };
        let job = Job { kernel, device: device.clone(), name, options, progress };
        progress.note(&format!(
            "a change of the VFs of {device} was cut off; restoring the former ones"
        ));
        let problems = job.restore_former(&Plan::back_to(&resize));
        if !problems.is_empty() {
            let message = format!("the former VFs of {device} could not be restored");
            return Err(Error::new(Kind::Partial, message)
                .device(device.to_string())
                .details(problems.iter().map(ToString::to_string)));
        }
        bind::carry_over(kernel, device)?;
    }
    kernel.end_resize(device)?;
    bind::forget_gone(kernel, device)
}

impl<K: Kernel + Store> Job<'_, K> {
    /// Writes down what would be lost, makes the change, and forgets what was written once it is
    /// no longer needed.
    fn run_safely(&self, pf: &Pf, plan: &Plan, request: &Request) -> Result<Report> {
        let moment = self.kernel.moment()?;
        let mut resize = Resize {
            format: FORMAT,
            boot_id: moment.boot_id,
            since: moment.time,
            pf: self.device.clone(),
            before: plan.before,
            autoprobe: pf.facts.autoprobe,
            saved: plan.saved.clone(),
            ended: false,
        };
        self.kernel.begin_resize(&resize)?;
        let result = self.run(plan, request);
        let lost = result
            .as_ref()
            .is_err_and(|error| error.detail_lines().iter().any(|line| is_lost(line)));
        if lost {
            return result;
        }
        if let Err(error) = self.carry_over() {
            return Err(match result {
                Ok(_) => error,
                Err(cause) => error.detail(format!("before that: {cause}")),
            });
        }
        let left: Vec<Error> = match self.end(&mut resize) {
            // What is left of them holds no longer, and goes before the next change at the latest.
            Ok(left) => {
                left.into_iter().chain(bind::forget_gone(self.kernel, &self.device).err()).collect()
            }
            Err(error) => vec![error],
        };
        match result {
            Ok(mut report) => {
                report.problems.extend(left);
                Ok(report)
            }
            Err(cause) => Err(cause.details(left.iter().map(ToString::to_string))),
        }
    }

    /// Of former VFs that came back too: they are new ones.
    fn carry_over(&self) -> Result<()> {
        bind::carry_over(self.kernel, &self.device).map_err(|error| {
            error.detail(format!(
                "the bindings of the VFs of {} could not be carried over to the new ones: \
                 inspect-state --repair restores the former VFs",
                self.name
            ))
        })
    }

    /// Forgets what was written down. Where that cannot be, it shall at least say that nothing is to
    /// come back; returns what is left then.
    fn end(&self, resize: &mut Resize) -> Result<Option<Error>> {
        let Err(error) = self.kernel.end_resize(&self.device) else { return Ok(None) };
        resize.ended = true;
        let name = &self.name;
        if self.kernel.begin_resize(resize).is_ok() {
            let what = format!(
                "what was written down of this change of {name} is left, and says that it ended"
            );
            return Ok(Some(
                error.detail(what).hint("remove it with: sriovctl inspect-state --repair"),
            ));
        }
        Err(error.detail(format!(
            "what was written down of this change of {name} could not be removed: \
             inspect-state --repair would restore the former VFs"
        )))
    }
}

/// How an error says that the former VFs did not come back.
const NOT_RESTORED: &str = "not restored: ";

fn is_lost(line: &str) -> bool {
    line.starts_with(NOT_RESTORED)
}

impl<K: Kernel> Job<'_, K> {
    fn run(&self, plan: &Plan, request: &Request) -> Result<Report> {
        if let Err((error, changed)) = self.create(&plan.create) {
            // A write that still waits in the kernel holds the device: any other would wait too.
            let stuck = error.kind() == Kind::TimedOut;
            if stuck {
                return Err(error.details(plan.destroys.iter().map(InUse::to_string)));
            }
            return Err(if changed { self.roll_back(plan, error) } else { error });
        }
        let settled = match self.settle(plan, request.driver.is_some()) {
            Ok(settled) => settled,
            Err(error) => return Err(self.roll_back(plan, error)),
        };
        Ok(Report {
            pf: settled.pf,
            before: plan.before,
            changed: true,
            destroyed: plan.destroys.clone(),
            restored: settled.restored,
            bound: Vec::new(),
            problems: settled.problems,
        })
    }

    /// Runs steps; an error comes with whether anything was changed before it.
    fn create(&self, steps: &[Step]) -> std::result::Result<(), (Error, bool)> {
        let mut changed = false;
        for step in steps {
            unless_interrupted(self.progress).map_err(|error| {
                let error = error.device(self.name.clone());
                (if changed { error } else { error.detail("nothing was changed") }, changed)
            })?;
            self.progress.stage(&self.phrase(step), 0);
            match self.kernel.apply(step, self.options.timeout) {
                Ok(outcome) => changed |= outcome == Outcome::Changed,
                Err(error) => return Err((error, changed || self.has_changed(step))),
            }
        }
        Ok(())
    }

    /// Whether a failed write changed the number all the same: a driver that fails half-way leaves
    /// none.
    fn has_changed(&self, step: &Step) -> bool {
        let Step::SetNumVfs { count: 0, .. } = step else {
            return matches!(step, Step::SetNumVfs { .. })
                && self.look().is_ok_and(|pf| !pf.vfs.is_empty());
        };
        self.look().is_ok_and(|pf| pf.vfs.is_empty())
    }

    fn phrase(&self, step: &Step) -> String {
        step.to_string().replace(&self.device.to_string(), &self.name)
    }

    /// The former number of VFs with their former settings, and `cause` saying how that went.
    fn roll_back(&self, plan: &Plan, cause: Error) -> Error {
        self.progress.note("it failed; restoring the former VFs");
        let problems = self.restore_former(plan);
        if problems.is_empty() {
            let were = match plan.before {
                0 => format!("{} has no VFs, as before", self.name),
                n => {
                    format!("the former {n} VFs of {} were restored with their settings", self.name)
                }
            };
            return cause.detail(were);
        }
        let lines = problems.iter().map(|error| format!("{NOT_RESTORED}{error}"));
        cause
            .details(lines.collect::<Vec<_>>())
            .hint("try to get them back with: sriovctl inspect-state --repair")
    }

    fn restore_former(&self, plan: &Plan) -> Vec<Error> {
        let mut problems = Vec::new();
        for step in &plan.rollback {
            if let Err(error) = self.kernel.apply(step, self.options.timeout) {
                problems.push(error);
            }
        }
        let before = Plan {
            after: plan.before,
            create: Vec::new(),
            wanted: plan.saved.clone(),
            expects_netdevs: plan.saved.iter().any(|vf| vf.name.is_some()),
            ..plan.clone()
        };
        match self.settle(&before, false) {
            Ok(settled) => problems.extend(settled.problems),
            Err(error) => problems.push(error),
        }
        problems
    }
}

/// Steps for settings that will be put back, as far as can be told beforehand.
pub fn replay_preview(pf: &Pf, plan: &Plan) -> Vec<Step> {
    let fresh = replay::freshly_made(pf, &plan.wanted);
    let mut steps = replay::pf_side(&fresh, &plan.wanted);
    steps.extend(replay::netdevs(&fresh, &plan.wanted));
    steps.extend(replay::macs_without_netdev(&fresh, &plan.wanted));
    steps.extend(replay::drivers(&fresh, &plan.wanted));
    steps
}

/// The refusal in an administrator's words.
pub fn refusal_error(pf: &Pf, refusal: &Refusal) -> Error {
    let name = pf.name();
    let address = &pf.facts.device;
    let error = match refusal {
        Refusal::TooMany { count, total: 0 } => {
            let error = Error::new(
                Kind::Busy,
                format!("{name} ({address}) can have no VFs: the device offers none, so not {count}"),
            );
            match pf.facts.driver.as_deref() {
                Some("mlx5_core" | "mlx4_core") => error.hint(format!(
                    "switch SR-IOV on in its firmware: mstconfig -d {address} set SRIOV_EN=1 NUM_OF_VFS=N, then reboot"
                )),
                _ => error.hint("switch SR-IOV on in the firmware setup of this machine"),
            }
        }
        Refusal::TooMany { count, total } => Error::new(
            Kind::Busy,
            format!("{name} ({address}) can have at most {total} VFs, not {count}"),
        )
        .hint(format!("ask for at most {total}: sriovctl set-numvfs {name} {total}")),
        Refusal::NoDriver => Error::new(
            Kind::Busy,
            format!("{name} has no driver, and only its driver can create VFs"),
        )
        .hint(format!("bind its driver: echo {address} > /sys/bus/{}/drivers/DRIVER/bind", address.bus())),
        Refusal::Down => Error::new(
            Kind::Busy,
            format!(
                "{name} is down: its driver {} creates VFs only while it is up",
                pf.facts.driver.as_deref().unwrap_or("")
            ),
        )
        .hint(format!("bring it up: ip link set {name} up")),
        Refusal::Away(netns) => Error::new(
            Kind::Busy,
            format!("{name} is in the network namespace {netns}: what its VFs are set to would be lost"),
        )
        .hint("move it back to the host first"),
        Refusal::NoVfDevices => Error::new(
            Kind::Unsupported,
            format!("the VFs of {name} are no devices that a driver could be bound to"),
        )
        .hint("leave --driver away"),
        Refusal::InUse(vfs) => Error::new(
            Kind::Busy,
            format!(
                "{} of the {} VFs of {name} {} in use, and a change of their number destroys all of them",
                vfs.len(),
                pf.vfs.len(),
                if vfs.len() == 1 { "is" } else { "are" }
            ),
        )
        .details(vfs.iter().map(InUse::to_string))
        .hint("free them, or destroy them with --force"),
    };
    error.device(name)
}
