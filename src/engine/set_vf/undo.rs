//! All or nothing: putting everything back.

use super::{Done, Job, OneVf, Outcome, Report, SCOPE, find, mac};
use crate::engine::store::Store;
use crate::engine::{Kernel, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::inventory::Inventory;
use crate::model::plan::replay::differences;
use crate::model::plan::set_vf::{What, on_host};
use crate::model::step::{LinkAttr, Step, VfRef};

/// One setting back may change another one (igbvf makes its own MAC known again), so it is looked again.
const ROUNDS: usize = 3;

impl<K: Kernel + Store + Surroundings> Job<'_, K> {
    /// Makes every VF of which something was changed, or may have been, what it was.
    pub(super) fn roll_back(&self, report: &mut Report) {
        report.rolled_back = true;
        self.progress.stage("putting everything back", 0);
        let mut left = Vec::new();
        for nth in (0..report.vfs.len()).rev() {
            let one = &report.vfs[nth];
            let problems = match self.put_back(one) {
                Ok(problems) => problems,
                Err(error) => vec![error],
            };
            let is_back = problems.is_empty();
            left.extend(problems);
            for done in &mut report.vfs[nth].settings {
                done.is_other &= !is_back;
                if done.outcome == Outcome::Applied && is_back {
                    (done.outcome, done.note) = (Outcome::Undone, None);
                }
            }
        }
        report.left = left;
    }

    fn put_back(&self, one: &OneVf) -> Result<Vec<Error>> {
        let touched = |outcome| !matches!(outcome, Outcome::Unchanged | Outcome::Untried);
        if !one.settings.iter().any(|done| touched(done.outcome) && !done.steps.is_empty()) {
            return Ok(Vec::new());
        }
        let mut problems = Vec::new();
        for _ in 0..ROUNDS {
            let inventory = self.kernel.observe(SCOPE)?;
            let steps = self.way_back(one, &inventory)?;
            if steps.is_empty() {
                return self.unknown(one, &inventory);
            }
            let failed = |step| self.kernel.apply(step, self.options.timeout).err();
            problems = steps.iter().filter_map(failed).collect();
        }
        let inventory = self.kernel.observe(SCOPE)?;
        let steps = self.way_back(one, &inventory)?;
        if problems.is_empty() {
            let dropped = |step: &Step| {
                let text = format!("could not {step}: it was accepted, but is not so");
                Error::new(Kind::Unsupported, text).device(one.name.clone())
            };
            problems = steps.iter().map(dropped).collect();
        }
        if steps.is_empty() {
            problems.clear();
        }
        problems.extend(self.unknown(one, &inventory)?);
        Ok(problems)
    }

    /// Of what was changed, that of which nobody can say that it is as it was.
    fn unknown(&self, one: &OneVf, inventory: &Inventory) -> Result<Vec<Error>> {
        let (Some((before, _)), Some((_, now))) = (&one.before, find(inventory, &one.place)) else {
            return Ok(Vec::new());
        };
        let vectors = self.vectors(one.device.as_ref())?;
        let changed = |done: &&Done| done.outcome == Outcome::Applied || done.is_other;
        let problem = |done: &Done| {
            let why = match (&done.from, done.what.present(now, vectors)) {
                (None, _) => "nobody said what it was",
                (_, None) => "nobody says what it is now",
                _ => return None,
            };
            let text = format!("{} of {}: {why}", done.what.option(), one.name);
            Some(Error::new(Kind::Unsupported, text).device(one.name.clone()))
        };
        let mut all: Vec<Error> = one.settings.iter().filter(changed).filter_map(problem).collect();
        if on_host(before).is_some() && on_host(now).is_none() {
            let text = format!("{} has no interface any more", one.name);
            all.push(Error::new(Kind::Failed, text).device(one.name.clone()));
        }
        Ok(all)
    }

    /// The steps from what a VF is to what it was.
    fn way_back(&self, one: &OneVf, inventory: &Inventory) -> Result<Vec<Step>> {
        let Some((before, vectors)) = &one.before else { return Ok(Vec::new()) };
        let Some((_, now)) = find(inventory, &one.place) else {
            let text = format!("{} is gone", one.name);
            return Err(Error::new(Kind::NotFound, text).device(one.name.clone()));
        };
        let vf = VfRef { pf: one.place.0.clone(), index: one.place.1 };
        let mut steps = Vec::new();
        if let (Some(has), Some(want)) = (&now.settings, &before.settings) {
            let set = |attr| Step::SetVf { vf: vf.clone(), attr };
            steps.extend(differences(has, want).into_iter().map(set));
        }
        let mtu = on_host(before).and_then(|link| link.mtu);
        let has = on_host(now).and_then(|link| link.mtu);
        if let Some(mtu) = mtu.filter(|mtu| has.is_some_and(|has| has != *mtu)) {
            steps.push(Step::SetLink { vf: vf.clone(), attr: LinkAttr::Mtu(mtu) });
        }
        steps.extend(mac::mac_back(&one.place, before, now));
        let sets_vectors = one.settings.iter().any(|done| matches!(done.what, What::Vectors(_)));
        if let Some(count) = vectors.count.filter(|_| sets_vectors)
            && self.vectors(one.device.as_ref())?.count != Some(count)
        {
            steps.push(Step::SetVectors { vf, count });
        }
        Ok(steps)
    }
}
