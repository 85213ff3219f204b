//! `attach`: picks a VF, writes down how it is, and hands it over; or leaves everything as it was.

mod address;
mod choose;
mod clear;
mod pool;
mod ports;
mod words;

use std::time::Duration;

pub use self::address::configure;
use self::choose::{Candidate, candidates, named, nothing_free};
pub(super) use self::clear::{clear, clear_the_way, is_alive, no_resize_begun, undo, untell};
pub use self::clear::{is_left_over, is_over};
pub use self::pool::has_free;
use self::pool::{Tried, first};
pub(super) use self::ports::clear_ports;
use self::words::refusal_error;
use super::state::Drift;
use super::store::{Shelf, Store};
use super::{Kernel, Progress, Surroundings, unless_interrupted};
use crate::error::{Error, Kind, Result};
use crate::model::facts::Scope;
use crate::model::ids::DeviceId;
use crate::model::plan::attach::{self, Moment, Plan, Refusal, Request};
use crate::model::plan::bind;
use crate::model::record::{NetnsId, Record, Wanted};
use crate::model::seen::{Seen, Target};
use crate::model::selector::Selector;
use crate::model::step::{IpConfig, Place, Step};

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
    /// Its further ports, which went with it.
    pub ports: Vec<Attached>,
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
    let job = Job { kernel, netns, request, progress };
    if let Choice::AnyOf { pool, numa } = choice {
        let attempt = |candidate: &Candidate| match job.attach(candidate, Duration::ZERO, dry_run) {
            Ok(done) => Ok(Tried::Has(done)),
            Err(Failed::Locked(_)) => Ok(Tried::Passed),
            Err(Failed::Refused(_)) => Ok(Tried::InVain),
            Err(failed) => Err(failed.into_error()),
        };
        if let Some(done) = first(kernel, pool, *numa, attempt)? {
            return Ok(done);
        }
    }
    let (candidates, any) = if let Some(one) = named(kernel, choice) {
        (vec![one], false)
    } else {
        let scope = Scope { all_classes: true, ..Scope::default() };
        candidates(kernel, &kernel.observe(scope)?, choice)?
    };
    let mut refused = Vec::new();
    for candidate in &candidates {
        // Of several, one that is being changed is passed over rather than waited for.
        let wait = if any { Duration::ZERO } else { LOCK_WAIT };
        match job.attach(candidate, wait, dry_run) {
            Err(Failed::Locked(error) | Failed::Refused(error)) if any => refused.push(error),
            Err(failed) => return Err(failed.into_error()),
            Ok(done) => return Ok(done),
        }
    }
    Err(nothing_free(choice, &refused))
}

enum Failed {
    /// Somebody else is changing it.
    Locked(Error),
    /// Nothing was done; another device may do.
    Refused(Error),
    /// Nothing was done, and no other device would do.
    Hopeless(Error),
    /// It was begun.
    Broken(Error),
}

impl Failed {
    fn into_error(self) -> Error {
        match self {
            Self::Locked(error)
            | Self::Refused(error)
            | Self::Hopeless(error)
            | Self::Broken(error) => error,
        }
    }
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
        let lock = || self.kernel.lock_device(device, pf.as_ref(), wait).map_err(Failed::Locked);
        let _guard = if dry_run { None } else { Some(lock()?) };
        if let Some(pf) = pf {
            no_resize_begun(self.kernel, pf).map_err(refused)?;
        }
        self.attach_locked(device, dry_run)
    }

    fn attach_locked(
        &self,
        device: &DeviceId,
        dry_run: bool,
    ) -> std::result::Result<Attached, Failed> {
        let refused = Failed::Refused;
        let held = clear_the_way(self.kernel, device, dry_run, self.progress).map_err(refused)?;
        let seen = self.kernel.inspect(device, None).map_err(refused)?;
        let target = self.target(&seen).map_err(Failed::Hopeless)?;
        let moment = self.kernel.moment().map_err(refused)?;
        let driver =
            self.request.driver.as_ref().filter(|driver| seen.driver.as_ref() != Some(driver));
        if let (Some(driver), None) = (driver, &held) {
            return self.attach_with(driver, seen, &target, &moment, dry_run);
        }
        let plan = attach::plan(self.request, &seen, &target, held.as_ref(), &moment)
            .map_err(|refusal| self.refused(&seen, &target, &refusal))?;
        if dry_run {
            return Ok(Attached {
                name: seen.name.clone(),
                ports: self.attach_ports(&plan.record, dry_run).map_err(refused)?,
                record: plan.record,
                steps: plan.steps,
                already_so: plan.already_so,
                seen,
            });
        }
        self.kernel.begin(Shelf::Attachments, &plan.record).map_err(refused)?;
        match self.run(&plan, &seen) {
            Ok((now, ports)) => Ok(Attached {
                name: seen.name,
                record: plan.record,
                steps: plan.steps,
                already_so: plan.already_so,
                seen: now,
                ports,
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
                ports: Vec::new(),
            });
        }
        kernel.begin(Shelf::Attachments, &record).map_err(Failed::Refused)?;
        let broken =
            |error| Failed::Broken(undo(kernel, Shelf::Attachments, &record, error, self.progress));
        for step in &plan.steps {
            unless_interrupted(self.progress).map_err(broken)?;
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
        let (now, ports) = self.run(&then, &seen).map_err(broken)?;
        let steps = plan.steps.into_iter().chain(then.steps).collect();
        Ok(Attached {
            name: seen.name,
            record: then.record,
            steps,
            already_so: then.already_so,
            seen: now,
            ports,
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
    fn look_until_so(&self, record: &Record, before: &Seen) -> Result<(Seen, Vec<Drift>)> {
        let begun = self.kernel.now();
        let with_ip = record.wanted.config != IpConfig::default();
        loop {
            let now = self.kernel.inspect_moved(before, &record.netns, &record.ifname, with_ip)?;
            let drift = super::state::drift(record, &now);
            if drift.is_empty() || self.kernel.now().saturating_sub(begun) >= SO_WITHIN {
                return Ok((now, drift));
            }
            self.kernel.pause(POLL);
        }
    }

    fn refused(&self, seen: &Seen, target: &Target, refusal: &Refusal) -> Failed {
        let error = refusal_error(seen, target, refusal);
        match refusal {
            Refusal::TargetIsHost => Failed::Hopeless(error),
            // Of a further port the next device may have none, and unnamed each comes with its own.
            Refusal::NameTaken(taken)
                if self.request.name.as_ref().is_some_and(|name| name.as_str() == taken) =>
            {
                Failed::Hopeless(error)
            }
            _ => Failed::Refused(error),
        }
    }

    fn target(&self, seen: &Seen) -> Result<Target> {
        let names = attach::names(self.request, seen);
        self.kernel.look_into(self.netns, &names)?.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("the network namespace {} is gone", self.netns.path))
        })
    }

    fn run(&self, plan: &Plan, before: &Seen) -> Result<(Seen, Vec<Attached>)> {
        for steps in plan.steps.chunk_by(|one, next| one.is_vf_setting() && next.is_vf_setting()) {
            unless_interrupted(self.progress)?;
            for step in steps {
                let phrase = step.to_string().replace(&before.device.to_string(), &before.name);
                self.progress.stage(&phrase, 0);
            }
            if steps.len() < 2 || !self.kernel.apply_at_once(steps) {
                self.one_by_one(steps)?;
            }
        }
        let now = self.settle(&plan.record, before)?;
        let ports = self.attach_ports(&plan.record, false)?;
        self.conclude(&plan.record)?;
        Ok((now, ports))
    }

    fn one_by_one(&self, steps: &[Step]) -> Result<()> {
        for step in steps {
            unless_interrupted(self.progress)?;
            match self.kernel.apply(step, STEP_WITHIN) {
                Err(error) if step.is_zero_mac() => {
                    self.progress.note(&format!("left as it is: {error}"));
                }
                done => {
                    done?;
                }
            }
        }
        Ok(())
    }

    /// Looks whether everything is as it was asked for.
    fn settle(&self, record: &Record, before: &Seen) -> Result<Seen> {
        let (now, drift) = self.look_until_so(record, before)?;
        let Some(first) = drift.first() else { return Ok(now) };
        let name = &before.name;
        let message = format!("{name}: {first}, though every step was accepted");
        Err(Error::new(Kind::Unsupported, message).device(name.clone()))
    }

    /// Makes the journal the record.
    fn conclude(&self, record: &Record) -> Result<()> {
        self.kernel.commit(Shelf::Attachments, &record.device)?;
        self.kernel.announce(&record.device, &record.netns, &record.wanted.config.addresses);
        Ok(())
    }
}

impl Attached {
    /// Where its interface is now.
    pub fn place(&self) -> Option<&Place> {
        self.seen.link.as_ref().map(|(at, _)| at)
    }
}
