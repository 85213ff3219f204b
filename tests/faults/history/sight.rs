//! Everything that can be seen, before and after a step.

use std::collections::{BTreeMap, BTreeSet};

use sriovctl::engine::neighbours::Found;
use sriovctl::model::ids::DeviceId;
use sriovctl::model::record::{Record, Resize};

use super::super::kernel::{FakeKernel, VfState, World, device_of, names_in};

/// Everything that can be seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Sight {
    pub world: World,
    pub boot: String,
    pub records: BTreeMap<DeviceId, (bool, Record)>,
    pub bindings: BTreeMap<DeviceId, (Option<Record>, Option<Record>)>,
    pub told: Vec<Found>,
    pub resizes: BTreeMap<DeviceId, Resize>,
}

/// One that ended brings nothing back.
fn is_pending((_, resize): &(DeviceId, Resize)) -> bool {
    !resize.ended
}

impl Sight {
    pub fn of(kernel: &FakeKernel) -> Self {
        Self {
            world: kernel.world(),
            boot: kernel.boot_id.borrow().clone(),
            records: kernel.records.borrow().clone(),
            bindings: kernel.bindings.borrow().clone(),
            told: kernel.neighbours.borrow().clone(),
            resizes: kernel.resizes.borrow().clone().into_iter().filter(is_pending).collect(),
        }
    }

    /// The attachment of a VF, and whether it is complete; of this boot only.
    pub fn attachment(&self, vf: u16) -> Option<(bool, &Record)> {
        let (done, record) = self.records.get(&device_of(vf))?;
        (record.boot_id == self.boot).then_some((*done, record))
    }

    /// Its binding, likewise.
    pub fn binding(&self, vf: u16) -> Option<(bool, &Record)> {
        let (journal, done) = self.bindings.get(&device_of(vf))?;
        let record = journal.as_ref().or(done.as_ref())?;
        // Ended by other means: a driver of the kernel's has it, or it is another VF.
        let is_over = self.world.vfs.get(&vf).is_none_or(|vf| {
            record.incarnation != Some(vf.incarnation)
                || (vf.driver.as_deref() == Some("igbvf") && vf.driver != record.wanted.driver)
        });
        let holds = record.boot_id == self.boot && !(journal.is_none() && is_over);
        holds.then_some((journal.is_none(), record))
    }

    /// Whether something was begun with a VF and not ended.
    pub fn was_begun(&self, vf: u16) -> bool {
        let binding = self.bindings.get(&device_of(vf));
        let journal = binding.and_then(|(journal, _)| journal.as_ref());
        self.attachment(vf).is_some_and(|(done, _)| !done)
            || journal.is_some_and(|record| record.boot_id == self.boot)
    }

    /// The same, or an attachment that is over: whoever takes the VF next gives it back first.
    pub fn was_left(&self, vf: u16) -> bool {
        let is_dead = |(_, record)| self.is_dead(vf, record);
        self.was_begun(vf) || self.attachment(vf).is_some_and(is_dead)
    }

    /// Whether a change of the number of VFs is begun; of this boot, whose VFs may come back.
    pub fn is_resizing(&self) -> bool {
        self.resizes.values().any(|resize| resize.boot_id == self.boot)
    }

    /// Whether nothing is begun and not ended, and no record is of what is gone.
    pub fn is_quiet(&self) -> bool {
        let mut records = self.records.iter();
        let holds = |vf: Option<&VfState>, record: &Record| {
            record.boot_id == self.boot
                && vf.is_some_and(|vf| record.incarnation == Some(vf.incarnation))
        };
        let at = |device: &DeviceId| {
            (0..8).find(|vf| device_of(*vf) == *device).and_then(|vf| self.world.vfs.get(&vf))
        };
        self.resizes.is_empty()
            && records.all(|(device, (done, record))| {
                let inode = at(device).and_then(|vf| vf.netdev.as_ref()?.netns);
                *done && holds(at(device), record) && inode == Some(record.netns.inode)
            })
            && self.bindings.iter().all(|(device, (journal, done))| {
                let is = |record: &Record| {
                    at(device).is_some_and(|vf| vf.driver == record.wanted.driver)
                        && holds(at(device), record)
                };
                journal.is_none() && done.as_ref().is_some_and(is)
            })
    }

    /// Whether the interface is not where the record says, so that anybody may clear it.
    pub fn is_dead(&self, vf: u16, record: &Record) -> bool {
        let netdev = self.world.vfs.get(&vf).and_then(|vf| vf.netdev.as_ref());
        netdev.and_then(|netdev| netdev.netns) != Some(record.netns.inode)
    }

    /// Whether a record of a VF, or of its PF's VFs, says that it had one of these names.
    pub fn is_claimed(&self, vf: u16, names: &BTreeSet<String>) -> bool {
        let records = [self.attachment(vf), self.binding(vf)];
        let mut claimed = records.into_iter().flatten().flat_map(|(_, record)| {
            let were = [&record.original, record.before_binding()];
            were.into_iter().flat_map(|was| was.altnames.iter().chain(&was.name))
        });
        let begun = self.resizes.values().filter(|resize| resize.boot_id == self.boot);
        let all_saved = begun.flat_map(|resize| &resize.saved);
        let saved = all_saved.filter(|saved| saved.index.0 == vf);
        let mut saved = saved.flat_map(|saved| saved.altnames.iter().chain(&saved.name));
        claimed.any(|name| names.contains(name)) || saved.any(|name| names.contains(name))
    }

    /// Names and altnames of the host's interfaces but that of a VF.
    pub fn host_names(&self, but: u16) -> BTreeSet<String> {
        let mut world = self.world.clone();
        world.vfs.remove(&but);
        names_in(&world, None)
    }
}
