//! All or nothing: putting everything back.

use super::{Job, OneVf, Outcome, Report, SCOPE, find, mac};
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
            let steps = self.way_back(one, &self.kernel.observe(SCOPE)?)?;
            if steps.is_empty() {
                return Ok(Vec::new());
            }
            let failed = |step| self.kernel.apply(step, self.options.timeout).err();
            problems = steps.iter().filter_map(failed).collect();
        }
        let steps = self.way_back(one, &self.kernel.observe(SCOPE)?)?;
        if problems.is_empty() {
            let dropped = |step: &Step| {
                let text = format!("could not {step}: it was accepted, but is not so");
                Error::new(Kind::Unsupported, text).device(one.name.clone())
            };
            problems = steps.iter().map(dropped).collect();
        }
        if steps.is_empty() { Ok(Vec::new()) } else { Ok(problems) }
    }

    /// The steps from what a VF is to what it was.
    fn way_back(&self, one: &OneVf, inventory: &Inventory) -> Result<Vec<Step>> {
        let (Some((before, vectors)), Some((_, now))) = (&one.before, find(inventory, &one.place))
        else {
            return Ok(Vec::new());
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
