//! Which devices may be taken, and in which order.

use super::clear::is_name_taken;
use super::{Choice, is_left_over};
use crate::engine::Kernel;
use crate::engine::store::Store;
use crate::error::{Error, Kind, Result};
use crate::model::ids::DeviceId;
use crate::model::inventory::{Inventory, Pf, Vf};
use crate::order;

/// Why none of them will do. That all are taken passes; what else they were refused for stays, and is
/// said where all of them have it in common.
pub(super) fn nothing_free(choice: &Choice, refused: &[Error]) -> Error {
    let lasts = |error: &&Error| error.kind() != Kind::Busy || is_name_taken(error);
    let lasting = refused.iter().find(lasts);
    let in_common = |one: &&Error| refused.iter().all(|e| lasts(&e) && e.kind() == one.kind());
    if let Some(error) = lasting.filter(in_common) {
        return error.clone();
    }
    let kind = lasting.map_or(Kind::Busy, Error::kind);
    let from = match choice {
        Choice::AnyOf { pool, .. } => {
            pool.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        Choice::Vf(one) | Choice::Pf(one) => one.to_string(),
    };
    Error::new(kind, format!("no VF of {from} is free"))
        .details(refused.iter().map(ToString::to_string))
        .hint("see who has which: sriovctl list-vfs --in-use")
}

/// A device, and its PF if it is a VF.
pub(super) type Candidate = (DeviceId, Option<DeviceId>);

/// The VF that is named by its address: nothing else need be looked at, however many others there are.
pub(super) fn named<K: Kernel>(kernel: &K, choice: &Choice) -> Option<Candidate> {
    let Choice::Vf(selector) = choice else { return None };
    let device = selector.address()?;
    let pf = kernel.pf_of(&device)?;
    Some((device, Some(pf)))
}

/// Devices that may be taken, in the order to try them; whether any of them will do.
pub(super) fn candidates<K: Kernel + Store>(
    kernel: &K,
    inventory: &Inventory,
    choice: &Choice,
) -> Result<(Vec<Candidate>, bool)> {
    let of = |pf: &Pf, vf: &Vf| {
        let device = vf.facts.device.clone().ok_or_else(|| {
            let name = pf.vf_name(vf.index());
            Error::new(Kind::Unsupported, format!("{name} has no device that could be moved"))
                .device(name)
        })?;
        Ok((device, Some(pf.facts.device.clone())))
    };
    match choice {
        Choice::Vf(selector) => match selector.vfs(inventory)?.as_slice() {
            [(pf, vf)] => Ok((vec![of(pf, vf)?], false)),
            [] => Err(Error::new(Kind::NotFound, format!("{selector} has no VFs"))
                .hint(format!("create some with: sriovctl set-numvfs {selector} N"))),
            many => Err(Error::new(
                Kind::Usage,
                format!("{selector} names {} VFs; this takes one", many.len()),
            )
            .hint(format!("name one, or take any free one: --pf {selector}"))),
        },
        Choice::Pf(selector) => {
            Ok((vec![(selector.pf(inventory)?.facts.device.clone(), None)], false))
        }
        Choice::AnyOf { pool, numa } => {
            let mut found: Vec<(&Pf, &Vf)> = Vec::new();
            let mut left_over = Vec::new();
            for selector in pool {
                for (pf, vf) in selector.vfs(inventory)? {
                    if vf.users.is_empty() {
                        found.push((pf, vf));
                    } else if is_left_over(kernel, vf)? {
                        left_over.push((pf, vf));
                    }
                }
            }
            // Spread: the PF with the fewest in use first, then by number; wished-for NUMA before all.
            let rank = |(pf, vf): &(&Pf, &Vf)| {
                let far = numa.is_some() && pf.facts.numa_node != *numa;
                (far, pf.vfs_in_use(), vf.index(), pf.facts.device.clone())
            };
            order::sort_by_key(&mut found, rank);
            order::sort_by_key(&mut left_over, rank);
            found.extend(left_over);
            let devices: Result<Vec<_>> = found.into_iter().map(|(pf, vf)| of(pf, vf)).collect();
            Ok((devices?, true))
        }
    }
}
