//! Records on disk, below `/var/lib/cni/sriov/sriovctl`: `journal/` while an attachment is made,
//! `attached/` from then on; `binding/` and `bound/` likewise of drivers; `resize/` while a PF's number of VFs
//! is changed; a file a device. `calls/` leads to the records of CNI calls, see [`super::calls`].
//!
//! A file is written beside its place, synced and renamed, and its directory synced: it is there
//! whole or not at all.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use super::beneath::Dir;
use super::neighbours::DIR;
use super::{Host, calls, parallel, sysfs};
use crate::engine::store::{Shelf, Store, Stored};
use crate::error::{Error, Kind, Result};
use crate::model::ids::{DeviceId, PciAddress};
use crate::model::json;
use crate::model::plan::attach::Moment;
use crate::model::record::{FORMAT, Owner, Record, Resize};
use crate::order;

impl Host {
    /// What all of it is below, shared with other plugins. It may be a link: an administrator made it.
    pub(super) fn state(&self) -> Result<Option<Dir>> {
        self.dirs.get("sriovctl", || {
            let base = self.shared_dir()?.map(Dir::of_root).transpose()?;
            let ours = base.map(|base| self.our_dir(&base)).transpose()?.flatten();
            ours.map(Dir::of_root).transpose()
        })
    }

    /// The directory that all plugins share.
    pub(super) fn shared_dir(&self) -> Result<Option<Dir>> {
        self.dirs.get("", || {
            let Some(dir) = Dir::open(&self.root.join(DIR))? else { return Ok(None) };
            // Opened before they are counted: what is made meanwhile is one too many, and leads to a closer look.
            let known = [self.dirs.get("pci", || dir.dir("pci")), self.our_dir(&dir)];
            let known = known.iter().filter(|known| matches!(known, Ok(Some(_)))).count() as u64;
            dir.looked_at(known).map(Some)
        })
    }

    /// What in it is ours alone.
    fn our_dir(&self, shared: &Dir) -> Result<Option<Dir>> {
        self.dirs.get("ours", || shared.dir("sriovctl"))
    }

    pub(super) fn state_dir(&self, kind: &str) -> Result<Option<Dir>> {
        self.dirs.get(kind, || {
            let Some(state) = self.state()? else { return Ok(None) };
            let Some(dir) = state.dir(kind)? else { return Ok(None) };
            // Into one that is closed nobody but root put anything.
            if state.is_closed() { Ok(Some(dir)) } else { dir.of_root().map(Some) }
        })
    }

    /// The directory, for root only; those above it as others have them.
    pub(super) fn make_state_dir(&self, kind: &str) -> Result<Dir> {
        if let Some(dir) = self.state_dir(kind)? {
            return Ok(dir);
        }
        let base = Dir::make(&self.root.join(DIR))?.of_root()?;
        let ours = base.make_dir("sriovctl", 0o700)?.of_root()?;
        ours.make_dir(kind, 0o700)?.of_root()
    }

    /// A line feed at its end, and nothing in it that a terminal would act on.
    pub(super) fn write_record(
        &self,
        kind: &str,
        device: &DeviceId,
        record: &impl serde::Serialize,
    ) -> Result<()> {
        let text = json::text(record)
            .map_err(|error| Error::new(Kind::Failed, format!("writing a record: {error}")))?;
        self.make_state_dir(kind)?.write_to_disk(&file_name(device), text.as_bytes(), 0o600)
    }

    /// The record of a kind, or why it is none; `None`: there is no file.
    fn read_record(
        &self,
        kind: &str,
        device: &DeviceId,
    ) -> Result<Option<std::result::Result<Record, Stored>>> {
        let Some(dir) = self.state_dir(kind)? else { return Ok(None) };
        record_in(&dir, device)
    }

    /// The call that a record is of, as it was read a moment ago.
    fn call_of(&self, shelf: Shelf, device: &DeviceId) -> Result<Option<String>> {
        if shelf != Shelf::Attachments {
            return Ok(None);
        }
        if let Ok(known) = self.recent.call(device) {
            return Ok(known);
        }
        let stored = self.stored(shelf, device)?;
        Ok(stored.as_ref().and_then(Stored::record).and_then(|of| calls::name_of(&of.owner)))
    }

    fn remove_record(&self, kind: &str, device: &DeviceId) -> Result<()> {
        let Some(dir) = self.state_dir(kind)? else { return Ok(()) };
        // Should the power go before the disk knows, it comes back and counts no more, being of another boot.
        dir.remove(&file_name(device)).map(drop)
    }

    /// Names of the files on a shelf.
    pub(super) fn names_on(&self, shelf: Shelf) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for kind in dirs(shelf) {
            if let Some(dir) = self.state_dir(kind)? {
                names.extend(dir.names()?);
            }
        }
        Ok(names)
    }

    /// Whom each recorded device belongs to, for lists; what cannot be read is left to
    /// `inspect-state`, which says so.
    pub(super) fn owners(&self) -> Vec<(DeviceId, String)> {
        let all = self.all_stored(Shelf::Attachments).unwrap_or_default();
        let owner = |stored: &Stored| {
            let record = stored.record()?;
            Some((record.device.clone(), record.owner.to_string()))
        };
        let mut owners: Vec<(DeviceId, String)> = all.iter().filter_map(owner).collect();
        // What another plugin allocated, which shows nowhere else if user space drives it. What this
        // one allocated is among them, and need not be read again.
        let ours: HashSet<&DeviceId> = owners.iter().map(|(device, _)| device).collect();
        let pci = self.allocated_devices();
        let devices = pci.iter().filter_map(|name| name.parse::<PciAddress>().ok());
        let theirs = devices.map(DeviceId::from).filter(|device| !ours.contains(device));
        let theirs = theirs.filter_map(|device| {
            let netns = self.allocated_to(&device)?;
            let is_there = self.root.join(netns.trim_start_matches('/')).exists();
            is_there.then(|| (device, format!("allocated to {netns}")))
        });
        let theirs: Vec<(DeviceId, String)> = theirs.collect();
        owners.extend(theirs);
        owners
    }
}

impl Store for Host {
    fn stored(&self, shelf: Shelf, device: &DeviceId) -> Result<Option<Stored>> {
        let [journals, complete] = dirs(shelf);
        let (journals, complete) = (self.state_dir(journals)?, self.state_dir(complete)?);
        let found = stored_in(journals.as_ref(), complete.as_ref(), device)?;
        if shelf == Shelf::Attachments {
            let record = found.as_ref().and_then(Stored::record);
            self.recent.keep_call(device, record.and_then(|record| calls::name_of(&record.owner)));
        }
        Ok(found)
    }

    fn stored_of_call(&self, owner: &Owner) -> Result<Vec<Stored>> {
        self.stored_by_link(owner)
    }

    fn forget_call(&self, owner: &Owner) -> Result<()> {
        match calls::name_of(owner) {
            Some(name) => self.unlink_call(&name, None),
            None => Ok(()),
        }
    }

    fn forget_dead_calls(&self) -> Result<()> {
        self.unlink_left()
    }

    fn all_stored(&self, shelf: Shelf) -> Result<Vec<Stored>> {
        let [journals, complete] = dirs(shelf);
        let (journals, complete) = (self.state_dir(journals)?, self.state_dir(complete)?);
        let listed = |dir: Option<&Dir>| dir.map_or_else(|| Ok(Vec::new()), Dir::names);
        // In this order: a journal that becomes a record meanwhile is among the records then.
        let begun: HashSet<String> = listed(journals.as_ref())?.into_iter().collect();
        let mut names = listed(complete.as_ref())?;
        names.extend(begun.iter().cloned());
        order::sort(&mut names);
        names.dedup();
        let read = |name: &String| {
            let Some(device) = device_of(name) else { return Ok(None) };
            // Most have no journal, which need not be asked for one by one.
            let complete_only = if begun.contains(name) {
                None
            } else {
                stored_in(None, complete.as_ref(), &device)?
            };
            match complete_only {
                Some(found) => Ok(Some(found)),
                None => stored_in(journals.as_ref(), complete.as_ref(), &device),
            }
        };
        parallel::map(&names, read).into_iter().filter_map(Result::transpose).collect()
    }

    fn begin(&self, shelf: Shelf, record: &Record) -> Result<()> {
        self.must_be_live()?;
        let [journal, complete] = dirs(shelf);
        self.make_state_dir(complete)?;
        if shelf == Shelf::Attachments {
            self.link_call(&record.owner, &record.device)?;
            self.recent.keep_call(&record.device, calls::name_of(&record.owner));
        }
        self.write_record(journal, &record.device, record)
    }

    fn commit(&self, shelf: Shelf, device: &DeviceId) -> Result<()> {
        let [journal, complete] = dirs(shelf);
        let (from, to) = (self.make_state_dir(journal)?, self.make_state_dir(complete)?);
        let name = file_name(device);
        // Safe on disk it is already, by the one name: should the power go before it is by the other, it counts
        // no more by either, since the VFs of the next boot are new ones.
        from.rename(&name, &to, &name)
    }

    fn abandon(&self, shelf: Shelf, device: &DeviceId) -> Result<()> {
        let [journal, complete] = dirs(shelf);
        let call = self.call_of(shelf, device)?;
        self.remove_record(journal, device)?;
        let is_last = || Ok::<_, Error>(self.read_record(complete, device)?.is_none());
        match call {
            // A link that is left counts for nothing.
            Some(call) if is_last()? => drop(self.unlink_call(&call, Some(device))),
            _ => {}
        }
        Ok(())
    }

    /// The record first: should this be cut off between the two, the journal finishes it.
    fn forget(&self, shelf: Shelf, device: &DeviceId) -> Result<()> {
        let [journal, complete] = dirs(shelf);
        let call = self.call_of(shelf, device)?;
        self.remove_record(complete, device)?;
        self.remove_record(journal, device)?;
        // A link that is left counts for nothing.
        let _ = call.map(|call| self.unlink_call(&call, Some(device)));
        Ok(())
    }

    fn allocated(&self, device: &DeviceId) -> Option<String> {
        self.allocated_to(device)
    }

    fn untell(&self, path: &str, device: &DeviceId, netns: Option<&str>) -> Result<()> {
        self.remove_neighbour(path, device, netns)
    }

    fn set_aside(&self, shelf: Shelf, device: &DeviceId) -> Result<String> {
        let mut kept = String::new();
        for kind in dirs(shelf) {
            if !matches!(self.read_record(kind, device)?, Some(Err(_))) {
                continue;
            }
            let Some(dir) = self.state_dir(kind)? else { continue };
            // Its name no longer ends as a record's does, so that nobody takes it for one.
            let name = file_name(device);
            let aside = name.replace(".json", ".corrupt");
            dir.rename(&name, &dir, &aside)?;
            kept = dir.place().join(aside).display().to_string();
        }
        Ok(kept)
    }

    fn begin_resize(&self, resize: &Resize) -> Result<()> {
        self.must_be_live()?;
        self.write_record("resize", &resize.pf, resize)
    }

    fn resizes(&self) -> Result<Vec<Resize>> {
        let Some(dir) = self.state_dir("resize")? else { return Ok(Vec::new()) };
        let names = dir.names()?;
        let names = names.iter().filter(|name| device_of(name).is_some());
        // What cannot be read any more tells of nothing that could come back.
        let read = |name: &String| serde_json::from_slice(&dir.read(name).ok()??.ok()?.text).ok();
        Ok(names.filter_map(read).collect())
    }

    fn end_resize(&self, pf: &DeviceId) -> Result<()> {
        self.remove_record("resize", pf)
    }

    fn moment(&self) -> Result<Moment> {
        // A process does not outlive its boot.
        if self.boot_id.get().is_none() {
            let path = self.root.join("proc/sys/kernel/random/boot_id");
            let _ = self.boot_id.set(sysfs::value_or_error(&path)?);
        }
        let boot_id = self.boot_id.get().cloned().unwrap_or_default();
        // Of a clock before 1970 nothing depends but what is shown.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(Moment { boot_id, time })
    }
}

/// A device's journal, else its complete record, each where its directory is given.
fn stored_in(
    journals: Option<&Dir>,
    complete: Option<&Dir>,
    device: &DeviceId,
) -> Result<Option<Stored>> {
    let found_in = |dir: Option<&Dir>| dir.map_or(Ok(None), |dir| record_in(dir, device));
    if let Some(found) = found_in(journals)? {
        return Ok(Some(found.map_or_else(|corrupt| corrupt, Stored::Unfinished)));
    }
    let found = found_in(complete)?;
    Ok(found.map(|found| found.map_or_else(|corrupt| corrupt, Stored::Attached)))
}

/// The record in a directory, or why it is none; `None`: there is no file.
fn record_in(dir: &Dir, device: &DeviceId) -> Result<Option<std::result::Result<Record, Stored>>> {
    let name = file_name(device);
    let Some(found) = dir.read(&name)? else { return Ok(None) };
    let path = || dir.place().join(&name).display().to_string();
    let record = found.and_then(|content| parse(&content.text, device));
    Ok(Some(record.map_err(|why| Stored::Corrupt { device: device.clone(), path: path(), why })))
}

/// Directories of a shelf: of journals, and of complete records.
fn dirs(shelf: Shelf) -> [&'static str; 2] {
    match shelf {
        Shelf::Attachments => ["journal", "attached"],
        Shelf::Bindings => ["binding", "bound"],
    }
}

pub(super) fn file_name(device: &DeviceId) -> String {
    let port = Some(device.port()).filter(|port| *port > 0);
    let port = port.map(|port| format!("+{port}")).unwrap_or_default();
    // The first dash ends the bus, whose name may have one itself (fsl-mc).
    let bus = device.bus().replace('%', "%25").replace('-', "%2d");
    format!("{bus}-{}{port}.json", device.name())
}

pub(super) fn device_of(file_name: &str) -> Option<DeviceId> {
    let (bus, name) = file_name.strip_suffix(".json")?.split_once('-')?;
    DeviceId::new(&bus.replace("%2d", "-").replace("%25", "%"), name)
}

pub(super) fn parse(text: &[u8], device: &DeviceId) -> std::result::Result<Record, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let record: Record = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if record.format > FORMAT {
        return Err(format!("format {} is of a newer sriovctl", record.format));
    }
    if record.device != *device {
        return Err(format!("it speaks of {}", record.device));
    }
    Ok(record)
}

#[cfg(test)]
#[path = "state_tests.rs"]
pub(super) mod tests;
