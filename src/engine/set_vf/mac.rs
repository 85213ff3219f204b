//! What is special about MACs: they live in two places, and a driver may take the PF's only when it is
//! bound.

use std::time::Duration;

use super::{Done, Job, OneVf, Outcome, POLL, Report, SCOPE, find};
use crate::engine::restore::restore;
use crate::engine::store::{Shelf, Store};
use crate::engine::{Kernel, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::assemble::is_userspace_driver;
use crate::model::ids::{DeviceId, MacAddr, VfIndex};
use crate::model::inventory::{Inventory, Vf};
use crate::model::plan::mac::{MacStep, set_mac};
use crate::model::plan::set_vf::{What, on_host};
use crate::model::record::{Original, Owner, Record};
use crate::model::step::{LinkAttr, Step, Subject, VfAttr, VfRef};
use crate::model::usage::User;

/// How long a driver may take to make an interface with the PF's MAC.
const TAKEN_WITHIN: Duration = Duration::from_secs(15);

/// Whether the PF has set no MAC; it may list one that it merely heard of.
pub(super) fn is_none_set(vf: &Vf) -> bool {
    let admin = vf.settings.as_ref().and_then(|settings| settings.mac);
    admin.is_none_or(|admin| admin.is_zero() || vf.mac() == Some(admin))
}

impl<K: Kernel + Store + Surroundings> Job<'_, K> {
    /// What is to be done about a MAC that the PF has been told, and the interface has not: its driver is
    /// bound anew if nobody uses it. Returns what there is to know.
    pub(super) fn finish_mac(&self, one: &OneVf, vf: &Vf, mac: MacAddr) -> Result<Option<String>> {
        let admin = vf.settings.as_ref().and_then(|settings| settings.mac);
        if mac.is_zero() || admin != Some(mac) {
            let present = admin.map(|mac| mac.to_string());
            return Err(super::not_so(&one.name, What::Mac(mac), present.as_deref()));
        }
        let (Some(link), Some(device)) = (on_host(vf), &one.device) else { return Ok(None) };
        // What is known of its driver already must not be lost: what begins here would take its place.
        let is_known = !matches!(self.kernel.stored(Shelf::Bindings, device), Ok(None));
        let why = match vf.users.as_slice() {
            [first, ..] => Some(format!("is in use ({first}) and")),
            [] if is_known => Some("is bound by bind-dpdk's record and".to_owned()),
            [] if self.progress.is_interrupted() => {
                Some("was left alone when interrupted and".to_owned())
            }
            [] => None,
        };
        if let Some(why) = why {
            let has = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
            return Ok(Some(format!(
                "{} {why} keeps {has} until its driver is bound the next time",
                link.name
            )));
        }
        self.progress.stage(&format!("binding the driver of {} anew", one.name), 0);
        self.bind_anew(device, mac).map_err(|error| {
            error
                .at(format_args!("its PF has set {mac}, but {} did not take it", one.name))
                .device(one.name.clone())
        })?;
        Ok(Some("its driver was bound anew, which took it from the PF".to_owned()))
    }

    /// Takes the VF from its driver, and then does what is done about a change of the driver that was cut
    /// off: which it is, should this die in between.
    fn bind_anew(&self, device: &DeviceId, mac: MacAddr) -> Result<()> {
        let kernel = self.kernel;
        let seen = kernel.inspect(device, None)?;
        let is_named = seen.host_link().is_none_or(|link| kernel.is_named(link.ifindex));
        let record = Record {
            // Its own MAC is what shall not come back.
            original: Original { mac: None, ..seen.original(is_named) },
            ..Record::of(&seen, &kernel.moment()?, Owner::manual(), kernel.host_netns()?)
        };
        kernel.begin(Shelf::Bindings, &record)?;
        let of = Subject::Device(device.clone());
        let unbound = kernel.apply(&Step::Unbind { of }, self.options.timeout);
        if let Err(error) = &unbound
            && error.kind() == Kind::TimedOut
        {
            // A write that still waits in the kernel holds the device: any other would wait too.
            return Err(error.clone().hint(format!(
                "once it has ended, finish it with: sriovctl inspect-state --repair {device}"
            )));
        }
        let problems = restore(kernel, &record, self.progress)?;
        if let Some(first) = problems.first() {
            return Err(first
                .clone()
                .hint(format!("finish it with: sriovctl inspect-state --repair {device}")));
        }
        kernel.abandon(Shelf::Bindings, device)?;
        unbound?;
        self.await_mac(device, mac)
    }

    fn await_mac(&self, device: &DeviceId, mac: MacAddr) -> Result<()> {
        let begun = self.kernel.now();
        loop {
            let own = self.kernel.inspect(device, None)?.host_link().and_then(|link| link.mac);
            if own == Some(mac) {
                return Ok(());
            }
            if self.kernel.now().saturating_sub(begun) >= TAKEN_WITHIN {
                let has = own.map_or_else(|| "no interface".to_owned(), |own| own.to_string());
                let text = format!("with its driver bound anew it has {has}");
                return Err(Error::new(Kind::Unsupported, text));
            }
            self.kernel.pause(POLL);
        }
    }

    /// After a MAC that the PF was told and the interface did not take: the former one again, unless a
    /// repair is to finish what was begun. Returns the error with what became of it.
    pub(super) fn after_mac(&self, one: &OneVf, mac: MacAddr, error: Error) -> Error {
        let stored = |device| self.kernel.stored(Shelf::Bindings, device);
        if one.device.as_ref().is_some_and(|device| !matches!(stored(device), Ok(None))) {
            return error.detail(format!("its PF keeps {mac}, which the repair gives it"));
        }
        let Some((before, _)) = &one.before else { return error };
        let left = self.put_mac_back(&one.place, before);
        if left.is_empty() {
            return error.detail("its former MAC was put back");
        }
        error.details(left)
    }

    /// After a MAC that was set in part. Returns what could not be put back.
    pub(super) fn put_mac_back(&self, place: &(DeviceId, VfIndex), before: &Vf) -> Vec<String> {
        let admin = before.settings.as_ref().and_then(|settings| settings.mac);
        let steps = match self.kernel.observe(SCOPE) {
            Err(error) => return vec![format!("not put back: {error}")],
            Ok(inventory) => match find(&inventory, place) {
                None => return vec!["not put back: the VF is gone".to_owned()],
                Some(_) if admin.is_none() => {
                    return vec!["not put back: its former MAC is not known".to_owned()];
                }
                Some((_, now)) => mac_back(place, before, now),
            },
        };
        let failed = |step: &Step| self.kernel.apply(step, self.options.timeout).err();
        let failed = steps.iter().filter_map(failed);
        failed.map(|error| format!("not put back: {error}")).collect()
    }
}

/// What was set and shows only later: where the interface is not here, or a driver must ask again.
pub(super) fn note_what_comes_later(report: &mut Report, inventory: &Inventory) {
    for one in &mut report.vfs {
        let Some((_, vf)) = find(inventory, &one.place) else { continue };
        let applied = |done: &&mut Done| done.outcome == Outcome::Applied && done.note.is_none();
        for done in one.settings.iter_mut().filter(applied) {
            done.note = match done.what {
                What::Mac(mac) if !mac.is_zero() => later(vf, mac),
                What::Setting(VfAttr::NodeGuid(_) | VfAttr::PortGuid(_)) => {
                    let driver = vf.facts.driver.as_ref();
                    driver.map(|driver| format!("{driver} takes it when it is bound the next time"))
                }
                _ => None,
            };
        }
    }
}

/// When a VF without an interface on the host takes the PF's MAC.
fn later(vf: &Vf, mac: MacAddr) -> Option<String> {
    if let Some(netns) = vf.netns().filter(|_| vf.mac() != Some(mac)) {
        return Some(format!(
            "its interface, in {}, keeps its own until its driver is bound the next time",
            netns.label()
        ));
    }
    let driver = vf.facts.driver.as_deref().filter(|driver| is_userspace_driver(driver))?;
    let open = vf.users.iter().find(|user| matches!(user, User::Process(_)));
    open.map(|user| format!("{user} sees it through {driver} when it starts the next time"))
}

/// Steps that give a VF its former MACs.
pub(super) fn mac_back(place: &(DeviceId, VfIndex), before: &Vf, now: &Vf) -> Vec<Step> {
    let reference = VfRef { pf: place.0.clone(), index: place.1 };
    let admin = |vf: &Vf| vf.settings.as_ref().and_then(|settings| settings.mac);
    let set = |mac| Step::SetVf { vf: reference.clone(), attr: VfAttr::Mac(mac) };
    let Some(want) = admin(before) else { return Vec::new() };
    let own = on_host(before).and_then(|link| link.mac);
    let (Some(own), Some(link)) = (own, on_host(now)) else {
        return if admin(now) == Some(want) { Vec::new() } else { vec![set(want)] };
    };
    let steps = set_mac(Some(reference.clone()), admin(now), link.mac, own, want);
    let step = |step| match step {
        MacStep::Admin(_, mac) => set(mac),
        MacStep::Own(mac) => Step::SetLink { vf: reference.clone(), attr: LinkAttr::Mac(mac) },
    };
    steps.into_iter().map(step).collect()
}
