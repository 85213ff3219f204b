//! `apply`: makes a host what files say, by the same verbs that a person would use. What is so already
//! is not touched; what is known to be impossible keeps everything from being changed, unless the rest
//! is wanted all the same.

mod vfs;

use std::time::Duration;

use self::vfs::Todo;
use super::attach::clear_the_way;
use super::store::{Shelf, Store, of_pf};
use super::{Kernel, Progress, Surroundings, numvfs, unless_interrupted};
use crate::error::{Error, Kind, Result};
use crate::model::facts::Scope;
use crate::model::ids::DeviceId;
use crate::model::plan::apply::{self as plan, Change, PfPlan, Resolved, Target};
use crate::model::plan::bind::Session;
use crate::model::plan::numvfs::Request;
use crate::model::spec::Spec;
use crate::model::step::Step;

const POLL: Duration = Duration::from_millis(200);
const FOR_OPTIONAL: Duration = Duration::from_secs(5);
const LOCK_WAIT: Duration = Duration::from_secs(20);

/// How it is done.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bound of each change.
    pub timeout: Duration,
    /// How long to wait for PFs that are not there yet, or have no driver.
    pub wait: Duration,
    /// Destroy VFs that are in use where their number changes, and bind what the host uses.
    pub force: bool,
    /// Do the rest, where something is known to be impossible.
    pub keep_going: bool,
    /// Only tell.
    pub dry_run: bool,
    /// Where the caller's SSH session arrives.
    pub session: Option<Session>,
}

/// What was done, or would be.
#[derive(Debug, Default)]
pub struct Report {
    /// Whether it was only told.
    pub dry_run: bool,
    /// How many PFs the files speak of.
    pub pfs: usize,
    /// What is, or would be, other than before.
    pub changes: Vec<Change>,
    /// What else there is to know.
    pub notes: Vec<String>,
    /// What could not be done.
    pub problems: Vec<Error>,
}

/// What would be done about a PF.
struct Proposal {
    target: Target,
    plan: PfPlan,
    vfs: Vec<Todo>,
}

impl Proposal {
    fn is_empty(&self) -> bool {
        self.plan.is_empty() && self.vfs.iter().all(|todo| todo.changes.is_empty())
    }
}

/// What a decision must know, and who else manages a PF.
const SCOPE: Scope = Scope { wide: true, change: true, all_classes: true, ..Scope::NOTHING };

/// Makes the host so.
pub fn apply<K: Kernel + Store + Surroundings>(
    kernel: &K,
    specs: &[(String, Spec)],
    options: &Options,
    progress: &dyn Progress,
) -> Result<Report> {
    let mut resolved = await_pfs(kernel, specs, options, progress)?;
    let job = Job { kernel, options, progress };
    let mut left = Vec::new();
    let is_fine = resolved.refused.is_empty() || options.keep_going;
    // What a program that died left is no state to start from.
    if !options.dry_run && is_fine {
        let undone = job.undo_begun(&mut resolved.targets, &mut left);
        if undone {
            let here: Vec<_> = resolved.targets.iter().map(|t| t.pf.facts.device.clone()).collect();
            resolved = plan::resolve(&kernel.observe(SCOPE)?, specs);
            resolved.targets.retain(|target| here.contains(&target.pf.facts.device));
        }
    }
    let mut report = Report { dry_run: options.dry_run, ..Report::default() };
    for (place, name) in &resolved.missing {
        report.notes.push(format!("{place}: {name} is not there, and need not be"));
    }
    let refused = resolved.refused.into_iter().map(|(place, refusal)| refusal.error(&place));
    let mut problems: Vec<Error> = left.into_iter().chain(refused).collect();
    report.pfs = resolved.targets.len();
    let mut proposals = Vec::new();
    for target in resolved.targets {
        match job.propose(target) {
            Ok((proposal, refused)) => {
                problems.extend(refused);
                proposals.push(proposal);
            }
            Err(error) => problems.push(error),
        }
    }
    if !problems.is_empty() && !options.keep_going {
        return Err(all_refused(&problems));
    }
    report.problems = problems;
    for proposal in proposals.into_iter().filter(|proposal| !proposal.is_empty()) {
        report.notes.extend(other_managers(&proposal.target));
        if options.dry_run {
            report.would(proposal);
        } else if let Err(error) = unless_interrupted(progress) {
            let hint = "run it again for the rest";
            report.problems.push(error.device(proposal.target.pf.name()).hint(hint));
            break;
        } else {
            job.run(proposal, &mut report);
        }
    }
    Ok(report)
}

/// Refuses files of which two speak of one PF.
pub fn must_fit_together<K: Kernel>(kernel: &K, specs: &[(String, Spec)]) -> Result<()> {
    let resolved = plan::resolve(&kernel.observe(SCOPE)?, specs);
    let is_twice =
        |(_, refusal): &(String, plan::Refusal)| matches!(refusal, plan::Refusal::Twice { .. });
    match resolved.refused.into_iter().find(is_twice) {
        Some((place, refusal)) => Err(refusal.error(&place)),
        None => Ok(()),
    }
}

/// Looks until every PF is there and has its driver, as far as somebody waits for that.
fn await_pfs<K: Kernel>(
    kernel: &K,
    specs: &[(String, Spec)],
    options: &Options,
    progress: &dyn Progress,
) -> Result<Resolved> {
    let begun = kernel.now();
    loop {
        let inventory = kernel.observe(SCOPE)?;
        let resolved = plan::resolve(&inventory, specs);
        let is_awaited = |(_, refusal): &(String, plan::Refusal)| {
            use crate::model::selector::SelectError;
            let unknown = matches!(refusal, plan::Refusal::Select(SelectError::Unknown { .. }));
            unknown || matches!(refusal, plan::Refusal::NoDriver(_))
        };
        let has_none = |target: &Target| {
            let wants = target.spec.mtu.is_some() || target.spec.up.is_some();
            wants && target.pf.netdev().is_none()
        };
        let must_come =
            resolved.refused.iter().any(is_awaited) || resolved.targets.iter().any(has_none);
        let may_come = must_come || !resolved.missing.is_empty();
        // What need not be there is not waited for as long.
        let wait = if must_come { options.wait } else { options.wait.min(FOR_OPTIONAL) };
        let is_late = kernel.now().saturating_sub(begun) >= wait;
        if !may_come || is_late || progress.is_interrupted() {
            return Ok(resolved);
        }
        progress.stage("wait for PFs that are not there yet", 0);
        kernel.pause(POLL);
    }
}

/// Who else may set this PF's VFs.
fn other_managers(target: &Target) -> Option<String> {
    let others = target.pf.facts.managed_by.join(", ");
    let name = target.pf.name();
    (!others.is_empty()).then(|| {
        format!(
            "{name} is managed by {others} too, and may be changed back: sriovctl doctor {name}"
        )
    })
}

/// Errors as one, where nothing was changed.
fn all_refused(problems: &[Error]) -> Error {
    match problems {
        [one] => one.clone().detail("nothing was changed"),
        many => {
            let text =
                format!("{} things cannot be as the file says; nothing was changed", many.len());
            Error::new(many[0].kind(), text)
                .details(many.iter().flat_map(|error| error.lines(true)))
                .hint("do the rest all the same with --keep-going")
        }
    }
}

/// What could not be done, as one error.
pub fn shortcoming(report: &Report) -> Option<Error> {
    let first = report.problems.first()?;
    let was_done = !report.dry_run && !report.changes.is_empty();
    let error = match report.problems.as_slice() {
        [one] => one.clone(),
        many => {
            let text = format!("{} things are not as the file says", many.len());
            Error::new(first.kind(), text).details(many.iter().flat_map(|error| error.lines(true)))
        }
    };
    Some(if was_done { error.with_kind(Kind::Partial) } else { error })
}

impl Report {
    fn would(&mut self, proposal: Proposal) {
        self.changes.extend(proposal.plan.steps.into_iter().map(|(change, _)| change));
        self.changes.extend(proposal.plan.count.map(|(_, change)| change));
        self.changes.extend(proposal.vfs.into_iter().flat_map(|todo| todo.changes));
    }
}

struct Job<'a, K> {
    kernel: &'a K,
    options: &'a Options,
    progress: &'a dyn Progress,
}

impl<K: Kernel + Store + Surroundings> Job<'_, K> {
    /// Undoes what was begun with these PFs and their VFs and cut off; whether there was any. A PF where
    /// that cannot be is left out.
    fn undo_begun(&self, targets: &mut Vec<Target>, problems: &mut Vec<Error>) -> bool {
        let mut found = false;
        targets.retain(|target| match self.undo_begun_of(&target.pf.facts.device) {
            Ok(any) => {
                found |= any;
                true
            }
            Err(error) => {
                problems.push(error);
                false
            }
        });
        found
    }

    fn undo_begun_of(&self, pf: &DeviceId) -> Result<bool> {
        let mut found = false;
        if self.kernel.resizes()?.iter().any(|resize| resize.pf == *pf) {
            numvfs::recover(self.kernel, pf, self.progress)?;
            found = true;
        }
        for shelf in Shelf::ALL {
            for (record, _) in of_pf(self.kernel, shelf, pf)?.iter().filter(|(_, done)| !done) {
                let _guard = self.kernel.lock_device(&record.device, Some(pf), LOCK_WAIT)?;
                clear_the_way(self.kernel, &record.device, false, self.progress)?;
                found = true;
            }
        }
        Ok(found)
    }

    /// Decides about a PF and its VFs; what of these is known to be impossible comes beside it.
    fn propose(&self, mut target: Target) -> Result<(Proposal, Vec<Error>)> {
        target.pf.facts.num_vfs = self.kernel.num_vfs(&target.pf.facts.device)?;
        let name = target.pf.name();
        let refused = |kind, why: String| {
            Err(Error::new(kind, format!("{}: {name}: {why}", target.place)).device(name.clone()))
        };
        let plan = match plan::of_pf(&target) {
            Ok(plan) => plan,
            Err(why) => return refused(Kind::Unsupported, why),
        };
        if let Some(last) = plan::beyond(&target) {
            return refused(Kind::Usage, format!("it has no VF {last}; say how many: numvfs"));
        }
        let planned = plan::as_planned(&target);
        if let Some((count, _)) = &plan.count
            && let Err(refusal) = crate::model::plan::numvfs::plan(&planned, &self.number(*count))
        {
            return Err(numvfs::refusal_error(&target.pf, &refusal));
        }
        let (vfs, refused) = self.propose_vfs(&target, &planned);
        Ok((Proposal { target, plan, vfs }, refused))
    }

    fn number(&self, count: u32) -> Request {
        Request { count, driver: None, no_autoprobe: false, force: self.options.force }
    }

    /// Makes a PF and its VFs so. What fails is told; VFs of a PF that is not as it should be are left
    /// alone.
    fn run(&self, proposal: Proposal, report: &mut Report) {
        let Proposal { target, plan, .. } = proposal;
        let name = target.pf.name();
        if let Err(error) = self.make_pf(&target, plan, report) {
            let text = format!("{}: {}", target.place, error.message());
            let told = Error::new(error.kind(), text).details(error.detail_lines().to_vec());
            let told = told.device(name.clone());
            let hint = error.next_step().map(str::to_owned);
            report.problems.push(match hint {
                Some(hint) => told.hint(hint),
                None => told.hint(format!("look at it: sriovctl list-pfs -o wide {name}")),
            });
            return;
        }
        // As it is by now.
        let look = || self.look_again(target).and_then(|target| self.settle(target));
        match look().and_then(|target| self.make_vfs(&target, report)) {
            Ok(()) => {}
            Err(error) => report.problems.push(error.device(name)),
        }
    }

    /// A driver may set its PF back when the number of VFs changes (netdevsim: the eswitch mode): what is
    /// not so any more is set once more, and an error if it does not stay so.
    fn settle(&self, target: Target) -> Result<Target> {
        let left = |target: &Target| plan::of_pf(target).map(|plan| plan.steps).unwrap_or_default();
        let steps = left(&target);
        if steps.is_empty() {
            return Ok(target);
        }
        for (_, step) in steps {
            let _guard = self.kernel.lock_pf(&target.pf.facts.device, LOCK_WAIT)?;
            self.kernel.apply(&step, self.options.timeout)?;
        }
        let target = self.look_again(target)?;
        match left(&target).first() {
            None => Ok(target),
            Some((change, _)) => {
                let has = change.from.as_deref().unwrap_or("unknown");
                let text = format!(
                    "{} of {} is {has} again, though {} was accepted",
                    change.what, change.device, change.to
                );
                Err(Error::new(Kind::Unsupported, text).device(change.device.clone()))
            }
        }
    }

    fn look_again(&self, target: Target) -> Result<Target> {
        let selector = numvfs::by_device(&target.pf.facts.device)?;
        let pf = selector.pf(&self.kernel.observe(SCOPE)?)?.clone();
        Ok(Target { pf, ..target })
    }

    fn make_pf(&self, target: &Target, plan: PfPlan, report: &mut Report) -> Result<()> {
        let selector = numvfs::by_device(&target.pf.facts.device)?;
        let options = numvfs::Options { timeout: self.options.timeout, wait: true };
        for (change, step) in plan.steps {
            unless_interrupted(self.progress)?;
            let device = target.pf.facts.device.to_string();
            self.progress.stage(&step.to_string().replace(&device, &target.pf.name()), 0);
            let _guard = self.kernel.lock_pf(&target.pf.facts.device, LOCK_WAIT)?;
            self.kernel.apply(&step, self.options.timeout).map_err(|error| match step {
                // Some drivers (ice) change it only without VFs, which are not taken away for that unasked.
                Step::SetEswitch { .. } if !target.pf.vfs.is_empty() => {
                    let name = target.pf.name();
                    error.hint(format!("take its VFs away first: sriovctl set-numvfs {name} 0"))
                }
                _ => error,
            })?;
            report.changes.push(change);
        }
        let Some((count, change)) = plan.count else { return Ok(()) };
        let done =
            numvfs::set(self.kernel, &selector, &self.number(count), options, self.progress)?;
        report.changes.push(change);
        let name = target.pf.name();
        report.notes.extend(done.destroyed.iter().map(|vf| format!("destroyed {vf}")));
        report.notes.extend(done.bound.iter().map(|bound| format!("bound {bound}")));
        report
            .problems
            .extend(done.problems.into_iter().map(|problem| problem.device(name.clone())));
        Ok(())
    }
}
