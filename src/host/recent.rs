//! What was just seen of devices and is asked for again by the next step: a step that sets something of a
//! VF would else look for its PF's interface each time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::ids::DeviceId;
use crate::model::record::VfOf;

/// Of the last device that was looked at, and its PF.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Facts>);

#[derive(Debug, Default)]
struct Facts {
    /// Numbers of interfaces of this namespace. A name may change, a number does not.
    ifindexes: Vec<(DeviceId, u32)>,
    /// The last VF, by the number of its directory, which no other device has.
    vf: Option<(u64, VfOf)>,
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
        self.facts().ifindexes.clear();
    }

    /// Forgets the interface of one device, which went somewhere else.
    pub fn forget_one(&self, device: &DeviceId) {
        self.facts().ifindexes.retain(|(of, _)| of != device);
    }

    /// Which VF the device with this directory is.
    pub fn vf(&self, incarnation: u64) -> Option<VfOf> {
        self.facts().vf.as_ref().filter(|(of, _)| *of == incarnation).map(|(_, vf)| vf.clone())
    }

    /// Keeps which VF it is.
    pub fn keep_vf(&self, incarnation: u64, vf: &VfOf) {
        self.facts().vf = Some((incarnation, vf.clone()));
    }

    /// The call that the record of a device was of when it was read or written last; `None`: not known.
    pub fn call(&self, device: &DeviceId) -> Option<Option<String>> {
        self.facts().call.as_ref().filter(|(of, _)| of == device).map(|(_, call)| call.clone())
    }

    /// Keeps of which call it is.
    pub fn keep_call(&self, device: &DeviceId, call: Option<String>) {
        self.facts().call = Some((device.clone(), call));
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
