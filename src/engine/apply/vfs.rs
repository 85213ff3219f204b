//! The VFs of a PF: drivers by `bind-dpdk`'s way, settings by `set-vf`'s.

use super::{Job, Report};
use crate::engine::attach::clear_the_way;
use crate::engine::set_vf::{self, Outcome};
use crate::engine::store::Store;
use crate::engine::{Kernel, Silent, Surroundings, bind, numvfs, unless_interrupted};
use crate::error::{Error, Kind, Result};
use crate::model::binding::{DriverState, Ground};
use crate::model::explain;
use crate::model::facts::Vectors;
use crate::model::ids::{DeviceId, VfIndex};
use crate::model::inventory::{Pf, Vf};
use crate::model::link::VfSettings;
use crate::model::plan::apply::{self as plan, Change, Target};
use crate::model::plan::bind as binding;
use crate::model::plan::set_vf::What;
use crate::model::record::Record;
use crate::model::spec::{Numbers, VfsSpec};
use crate::model::step::{Step, VfAttr};
use crate::model::usage::User;

/// What would be done about a VF.
pub(super) struct Todo {
    index: VfIndex,
    spec: VfsSpec,
    pub(super) changes: Vec<Change>,
}

impl<K: Kernel + Store + Surroundings> Job<'_, K> {
    /// Decides about VFs; those that are yet to be made are taken for what their driver makes.
    pub(super) fn propose_vfs(&self, target: &Target, planned: &Pf) -> (Vec<Todo>, Vec<Error>) {
        let (mut todo, mut refused) = (Vec::new(), Vec::new());
        for (index, spec) in plan::vfs(target) {
            let changes = match target.pf.vf(index) {
                None => self.of_new(target, planned, index, &spec),
                Some(vf) => self.of_vf(target, planned, vf, &spec),
            };
            match changes {
                Ok(changes) => todo.push(Todo { index, spec, changes }),
                Err(error) => refused.push(error),
            }
        }
        (todo, refused)
    }

    /// What would be changed about a VF that is yet to be made, as far as that can be told.
    fn of_new(
        &self,
        target: &Target,
        planned: &Pf,
        index: VfIndex,
        spec: &VfsSpec,
    ) -> Result<Vec<Change>> {
        let name = planned.vf_name(index);
        let mut changes = Vec::new();
        if let Some(driver) = spec.driver.as_ref().map(|driver| driver.0.as_str()) {
            self.binding(target, &plan::fresh(index), spec, driver)?;
            if let DriverState::Unknown(nearest) = self.kernel.driver_state(driver)? {
                return Err(explain::no_driver(driver, nearest.as_deref()).device(name));
            }
            let platform = self.kernel.platform()?;
            let without = spec.allow_noiommu.is_some_and(bool::from);
            if binding::is_vfio(driver) && !platform.has_iommu && !without {
                let text = format!("{name} cannot be bound to {driver}: this host has no IOMMU");
                return Err(Error::new(Kind::Busy, text).device(name).hint(platform.iommu_hint()));
            }
            if spec.is_for_user_space() {
                changes.extend(plan::driver(&name, None, Some(driver)));
            }
        }
        changes.extend(settings(&name, spec, planned, &plan::fresh(index))?);
        Ok(changes.into_iter().map(|change| Change { from: None, ..change }).collect())
    }

    /// What must be changed about a VF that is there.
    fn of_vf(&self, target: &Target, pf: &Pf, vf: &Vf, spec: &VfsSpec) -> Result<Vec<Change>> {
        let name = pf.vf_name(vf.index());
        if let Some(device) = &vf.facts.device
            && let Some(record) = clear_the_way(self.kernel, device, true, &Silent)?
        {
            return given_back_so(pf, vf, spec, &record);
        }
        let Some(driver) = spec.driver.as_ref().map(|driver| driver.0.as_str()) else {
            let changes = settings(&name, spec, pf, vf)?;
            return self.unless_owned(&name, vf, changes);
        };
        let Some(device) = plan::bindable(vf) else {
            let text = format!("{name} has no device that a driver could be bound to");
            return Err(Error::new(Kind::Unsupported, text).device(name));
        };
        let request = self.binding(target, vf, spec, driver)?;
        let has = vf.facts.driver.as_deref();
        let mut changes: Vec<Change> = plan::driver(&name, has, Some(driver)).into_iter().collect();
        if !spec.is_for_user_space() {
            if changes.is_empty() {
                let changes = settings(&name, spec, pf, vf)?;
                return self.unless_owned(&name, vf, changes);
            }
            bind::propose(self.kernel, device, &request)?;
            // It has another interface by then: what cannot be set on that is told when it is tried.
            changes.extend(plan::of_settings(&name, spec, pf, vf).0);
            return Ok(changes);
        }
        let bound = bind::propose(self.kernel, device, &request)?;
        let of_step = |step: &Step| of_step(&name, step, vf, spec, &bound.ground);
        changes.extend(bound.steps.iter().filter_map(of_step));
        Ok(changes)
    }

    /// What belongs to somebody is not set below them.
    fn unless_owned(&self, name: &str, vf: &Vf, changes: Vec<Change>) -> Result<Vec<Change>> {
        if changes.is_empty() {
            return Ok(changes);
        }
        let theirs = vf.users.iter().find(|user| matches!(user, User::Record(_)));
        if let Some(user) = theirs {
            return Err(set_vf::owned(name, &user.to_string(), "give it back first"));
        }
        if let Some(device) = &vf.facts.device
            && let Some(record) = bind::current(self.kernel, device)?
        {
            let owner = set_vf::bound_owner(&record);
            return Err(set_vf::owned(name, &owner, "say its driver in the file too"));
        }
        Ok(changes)
    }

    /// The request that gives a VF the driver; of user space, with everything else that is said.
    fn binding(
        &self,
        target: &Target,
        vf: &Vf,
        spec: &VfsSpec,
        driver: &str,
    ) -> Result<binding::Request> {
        let plain = binding::Request {
            driver: driver.to_owned(),
            force: self.options.force,
            session: self.options.session.clone(),
            together: together(target),
            ..binding::Request::default()
        };
        if !spec.is_for_user_space() {
            return Ok(plain);
        }
        let mode = spec.mode.map(|mode| mode.0);
        Ok(binding::Request {
            mac: spec.mac,
            settings: rates_together(&spec.settings(), vf.settings.as_ref()),
            node: bind::node_access(self.kernel, spec.owner.as_deref(), mode, "owner:")?,
            allow_noiommu: spec.allow_noiommu.is_some_and(bool::from),
            ..plain
        })
    }

    /// Makes VFs so: drivers first, since settings of interfaces need one, then what is set on several
    /// VFs at once.
    pub(super) fn make_vfs(&self, target: &Target, report: &mut Report) -> Result<()> {
        let (todo, refused) = self.propose_vfs(target, &target.pf);
        // Known before where they were there before.
        let known = |error: &Error| report.problems.contains(error);
        let new: Vec<Error> = refused.into_iter().filter(|error| !known(error)).collect();
        report.problems.extend(new);
        let mut set: Vec<(VfsSpec, Vec<u16>)> = Vec::new();
        for one in todo.into_iter().filter(|one| !one.changes.is_empty()) {
            unless_interrupted(self.progress)
                .map_err(|error| error.hint("run it again for the rest"))?;
            let Some(vf) = target.pf.vf(one.index) else { continue };
            let bound = self.give_driver(target, vf, &one, report);
            if let Err(error) = bound {
                report.problems.push(error);
                continue;
            }
            if one.spec.is_for_user_space()
                || one.changes.iter().all(|change| change.what == "driver")
            {
                continue;
            }
            let which = Numbers::of(&[one.index.0]);
            let same =
                |known: &VfsSpec| VfsSpec { vfs: which.clone(), ..known.clone() } == one.spec;
            match set.iter_mut().find(|(spec, _)| same(spec)) {
                Some((_, numbers)) => numbers.push(one.index.0),
                None => set.push((one.spec.clone(), vec![one.index.0])),
            }
        }
        for (spec, numbers) in set {
            self.set(target, &spec, &numbers, report)?;
        }
        Ok(())
    }

    fn give_driver(&self, target: &Target, vf: &Vf, one: &Todo, report: &mut Report) -> Result<()> {
        let (Some(driver), Some(device)) = (&one.spec.driver, plan::bindable(vf)) else {
            return Ok(());
        };
        let to_user_space = one.spec.is_for_user_space();
        let is_done = |change: &&Change| to_user_space || change.what == "driver";
        if !one.changes.iter().any(|change| is_done(&change)) {
            return Ok(());
        }
        let request = self.binding(target, vf, &one.spec, &driver.0)?;
        let bound = bind::bind(self.kernel, device, &request, self.progress)?;
        report.notes.extend(bound.notes.iter().map(|note| format!("{}: {note}", bound.name)));
        report.changes.extend(one.changes.iter().filter(is_done).cloned());
        Ok(())
    }

    fn set(
        &self,
        target: &Target,
        spec: &VfsSpec,
        numbers: &[u16],
        report: &mut Report,
    ) -> Result<()> {
        let pf = numvfs::by_device(&target.pf.facts.device)?;
        let selector = format!("{pf}#{}", Numbers::of(numbers));
        let selector = selector.parse().map_err(|error: String| Error::new(Kind::Failed, error))?;
        let options = set_vf::Options {
            timeout: self.options.timeout,
            strict: false,
            force: false,
            dry_run: false,
        };
        let request = spec.request();
        let done = match set_vf::set(self.kernel, &[selector], &request, options, self.progress) {
            Ok(done) => done,
            Err(error) => {
                report.problems.push(error);
                return Ok(());
            }
        };
        for vf in &done.vfs {
            report.problems.extend(vf.error.clone());
            for setting in &vf.settings {
                report.problems.extend(setting.error.clone());
                let note = setting.note.iter().map(|note| format!("{}: {note}", vf.name));
                report.notes.extend(note);
                if setting.outcome == Outcome::Applied {
                    let change = plan::setting(&vf.name, setting.what, setting.from.clone());
                    report.changes.push(change);
                }
            }
        }
        Ok(())
    }
}

/// Devices that get a driver of user space by the same file: no obstacle to each other in an IOMMU
/// group.
fn together(target: &Target) -> Vec<DeviceId> {
    let goes = |vf: &&Vf| target.spec.of_vf(vf.index()).is_for_user_space();
    target.pf.vfs.iter().filter(goes).filter_map(|vf| vf.facts.device.clone()).collect()
}

/// The kernel takes both rates only together: the one that is not said is the present one.
fn rates_together(settings: &VfSettings, has: Option<&VfSettings>) -> VfSettings {
    let is_any = settings.min_tx_rate.is_some() || settings.max_tx_rate.is_some();
    let or_present =
        |rate: Option<u32>, has: Option<u32>| rate.or_else(|| is_any.then(|| has.unwrap_or(0)));
    VfSettings {
        min_tx_rate: or_present(settings.min_tx_rate, has.and_then(|has| has.min_tx_rate)),
        max_tx_rate: or_present(settings.max_tx_rate, has.and_then(|has| has.max_tx_rate)),
        ..settings.clone()
    }
}

/// Changes of settings, unless one of them is known to be impossible.
fn settings(name: &str, spec: &VfsSpec, pf: &Pf, vf: &Vf) -> Result<Vec<Change>> {
    let (changes, refused) = plan::of_settings(name, spec, pf, vf);
    match refused.first() {
        None => Ok(changes),
        Some((what, refusal)) => Err(set_vf::refusal_error(name, pf, vf, *what, refusal)),
    }
}

/// Somebody has it: nothing is changed below them, and nothing need be if it comes back as it is said.
fn given_back_so(pf: &Pf, vf: &Vf, spec: &VfsSpec, record: &Record) -> Result<Vec<Change>> {
    let name = pf.vf_name(vf.index());
    let back = plan::given_back(vf, &record.original);
    let wanted = spec.driver.as_ref().map(|driver| driver.0.as_str());
    let mut other: Vec<Change> =
        plan::driver(&name, back.facts.driver.as_deref(), wanted).into_iter().collect();
    other.extend(plan::of_settings(&name, spec, pf, &back).0);
    let Some(first) = other.first() else { return Ok(Vec::new()) };
    let device = &record.device;
    let text = format!(
        "{name} belongs to {} in {}, and would come back with {} {} instead of {}",
        record.owner,
        record.netns.path,
        first.what,
        first.from.as_deref().unwrap_or("unknown"),
        first.to
    );
    Err(Error::new(Kind::Busy, text)
        .device(name)
        .hint(format!("run it again once it is free; get it back now: sriovctl detach {device}")))
}

/// What a step of a binding changes, in the words of the file.
fn of_step(name: &str, step: &Step, vf: &Vf, spec: &VfsSpec, ground: &Ground) -> Option<Change> {
    match step {
        Step::SetVf { attr, .. } => {
            // That the PF keeps the MAC that the interface has is no wish of the file's.
            if matches!(attr, VfAttr::Mac(_)) && spec.mac.is_none() {
                return None;
            }
            let what = What::Setting(*attr);
            Some(plan::setting(name, what, what.present(vf, Vectors::default())))
        }
        Step::SetNode { access, .. } => {
            let text = |uid: Option<u32>, gid: Option<u32>, mode: Option<u32>| {
                let number = |id: Option<u32>| id.map(|id| id.to_string()).unwrap_or_default();
                let mode = mode.map(|mode| format!(" {mode:04o}")).unwrap_or_default();
                format!("{}:{}{mode}", number(uid), number(gid))
            };
            // Only what is asked for.
            let has = ground.nodes.first().map(|node| {
                let asked = |wanted: Option<u32>, has| wanted.map(|_| has);
                text(
                    asked(access.uid, node.uid),
                    asked(access.gid, node.gid),
                    asked(access.mode, node.mode),
                )
            });
            Some(Change {
                device: name.to_owned(),
                what: "owner".to_owned(),
                from: has,
                to: text(access.uid, access.gid, access.mode),
            })
        }
        _ => None,
    }
}
