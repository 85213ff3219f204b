//! Which device the attachment of a CNI call has: a link for each, named after the call, to the name of the record.
//! A call finds its record by that, however many others there are.
//!
//! The link is made before the journal and goes after the record: there is no record without it, while one that leads
//! to no record of its call is of one that died, and counts for nothing.

use std::collections::HashSet;
use std::fs::File;
use std::time::Duration;

use nix::errno::Errno;

use super::beneath::{self, Dir};
use super::state::{device_of, file_name};
use super::{Host, lock};
use crate::engine::store::{Shelf, Store, Stored};
use crate::error::Result;
use crate::model::ids::DeviceId;
use crate::model::record::Owner;

const DIR: &str = "calls";
/// What it is called until it is whole.
const NEW_DIR: &str = "calls.new";

/// What the link of an owner is called; `None`: it is not a CNI call's.
pub(super) fn name_of(owner: &Owner) -> Option<String> {
    let (container, ifname) = (owner.container.as_ref()?, owner.ifname.as_ref()?);
    // As of the lock: no container has a + in its id.
    Some(format!("{container}+{ifname}")).filter(|name| !name.contains('/'))
}

/// The link that a record has; `None`: further ports are found by the first.
fn link_of(owner: &Owner, device: &DeviceId) -> Option<String> {
    name_of(owner).filter(|_| device.port() == 0)
}

impl Host {
    /// What is kept of a call's attachment, of a device's first port first.
    pub(super) fn stored_by_link(&self, owner: &Owner) -> Result<Vec<Stored>> {
        let (Some(name), Some(dir)) = (name_of(owner), self.state_dir(DIR)?) else {
            // Before the first link is made there are no records, or they are of a time without links.
            return self.stored_of_all(owner);
        };
        let Some(device) = dir.link(&name)?.and_then(|target| device_of(&target)) else {
            return Ok(Vec::new());
        };
        let is_its = |stored: &Stored| stored.record().is_some_and(|of| of.owner.is_call_of(owner));
        let Some(first) = self.stored(Shelf::Attachments, &device)?.filter(is_its) else {
            return Ok(Vec::new());
        };
        let ports = first.record().map(|record| record.ports.clone()).unwrap_or_default();
        let mut all = vec![first];
        for port in &ports {
            all.extend(self.stored(Shelf::Attachments, port)?.filter(is_its));
        }
        Ok(all)
    }

    /// Makes the link of a call to its device, in place of what is left of another.
    pub(super) fn link_call(&self, owner: &Owner, device: &DeviceId) -> Result<()> {
        let Some(name) = link_of(owner, device) else { return Ok(()) };
        let dir = match self.state_dir(DIR)? {
            Some(dir) => dir,
            None => self.make_links()?,
        };
        dir.make_link(&name, &file_name(device))
    }

    /// Makes the directory, with a link for each record that is there already: it is there whole or not at all.
    fn make_links(&self) -> Result<Dir> {
        // One makes it, the others wait; a record of theirs comes after its link, and so after this.
        self.make_state_dir("journal")?;
        let Some(state) = self.state()? else { return self.make_state_dir(DIR) };
        let _alone = state.lock()?;
        if let Some(dir) = self.state_dir(DIR)? {
            return Ok(dir);
        }
        let new = state.make_dir(NEW_DIR, 0o700)?;
        for name in new.names()? {
            new.remove(&name)?;
        }
        for record in self.all_stored(Shelf::Attachments)?.iter().filter_map(Stored::record) {
            if let Some(name) = link_of(&record.owner, &record.device) {
                new.make_link(&name, &file_name(&record.device))?;
            }
        }
        state.rename(NEW_DIR, &state, DIR)?;
        self.make_state_dir(DIR)
    }

    /// Removes the link of a call, if it leads to the device; `None`: if it leads to no record of the call.
    pub(super) fn unlink_call(&self, name: &str, device: Option<&DeviceId>) -> Result<()> {
        let Some(dir) = self.state_dir(DIR)? else { return Ok(()) };
        // Not between this look and the removal does another call make it its own.
        let _alone = dir.lock()?;
        let Some(target) = dir.link(name)? else { return Ok(()) };
        let leads_to = device_of(&target);
        let is_left = match (device, &leads_to) {
            (Some(device), Some(leads_to)) => device == leads_to,
            (None, Some(leads_to)) => {
                let stored = self.stored(Shelf::Attachments, leads_to)?;
                let owner = stored.as_ref().and_then(Stored::record).map(|record| &record.owner);
                owner.and_then(name_of).is_none_or(|of| of != name)
            }
            (_, None) => true,
        };
        if is_left { dir.remove(name).map(drop) } else { Ok(()) }
    }

    /// Removes the links that calls left which died; those that run now have their locks.
    pub(super) fn unlink_left(&self) -> Result<()> {
        let Some(dir) = self.state_dir(DIR)?.filter(|_| self.is_live() || cfg!(test)) else {
            return Ok(());
        };
        let all = self.all_stored(Shelf::Attachments)?;
        let records = all.iter().filter_map(Stored::record);
        let known: HashSet<String> = records.filter_map(|record| name_of(&record.owner)).collect();
        for name in dir.names()?.into_iter().filter(|name| !known.contains(name)) {
            let Some((container, ifname)) = name.split_once('+') else { continue };
            let lock = lock::call(&self.lock_dir(), container, ifname, Duration::ZERO, &|| ());
            if lock.is_ok() {
                self.unlink_call(&name, None)?;
            }
        }
        Ok(())
    }
}

impl Dir {
    /// Where a link in it leads; `None`: there is no such link.
    fn link(&self, name: &str) -> Result<Option<String>> {
        let path = self.path(name)?;
        match nix::fcntl::readlinkat(self.fd(), name) {
            Ok(target) => Ok(target.into_string().ok()),
            // Something else in its place is no link.
            Err(Errno::ENOENT | Errno::EINVAL) => Ok(None),
            Err(errno) => Err(beneath::failed("reading", &path, &errno.into())),
        }
    }

    /// Keeps others from what is changed under the same lock, for a moment; freed when it is dropped.
    fn lock(&self) -> Result<File> {
        let failed = |error: std::io::Error| beneath::failed("locking", self.place(), &error);
        // Of an open file of its own: another thread's lock is another's, too.
        let file = self.again().map_err(failed)?;
        while let Err(error) = file.lock() {
            if error.kind() != std::io::ErrorKind::Interrupted {
                return Err(failed(error));
            }
        }
        Ok(file)
    }

    /// Makes a link that is only read, never followed.
    fn make_link(&self, name: &str, target: &str) -> Result<()> {
        let path = self.path(name)?;
        let make = || nix::unistd::symlinkat(target, self.fd(), name);
        let made = match make() {
            Err(Errno::EEXIST) => {
                let _alone = self.lock()?;
                if self.link(name)?.as_deref() == Some(target) {
                    return Ok(());
                }
                self.remove(name)?;
                make()
            }
            made => made,
        };
        made.map_err(|errno| beneath::failed("making", &path, &errno.into()))
    }
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
