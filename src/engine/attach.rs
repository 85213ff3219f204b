//! `attach`: picks a VF, writes down how it is, and hands it over; or leaves everything as it was.

use std::time::Duration;

use super::restore::restore;
use super::state::Drift;
use super::store::{Shelf, Store, Stored};
use super::{Kernel, Progress, Surroundings};
use crate::error::{Error, Kind, Result, libc_errno};
use crate::model::facts::Scope;
use crate::model::ids::DeviceId;
use crate::model::inventory::{Inventory, Pf, Vf};
use crate::model::plan::attach::{self, Moment, Plan, Refusal, Request};
use crate::model::plan::bind;
use crate::model::record::{NetnsId, Record, Wanted};
use crate::model::seen::{Seen, Target};
use crate::model::selector::Selector;
use crate::model::step::{Place, Step};

/// How long to wait for another change of the same device.
pub const LOCK_WAIT: Duration = Duration::from_secs(20);
/// How long one step may be held by the kernel.
pub(super) const STEP_WITHIN: Duration = Duration::from_secs(10);

/// How long a driver may take to make so what it accepted.
const SO_WITHIN: Duration = Duration::from_secs(3);
/// How long a driver may take to make an interface.
const DRIVEN_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// Which device.
#[derive(Debug, Clone)]
pub enum Choice {
    /// This VF.
    Vf(Selector),
    /// The PF itself.
    Pf(Selector),
    /// Any free VF of these PFs, or of those that are named one by one.
    AnyOf {
        /// Where from.
        pool: Vec<Selector>,
        /// Rather on this NUMA node.
        numa: Option<u32>,
    },
}

/// What was done, or would be.
#[derive(Debug)]
pub struct Attached {
    /// What the device is called on the host.
    pub name: String,
    /// What was written down.
    pub record: Record,
    /// The steps that were taken.
    pub steps: Vec<Step>,
    /// What was asked for and was so already.
    pub already_so: Vec<String>,
    /// The device as it is now; as it was, if nothing was done.
    pub seen: Seen,
}

/// Gives a device to a namespace; `dry_run` only tells how it would be done.
pub fn attach<K: Kernel + Store + Surroundings>(
    kernel: &K,
    choice: &Choice,
    netns: &NetnsId,
    request: &Request,
    dry_run: bool,
    progress: &dyn Progress,
) -> Result<Attached> {
    let inventory = kernel.observe(Scope { all_classes: true, ..Scope::default() })?;
    let (candidates, any) = candidates(&inventory, choice)?;
    let mut refused = Vec::new();
    for candidate in &candidates {
        let job = Job { kernel, netns, request, progress };
        // Of several, one that is being changed is passed over rather than waited for.
        let wait = if any { Duration::ZERO } else { LOCK_WAIT };
        match job.attach(candidate, wait, dry_run) {
            Err(Failed::Refused(error)) if any => refused.push(error),
            Err(Failed::Refused(error) | Failed::Broken(error)) => return Err(error),
            Ok(done) => return Ok(done),
        }
    }
    Err(nothing_free(choice, &refused))
}

fn nothing_free(choice: &Choice, refused: &[Error]) -> Error {
    let from = match choice {
        Choice::AnyOf { pool, .. } => {
            pool.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        Choice::Vf(one) | Choice::Pf(one) => one.to_string(),
    };
    Error::new(Kind::Busy, format!("no VF of {from} is free"))
        .details(refused.iter().map(ToString::to_string))
        .hint("see who has which: sriovctl list-vfs --in-use")
}

/// A device, and its PF if it is a VF.
type Candidate = (DeviceId, Option<DeviceId>);

/// Devices that may be taken, in the order to try them; whether any of them will do.
fn candidates(inventory: &Inventory, choice: &Choice) -> Result<(Vec<Candidate>, bool)> {
    let of = |pf: &Pf, vf: &Vf| {
        let device = vf.facts.device.clone().ok_or_else(|| {
            let name = pf.vf_name(vf.index());
            Error::new(Kind::Unsupported, format!("{name} has no device that could be moved"))
                .device(name)
        })?;
        Ok((device, Some(pf.facts.device.clone())))
    };
    match choice {
        Choice::Vf(selector) => match selector.vfs(inventory)?.as_slice() {
            [(pf, vf)] => Ok((vec![of(pf, vf)?], false)),
            [] => Err(Error::new(Kind::NotFound, format!("{selector} has no VFs"))
                .hint(format!("create some with: sriovctl set-numvfs {selector} N"))),
            many => Err(Error::new(
                Kind::Usage,
                format!("{selector} names {} VFs; this takes one", many.len()),
            )
            .hint(format!("name one, or take any free one: --pf {selector}"))),
        },
        Choice::Pf(selector) => {
            Ok((vec![(selector.pf(inventory)?.facts.device.clone(), None)], false))
        }
        Choice::AnyOf { pool, numa } => {
            let mut found: Vec<(&Pf, &Vf)> = Vec::new();
            for selector in pool {
                found.extend(selector.vfs(inventory)?);
            }
            // Spread: the PF with the fewest in use first, then by number; wished-for NUMA before all.
            let rank = |(pf, vf): &(&Pf, &Vf)| {
                let far = numa.is_some() && pf.facts.numa_node != *numa;
                (far, pf.vfs_in_use(), vf.index(), pf.facts.device.clone())
            };
            found.retain(|(_, vf)| vf.users.is_empty());
            found.sort_by_cached_key(rank);
            let devices: Result<Vec<_>> = found.into_iter().map(|(pf, vf)| of(pf, vf)).collect();
            Ok((devices?, true))
        }
    }
}

enum Failed {
    /// Nothing was done; another device may do.
    Refused(Error),
    /// It was begun.
    Broken(Error),
}

struct Job<'a, K> {
    kernel: &'a K,
    netns: &'a NetnsId,
    request: &'a Request,
    progress: &'a dyn Progress,
}

impl<K: Kernel + Store + Surroundings> Job<'_, K> {
    fn attach(
        &self,
        (device, pf): &Candidate,
        wait: Duration,
        dry_run: bool,
    ) -> std::result::Result<Attached, Failed> {
        let refused = Failed::Refused;
        let lock = || self.kernel.lock_device(device, pf.as_ref(), wait).map_err(refused);
        let _guard = if dry_run { None } else { Some(lock()?) };
        if let Some(pf) = pf {
            no_resize_begun(self.kernel, pf).map_err(refused)?;
        }
        let held = clear_the_way(self.kernel, device, dry_run, self.progress).map_err(refused)?;
        let seen = self.kernel.inspect(device, None).map_err(refused)?;
        let target = self.target().map_err(refused)?;
        let moment = self.kernel.moment().map_err(refused)?;
        let driver =
            self.request.driver.as_ref().filter(|driver| seen.driver.as_ref() != Some(driver));
        if let (Some(driver), None) = (driver, &held) {
            return self.attach_with(driver, seen, &target, &moment, dry_run);
        }
        let plan = attach::plan(self.request, &seen, &target, held.as_ref(), &moment)
            .map_err(|refusal| Failed::Refused(refusal_error(&seen, &target, &refusal)))?;
        if dry_run {
            return Ok(Attached {
                name: seen.name.clone(),
                record: plan.record,
                steps: plan.steps,
                already_so: plan.already_so,
                seen,
            });
        }
        self.kernel.begin(Shelf::Attachments, &plan.record).map_err(refused)?;
        match self.run(&plan, &seen) {
            Ok(now) => Ok(Attached {
                name: seen.name,
                record: plan.record,
                steps: plan.steps,
                already_so: plan.already_so,
                seen: now,
            }),
            Err(error) => {
                let (kernel, shelf) = (self.kernel, Shelf::Attachments);
                Err(Failed::Broken(undo(kernel, shelf, &plan.record, error, self.progress)))
            }
        }
    }

    /// With another driver for the time of the attachment: first the driver, then what that brings.
    fn attach_with(
        &self,
        driver: &str,
        seen: Seen,
        target: &Target,
        moment: &Moment,
        dry_run: bool,
    ) -> std::result::Result<Attached, Failed> {
        let kernel = self.kernel;
        let request = bind::Request {
            driver: driver.to_owned(),
            mac: self.request.mac,
            ..bind::Request::default()
        };
        let plan = super::bind::plan_for(kernel, &seen, &request).map_err(Failed::Refused)?;
        let record = Record {
            owner: self.request.owner.clone(),
            netns: target.netns.clone(),
            first: None,
            ..plan.record
        };
        if dry_run {
            let already_so = Vec::new();
            return Ok(Attached {
                name: seen.name.clone(),
                record,
                steps: plan.steps,
                already_so,
                seen,
            });
        }
        kernel.begin(Shelf::Attachments, &record).map_err(Failed::Refused)?;
        let broken =
            |error| Failed::Broken(undo(kernel, Shelf::Attachments, &record, error, self.progress));
        for step in &plan.steps {
            self.progress.stage(&step.to_string(), 0);
            kernel.apply(step, STEP_WITHIN).map_err(broken)?;
        }
        let seen = self.look_until_driven(&record).map_err(broken)?;
        let then = attach::plan(self.request, &seen, target, None, moment)
            .map_err(|refusal| broken(refusal_error(&seen, target, &refusal)))?;
        let wanted = Wanted { driver: Some(driver.to_owned()), ..then.record.wanted };
        let record = Record { original: record.original.clone(), wanted, ..then.record };
        let then = Plan { record, ..then };
        // What is undone is the same; what was set up is known now.
        kernel.begin(Shelf::Attachments, &then.record).map_err(broken)?;
        let now = self.run(&then, &seen).map_err(broken)?;
        let steps = plan.steps.into_iter().chain(then.steps).collect();
        Ok(Attached {
            name: seen.name,
            record: then.record,
            steps,
            already_so: then.already_so,
            seen: now,
        })
    }

    /// The device with its new driver, and the interface that a driver of the kernel's makes.
    fn look_until_driven(&self, record: &Record) -> Result<Seen> {
        let begun = self.kernel.now();
        loop {
            let seen = self.kernel.inspect(&record.device, Some(&record.netns))?;
            let late = self.kernel.now().saturating_sub(begun) >= DRIVEN_WITHIN;
            if seen.is_userspace() || seen.link.is_some() || late {
                return Ok(seen);
            }
            self.kernel.pause(POLL);
        }
    }

    /// The device as it is, and how that differs from what was asked for. Some drivers take a
    /// setting and make it so a little later (iavf: the MAC).
    fn look_until_so(&self, record: &Record) -> Result<(Seen, Vec<Drift>)> {
        let begun = self.kernel.now();
        loop {
            let now = self.kernel.inspect(&record.device, Some(&record.netns))?;
            let drift = super::state::drift(record, &now);
            if drift.is_empty() || self.kernel.now().saturating_sub(begun) >= SO_WITHIN {
                return Ok((now, drift));
            }
            self.kernel.pause(POLL);
        }
    }

    fn target(&self) -> Result<Target> {
        self.kernel.look_into(self.netns)?.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("the network namespace {} is gone", self.netns.path))
        })
    }

    fn run(&self, plan: &Plan, before: &Seen) -> Result<Seen> {
        for step in &plan.steps {
            let phrase = step.to_string().replace(&before.device.to_string(), &before.name);
            self.progress.stage(&phrase, 0);
            match self.kernel.apply(step, STEP_WITHIN) {
                Err(error) if step.is_zero_mac() => {
                    self.progress.note(&format!("left as it is: {error}"));
                }
                done => {
                    done?;
                }
            }
        }
        let (now, drift) = self.look_until_so(&plan.record)?;
        if let Some(first) = drift.first() {
            return Err(Error::new(
                Kind::Unsupported,
                format!("{}: {first}, though every step was accepted", before.name),
            )
            .device(before.name.clone()));
        }
        self.kernel.commit(Shelf::Attachments, &plan.record.device)?;
        self.kernel.announce(
            &plan.record.device,
            &plan.record.netns,
            &self.request.config.addresses,
        );
        Ok(now)
    }
}

/// VFs of a PF whose number was being changed when somebody died are not what they were.
pub(super) fn no_resize_begun<K: Store>(kernel: &K, pf: &DeviceId) -> Result<()> {
    if kernel.resizes()?.iter().any(|resize| resize.pf == *pf) {
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
pub(super) fn clear_the_way<K: Kernel + Store>(
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
            Shelf::Attachments => !of_this_boot || !finished || !has_it(kernel, &record)?,
            Shelf::Bindings => {
                let seen = kernel.inspect(device, Some(&record.netns))?;
                !of_this_boot || !finished || super::bind::is_over(&record, &seen)
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
pub(super) fn clear<K: Kernel + Store>(
    kernel: &K,
    shelf: Shelf,
    record: &Record,
    finished: bool,
    progress: &dyn Progress,
) -> Result<()> {
    let device = &record.device;
    let seen = kernel.inspect(device, Some(&record.netns))?;
    let is_binding = shelf == Shelf::Bindings;
    // Of another boot, or of a VF that was destroyed: those there are now are as their driver made
    // them. A binding that is complete was ended by other means, and is not to be undone.
    let of_another = record.boot_id != kernel.moment()?.boot_id
        || (is_binding && (finished || !record.is_of(&seen)));
    if !of_another {
        let problems = restore(kernel, record, progress)?;
        // The driver is back: that another interface has its name keeps nobody from using it.
        let only_names = is_binding && problems.iter().all(is_name_taken);
        if let Some(first) = problems.first().filter(|_| !only_names) {
            return Err(not_cleared(shelf, record, first, &problems));
        }
        for problem in &problems {
            progress.note(&problem.to_string());
        }
    }
    if finished {
        return kernel.forget(shelf, device);
    }
    kernel.abandon(shelf, device)?;
    // A binding that was being made followed another, which holds again; one that was being ended
    // has come to its end.
    if let Some(Stored::Attached(before)) = kernel.stored(shelf, device)? {
        let seen = kernel.inspect(device, Some(&before.netns))?;
        if !before.is_of(&seen) || seen.driver != before.wanted.driver {
            return kernel.forget(shelf, device);
        }
    }
    Ok(())
}

/// Whether nothing is wrong but that another interface has the name.
pub(super) fn is_name_taken(error: &Error) -> bool {
    error.errno() == Some(libc_errno::EEXIST)
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
pub(super) fn is_alive<K: Kernel>(kernel: &K, id: &NetnsId) -> Result<bool> {
    Ok(kernel.look_into(id)?.is_some()
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
pub(super) fn undo<K: Kernel + Store>(
    kernel: &K,
    shelf: Shelf,
    record: &Record,
    cause: Error,
    progress: &dyn Progress,
) -> Error {
    let problems = match restore(kernel, record, progress) {
        Ok(problems) if problems.is_empty() => match kernel.abandon(shelf, &record.device) {
            Ok(()) => return cause.detail(format!("{} is as it was before", record.device)),
            Err(error) => vec![error],
        },
        Ok(problems) => problems,
        Err(error) => vec![error],
    };
    let lines = problems.iter().map(|error| format!("not undone: {error}"));
    cause
        .details(lines.collect::<Vec<_>>())
        .detail(format!("finish it with: {}", finish(shelf, &record.device)))
}

/// The refusal in an administrator's words.
fn refusal_error(seen: &Seen, target: &Target, refusal: &Refusal) -> Error {
    let name = &seen.name;
    let path = &target.netns.path;
    let error = match refusal {
        Refusal::Held(record) => Error::new(
            Kind::Busy,
            format!(
                "{name} is already attached: {} has it as {} in {}",
                record.owner, record.ifname, record.netns.path
            ),
        )
        .hint(format!("give it back first: sriovctl detach {}", record.device)),
        Refusal::InUse(users) => {
            let users: Vec<String> = users.iter().map(ToString::to_string).collect();
            Error::new(Kind::Busy, format!("{name} is in use: {}", users.join(", ")))
                .hint("free it first, or take any free one with --pf")
        }
        Refusal::TargetIsHost => Error::new(
            Kind::Usage,
            format!("{path} is the host's own network namespace: there is nothing to attach to"),
        ),
        Refusal::NameTaken(taken) => {
            Error::new(Kind::Busy, format!("{path} has an interface called {taken} already"))
                .hint("choose another name with --name")
        }
        Refusal::NoDriver => {
            Error::new(Kind::Busy, format!("{name} has no driver, and so no interface"))
                .hint(format!("give it its own: sriovctl bind-dpdk --restore {}", seen.device))
        }
        Refusal::NoInterface(driver) => Error::new(
            Kind::Busy,
            format!("{name} has the driver {driver}, but no interface that can be seen"),
        ),
        Refusal::MtuAbovePf { mtu, pf_mtu } => Error::new(
            Kind::Usage,
            format!("an MTU of {mtu} on {name} is more than its PF's {pf_mtu}"),
        )
        .hint(format!(
            "raise the PF's first: ip link set {} mtu {mtu}",
            seen.pf_netdev.as_deref().unwrap_or("PF")
        )),
        Refusal::NeedsPf(attrs) => {
            let attrs: Vec<String> = attrs.iter().map(ToString::to_string).collect();
            Error::new(
                Kind::Unsupported,
                format!(
                    "{name} has no PF on this host, which alone could set: {}",
                    attrs.join(", ")
                ),
            )
        }
    };
    error.device(name.clone())
}

impl Attached {
    /// Where its interface is now.
    pub fn place(&self) -> Option<&Place> {
        self.seen.link.as_ref().map(|(at, _)| at)
    }
}
