//! What was asked for, and so must be there.

use sriovctl::model::record::Record;

use super::super::kernel::{NEXT_OF_THE_NAME, device_of};
use super::act::{Said, kept};
use super::compare::{is_taken, settings_are};
use super::model::{Model, ensure};
use super::sight::Sight;
use super::steps::{Act, Ask, Pick};

impl Model {
    /// What was asked for is there.
    pub(super) fn wanted(
        &mut self,
        act: &Act,
        said: &Said,
        before: &Sight,
        now: &Sight,
    ) -> Result<(), String> {
        match act {
            Act::Attach { ns, ask, of } | Act::Add { ns, ask, of, .. } => {
                let chosen = said.as_ref().unwrap().clone();
                let chosen = chosen.ok_or("it names no device")?;
                let vf = (0..8).find(|vf| device_of(*vf) == chosen).unwrap();
                ensure(!matches!(of, Pick::Vf(asked) if *asked != vf), || "another VF".into())?;
                if let Some((true, record)) = before.attachment(vf) {
                    // Without an interface it is its owner's as long as the namespace is there.
                    let inode = record.netns.inode;
                    let held = match &before.world.vfs[&vf].netdev {
                        Some(netdev) => netdev.netns == Some(inode),
                        None => before.world.namespaces.contains_key(&inode),
                    };
                    ensure(!held, || format!("VF {vf} was {}'s", record.owner))?;
                }
                let name = match act {
                    Act::Add { of_call, .. } => Some(format!("net{}", of_call.ifname)),
                    _ => ask.name.clone(),
                };
                Self::attached(vf, *ns, name, ask, now).map_err(|why| format!("VF {vf}: {why}"))
            }
            Act::Detach(vf) => {
                ensure(!now.records.contains_key(&device_of(*vf)), || "a record is left".into())
            }
            Act::Del(of) => {
                let mut records = now.records.values();
                ensure(!records.any(|(_, record)| of.is_of(&record.owner)), || {
                    "DEL left a record".into()
                })
            }
            Act::Gc(keep) => {
                let is_left = |record: &Record| {
                    record.owner.ifname.is_some() && !kept(*keep).any(|of| of.is_of(&record.owner))
                };
                let mut records = now.records.values();
                ensure(!records.any(|(_, record)| is_left(record)), || "GC left a record".into())
            }
            Act::Bind { vf, ask } => {
                let is = &now.world.vfs[vf];
                let has = &is.settings;
                ensure(is.driver.as_deref() == Some(ask.driver), || format!("{:?}", is.driver))?;
                if now.bindings.contains_key(&device_of(*vf)) {
                    let set = settings_are(&ask.settings, has);
                    let mac = ask.mac.is_none_or(|mac| has.mac == Some(mac));
                    ensure(set && mac, || format!("{has:?} is not as asked for"))?;
                    let keeps = is.driver_override.as_deref() == Some(ask.driver);
                    ensure(!ask.keep || keeps, || "the override is not kept".into())?;
                    self.vfs.get_mut(vf).unwrap().home = is.clone();
                }
                Ok(())
            }
            Act::Restore(vf) => {
                ensure(!now.bindings.contains_key(&device_of(*vf)), || "a record is left".into())?;
                if !before.binding(*vf).is_some_and(|(done, _)| done) {
                    self.adopt(*vf, now);
                }
                Ok(())
            }
            Act::Repair { .. } => {
                let mut begun = now.bindings.values().filter(|(journal, _)| journal.is_some());
                let begun = begun.next().is_some() || now.records.values().any(|(done, _)| !done);
                ensure(!begun && now.resizes.is_empty(), || "a journal is left".into())?;
                Ok(())
            }
            Act::Resize { count, .. } => {
                ensure(now.world.vfs.len() == *count as usize, || "another number".into())
            }
            Act::Check(..) | Act::Other(_) => Ok(()),
        }
    }

    pub(super) fn attached(
        vf: u16,
        ns: u64,
        name: Option<String>,
        ask: &Ask,
        now: &Sight,
    ) -> Result<(), String> {
        let is = &now.world.vfs[&vf];
        let (done, _) = now.attachment(vf).ok_or("it has no record")?;
        ensure(done, || "its record is not complete".into())?;
        ensure(settings_are(&ask.settings, &is.settings), || format!("{:?}", is.settings))?;
        let driver = ask.driver.map(str::to_owned);
        ensure(driver.is_none() || driver == is.driver, || format!("it has {:?}", is.driver))?;
        if is.driver.as_deref() != Some("igbvf") {
            let mac = ask.mac.is_none_or(|mac| is.settings.mac == Some(mac));
            return ensure(mac, || format!("{:?}", is.settings.mac));
        }
        let netdev = is.netdev.as_ref().ok_or("it has no interface")?;
        ensure(netdev.netns.map(|inode| inode % NEXT_OF_THE_NAME) == Some(ns), || {
            format!("it is in {:?}", netdev.netns)
        })?;
        let named = name.is_none_or(|name| name == netdev.name);
        let mac = ask.mac.is_none_or(|mac| mac == netdev.mac && is.settings.mac == Some(mac));
        let mtu = ask.mtu.is_none_or(|mtu| mtu == netdev.mtu);
        ensure(named && mac && mtu && netdev.up && netdev.altnames.is_empty(), || {
            format!("it is {netdev:?}, {:?}", is.settings.mac)
        })
    }

    /// What nothing stands against must not fail.
    pub(super) fn nothing_in_the_way(
        &self,
        act: &Act,
        said: &Said,
        before: &Sight,
    ) -> Result<(), String> {
        let vf = match act {
            Act::Detach(vf) | Act::Restore(vf) => *vf,
            _ => return Ok(()),
        };
        let Some(known) = self.vfs.get(&vf) else { return Ok(()) };
        let names = before.host_names(vf);
        let blocked = [&known.base, &known.home].into_iter().any(|vf| is_taken(vf, &names));
        let held = matches!(act, Act::Restore(_)) && before.records.contains_key(&device_of(vf));
        ensure(blocked || held || known.murky || !before.world.vfs.contains_key(&vf), || {
            format!("nothing was in the way, but: {}", said.as_ref().unwrap_err())
        })
    }
}
