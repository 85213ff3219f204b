//! What was just seen of devices and is asked for again by the next step: a step that sets something of a
//! VF would else look for its PF's interface each time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::ids::DeviceId;
use crate::model::record::{NetnsId, VfOf};

/// Of the last device that was looked at, and its PF.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Facts>);

/// It was not looked at.
pub struct NotKnown;

#[derive(Debug, Default)]
struct Facts {
    /// Numbers of interfaces of this namespace. A name may change, a number does not.
    ifindexes: Vec<(DeviceId, u32)>,
    /// The last VF, by the number of its directory, which no other device has.
    vf: Option<(u64, VfOf)>,
    /// The last VF whose PF was asked for, and that.
    pf: Option<(DeviceId, DeviceId)>,
    /// What was moved last, and what it was named where it went.
    moved: Option<(DeviceId, NetnsId, String)>,
    /// The call that the last record was of.
    call: Option<(DeviceId, Option<String>)>,
}

impl Recent {
    /// Keeps the number of an interface that was just seen here.
    pub fn add(&self, device: &DeviceId, ifindex: u32) {
        let mut facts = self.facts();
        facts.ifindexes.retain(|(of, _)| of != device);
        facts.ifindexes.push((device.clone(), ifindex));
    }

    /// The number of a device's interface.
    pub fn ifindex(&self, device: &DeviceId) -> Option<u32> {
        self.facts().ifindexes.iter().find(|(of, _)| of == device).map(|(_, ifindex)| *ifindex)
    }

    /// Forgets the interfaces: a driver, or another namespace, may have others.
    pub fn forget(&self) {
        let mut facts = self.facts();
        facts.ifindexes.clear();
        (facts.moved, facts.pf) = (None, None);
    }

    /// Forgets the interface of one device, which went somewhere else.
    pub fn forget_one(&self, device: &DeviceId) {
        let mut facts = self.facts();
        facts.ifindexes.retain(|(of, _)| of != device);
        facts.moved = None;
    }

    /// Which VF the device with this directory is.
    pub fn vf(&self, incarnation: u64) -> Option<VfOf> {
        self.facts().vf.as_ref().filter(|(of, _)| *of == incarnation).map(|(_, vf)| vf.clone())
    }

    /// Keeps which VF it is.
    pub fn keep_vf(&self, incarnation: u64, vf: &VfOf) {
        self.facts().vf = Some((incarnation, vf.clone()));
    }

    /// The PF of a VF: an address has one PF, or none.
    pub fn pf(&self, vf: &DeviceId, look: impl FnOnce() -> Option<DeviceId>) -> Option<DeviceId> {
        if let Some((_, pf)) = self.facts().pf.as_ref().filter(|(of, _)| of == vf) {
            return Some(pf.clone());
        }
        let pf = look()?;
        self.facts().pf = Some((vf.clone(), pf.clone()));
        Some(pf)
    }

    /// The name that a device was moved to a namespace under, if nothing was done to it since.
    pub fn moved(&self, device: &DeviceId, to: &NetnsId) -> Option<String> {
        let facts = self.facts();
        let moved = facts.moved.as_ref().filter(|(of, at, _)| of == device && at == to);
        moved.map(|(.., name)| name.clone())
    }

    /// Keeps where a device was moved, and as what.
    pub fn keep_moved(&self, device: &DeviceId, to: &NetnsId, name: &str) {
        self.facts().moved = Some((device.clone(), to.clone(), name.to_owned()));
    }

    /// The call that the record of a device was of when it was read or written last: an error if that is not known,
    /// nothing if it was of none.
    pub fn call(&self, device: &DeviceId) -> Result<Option<String>, NotKnown> {
        let facts = self.facts();
        let known = facts.call.as_ref().filter(|(of, _)| of == device);
        known.map(|(_, call)| call.clone()).ok_or(NotKnown)
    }

    /// Keeps of which call it is.
    pub fn keep_call(&self, device: &DeviceId, call: Option<String>) {
        self.facts().call = Some((device.clone(), call));
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
