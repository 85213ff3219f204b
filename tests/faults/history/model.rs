//! What must be so, told from what was asked for and from what was seen before, not from what the
//! program thinks.

use std::collections::{BTreeMap, BTreeSet};

use sriovctl::model::record::Record;

use super::super::kernel::{VfState, device_of};
use super::act::Said;
use super::compare::{differing, do_without, forgive, mac_stays, names_stay, struck};
use super::sight::Sight;
use super::steps::{Act, Fault, Other, Step};

/// What is known of a VF.
#[derive(Debug, Clone)]
pub struct Vf {
    /// How it is when nobody has it.
    pub base: VfState,
    /// How it is when it is not attached: as bound, if it is bound.
    pub home: VfState,
    /// The reset that would have cleaned it was refused, or others gave it to a kernel driver as it was.
    pub spoilt: bool,
    /// Others took its driver away.
    pub bare: bool,
    /// Others changed what a record speaks of, so that `home` is unknown until the records are gone.
    pub murky: bool,
}

/// What is known.
#[derive(Default)]
pub struct Model {
    pub vfs: BTreeMap<u16, Vf>,
    /// VFs that were compared with what was expected, and those of which nothing was expected.
    pub compared: u64,
    pub murky: u64,
}

/// Whether an error says that something is left.
fn admits(text: &str) -> bool {
    const LEFT: [&str; 8] = [
        "not undone",
        "finish it with",
        "not yet as it was",
        "could not be",
        "not restored",
        "still ",
        "not given back",
        "it has a problem",
    ];
    LEFT.iter().any(|left| text.contains(left))
}

pub fn ensure(so: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if so { Ok(()) } else { Err(why()) }
}

impl Model {
    pub fn new(sight: &Sight) -> Self {
        let mut model = Self::default();
        sight.world.vfs.keys().for_each(|vf| model.adopt(*vf, sight));
        model
    }

    pub fn adopt(&mut self, vf: u16, sight: &Sight) {
        match sight.world.vfs.get(&vf).cloned() {
            Some(now) => {
                let known = self.vfs.get(&vf);
                let spoilt = now.dirty && known.is_some_and(|known| known.spoilt);
                let bare = now.driver.is_none() && known.is_some_and(|known| known.bare);
                let vf_now = Vf { base: now.clone(), home: now, spoilt, bare, murky: false };
                self.vfs.insert(vf, vf_now);
            }
            None => drop(self.vfs.remove(&vf)),
        }
    }

    /// After others did something: what is free shall be as they left it.
    pub fn meddled(&mut self, what: &Other, before: &Sight, now: &Sight) {
        if matches!(what, Other::Reboot) {
            self.vfs.clear();
            now.world.vfs.keys().for_each(|vf| self.adopt(*vf, now));
            return;
        }
        for (vf, state) in &now.world.vfs {
            let was = &before.world.vfs[vf];
            if state == was {
                continue;
            }
            let has_record = now.attachment(*vf).is_some() || now.binding(*vf).is_some();
            let was_begun = has_record || !now.resizes.is_empty();
            if let Some(known) = self.vfs.get_mut(vf) {
                known.bare |= state.driver.is_none();
                // Where they drove it by hand, nobody tells in what driver's hands it was.
                let by_user = state.driver.as_deref().is_some_and(|driver| driver != "igbvf");
                known.spoilt = state.dirty && (was_begun || known.spoilt || !by_user);
            }
            if !now.resizes.is_empty() {
                // Whatever they did goes when the former VFs come back.
                if let Some(known) = self.vfs.get_mut(vf) {
                    known.murky = true;
                }
                continue;
            }
            match (now.attachment(*vf), now.binding(*vf)) {
                (None, None) => self.adopt(*vf, now),
                (Some(_), _) | (None, Some((false, _))) => {}
                (None, Some((true, _))) => {
                    let known = self.vfs.get_mut(vf).unwrap();
                    known.murky |= state.driver != was.driver;
                    known.home = state.clone();
                }
            }
        }
    }

    /// After the program did something.
    pub fn done(
        &mut self,
        step: &Step,
        said: &Said,
        killed: bool,
        before: &Sight,
        now: &Sight,
    ) -> Result<(), String> {
        let Step { act, fault } = step;
        let repairs = matches!(act, Act::Repair { .. }); // of many, and each says its own
        let left = said.as_ref().is_err_and(|text| repairs || admits(text)) || killed;
        Self::only_its_own(act, said, before, now)?;
        let is_quiet = before.is_quiet();
        let undoes = matches!(act, Act::Attach { .. } | Act::Add { .. } | Act::Bind { .. });
        if said.is_err() && !left && is_quiet && undoes {
            let mut was = before.clone();
            for (vf, was) in &mut was.world.vfs {
                forgive(*fault, was, now.world.vfs.get(vf));
            }
            ensure(was == *now, || {
                let pairs =
                    was.world.vfs.iter().map(|(vf, was)| differing(&now.world.vfs[vf], was));
                let pairs = pairs.collect::<String>();
                format!("it failed, said nothing of what is left, and left something: {pairs}")
            })?;
        }
        if matches!(act, Act::Check(..)) {
            ensure(before == now, || "CHECK changed something".into())?;
        }
        if matches!(act, Act::Resize { .. }) || before.resizes != now.resizes {
            self.resized(*fault, said, before, now)?;
        }
        if said.is_ok() {
            self.wanted(act, said, before, now)?;
        } else if *fault == Fault::None && is_quiet {
            self.nothing_in_the_way(act, said, before)?;
        }
        if let (Act::Bind { vf, .. } | Act::Restore(vf), Some(was)) =
            (act, before.world.vfs.get(vf_of(act)))
        {
            // Nobody wrote down how it was before others bound it, or took its driver away.
            let by_hand = if let Act::Bind { .. } = act {
                let base = self.vfs.get(vf).map(|known| &known.base);
                let other = |is: &VfState| is.driver.as_deref().is_some_and(|d| d != "igbvf");
                other(was) || base.is_some_and(other)
            } else {
                let begun = now.binding(*vf).is_some_and(|(done, _)| !done);
                said.is_err() && (begun || now.world.vfs.get(vf) != Some(was))
            };
            if let (true, Some(known)) = (by_hand, self.vfs.get_mut(vf)) {
                known.murky |= !before.binding(*vf).is_some_and(|(done, _)| done);
            }
        }
        if repairs {
            self.brought_home(before, now);
        }
        for vf in 0..8 {
            self.whole(vf, step, (said, left), before, now)
                .map_err(|why| format!("VF {vf}: {why}"))?;
        }
        Self::one_holder(now)
    }

    /// Of a VF that others had moved away nobody can say how it was.
    fn brought_home(&mut self, before: &Sight, now: &Sight) {
        let place = |sight: &Sight, vf| sight.world.vfs.get(&vf)?.netdev.as_ref()?.netns;
        for vf in 0..8 {
            let was_foreign = before.attachment(vf).is_none() && place(before, vf).is_some();
            if was_foreign && place(now, vf).is_none() {
                match (now.binding(vf), self.vfs.get_mut(&vf)) {
                    // How it was before it was bound is written down.
                    (Some(_), Some(known)) => known.home = now.world.vfs[&vf].clone(),
                    _ => self.adopt(vf, now),
                }
            }
        }
    }

    /// A VF that nobody has is as it was; one that somebody has has a record.
    fn whole(
        &mut self,
        vf: u16,
        Step { act, fault }: &Step,
        (said, left): (&Said, bool),
        before: &Sight,
        now: &Sight,
    ) -> Result<(), String> {
        let Some(is) = now.world.vfs.get(&vf) else {
            if now.resizes.is_empty() {
                self.vfs.remove(&vf);
            } else if let Some(known) = self.vfs.get_mut(&vf) {
                known.murky = true; // it may come back
            }
            return Ok(());
        };
        if now.is_resizing() {
            if let Some(known) = self.vfs.get_mut(&vf) {
                known.murky = true;
            }
            return ensure(left || !before.resizes.is_empty(), || "a journal was left".into());
        }
        if !self.vfs.contains_key(&vf) {
            self.adopt(vf, now);
        }
        let known = self.vfs.get_mut(&vf).unwrap();
        let names = known.names_of_others(vf, before, now);
        if struck(*fault) && before.was_left(vf) {
            let binding = now.bindings.get(&device_of(vf));
            let binding = binding.and_then(|(journal, done)| journal.as_ref().or(done.as_ref()));
            let record = binding.or_else(|| now.attachment(vf).map(|(_, record)| record));
            if let Some(record) = record {
                mac_stays(known, record);
            }
        }
        // Nobody's: what a program in user space left in it is gone.
        let has_kernel_driver = is.driver.as_deref() == Some("igbvf");
        let is_free = now.attachment(vf).is_none() && now.binding(vf).is_none();
        let is_over = has_kernel_driver || (is.driver.is_none() && is_free);
        known.spoilt = is.dirty && (known.spoilt || (is_over && struck(*fault)));
        ensure(!(is.dirty && has_kernel_driver && is_free) || known.spoilt, || {
            "it was not reset".into()
        })?;
        let of_another = |(_, record): (bool, &Record)| record.incarnation != Some(is.incarnation);
        known.murky |= now.attachment(vf).is_some_and(of_another);
        match (now.attachment(vf), now.binding(vf)) {
            (Some((false, record)), _) => {
                known.murky |= record.owner.network == "foreign"; // nobody knows how it was
                let had = before.attachment(vf).is_some_and(|(done, _)| !done);
                return ensure(left || had, || "a journal was left, and nobody told".into());
            }
            (Some((true, record)), _) => {
                let was = before.attachment(vf);
                if was.is_none_or(|(done, was)| !done || was != record)
                    || before.world.vfs.get(&vf) == Some(is)
                {
                    return Ok(());
                }
                let may = matches!(act, Act::Detach(_) | Act::Del(_) | Act::Gc(_)) && said.is_err()
                    || matches!(act, Act::Repair { .. } | Act::Resize { .. })
                    || record.incarnation != Some(is.incarnation)
                    || before.is_dead(vf, record);
                return ensure(may || left, || "an attachment was changed".into());
            }
            (None, Some((false, _))) => {
                let had = before.binding(vf).is_some_and(|(done, _)| !done);
                return ensure(left || had, || "a journal was left, and nobody told".into());
            }
            (None, Some((true, record))) => {
                let was = before.bindings.get(&device_of(vf)).and_then(|(_, was)| was.as_ref());
                let is_new = was.is_none_or(|was| was.wanted != record.wanted);
                if is_new || known.murky {
                    // Killed right after it was complete, or it followed another one.
                    known.home = is.clone();
                    let ok = known.murky || is.driver == record.wanted.driver;
                    return ensure(ok, || format!("it is bound to {:?}", is.driver));
                }
            }
            (None, None) => {
                known.home = known.base.clone();
                if known.murky {
                    let was = before.world.vfs.get(&vf).unwrap_or(&known.base);
                    let had_none = known.bare || was.driver.is_none();
                    self.murky += 1;
                    self.adopt(vf, now);
                    return ensure(is.driver.is_some() || left || had_none, || {
                        "it has no driver".into()
                    });
                }
            }
        }
        self.compared += 1;
        let mut expected = known.home.clone();
        do_without(&names, &mut expected, is);
        forgive(*fault, &mut expected, Some(is));
        if matches!(act, Act::Repair { .. }) && now.binding(vf).is_some() {
            expected.settings = is.settings.clone(); // set again as recorded
        }
        ensure(expected == *is, || differing(is, &expected))?;
        known.home = is.clone();
        if now.binding(vf).is_none() {
            known.base = is.clone();
        }
        Ok(())
    }

    /// No two devices are one container's interface, and none is told of that nobody has.
    fn one_holder(now: &Sight) -> Result<(), String> {
        let mut owners = BTreeSet::new();
        for vf in 0..8 {
            let Some((true, record)) = now.attachment(vf) else { continue };
            let owner = (&record.owner.container, &record.owner.ifname);
            if record.owner.ifname.is_some() {
                ensure(owners.insert(owner), || format!("{} has two devices", record.owner))?;
            }
        }
        for found in &now.told {
            let has = now.records.get(&found.says.device);
            ensure(has.is_some_and(|(_, record)| record.told.contains(&found.path)), || {
                format!("{} is told of, and nobody has it", found.path)
            })?;
        }
        Ok(())
    }
}

impl Vf {
    /// Names that it cannot have.
    fn names_of_others(&mut self, vf: u16, before: &Sight, now: &Sight) -> BTreeSet<String> {
        let mut names = now.host_names(vf);
        if let Some((false, begun)) = before.binding(vf) {
            // A way back from a binding that was cut off ends without a name that is taken, though
            // whoever has that may be given back right after it.
            let taken = before.host_names(vf);
            let has = now.attachment(vf).or_else(|| now.binding(vf));
            if let Some((_, record)) = has.filter(|(_, record)| *record != begun) {
                names_stay(self, record, &taken);
            }
            names.extend(taken);
        }
        // What is away is called as they like there.
        let netdev = now.world.vfs.get(&vf).and_then(|vf| vf.netdev.as_ref());
        let is_away = netdev.is_some_and(|netdev| netdev.netns.is_some());
        if is_away { BTreeSet::new() } else { names }
    }
}

fn vf_of(act: &Act) -> &u16 {
    match act {
        Act::Bind { vf, .. } | Act::Restore(vf) | Act::Detach(vf) => vf,
        _ => &u16::MAX,
    }
}
