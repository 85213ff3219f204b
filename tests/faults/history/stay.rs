//! What an operation is not about, and so stays.

use super::super::kernel::{VfState, device_of};
use super::act::{Said, kept};
use super::compare::{differing, forgive};
use super::model::{Model, ensure};
use super::sight::Sight;
use super::steps::{Act, Fault, Pick};

impl Model {
    /// VFs that the operation is not about are as before, unless what was left of them was cleared.
    pub(super) fn only_its_own(
        act: &Act,
        said: &Said,
        before: &Sight,
        now: &Sight,
    ) -> Result<(), String> {
        let is_of_pool =
            matches!(act, Act::Attach { of: Pick::Pool, .. } | Act::Add { of: Pick::Pool, .. });
        let chosen = said.as_ref().ok().and_then(|chosen| chosen.as_ref());
        let is_own = |vf: u16| match act {
            Act::Attach { of: Pick::Vf(own), .. } | Act::Add { of: Pick::Vf(own), .. } => {
                *own == vf
            }
            Act::Attach { .. } | Act::Add { .. } => {
                // Of a pool any may have been tried, if it had nobody, or what was left of somebody.
                chosen == Some(&device_of(vf))
                    || (chosen.is_none()
                        && before
                            .attachment(vf)
                            .is_none_or(|(_, record)| before.is_dead(vf, record)))
            }
            Act::Detach(own) | Act::Restore(own) | Act::Bind { vf: own, .. } => *own == vf,
            Act::Del(of) => {
                before.records.get(&device_of(vf)).is_some_and(|(_, r)| of.is_of(&r.owner))
            }
            Act::Check(..) => false,
            Act::Gc(keep) => before.records.get(&device_of(vf)).is_some_and(|(_, record)| {
                record.owner.ifname.is_some() && !kept(*keep).any(|of| of.is_of(&record.owner))
            }),
            Act::Resize { .. } | Act::Repair { .. } | Act::Other(_) => true,
        };
        // ADD gives back first what was left of an attachment of the same call.
        let is_of_call = |vf: u16| {
            let Act::Add { of_call, .. } = act else { return false };
            before.records.get(&device_of(vf)).is_some_and(|(done, record)| {
                of_call.is_of(&record.owner) && (!done || before.is_dead(vf, record))
            })
        };
        for vf in (0..8).filter(|vf| !is_own(*vf) && !is_of_call(*vf)) {
            let device = device_of(vf);
            let same = before.world.vfs.get(&vf) == now.world.vfs.get(&vf)
                && before.records.get(&device) == now.records.get(&device)
                && before.bindings.get(&device) == now.bindings.get(&device);
            let cleared = now.attachment(vf).is_none()
                && (before.records.contains_key(&device) || before.bindings.contains_key(&device));
            let may_clear = matches!(act, Act::Attach { .. } | Act::Add { .. });
            // One that could not be given back whole keeps its record, and the next one is tried.
            let kept = before.records.get(&device) == now.records.get(&device)
                && before.bindings.get(&device) == now.bindings.get(&device);
            let is_tried = is_of_pool && before.was_left(vf) && kept;
            ensure(same || (cleared && may_clear) || is_tried, || {
                format!("VF {vf} was changed, which is none of its business")
            })?;
        }
        Ok(())
    }

    /// A change of the number: VFs that stay are as they were.
    pub(super) fn resized(
        &mut self,
        fault: Fault,
        said: &Said,
        before: &Sight,
        now: &Sight,
    ) -> Result<(), String> {
        let same_again = before.world.vfs.iter().all(|(vf, was)| {
            now.world.vfs.get(vf).is_some_and(|now| now.incarnation == was.incarnation)
        });
        if same_again && before.world.vfs.len() == now.world.vfs.len() {
            return Ok(());
        }
        for vf in 0..8 {
            let (was, is) = (before.world.vfs.get(&vf), now.world.vfs.get(&vf));
            let (Some(was), Some(is), Some(known)) = (was, is, self.vfs.get_mut(&vf)) else {
                if now.is_resizing() {
                    continue; // it may come back, or go again
                }
                let device = device_of(vf);
                let has =
                    before.records.contains_key(&device) || before.bindings.contains_key(&device);
                if has && is.is_some() {
                    self.adopt(vf, now);
                    self.vfs.get_mut(&vf).unwrap().murky = true;
                } else {
                    self.adopt(vf, now);
                }
                continue;
            };
            let in_use = before.attachment(vf).is_some()
                || was.netdev.as_ref().is_some_and(|netdev| netdev.up || netdev.netns.is_some());
            let is_sure = said.is_ok() && now.resizes.is_empty() && before.is_quiet();
            if in_use || !is_sure || known.murky {
                known.murky = true;
                continue;
            }
            let altnames = is.netdev.as_ref().map(|netdev| netdev.altnames.clone());
            let expected = |was: &VfState| {
                let mut was = was.clone();
                if let Some(netdev) = &mut was.netdev {
                    netdev.altnames = altnames.clone().unwrap_or_default();
                    netdev.promisc = false;
                }
                forgive(fault, &mut was, Some(is));
                was
            };
            // What was begun with its driver is undone first.
            let begun = before.binding(vf).is_some_and(|(done, _)| !done);
            let so = if begun {
                [&known.home, &known.base].iter().any(|was| expected(was) == *is)
            } else {
                expected(was) == *is
            };
            ensure(so, || format!("VF {vf} stayed, but {}", differing(is, &expected(was))))?;
            known.home = is.clone();
            if before.binding(vf).is_none() {
                known.base = is.clone();
            }
        }
        Ok(())
    }
}
