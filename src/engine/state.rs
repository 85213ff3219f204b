//! `inspect-state`: who has what, and whether that is still true.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::attach::{LOCK_WAIT, STEP_WITHIN, is_alive};
use super::bind;
use super::detach::{Detached, detach};
use super::neighbours::taken_over;
use super::numvfs;
use super::restore::restore_as_ours;
use super::store::{Shelf, Store, Stored};
use super::{Kernel, Progress, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::facts::Scope;
use crate::model::ids::{DeviceId, MacAddr};
use crate::model::inventory::{Pf, Vf};
use crate::model::link::{Link, LinkState, VfSettings, VlanTag};
use crate::model::plan::attach::{self, Moment};
use crate::model::record::{NetnsId, Original, Owner, Record};
use crate::model::seen::Seen;
use crate::model::step::{Place, VfAttr};
use crate::order;

/// How often a drifted device is set again before it is given up.
const AGAIN: usize = 4;

/// One device that is, or was, or should be attached.
#[derive(Debug)]
pub struct Entry {
    /// The device.
    pub device: DeviceId,
    /// What it is called on the host.
    pub name: String,
    /// Which kind of record it is about.
    pub shelf: Shelf,
    /// What was written down.
    pub record: Option<Record>,
    /// Whether it is so.
    pub verdict: Verdict,
}

/// The truth beside the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As recorded.
    Ok,
    /// Other than recorded.
    Drift(Vec<Drift>),
    /// Its owner is gone.
    Stale(String),
    /// Begun and not ended.
    Unfinished(String),
    /// What is kept is no record.
    Corrupt(String),
    /// Outside the host's namespace, without a record.
    Foreign(String),
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// What differs.
    pub field: &'static str,
    /// What was recorded.
    pub wanted: String,
    /// What is.
    pub actual: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, not {}", self.field, self.actual, self.wanted)
    }
}

impl Verdict {
    /// A stable word for scripts.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Drift(_) => "drift",
            Self::Stale(_) => "stale",
            Self::Unfinished(_) => "unfinished",
            Self::Corrupt(_) => "corrupt",
            Self::Foreign(_) => "foreign",
        }
    }

    /// What there is to say beyond the word.
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::Ok => Vec::new(),
            Self::Drift(drift) => drift.iter().map(ToString::to_string).collect(),
            Self::Unfinished(why) | Self::Stale(why) | Self::Corrupt(why) | Self::Foreign(why) => {
                vec![why.clone()]
            }
        }
    }
}

/// Everything that is recorded, and every VF that is away without a record.
pub fn examine<K: Kernel + Store>(kernel: &K) -> Result<Vec<Entry>> {
    let inventory = kernel.observe(Scope::default())?;
    let vfs: HashMap<&DeviceId, (&Pf, &Vf)> = (inventory.vfs())
        .filter_map(|(pf, vf)| Some((vf.facts.device.as_ref()?, (pf, vf))))
        .collect();
    let name_of = |device: &DeviceId| {
        vfs.get(device).map_or_else(|| device.to_string(), |(pf, vf)| pf.vf_name(vf.index()))
    };
    let mut entries = Vec::new();
    for shelf in Shelf::ALL {
        for stored in kernel.all_stored(shelf)? {
            let device = stored.device().clone();
            let verdict = judge(kernel, shelf, &stored)?;
            let record = stored.record().cloned();
            entries.push(Entry { name: name_of(&device), device, shelf, record, verdict });
        }
    }
    for resize in kernel.resizes()? {
        let pf = inventory.pfs.iter().find(|pf| pf.facts.device == resize.pf);
        let why = if resize.boot_id != kernel.moment()?.boot_id {
            "what was written down of a change of its VFs is from before the last boot".to_owned()
        } else if resize.ended {
            "a change of its VFs ended, but what was written down of it is left".to_owned()
        } else {
            format!("a change of its VFs ({} before) was cut off", resize.before)
        };
        entries.push(Entry {
            name: pf.map_or_else(|| resize.pf.to_string(), Pf::name),
            device: resize.pf,
            shelf: Shelf::Attachments,
            record: None,
            verdict: Verdict::Unfinished(why),
        });
    }
    let attached = entries.iter().filter(|entry| entry.shelf == Shelf::Attachments);
    let known: HashSet<DeviceId> = attached.map(|entry| entry.device.clone()).collect();
    for (device, (pf, vf)) in vfs.into_iter().filter(|(device, _)| !known.contains(device)) {
        let Some(netns) = vf.netns() else { continue };
        let inside = vf.netdev().map(|link| link.name.clone()).unwrap_or_default();
        entries.push(Entry {
            device: device.clone(),
            name: pf.vf_name(vf.index()),
            shelf: Shelf::Attachments,
            record: None,
            verdict: Verdict::Foreign(format!("it is {inside} in {}", netns.label())),
        });
    }
    order::sort_by(&mut entries, |a, b| (&a.device, a.shelf).cmp(&(&b.device, b.shelf)));
    Ok(entries)
}

fn judge<K: Kernel + Store>(kernel: &K, shelf: Shelf, stored: &Stored) -> Result<Verdict> {
    let record = match stored {
        Stored::Corrupt { why, .. } => return Ok(Verdict::Corrupt(why.clone())),
        Stored::Attached(record) | Stored::Unfinished(record) => record,
    };
    if record.boot_id != kernel.moment()?.boot_id {
        return Ok(Verdict::Stale("it is from before the last boot".to_owned()));
    }
    if matches!(stored, Stored::Unfinished(_)) {
        return Ok(Verdict::Unfinished("whoever began it died".to_owned()));
    }
    if shelf == Shelf::Bindings {
        return bind::state::judge(kernel, record);
    }
    if let Some(netns) = taken_over(kernel, record) {
        return Ok(Verdict::Stale(format!("another CNI plugin gave it to {netns}")));
    }
    let seen = kernel.inspect_with_ip(&record.device, Some(&record.netns))?;
    // An interface that is in a namespace is somebody's, whatever became of the path.
    let is_away = matches!(seen.link, Some((Place::Netns(_), _)));
    if !is_away && !is_alive(kernel, &record.netns)? {
        return Ok(Verdict::Stale(format!("{} is gone", record.netns.path)));
    }
    let drift = drift(record, &seen);
    Ok(if drift.is_empty() { Verdict::Ok } else { Verdict::Drift(drift) })
}

/// How a device differs from what its record says it was made to be.
pub fn drift(record: &Record, seen: &Seen) -> Vec<Drift> {
    let mut found = Vec::new();
    let mut differ = |field, wanted: String, actual: String| {
        if wanted != actual {
            found.push(Drift { field, wanted, actual });
        }
    };
    let none = || "none".to_owned();
    if !seen.exists {
        differ("device", record.device.to_string(), none());
        return found;
    }
    // One that is driven by user space has no interface that could be anywhere.
    if !record.ifname.is_empty() {
        let place = match &seen.link {
            None => none(),
            Some((Place::Host, _)) => "the host's namespace".to_owned(),
            Some((Place::Netns(at), _)) if at.inode == record.netns.inode => {
                record.netns.path.clone()
            }
            Some((Place::Netns(at), _)) => at.path.clone(),
        };
        differ("namespace", record.netns.path.clone(), place);
        if let Some((Place::Netns(_), link)) = &seen.link {
            of_link(record, link, &mut differ);
            for address in &record.wanted.config.addresses {
                if !seen.addresses.contains(address) {
                    differ("address", address.to_string(), "missing".to_owned());
                }
            }
            for route in &record.wanted.config.routes {
                if let Some(actual) = route.differs(&seen.routes) {
                    differ("route", route.to_string(), actual);
                }
            }
        }
    }
    found.extend(of_settings(record, seen));
    found
}

/// How the settings in the PF differ from what they were made to be.
pub(super) fn of_settings(record: &Record, seen: &Seen) -> Vec<Drift> {
    let Some(settings) = &seen.settings else { return Vec::new() };
    let wrong = |attr: &&VfAttr| attr.is_set_in(settings) == Some(false);
    let differing = record.wanted.settings.iter().filter(wrong).map(|attr| Drift {
        field: "setting",
        wanted: attr.to_string(),
        actual: actual(*attr, settings),
    });
    let admin = record.wanted.mac.zip(settings.mac).filter(|(wanted, actual)| wanted != actual);
    let admin = admin.map(|(wanted, actual)| Drift {
        field: "administrative MAC",
        wanted: wanted.to_string(),
        actual: actual.to_string(),
    });
    differing.chain(admin).collect()
}

fn of_link(record: &Record, link: &Link, differ: &mut dyn FnMut(&'static str, String, String)) {
    let text = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
    differ("name", record.ifname.clone(), link.name.clone());
    if let Some(mac) = record.wanted.mac {
        differ("MAC", mac.to_string(), text(link.mac.map(|mac| mac.to_string())));
    }
    differ("link", "up".to_owned(), if link.up == Some(false) { "down" } else { "up" }.to_owned());
    if let Some(mtu) = record.wanted.mtu {
        differ("MTU", mtu.to_string(), text(link.mtu.map(|mtu| mtu.to_string())));
    }
}

/// The present value of the setting that `attr` is about, spelled as the setting is.
fn actual(attr: VfAttr, settings: &crate::model::link::VfSettings) -> String {
    attr.now_in(settings).map_or_else(|| "unknown".to_owned(), |attr| attr.to_string())
}

/// Puts one entry right: gives back what has no owner any more, sets again what drifted, puts aside
/// what is no record. Returns what was done, as a phrase.
pub fn repair<K: Kernel + Store + Surroundings>(
    kernel: &K,
    entry: &Entry,
    progress: &dyn Progress,
) -> Result<String> {
    match (&entry.verdict, &entry.record) {
        (Verdict::Ok, _) => Ok("nothing to do".to_owned()),
        _ if entry.shelf == Shelf::Bindings => bind::state::repair(kernel, &entry.device, progress),
        (Verdict::Foreign(_), _) => {
            let name = bring_home(kernel, &entry.device, &|_, _| true, progress)?;
            Ok(name.map_or_else(
                || "it came back meanwhile".to_owned(),
                |name| format!("brought home as {name}"),
            ))
        }
        (Verdict::Unfinished(_), None) => {
            numvfs::recover(kernel, &entry.device, progress)?;
            Ok("the former VFs were restored".to_owned())
        }
        (Verdict::Drift(drift), Some(record)) if is_there(drift) => {
            set_again(kernel, entry, record, progress)
        }
        _ => match detach(kernel, &entry.device, &|_| true, progress)? {
            Detached::Done(_) => Ok("given back to the host, as it was".to_owned()),
            Detached::NotAttached(_) => Ok("it was given back meanwhile".to_owned()),
            Detached::SetAside { kept, .. } => Ok(format!("what was no record is kept as {kept}")),
        },
    }
}

/// Whether the device is still where its record says, so that its owner goes on using it.
fn is_there(drift: &[Drift]) -> bool {
    !drift.iter().any(|drift| ["namespace", "device"].contains(&drift.field))
}

fn set_again<K: Kernel + Store>(
    kernel: &K,
    entry: &Entry,
    record: &Record,
    progress: &dyn Progress,
) -> Result<String> {
    let pf = record.vf_of.as_ref().map(|of| &of.pf);
    let _guard = kernel.lock_device(&entry.device, pf, LOCK_WAIT)?;
    // A step may undo another's work (an MTU that resets the VF changes its MAC): look again.
    let mut left = Vec::new();
    for _ in 0..AGAIN {
        let seen = kernel.inspect_with_ip(&entry.device, Some(&record.netns))?;
        let steps = attach::again(record, &seen);
        for step in &steps {
            match kernel.apply(step, STEP_WITHIN) {
                Err(error) if step.is_zero_mac() => {
                    progress.note(&format!("left as it is: {error}"));
                }
                done => {
                    done?;
                }
            }
        }
        left = drift(record, &kernel.inspect_with_ip(&entry.device, Some(&record.netns))?);
        if left.is_empty() || steps.is_empty() {
            break;
        }
    }
    match left.first() {
        None => Ok("set again as recorded".to_owned()),
        Some(first) => Err(Error::new(Kind::Partial, format!("{}: still {first}", entry.name))),
    }
}

/// A VF that is in a namespace without a record comes back as its driver made it: how it was before
/// nobody wrote down, or what was written is no record any more. `None`: it is not where `is_it` says.
pub fn bring_home<K: Kernel + Store>(
    kernel: &K,
    device: &DeviceId,
    is_it: &dyn Fn(&NetnsId, &Link) -> bool,
    progress: &dyn Progress,
) -> Result<Option<String>> {
    let seen = kernel.inspect(device, None)?;
    let pf = seen.vf_of.as_ref().map(|of| of.pf.clone());
    let _guard = kernel.lock_device(device, pf.as_ref(), LOCK_WAIT)?;
    let seen = kernel.inspect(device, None)?;
    let Some((Place::Netns(at), link)) = &seen.link else { return Ok(None) };
    if !is_it(at, link) {
        return Ok(None);
    }
    // Somebody has it by now, or it was found by its record after all.
    if kernel.stored(Shelf::Attachments, device)?.is_some_and(|stored| stored.record().is_some()) {
        return Ok(None);
    }
    let record = foreign_record(&seen, at, link, &kernel.moment()?);
    match restore_as_ours(kernel, &record, progress)?.into_iter().next() {
        Some(first) => Err(first),
        None => Ok(record.original.name),
    }
}

fn foreign_record(seen: &Seen, at: &NetnsId, link: &Link, moment: &Moment) -> Record {
    let is_free = |name: &String| !seen.host_names.contains(name);
    let owner = Owner { network: "foreign".to_owned(), ..Owner::manual() };
    Record {
        ifname: link.name.clone(),
        original: Original {
            name: Some(link.name.clone()).filter(is_free).or_else(|| seen.spare_name()),
            altnames: link.altnames.clone(),
            mtu: link.mtu,
            mac: link.mac,
            up: false,
            settings: seen.settings.as_ref().map(as_made),
            driver: seen.driver.clone(),
            driver_override: seen.driver_override.clone(),
        },
        ..Record::of(seen, moment, owner, at.clone())
    }
}

/// Settings as a driver makes them, as far as it knows them.
fn as_made(has: &VfSettings) -> VfSettings {
    VfSettings {
        mac: has.mac.map(|_| MacAddr::ZERO),
        vlan: has.vlan.map(|_| VlanTag::default()),
        min_tx_rate: has.min_tx_rate.map(|_| 0),
        max_tx_rate: has.max_tx_rate.map(|_| 0),
        spoofchk: has.spoofchk.map(|_| true),
        trust: has.trust.map(|_| false),
        link_state: has.link_state.map(|_| LinkState::Auto),
        query_rss: has.query_rss.map(|_| false),
        ..has.clone()
    }
}
