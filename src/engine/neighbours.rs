//! Attachments that other CNI plugins made: given back as ours are, from what those wrote down.

use std::time::Duration;

use serde_json::Value;

use super::attach::LOCK_WAIT;
use super::restore::restore_as_ours;
use super::store::{Shelf, Store, Stored};
use super::{Kernel, NetnsChoice, Progress};
use crate::error::{Error, Kind, Result};
use crate::model::ids::DeviceId;
use crate::model::neighbour::Neighbour;
use crate::model::record::{NetnsId, Owner, Record};
use crate::model::seen::Seen;
use crate::model::step;

/// Where a record of another plugin is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// `CNI_CONTAINERID`.
    pub container: &'a str,
    /// `CNI_IFNAME`, or what the configuration names instead.
    pub ifname: &'a str,
    /// `cniDir`; `None`: where all of them have it.
    pub dir: Option<&'a str>,
}

/// A record of another plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Container and interface, as its file is called: `<container>-<interface>`. Both may have a dash.
    pub name: String,
    /// Path of the namespace that the VF is allocated to, be it by this record or by a later one.
    pub netns: Option<String>,
    /// Whether it was written since the kernel started: of VFs from before nothing is left.
    pub of_this_boot: bool,
    /// Where it is.
    pub path: String,
    /// The namespace by its inode, where it is kept below that.
    pub inode: Option<u64>,
    /// What it says.
    pub says: Neighbour,
}

impl Found {
    /// Whether it is of this interface of this container.
    pub fn is_of(&self, container: &str, ifname: &str) -> bool {
        self.name == format!("{container}-{ifname}")
    }
}

/// What other plugins keep.
pub trait Neighbours {
    /// What keeps them from a VF while it lives.
    type Hold;

    /// The record of one attachment.
    fn neighbour(&self, place: &Place<'_>) -> Result<Option<Found>>;

    /// All of them.
    fn neighbours(&self, dir: Option<&str>) -> Result<Vec<Found>>;

    /// Writes down an attachment as they do; whether they are kept from the VF meanwhile stands beside the text.
    fn tell_neighbours(
        &self,
        place: &Place<'_>,
        device: &DeviceId,
        netns: &str,
        written: (&Value, bool),
    ) -> Result<()>;

    /// Writes down for the container itself, which finds it by the inode of its namespace
    /// (`readlink /proc/self/ns/net`), which device it has; returns where.
    fn tell_container(&self, place: &Place<'_>, inode: u64, document: &Value) -> Result<String>;

    /// Where that is.
    fn container_told_at(&self, place: &Place<'_>, inode: u64) -> String;

    /// Where an attachment is written down for them.
    fn told_at(&self, place: &Place<'_>) -> String;

    /// Keeps them from a VF.
    fn hold(&self, device: &DeviceId, timeout: Duration) -> Result<Self::Hold>;
}

/// Gives a VF back that another plugin attached; `at` is the namespace of the call, where it has one.
///
/// A record proves nothing but that there was an attachment: the VF may have got another owner since.
/// Only where nothing speaks against it is it given back; the file goes in any case.
pub fn give_back<K: Kernel + Store + Neighbours>(
    kernel: &K,
    found: &Found,
    at: Option<&NetnsId>,
    dir: Option<&str>,
    progress: &dyn Progress,
) -> Result<()> {
    let device = &found.says.device;
    let pf = kernel.inspect(device, None)?.vf_of.map(|of| of.pf);
    // In the order in which ADD takes them, or each would wait for the other.
    let _hold = kernel.hold(device, LOCK_WAIT)?;
    let _guard = kernel.lock_device(device, pf.as_ref(), LOCK_WAIT)?;
    // Looked at again under the lock: a second DEL comes while the first is at work.
    let all = kernel.neighbours(dir)?;
    if !all.iter().any(|other| other.path == found.path) {
        return Ok(());
    }
    let seen = kernel.inspect(device, None)?;
    let allocated = found.netns.as_ref().and_then(|path| namespace_at(kernel, path));
    let has_another = all
        .iter()
        .any(|other| other.path != found.path && other.says.device == *device && !other.says.ours);
    let is_elsewhere = match (&allocated, at) {
        (Some(allocated), Some(at)) => allocated.inode != at.inode,
        _ => false,
    };
    let is_ours_now = match kernel.stored(Shelf::Attachments, device)? {
        None | Some(Stored::Corrupt { .. }) => false,
        // A first try, that could not be ended.
        Some(Stored::Unfinished(record)) => record.owner != owner(found),
        Some(Stored::Attached(record)) => taken_over(kernel, &record).is_none(),
    };
    // A file of ours is left over from something that ended, unless it is our record that was lost.
    let is_there = match &seen.link {
        Some((step::Place::Netns(there), link)) => {
            allocated.as_ref().is_some_and(|allocated| allocated.inode == there.inode)
                && found.name.ends_with(&format!("-{}", link.name))
        }
        _ => false,
    };
    let is_free = !has_another && !is_elsewhere && !is_ours_now;
    let is_its = is_free && (!found.says.ours || is_there);
    // A file's time tells nothing where the clock was set meanwhile, but what is there was put there.
    if (found.of_this_boot || is_there) && seen.exists && is_its {
        let record = record(kernel, found, &seen)?;
        let problems = restore_as_ours(kernel, &record, progress)?;
        if let Some(first) = problems.first() {
            return Err(Error::new(
                Kind::Partial,
                format!("{device} is not yet as it was: {first}"),
            )
            .device(device.to_string())
            .details(problems.iter().skip(1).map(ToString::to_string))
            .hint(format!("run it again: sriovctl detach {device}")));
        }
    }
    // The allocation is this record's only if no other has a claim to it.
    let netns = found.netns.as_deref().filter(|_| is_its || (is_free && found.says.ours));
    kernel.untell(&found.path, device, netns)
}

/// The namespace that a path of theirs leads to; `None`: it is gone.
pub fn namespace_at<K: Kernel>(kernel: &K, path: &str) -> Option<NetnsId> {
    kernel.find_netns(&NetnsChoice::Named(path.to_owned())).ok()
}

/// The namespace to which another plugin gave the device since, where the record outlived a time in
/// which the node ran that one: that plugin gave the device back by what it was told of it, and nothing
/// is left to restore.
pub fn taken_over<K: Kernel + Store>(kernel: &K, record: &Record) -> Option<String> {
    if record.told.is_empty() {
        return None;
    }
    let path = kernel.allocated(&record.device).filter(|path| *path != record.netns.path)?;
    let there = namespace_at(kernel, &path)?;
    (there.inode != record.netns.inode).then_some(path)
}

/// For whom it was attached, as far as a name that may have dashes everywhere tells.
fn owner(found: &Found) -> Owner {
    let (container, ifname) = found.name.rsplit_once('-').unwrap_or((&found.name, ""));
    Owner {
        network: found.says.network.clone().unwrap_or_else(|| "unknown".to_owned()),
        container: Some(container.to_owned()),
        ifname: Some(ifname.to_owned()),
    }
}

/// What another plugin wrote down, as ours would have been.
fn record<K: Kernel + Store>(kernel: &K, found: &Found, seen: &Seen) -> Result<Record> {
    let path = found.netns.clone().unwrap_or_default();
    let netns = namespace_at(kernel, &path).unwrap_or(NetnsId { path, device: 0, inode: 0 });
    let mut original = found.says.original.clone();
    if !found.says.knows_driver {
        original.driver.clone_from(&seen.driver);
    }
    original.driver_override.clone_from(&seen.driver_override);
    let owner = owner(found);
    Ok(Record {
        ifname: owner.ifname.clone().unwrap_or_default(),
        original,
        ..Record::of(seen, &kernel.moment()?, owner, netns)
    })
}
