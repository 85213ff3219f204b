//! A VF of a pool, without a look at the whole host: by what can be told of all from the outside, and a
//! look at the one that is taken.

use std::convert::Infallible;
use std::ops::RangeInclusive;

use super::choose::Candidate;
use super::clear::has_left_over;
use crate::engine::Kernel;
use crate::engine::store::Store;
use crate::model::ids::{DeviceId, VfIndex};
use crate::model::selector::Selector;
use crate::model::stock::{PfName, State, Stock};
use crate::order;

/// After so many that were not to be had it is better to look at everything.
const TRIES: usize = 4;

/// What came of trying one.
pub(super) enum Tried<T> {
    /// It is had.
    Has(T),
    /// It was not even looked at.
    Passed,
    /// It is not to be had.
    InVain,
}

/// What may be free, in the order to try it.
struct Ranked {
    free: Vec<Candidate>,
    /// What something is written down about.
    recorded: Vec<Candidate>,
}

/// Whether it is far from the wished-for node, how many of its PF are in use, and its number there.
type Rank<'a> = (bool, usize, VfIndex, &'a DeviceId);

/// The first that `attempt` has; `None`: only a look at everything tells whether there is one.
pub(super) fn first<K: Kernel + Store, T, E>(
    kernel: &K,
    pool: &[Selector],
    numa: Option<u32>,
    mut attempt: impl FnMut(&Candidate) -> Result<Tried<T>, E>,
) -> Result<Option<T>, E> {
    let Some(ranked) = ranked(kernel, pool, numa) else { return Ok(None) };
    let free = ranked.free.iter().map(|one| (one, false));
    let recorded = ranked.recorded.iter().map(|one| (one, true));
    let mut in_vain = 0;
    for (candidate, is_recorded) in free.chain(recorded) {
        if in_vain == TRIES {
            break;
        }
        // A record that cannot be read is left to those who look at everything, and say so.
        if is_recorded && !has_left_over(kernel, &candidate.0).unwrap_or(false) {
            in_vain += 1;
            continue;
        }
        match attempt(candidate)? {
            Tried::Has(it) => return Ok(Some(it)),
            Tried::Passed => {}
            Tried::InVain => in_vain += 1,
        }
    }
    Ok(None)
}

/// Whether one is free for certain; if not, only a look at everything tells.
pub fn has_free<K: Kernel + Store>(kernel: &K, pool: &[Selector]) -> bool {
    let look = |(device, _): &Candidate| {
        let seen = kernel.inspect(device, None);
        let is_free = seen.is_ok_and(|seen| seen.exists && seen.users.is_empty());
        Ok::<_, Infallible>(if is_free { Tried::Has(()) } else { Tried::InVain })
    };
    first(kernel, pool, None, look).is_ok_and(|found| found.is_some())
}

/// What may be free; `None`: only a look at everything tells what the pool is.
fn ranked<K: Kernel>(kernel: &K, pool: &[Selector], numa: Option<u32>) -> Option<Ranked> {
    let wanted: Vec<_> = pool.iter().map(Selector::of_pf).collect::<Option<_>>()?;
    let names: Vec<PfName<'_>> = wanted.iter().map(|(name, _)| *name).collect();
    // Why it could not be read is said by those who look at everything.
    let stocks = kernel.stock(&names).ok()??;
    let numbers: Vec<_> = wanted.into_iter().map(|(_, numbers)| numbers).collect();
    in_order(&stocks, &numbers, numa)
}

/// In the order of [`super::choose::candidates`], those of these numbers (none given: all) of each. Of use
/// that is not written down only that counts which an interface shows (up, part of another one, not on
/// the host): what has addresses or is held open by a process is refused when its turn comes.
fn in_order(
    stocks: &[Stock],
    numbers: &[&[RangeInclusive<u16>]],
    numa: Option<u32>,
) -> Option<Ranked> {
    let (mut free, mut recorded) = (Vec::new(), Vec::new());
    for (stock, ranges) in stocks.iter().zip(numbers) {
        let is_there = |number: &u16| stock.vf(VfIndex(*number)).is_some();
        if !ranges.iter().flat_map(|range| [range.start(), range.end()]).all(is_there) {
            return None;
        }
        let (far, in_use) = (numa.is_some() && stock.numa_node != numa, stock.in_use());
        let is_wanted =
            |index: u16| ranges.is_empty() || ranges.iter().any(|range| range.contains(&index));
        for vf in stock.vfs.iter().filter(|vf| is_wanted(vf.index.0)) {
            let ranked = ((far, in_use, vf.index, &stock.pf), &vf.device);
            match vf.state {
                State::Free => free.push(ranked),
                State::Recorded => recorded.push(ranked),
                State::Used => {}
            }
        }
    }
    let sorted = |mut ranked: Vec<(Rank<'_>, &DeviceId)>| {
        order::sort(&mut ranked);
        let candidate =
            |((_, _, _, pf), device): (Rank<'_>, &DeviceId)| (device.clone(), Some(pf.clone()));
        ranked.into_iter().map(candidate).collect()
    };
    Some(Ranked { free: sorted(free), recorded: sorted(recorded) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stock::Item;

    /// A PF on bus `bus` with a VF of each state.
    fn stock(bus: u8, numa_node: u32, states: &[State]) -> Stock {
        let device = |slot: usize| format!("0000:{bus:02x}:{slot:02x}.0").parse().unwrap();
        let item = |(index, state): (usize, &State)| Item {
            index: VfIndex(u16::try_from(index).unwrap()),
            device: device(16 + index),
            state: *state,
        };
        let vfs = states.iter().enumerate().map(item).collect();
        Stock { pf: device(0), numa_node: Some(numa_node), vfs }
    }

    fn names(candidates: &[Candidate]) -> Vec<String> {
        candidates.iter().map(|(device, _)| device.to_string()).collect()
    }

    #[test]
    fn the_pf_with_the_fewest_in_use_comes_first_and_the_wished_for_node_before_all() {
        use State::{Free, Recorded, Used};
        let stocks = [
            stock(1, 0, &[Used, Recorded, Free]),
            stock(2, 1, &[Used, Free]),
            stock(3, 1, &[Free; 2]),
        ];
        let ranked = |numa| in_order(&stocks, &[&[], &[], &[]], numa).unwrap();
        let near = ["0000:03:10.0", "0000:03:11.0", "0000:02:11.0"];
        assert_eq!(names(&ranked(None).free), [&near[..], &["0000:01:12.0"]].concat());
        assert_eq!(names(&ranked(None).recorded), ["0000:01:11.0"]);
        assert_eq!(names(&ranked(Some(0)).free), [&["0000:01:12.0"], &near[..]].concat());
    }

    #[test]
    fn only_the_wanted_numbers_are_taken_and_missing_ones_are_left_to_others_to_tell() {
        let stocks = [stock(1, 0, &[State::Free; 4])];
        let ranked = |ranges: &[RangeInclusive<u16>]| in_order(&stocks, &[ranges], None);
        let names = |ranges| ranked(ranges).map(|ranked| names(&ranked.free));
        assert_eq!(names(&[1..=1, 3..=3]).unwrap(), ["0000:01:11.0", "0000:01:13.0"]);
        assert_eq!(names(&[2..=4]), None);
    }
}
