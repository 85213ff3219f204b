//! States of a VF beside each other.

use std::collections::BTreeSet;

use sriovctl::model::ids::MacAddr;
use sriovctl::model::link::VfSettings;
use sriovctl::model::record::Record;

use super::super::kernel::{Netdev, VfState};
use super::model::Vf;
use super::steps::Fault;

/// What was begun before was undone, but for the MAC of the PF that was to go: the next record begins
/// with that.
pub fn mac_stays(known: &mut Vf, record: &Record) {
    let now = record.before_binding().settings.as_ref().and_then(|settings| settings.mac);
    if known.base.settings.mac == Some(MacAddr::ZERO) && now.is_some() {
        known.base.settings.mac = now;
    }
}

/// What was begun before was undone, but for names that others had: the next record begins without.
pub fn names_stay(known: &mut Vf, record: &Record, taken: &BTreeSet<String>) {
    let Some(now) = &record.before_binding().name else { return };
    for was in [&mut known.base, &mut known.home] {
        let Some(netdev) = &mut was.netdev else { continue };
        if taken.contains(&netdev.name) {
            netdev.name.clone_from(now);
        }
        let Netdev { name, altnames, .. } = netdev;
        altnames.retain(|alt| !taken.contains(alt) && alt != name);
    }
}

/// Another interface took its name, or an altname, and it had to come back without.
pub fn do_without(names: &BTreeSet<String>, was: &mut VfState, is: &VfState) {
    if let (Some(was), Some(is)) = (&mut was.netdev, &is.netdev) {
        if names.contains(&was.name) {
            was.name.clone_from(&is.name);
        }
        was.altnames.retain(|alt| !names.contains(alt) && is.name != *alt);
    }
}

/// Whether the kernel refused something, be it a reset.
pub fn struck(fault: Fault) -> bool {
    matches!(fault, Fault::Refused(..))
}

/// That a MAC cannot be taken away from the PF is no failure: some drivers refuse that.
pub fn forgive(fault: Fault, was: &mut VfState, is: Option<&VfState>) {
    let has = is.and_then(|is| is.settings.mac);
    if matches!(fault, Fault::Refused(..)) && was.settings.mac == Some(MacAddr::ZERO) {
        was.settings.mac = has;
    }
}

/// In what two states of a VF differ.
pub fn differing(is: &VfState, expected: &VfState) -> String {
    let lines = |vf: &VfState| {
        let netdev = vf.netdev.as_ref().map_or_else(Vec::new, |n| {
            let texts = [
                format!("{} {} mtu {} {:?}", n.name, n.mac, n.mtu, n.altnames),
                format!("up {} promisc {} in {:?}", n.up, n.promisc, n.netns),
                format!("{:?} {:?}", n.addresses, n.routes),
            ];
            texts.to_vec()
        });
        let of_vf =
            [format!("{:?} {:?}", vf.driver, vf.driver_override), format!("{:?}", vf.settings)];
        [of_vf.to_vec(), netdev].concat()
    };
    let (is, expected) = (lines(is), lines(expected));
    let pairs = (0..is.len().max(expected.len())).map(|n| (is.get(n), expected.get(n)));
    let wrong = pairs.filter(|(is, expected)| is != expected);
    wrong
        .map(|(is, expected)| format!("it is {is:?}, not {expected:?}"))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Whether an interface of the host has the name or an altname of the VF's.
pub fn is_taken(vf: &VfState, names: &BTreeSet<String>) -> bool {
    let own = vf.netdev.iter().flat_map(|netdev| netdev.altnames.iter().chain([&netdev.name]));
    own.into_iter().any(|name| names.contains(name))
}

pub fn settings_are(want: &VfSettings, has: &VfSettings) -> bool {
    fn is<T: PartialEq>(want: Option<&T>, has: Option<&T>) -> bool {
        want.is_none() || want == has
    }
    is(want.vlan.as_ref(), has.vlan.as_ref())
        && is(want.trust.as_ref(), has.trust.as_ref())
        && is(want.spoofchk.as_ref(), has.spoofchk.as_ref())
        && is(want.max_tx_rate.as_ref(), has.max_tx_rate.as_ref())
        && is(want.link_state.as_ref(), has.link_state.as_ref())
        && has.mac != Some(MacAddr([0xff; 6]))
}
