//! What stands before the first change: locks, owners, and a decision about every setting.

use super::words::{bound_owner, owned, refusal_error};
use super::{Done, Job, OneVf, Outcome, Report, SCOPE, failure, find};
use crate::engine::attach::{clear_the_way, no_resize_begun};
use crate::engine::store::{Shelf, Store};
use crate::engine::{Kernel, Surroundings, bind};
use crate::error::{Error, Kind, Result};
use crate::model::ids::DeviceId;
use crate::model::inventory::{Pf, Vf};
use crate::model::plan::set_vf::{self, Item};
use crate::model::usage::User;
use crate::order;

impl<K: Kernel + Store + Surroundings> Job<'_, K> {
    /// Keeps other changers away from each VF, in one order for all callers, so that no two wait for
    /// each other. A VF without a device of its own is kept by its PF's lock.
    pub(super) fn lock(&self, report: &mut Report) -> Result<Vec<K::Guard>> {
        let mut guards = Vec::new();
        if self.options.dry_run {
            return Ok(guards);
        }
        let mut order: Vec<&mut OneVf> = report.vfs.iter_mut().collect();
        order::sort_by_key(&mut order, |vf| (vf.device.clone(), vf.place.clone()));
        let mut pfs: Vec<DeviceId> = Vec::new();
        for vf in order {
            let (pf, timeout) = (&vf.place.0, self.options.timeout);
            let guard = match &vf.device {
                Some(device) => self.kernel.lock_device(device, Some(pf), timeout),
                None if pfs.contains(pf) => continue,
                None => {
                    pfs.push(pf.clone());
                    self.kernel.lock_pf(pf, timeout)
                }
            };
            match guard {
                Ok(guard) => guards.push(guard),
                // Of a tree nothing can be changed, whichever VF it is.
                Err(error) if error.kind() == Kind::Usage => return Err(error),
                Err(error) => vf.error = Some(error),
            }
        }
        Ok(guards)
    }

    /// Decides about every setting of every VF, as they are now that nobody else changes them.
    pub(super) fn look(&self, report: &mut Report) -> Result<()> {
        for vf in report.vfs.iter_mut().filter(|vf| vf.error.is_none()) {
            vf.error = self.refuse_owned(vf).err();
        }
        let inventory = self.kernel.observe(SCOPE)?;
        for one in report.vfs.iter_mut().filter(|vf| vf.error.is_none()) {
            let Some((pf, vf)) = find(&inventory, &one.place) else {
                let text = format!("{} is gone", one.name);
                one.error = Some(Error::new(Kind::NotFound, text).device(one.name.clone()));
                continue;
            };
            // Whose record is here has been looked at; this is one that another plugin keeps.
            let theirs = vf.users.iter().find(|user| matches!(user, User::Record(_)));
            if let Some(user) = theirs.filter(|_| !self.options.force && !self.has_record(one)) {
                one.error = Some(owned(&one.name, &user.to_string(), "give it back first"));
                continue;
            }
            let vectors = self.vectors(one.device.as_ref())?;
            let items = set_vf::plan(self.request, pf, vf, Some(vectors)).into_iter();
            one.settings = items.map(|item| decided(&one.name, (pf, vf), item)).collect();
            one.before = Some((vf.clone(), vectors));
        }
        Ok(())
    }

    /// What is attached or bound belongs to somebody, and giving it back sets it as it was before.
    fn refuse_owned(&self, vf: &OneVf) -> Result<()> {
        let (kernel, pf) = (self.kernel, &vf.place.0);
        no_resize_begun(kernel, pf)?;
        let Some(device) = vf.device.as_ref().filter(|_| !self.options.force) else {
            return Ok(());
        };
        if let Some(record) = clear_the_way(kernel, device, self.options.dry_run, self.progress)? {
            let owner = format!("{} has it in {}", record.owner, record.netns.path);
            return Err(owned(
                &vf.name,
                &owner,
                &format!("give it back first: sriovctl detach {device}"),
            ));
        }
        if let Some(record) = bind::current(kernel, device)? {
            let back = format!("give it back first: sriovctl bind-dpdk --restore {device}");
            return Err(owned(&vf.name, &bound_owner(&record), &back));
        }
        Ok(())
    }

    fn has_record(&self, vf: &OneVf) -> bool {
        let stored = |device| self.kernel.stored(Shelf::Attachments, device);
        vf.device.as_ref().is_some_and(|device| matches!(stored(device), Ok(Some(_))))
    }
}

fn decided(name: &str, (pf, vf): (&Pf, &Vf), item: Item) -> Done {
    let Item { what, from, steps } = item;
    let (steps, error) = match steps {
        Ok(steps) => (steps, None),
        Err(refusal) => (Vec::new(), Some(refusal_error(name, pf, vf, what, &refusal))),
    };
    let outcome = match &error {
        Some(error) => failure(error),
        None if steps.is_empty() => Outcome::Unchanged,
        None => Outcome::Untried,
    };
    Done { what, from, outcome, error, note: None, steps, is_other: false }
}
