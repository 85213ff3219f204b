//! Getting a device back: which steps lead from what it is to what the record says it was.
//!
//! Detach, rollback, crash recovery and garbage collection are all this: look, take the next steps,
//! look again, until nothing is left to do. Nothing is concluded from what was done before.

use super::mac::{MacStep, set_mac};
use super::replay::differences;
use crate::model::assemble::is_userspace_driver;
use crate::model::ids::MacAddr;
use crate::model::link::{Link, VfSettings};
use crate::model::record::Record;
use crate::model::seen::Seen;
use crate::model::step::{LinkSet, Place, Step, Subject, VfAttr};

/// The next steps; none: the device is as it was, or gone.
///
/// What comes later depends on what these do: a driver brings an interface, a namespace must be
/// left before the name can be right. So each call returns one stage.
pub fn next(record: &Record, seen: &Seen) -> Vec<Step> {
    if !seen.exists {
        return Vec::new(); // its PF has other VFs now, or none: there is nothing to get back
    }
    let stages = [drivers, bring_home, on_the_host];
    stages
        .iter()
        .map(|stage| stage(record, seen))
        .find(|steps| !steps.is_empty())
        .unwrap_or_default()
}

/// All stages as far as they can be told beforehand, for people to look at.
pub fn preview(record: &Record, seen: &Seen) -> Vec<Step> {
    let mut steps = drivers(record, seen);
    let home = bring_home(record, seen);
    let mut then = seen.clone();
    if let (Some(Step::BringHome { name, .. }), Some((at, link))) = (home.last(), &mut then.link) {
        *at = Place::Host;
        (link.name, link.up) = (name.clone(), Some(false));
    }
    steps.extend(home);
    steps.extend(on_the_host(record, &then));
    steps
}

/// Whether an interface must come before anything else can be judged.
pub fn awaits_interface(record: &Record, seen: &Seen) -> bool {
    // Its name is not known of one that udev had not yet named.
    let had_interface = record.original.name.is_some() || record.original.mac.is_some();
    let has_kernel_driver = seen.driver.as_deref().is_some_and(|d| !is_userspace_driver(d));
    seen.exists && had_interface && seen.link.is_none() && has_kernel_driver
}

fn drivers(record: &Record, seen: &Seen) -> Vec<Step> {
    let of = Subject::Device(seen.device.clone());
    let original = &record.original;
    let mut steps = Vec::new();
    let set_override =
        |driver: &Option<String>| Step::SetOverride { of: of.clone(), driver: driver.clone() };
    if seen.driver != original.driver {
        let mut unbind: Vec<Step> =
            seen.driver.iter().map(|_| Step::Unbind { of: of.clone() }).collect();
        // What a program in user space did to it is not for the next one. Without a driver it was
        // taken from one, and whoever did that died.
        let was_bound = record.wanted.driver.as_deref().is_some_and(is_userspace_driver);
        let was_userspace = seen.is_userspace() || (seen.driver.is_none() && was_bound);
        if was_userspace && !record.wanted.no_reset {
            unbind.push(Step::Reset { device: seen.device.clone() });
        }
        match &original.driver {
            Some(driver) => {
                // First of all: without it there would be nothing to bind to.
                steps.push(Step::LoadDriver { driver: driver.clone() });
                if seen.driver_override != original.driver {
                    steps.push(set_override(&original.driver));
                }
                steps.extend(unbind);
                steps.push(Step::Bind { of: of.clone(), driver: driver.clone() });
                if original.driver_override != original.driver {
                    steps.push(set_override(&original.driver_override));
                }
            }
            None => steps.extend(unbind),
        }
    } else if seen.driver_override != original.driver_override {
        steps.push(set_override(&original.driver_override));
    }
    steps
}

fn bring_home(record: &Record, seen: &Seen) -> Vec<Step> {
    let Some((Place::Netns(at), link)) = &seen.link else { return Vec::new() };
    let wanted = record.original.name.clone().unwrap_or_else(|| link.name.clone());
    let is_free = |name: &String| !seen.host_names.contains(name);
    // Where its own name is taken by now it comes back under another: on the host it can be used,
    // in the container it is lost. That its name is not right remains to be said, and mended.
    let Some(name) = Some(wanted).filter(is_free).or_else(|| seen.spare_name()) else {
        return Vec::new();
    };
    let detour =
        name != link.name && (seen.there_names.contains(&name) || link.altnames.contains(&name));
    // The kernel moves no interface with an altname that something on the host has.
    let clash = link.altnames.iter().filter(|name| seen.host_names.contains(*name));
    let remove: Vec<String> = clash.cloned().collect();
    let device = || seen.device.clone();
    let mut steps = Vec::new();
    if !remove.is_empty() {
        let place = Place::Netns(at.clone());
        steps.push(Step::AltNames { device: device(), at: place, add: Vec::new(), remove });
    }
    steps.push(Step::BringHome { device: device(), at: at.clone(), name, detour });
    steps
}

fn on_the_host(record: &Record, seen: &Seen) -> Vec<Step> {
    let original = &record.original;
    let mut steps = Vec::new();
    if let Some(link) = seen.host_link() {
        steps.extend(link_steps(record, seen, link));
    }
    if let (Some(vf), Some(has), Some(want)) = (seen.vf(), &seen.settings, &original.settings) {
        let set = |attr| Step::SetVf { vf: vf.clone(), attr };
        steps.extend(differences(has, want).into_iter().map(set));
    }
    steps.extend(macs(seen, original.mac, original.settings.as_ref()));
    if let Some(link) = seen.host_link() {
        // Last: a VF that comes up makes its own MAC known to some PFs.
        let up = original.up.then_some(true).filter(|_| link.up != Some(true));
        if up.is_some() {
            let set = LinkSet { up, ..LinkSet::default() };
            steps.push(Step::Link { device: seen.device.clone(), at: Place::Host, set });
        }
    }
    steps
}

fn link_steps(record: &Record, seen: &Seen, link: &Link) -> Vec<Step> {
    let original = &record.original;
    let device = || seen.device.clone();
    let mut steps = Vec::new();
    let set = LinkSet {
        up: (!original.up && link.up != Some(false)).then_some(false),
        quiet: link.promisc || link.allmulti,
        mtu: original.mtu.filter(|mtu| link.mtu != Some(*mtu)),
        ..LinkSet::default()
    };
    if set != LinkSet::default() {
        steps.push(Step::Link { device: device(), at: Place::Host, set });
    }
    let add: Vec<String> =
        original.altnames.iter().filter(|name| !link.altnames.contains(name)).cloned().collect();
    let remove: Vec<String> =
        link.altnames.iter().filter(|name| !original.altnames.contains(name)).cloned().collect();
    let name = original.name.as_ref().filter(|name| **name != link.name);
    // An altname may be in the way of the name, and a name in the way of an altname.
    if !remove.is_empty() {
        steps.push(Step::AltNames { device: device(), at: Place::Host, add: Vec::new(), remove });
    }
    if let Some(name) = name {
        let set = LinkSet { name: Some(name.clone()), ..LinkSet::default() };
        steps.push(Step::Link { device: device(), at: Place::Host, set });
    }
    if !add.is_empty() {
        steps.push(Step::AltNames { device: device(), at: Place::Host, add, remove: Vec::new() });
    }
    steps
}

fn macs(seen: &Seen, own: Option<MacAddr>, settings: Option<&VfSettings>) -> Vec<Step> {
    // Without a PF that answers only the interface can be put right.
    let has_admin = seen.settings.as_ref().and_then(|settings| settings.mac);
    let settings = settings.filter(|_| seen.settings.is_some());
    let admin = settings.and_then(|settings| settings.mac);
    let Some(link) = seen.host_link() else {
        // On a user-space driver only the PF has it.
        let vf = seen.vf().zip(admin.filter(|_| admin != has_admin));
        return vf
            .map(|(vf, mac)| Step::SetVf { vf, attr: VfAttr::Mac(mac) })
            .into_iter()
            .collect();
    };
    let Some(own) = own.or(link.mac) else { return Vec::new() };
    let vf = seen.vf().filter(|_| admin.is_some());
    let steps = set_mac(vf, has_admin, link.mac, own, admin.unwrap_or(MacAddr::ZERO));
    let device = &seen.device;
    let step = |step| match step {
        MacStep::Admin(vf, mac) => Step::SetVf { vf, attr: VfAttr::Mac(mac) },
        MacStep::Own(mac) => {
            let set = LinkSet { mac: Some(mac), ..LinkSet::default() };
            Step::Link { device: device.clone(), at: Place::Host, set }
        }
    };
    steps.into_iter().map(step).collect()
}
