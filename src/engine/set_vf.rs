//! `set-vf`: makes settings of VFs so, each by itself, and says of each what became of it; or, where all
//! or nothing is asked for, puts everything back at the first that cannot be.
//!
//! Nothing is written down: each setting is one message of its own, and whoever dies between two has set
//! those before. Only a driver that is bound anew has a journal, without which the VF might be left
//! without one.

mod look;
mod mac;
mod undo;
mod words;

use std::time::Duration;

use self::words::not_so;
pub use self::words::shortcoming;
pub(in crate::engine) use self::words::{bound_owner, owned, refusal_error};
use super::store::Store;
use super::{Kernel, Progress, Surroundings, unless_interrupted};
use crate::error::{Error, Kind, Result};
use crate::model::facts::{Scope, Vectors};
use crate::model::ids::{DeviceId, VfIndex};
use crate::model::inventory::{Inventory, Pf, Vf};
use crate::model::plan::set_vf::{Request, What};
use crate::model::selector::Selector;
use crate::model::step::{LinkAttr, Step};

/// How long a driver may take to make so what it accepted.
const SO_WITHIN: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);

/// How it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bound of each change, and of the wait for another change of the same VF.
    pub timeout: Duration,
    /// All or nothing.
    pub strict: bool,
    /// Also VFs that belong to somebody.
    pub force: bool,
    /// Only tell.
    pub dry_run: bool,
}

/// What became of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was changed.
    Applied,
    /// It was so already.
    Unchanged,
    /// The kernel, the driver or the device cannot do it.
    Unsupported,
    /// It was not changed for another reason.
    Failed,
    /// It was changed, and put back, since another one failed.
    Undone,
    /// It would be changed, but another one failed before, or only a look was asked for.
    Untried,
}

/// A setting of a VF, and what became of it.
#[derive(Debug)]
pub struct Done {
    /// What was asked for.
    pub what: What,
    /// How it was; `None`: nobody says.
    pub from: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it could not be.
    pub error: Option<Error>,
    /// What else there is to know.
    pub note: Option<String>,
    /// The steps that were to be taken.
    pub steps: Vec<Step>,
    /// Whether it failed, and is other than before, or may be.
    is_other: bool,
}

/// A VF, and what became of its settings.
#[derive(Debug)]
pub struct OneVf {
    /// What it is called.
    pub name: String,
    /// Its device; `None`: it has none of its own.
    pub device: Option<DeviceId>,
    /// What its PF's interface is called.
    pub pf_netdev: String,
    /// Its settings.
    pub settings: Vec<Done>,
    /// Why none was tried.
    pub error: Option<Error>,
    /// Its PF and number.
    place: (DeviceId, VfIndex),
    /// How it was.
    before: Option<(Vf, Vectors)>,
}

/// What was done, or would be.
#[derive(Debug)]
pub struct Report {
    /// The VFs, in the order in which they were named.
    pub vfs: Vec<OneVf>,
    /// How it was done.
    pub options: Options,
    /// Whether what was changed was put back.
    pub rolled_back: bool,
    /// What could not be put back.
    pub left: Vec<Error>,
}

impl Report {
    /// Whether anything is other than before.
    pub fn changed(&self) -> bool {
        let is = |done: &Done| done.outcome == Outcome::Applied || done.is_other;
        !self.left.is_empty() || self.vfs.iter().any(|vf| vf.settings.iter().any(is))
    }

    fn has_failed(&self) -> bool {
        self.vfs
            .iter()
            .any(|vf| vf.error.is_some() || vf.settings.iter().any(|d| d.error.is_some()))
    }
}

/// Sets it on all VFs that are named.
pub fn set<K: Kernel + Store + Surroundings>(
    kernel: &K,
    selectors: &[Selector],
    request: &Request,
    options: Options,
    progress: &dyn Progress,
) -> Result<Report> {
    let vfs = named(&kernel.observe(SCOPE)?, selectors)?;
    if vfs.len() > 1 && is_for_one(request) {
        let text = format!("a MAC or GUID is that of one VF, and these are {}", vfs.len());
        return Err(Error::new(Kind::Usage, text).hint("set them one by one"));
    }
    let mut report = Report { vfs, options, rolled_back: false, left: Vec::new() };
    let job = Job { kernel, request, options, progress };
    let _guards = job.lock(&mut report)?;
    job.look(&mut report)?;
    if options.dry_run || (options.strict && report.has_failed()) {
        return Ok(report);
    }
    job.apply(&mut report);
    let is_over = options.strict && report.has_failed();
    let settled = if is_over { Ok(()) } else { job.settle(&mut report) };
    if options.strict && (settled.is_err() || report.has_failed()) {
        job.roll_back(&mut report);
    }
    // What cannot be looked at is not known to be so.
    settled.map_err(|error| error.details(words::put_back(&report)))?;
    Ok(report)
}

/// What a decision must know: routes and addresses tell who uses a VF.
const SCOPE: Scope = Scope { change: true, all_classes: true, ..Scope::NOTHING };

fn is_for_one(request: &Request) -> bool {
    let settings = &request.settings;
    request.mac.is_some() || settings.node_guid.is_some() || settings.port_guid.is_some()
}

/// The VFs that are named, each once.
fn named(inventory: &Inventory, selectors: &[Selector]) -> Result<Vec<OneVf>> {
    let mut all: Vec<OneVf> = Vec::new();
    for selector in selectors {
        let found = selector.vfs(inventory)?;
        if found.is_empty() {
            return Err(Error::new(Kind::NotFound, format!("{selector} has no VFs"))
                .hint(format!("create some with: sriovctl set-numvfs {selector} N")));
        }
        for (pf, vf) in found {
            let place = (pf.facts.device.clone(), vf.index());
            if all.iter().all(|known| known.place != place) {
                all.push(OneVf {
                    name: pf.vf_name(vf.index()),
                    device: vf.facts.device.clone(),
                    pf_netdev: pf.name(),
                    settings: Vec::new(),
                    error: None,
                    place,
                    before: None,
                });
            }
        }
    }
    Ok(all)
}

struct Job<'a, K> {
    kernel: &'a K,
    request: &'a Request,
    options: Options,
    progress: &'a dyn Progress,
}

impl<K: Kernel + Store + Surroundings> Job<'_, K> {
    fn vectors(&self, device: Option<&DeviceId>) -> Result<Vectors> {
        match device.filter(|_| self.request.vectors.is_some()) {
            Some(device) => self.kernel.vectors(device),
            None => Ok(Vectors::default()),
        }
    }

    /// Takes the steps of each setting. Where all or nothing is asked for it ends at the first that fails;
    /// once somebody wants it to end, at the next.
    fn apply(&self, report: &mut Report) {
        for vf in &mut report.vfs {
            let (place, before) = (&vf.place, vf.before.as_ref());
            for done in vf.settings.iter_mut().filter(|done| done.outcome == Outcome::Untried) {
                let what = done.what.option();
                self.progress.stage(&format!("{}: {what} {}", vf.name, done.what.value()), 0);
                if let Err(error) = unless_interrupted(self.progress) {
                    done.fail(error.device(vf.name.clone()).hint("run it again to set the rest"));
                    return;
                }
                match self.take(done) {
                    Ok(()) => done.outcome = Outcome::Applied,
                    Err(error)
                        if is_reset_of_mac(done.what) && error.kind() == Kind::Unsupported =>
                    {
                        done.outcome = Outcome::Unchanged;
                        done.note = Some(format!("left as it is: {error}"));
                    }
                    Err(error) => {
                        let left = match (done.what, before) {
                            (What::Mac(_), Some((before, _))) => self.put_mac_back(place, before),
                            _ => Vec::new(),
                        };
                        done.is_other = !left.is_empty();
                        done.fail(error.details(left));
                        if self.options.strict {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// The steps of one setting. That an interface takes no MAC, or a PF takes none away before, does not
    /// keep the PF from setting it: the VF's driver has it when it is bound the next time.
    fn take(&self, done: &Done) -> Result<()> {
        let last = done.steps.len().saturating_sub(1);
        for (nth, step) in done.steps.iter().enumerate() {
            let may_fail = nth < last
                && (step.is_zero_mac()
                    || matches!(step, Step::SetLink { attr: LinkAttr::Mac(_), .. }));
            match self.kernel.apply(step, self.options.timeout) {
                Err(error) if may_fail && error.kind() != Kind::TimedOut => {
                    self.progress.note(&format!("going on: {error}"));
                }
                applied => drop(applied?),
            }
        }
        Ok(())
    }

    /// Looks whether what was accepted is so, which some drivers take a while for.
    fn settle(&self, report: &mut Report) -> Result<()> {
        let begun = self.kernel.now();
        let inventory = loop {
            let inventory = self.kernel.observe(SCOPE)?;
            let late = self.kernel.now().saturating_sub(begun) >= SO_WITHIN;
            if late || self.unlike(report, &inventory)?.is_empty() {
                break inventory;
            }
            self.kernel.pause(POLL);
        };
        for (nth, which) in self.unlike(report, &inventory)? {
            let one = &report.vfs[nth];
            let place = find(&inventory, &one.place);
            let what = one.settings[which].what;
            let vectors = self.vectors(one.device.as_ref())?;
            let present = place.and_then(|(_, vf)| what.present(vf, vectors));
            let (error, is_other) = if let (What::Mac(mac), Some((_, vf))) = (what, place) {
                match self.finish_mac(one, vf, mac) {
                    Ok(note) => {
                        report.vfs[nth].settings[which].note = note;
                        continue;
                    }
                    // Its interface may be another one by now, whatever the MAC is.
                    Err(error) if self.options.strict => (error, true),
                    Err(error) => (self.after_mac(one, mac, error), true),
                }
            } else {
                let is_other = present.is_none() || present != one.settings[which].from;
                (not_so(&one.name, what, present.as_deref()), is_other)
            };
            let done = &mut report.vfs[nth].settings[which];
            done.is_other = is_other;
            done.fail(error);
            if self.options.strict {
                return Ok(());
            }
        }
        mac::note_what_comes_later(report, &inventory);
        Ok(())
    }

    /// Of which VF which setting was accepted, but is not so.
    fn unlike(&self, report: &Report, inventory: &Inventory) -> Result<Vec<(usize, usize)>> {
        let mut found = Vec::new();
        for (nth, one) in report.vfs.iter().enumerate() {
            let applied = |done: &&Done| done.outcome == Outcome::Applied;
            if !one.settings.iter().any(|done| applied(&done)) {
                continue;
            }
            let vectors = self.vectors(one.device.as_ref())?;
            for (which, done) in one.settings.iter().enumerate().filter(|(_, done)| applied(done)) {
                let so = find(inventory, &one.place).map(|(_, vf)| match done.what {
                    What::Mac(mac) if mac.is_zero() => mac::is_none_set(vf),
                    what => what.is_so(vf, vectors) != Some(false),
                });
                if so != Some(true) {
                    found.push((nth, which));
                }
            }
        }
        Ok(found)
    }
}

impl Done {
    fn fail(&mut self, error: Error) {
        self.outcome = failure(&error);
        self.error = Some(error);
    }
}

fn failure(error: &Error) -> Outcome {
    if error.kind() == Kind::Unsupported { Outcome::Unsupported } else { Outcome::Failed }
}

/// Whether it takes the PF's MAC away, which not every driver lets: the VF is as good without.
fn is_reset_of_mac(what: What) -> bool {
    matches!(what, What::Mac(mac) if mac.is_zero())
}

fn find<'a>(inventory: &'a Inventory, place: &(DeviceId, VfIndex)) -> Option<(&'a Pf, &'a Vf)> {
    let pf = inventory.pfs.iter().find(|pf| pf.facts.device == place.0)?;
    Some((pf, pf.vf(place.1)?))
}
