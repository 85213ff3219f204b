//! From "the VFs exist" to "they can be used": waiting for drivers, interfaces and names, and
//! putting settings back.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Job;
use crate::engine::{Kernel, unless_interrupted};
use crate::error::{Error, Kind, Result};
use crate::model::assemble::is_userspace_driver;
use crate::model::facts::Scope;
use crate::model::ids::VfIndex;
use crate::model::inventory::{Pf, Vf};
use crate::model::plan::numvfs::Plan;
use crate::model::plan::replay::{self, SavedVf, WantedDriver};
use crate::model::step::{Outcome, Step, Subject, VfRef};

/// A VF whose driver is bound and whose interface does not come in this time is bound again, once.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// Between two looks.
const POLL: Duration = Duration::from_millis(25);

/// The outcome of settling.
pub struct Settled {
    /// The PF as it is now.
    pub pf: Pf,
    /// Settings that were put back, as phrases.
    pub restored: Vec<String>,
    /// What could not be done.
    pub problems: Vec<Error>,
}

type Phase = fn(&Pf, &[SavedVf]) -> Vec<Step>;
/// The settings of VFs, by which part of them.
const PHASES: [Phase; 3] = [replay::pf_side, replay::netdevs, replay::macs_without_netdev];

impl<K: Kernel> Job<'_, K> {
    /// Waits, and puts back what the plan wants. An error means that a driver that was asked for
    /// (`bind_is_wish`) could not be bound; all else is a problem in the result.
    pub(super) fn settle(&self, plan: &Plan, bind_is_wish: bool) -> Result<Settled> {
        let mut problems = Vec::new();
        let mut restored = Vec::new();
        let wanted = &plan.wanted;
        if plan.expects_netdevs && self.options.wait && !bind_is_wish {
            problems.extend(self.wait_for_netdevs(plan)?);
        }
        let now = self.look()?;
        let mut refused = self.put_all_back(&now, wanted, !bind_is_wish, &mut restored);
        if bind_is_wish {
            self.bind_all(&replay::drivers(&now, wanted))?;
        }
        if plan.expects_netdevs && self.options.wait && bind_is_wish {
            problems.extend(self.wait_for_netdevs(plan)?);
            self.put_back(&replay::netdevs(&self.look()?, wanted), &mut restored, &mut refused);
        }
        let mut pf = self.look()?;
        if !refused.is_empty() {
            // Once more, what is not so yet: a refusal may have been of the moment.
            refused = self.put_all_back(&pf, wanted, !bind_is_wish, &mut restored);
            pf = self.look()?;
        }
        problems.append(&mut refused);
        if problems.is_empty() {
            problems.extend(self.not_taken(&pf, wanted));
        }
        Ok(Settled { pf, restored, problems })
    }

    pub(super) fn look(&self) -> Result<Pf> {
        let scope = Scope { change: true, all_classes: true, here_only: true, ..Scope::default() };
        let inventory = self.kernel.observe(scope)?;
        inventory.pfs.into_iter().find(|pf| pf.facts.device == self.device).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("{} ({}) has vanished", self.name, self.device))
                .device(self.name.clone())
        })
    }

    /// What is not so; returns what was refused. The MACs before the drivers: a user-space driver takes
    /// its MAC from the PF's setting.
    fn put_all_back(
        &self,
        now: &Pf,
        wanted: &[SavedVf],
        drivers_too: bool,
        restored: &mut Vec<String>,
    ) -> Vec<Error> {
        let mut refused = Vec::new();
        for phase in PHASES.into_iter().chain(drivers_too.then_some(replay::drivers as Phase)) {
            self.put_back(&phase(now, wanted), restored, &mut refused);
        }
        refused
    }

    fn put_back(&self, steps: &[Step], restored: &mut Vec<String>, problems: &mut Vec<Error>) {
        if !steps.is_empty() {
            self.progress.stage("putting settings back", steps.len() as u64);
        }
        for (done, step) in steps.iter().enumerate() {
            match self.kernel.apply(step, self.options.timeout) {
                Ok(Outcome::Changed) => restored.push(self.phrase(step)),
                Ok(Outcome::AlreadySo) => {}
                Err(error) if step.is_zero_mac() => {
                    self.progress.note(&format!("left as it is: {error}"));
                }
                Err(error) => problems.push(error),
            }
            self.progress.done(done as u64 + 1);
        }
    }

    fn bind_all(&self, steps: &[Step]) -> Result<()> {
        self.progress.stage("binding drivers", steps.len() as u64);
        for (done, step) in steps.iter().enumerate() {
            self.kernel.apply(step, self.options.timeout)?;
            self.progress.done(done as u64 + 1);
        }
        Ok(())
    }

    /// Settings that every write of was accepted and that still are not so: some drivers take a
    /// value and drop it.
    fn not_taken(&self, now: &Pf, wanted: &[SavedVf]) -> Vec<Error> {
        let steps = PHASES.iter().flat_map(|phase| phase(now, wanted));
        steps
            .filter(|step| !step.is_zero_mac())
            .map(|step| {
                Error::new(
                    Kind::Unsupported,
                    format!(
                        "could not {}: the driver accepted it, but it is not so",
                        self.phrase(&step)
                    ),
                )
                .device(self.name.clone())
            })
            .collect()
    }

    /// Waits until every VF has an interface whose name is final. Returns an error, as a problem,
    /// that names those without one when the time is up.
    fn wait_for_netdevs(&self, plan: &Plan) -> Result<Option<Error>> {
        // What shall have none, and is so already, never gets one.
        let has_all = |vf: &Vf| {
            let driver = vf.facts.driver.as_ref();
            let want = plan.wanted.iter().find(|want| want.index == vf.index());
            want.is_some_and(|want| match &want.driver {
                WantedDriver::None => driver.is_none(),
                WantedDriver::Named(name) => is_userspace_driver(name) && driver == Some(name),
                WantedDriver::Any | WantedDriver::Asked(_) => false,
            })
        };
        let begun = self.kernel.now();
        let mut rebound: BTreeSet<VfIndex> = BTreeSet::new();
        self.progress.stage("waiting for VF interfaces", u64::from(plan.after));
        loop {
            let pf = self.look()?;
            let late: Vec<&Vf> =
                pf.vfs.iter().filter(|vf| !self.is_ready(vf) && !has_all(vf)).collect();
            self.progress.done((pf.vfs.len() - late.len()) as u64);
            if late.is_empty() {
                return Ok(None);
            }
            // The way back creates nothing, and goes to its end.
            if !plan.create.is_empty() {
                unless_interrupted(self.progress)?;
            }
            let waited = self.kernel.now().saturating_sub(begun);
            if waited >= self.options.timeout {
                return Ok(Some(self.too_late(&pf, &late)));
            }
            if waited >= STUCK_AFTER.min(self.options.timeout / 2) {
                for vf in late.iter().filter(|vf| vf.netdevs.is_empty()) {
                    if rebound.insert(vf.index()) {
                        self.bind_again(vf);
                    }
                }
            }
            self.kernel.pause(POLL);
        }
    }

    fn is_ready(&self, vf: &Vf) -> bool {
        vf.netdev().is_some_and(|link| self.kernel.is_named(link.ifindex))
    }

    fn bind_again(&self, vf: &Vf) {
        let Some(driver) = vf.facts.driver.clone() else { return };
        let of = Subject::Vf(VfRef { pf: self.device.clone(), index: vf.index() });
        self.progress.note(&format!(
            "{}#{} has no interface yet; binding it to {driver} again",
            self.name,
            vf.index()
        ));
        let steps = [Step::Unbind { of: of.clone() }, Step::Bind { of, driver }];
        for step in &steps {
            if let Err(error) = self.kernel.apply(step, self.options.timeout) {
                self.progress.note(&error.to_string());
            }
        }
    }

    fn too_late(&self, pf: &Pf, late: &[&Vf]) -> Error {
        let lines = late.iter().map(|vf| {
            let name = pf.vf_name(vf.index());
            match (&vf.facts.driver, vf.netdev()) {
                (None, _) => format!("{name} has no driver"),
                (Some(driver), None) => format!("{name} has the driver {driver}, but no interface"),
                (Some(_), Some(link)) => {
                    format!("{name}: udev has not finished with {}", link.name)
                }
            }
        });
        let has_driver = late.iter().any(|vf| vf.facts.driver.is_some());
        Error::new(
            Kind::TimedOut,
            format!(
                "{} of the {} VFs of {} cannot be used yet after {} s",
                late.len(),
                pf.vfs.len(),
                self.name,
                self.options.timeout.as_secs_f32()
            ),
        )
        .device(self.name.clone())
        .details(lines.collect::<Vec<_>>())
        .hint(if has_driver {
            format!(
                "read the driver's reason: dmesg | tail; look again: sriovctl list-vfs {}",
                self.name
            )
        } else {
            format!("load the VF driver's module; look again: sriovctl list-vfs {}", self.name)
        })
    }
}
