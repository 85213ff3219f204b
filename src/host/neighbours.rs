//! Files of other plugins below `/var/lib/cni/sriov`, see [`crate::model::neighbour`].

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Host;
use super::beneath::{Content, Dir};
use crate::engine::Kernel;
use crate::engine::neighbours::{Found, Place};
use crate::error::{Error, Kind, Result};
use crate::model::ids::DeviceId;
use crate::model::neighbour::Neighbour;

/// Where they are unless a configuration says otherwise (`cniDir`).
pub(super) const DIR: &str = "var/lib/cni/sriov";

impl Host {
    fn neighbour_dir(&self, dir: Option<&str>) -> PathBuf {
        match dir {
            Some(dir) => self.root.join(dir.trim_start_matches('/')),
            None => self.root.join(DIR),
        }
    }

    fn open_neighbour_dir(&self, dir: Option<&str>) -> Result<Option<Dir>> {
        match dir {
            Some(_) => Dir::open(&self.neighbour_dir(dir)),
            None => self.shared_dir(),
        }
    }

    /// Where allocations are kept; `None`: nowhere yet.
    fn allocations(&self) -> Result<Option<Dir>> {
        self.dirs.get("pci", || {
            Ok(self.shared_dir()?.map(|base| base.dir("pci")).transpose()?.flatten())
        })
    }

    /// The same; it is made where it is missing.
    fn make_allocations(&self) -> Result<Dir> {
        match self.allocations()? {
            Some(dir) => Ok(dir),
            None => self.make_shared_dir()?.make_dir("pci", 0o755),
        }
    }

    fn make_shared_dir(&self) -> Result<Dir> {
        match self.shared_dir()? {
            Some(dir) => Ok(dir),
            None => Dir::make(&self.root.join(DIR)),
        }
    }

    /// Devices that another plugin, or this one, has allocated.
    pub(super) fn allocated_devices(&self) -> Vec<String> {
        // Where it cannot be read, nothing is known to be allocated.
        let dir = self.allocations().ok().flatten();
        dir.and_then(|dir| dir.names().ok()).unwrap_or_default()
    }

    pub(super) fn neighbour_of(&self, place: &Place<'_>) -> Result<Option<Found>> {
        let Some(dir) = self.open_neighbour_dir(place.dir)? else { return Ok(None) };
        let name = format!("{}-{}", place.container, place.ifname);
        if let Some(found) = self.read_neighbour(&dir, &name, None)? {
            return Ok(Some(found));
        }
        // xftony's are below a directory for each namespace, which may be gone by now.
        if place.dir.is_none() && dir.has_others() == Some(false) {
            return Ok(None);
        }
        for inode in dir.names()?.iter().filter(|name| is_number(name)) {
            // A file or a link of that name is no such directory.
            let Ok(Some(inner)) = dir.dir(inode) else { continue };
            let found = self.read_neighbour(&inner, &format!("{name}.json"), inode.parse().ok())?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    pub(super) fn all_neighbours(&self, dir: Option<&str>) -> Result<Vec<Found>> {
        let Some(dir) = self.open_neighbour_dir(dir)? else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        // Allocations, and what is kept for this program alone.
        let is_record = |name: &String| !["pci", "sriovctl"].contains(&name.as_str());
        for name in dir.names()?.into_iter().filter(is_record) {
            // A file may be called by a number as well.
            let inner = if is_number(&name) { dir.dir(&name).ok().flatten() } else { None };
            match inner {
                Some(inner) => {
                    for file in inner.names()? {
                        all.extend(self.read_neighbour(&inner, &file, name.parse().ok())?);
                    }
                }
                None => all.extend(self.read_neighbour(&dir, &name, None)?),
            }
        }
        Ok(all)
    }

    /// Reads one; `None`: there is no file, or none that is such a record. `inode`: of the namespace,
    /// where its directory has that.
    fn read_neighbour(&self, dir: &Dir, file: &str, inode: Option<u64>) -> Result<Option<Found>> {
        let Some(Ok(Content { text, mtime })) = dir.read(file)? else { return Ok(None) };
        let value: Option<Value> = serde_json::from_slice(&text).ok();
        let Some(says) = value.as_ref().and_then(Neighbour::parse) else { return Ok(None) };
        let name = file.strip_suffix(".json");
        Ok(Some(Found {
            name: name.unwrap_or(file).to_owned(),
            netns: self.allocated_to(&says.device),
            of_this_boot: self.booted_at().is_none_or(|booted| mtime >= booted),
            path: dir.place().join(file).display().to_string(),
            inode: inode.filter(|_| name.is_some()),
            says,
        }))
    }

    /// When the kernel started, in seconds since 1970.
    fn booted_at(&self) -> Option<i64> {
        let stat = fs::read_to_string(self.root.join("proc/stat")).ok()?;
        stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
    }

    pub(super) fn allocated_to(&self, device: &DeviceId) -> Option<String> {
        self.allocation(device).filter(|netns| !netns.is_empty())
    }

    /// What is written of it; nothing by one that died.
    fn allocation(&self, device: &DeviceId) -> Option<String> {
        let content = self.allocations().ok()??.read(device.name()).ok()??.ok()?;
        Some(String::from_utf8(content.text).ok()?.trim().to_owned())
    }

    pub(super) fn write_neighbour(
        &self,
        place: &Place<'_>,
        device: &DeviceId,
        netns: &str,
        (document, is_held): (&Value, bool),
    ) -> Result<()> {
        self.must_be_live()?;
        let dir = self.make_shared_dir()?;
        let name = format!("{}-{}", place.container, place.ifname);
        dir.write(&name, document.to_string().as_bytes(), 0o644)?;
        let allocations = self.make_allocations()?;
        if is_held {
            // Who holds the lock is alone with it, and of one that died before it was whole nothing is read.
            return allocations.write_at_once(device.name(), netns.as_bytes(), 0o644);
        }
        allocations.write(device.name(), netns.as_bytes(), 0o644)
    }

    pub(super) fn container_path(&self, place: &Place<'_>, inode: u64) -> PathBuf {
        let name = format!("{}-{}.json", place.container, place.ifname);
        self.neighbour_dir(place.dir).join(inode.to_string()).join(name)
    }

    pub(super) fn write_for_container(
        &self,
        place: &Place<'_>,
        inode: u64,
        document: &Value,
    ) -> Result<String> {
        self.must_be_live()?;
        let path = self.container_path(place, inode);
        let name = format!("{}-{}.json", place.container, place.ifname);
        Dir::make(&self.neighbour_dir(place.dir))?.make_dir(&inode.to_string(), 0o755)?.write(
            &name,
            document.to_string().as_bytes(),
            0o644,
        )?;
        Ok(path.display().to_string())
    }

    /// Removes a file that was written about a device, and its allocation if it is to `netns`.
    ///
    /// The path is what a record says, and a record is only a file: what is removed is below a
    /// directory of such files and says of itself that it is about the device. Anything else (a file
    /// that was written anew for another attachment, or `/etc/passwd`) is let be.
    pub(super) fn remove_neighbour(
        &self,
        path: &str,
        device: &DeviceId,
        netns: Option<&str>,
    ) -> Result<()> {
        if let (Some(netns), Some(to)) = (netns, self.allocation(device))
            && (to == netns || to.is_empty())
            && let Some(dir) = self.allocations()?
        {
            dir.remove(device.name())?;
        }
        let Some((base, inode, name)) = parts(Path::new(path)) else { return Ok(()) };
        let shared = base == self.neighbour_dir(None);
        let base = if shared { self.shared_dir()? } else { Dir::open(base)? };
        let Some(base) = base else { return Ok(()) };
        let inner = match inode {
            // What somebody put in its place must not keep the device from its next owner.
            Some(inode) => match base.dir(inode) {
                Ok(Some(inner)) => Some(inner),
                _ => return Ok(()),
            },
            None => None,
        };
        let dir = inner.as_ref().unwrap_or(&base);
        let Some(Ok(content)) = dir.read(name)? else { return Ok(()) };
        let value: Option<Value> = serde_json::from_slice(&content.text).ok();
        if value.is_some_and(|value| Neighbour::is_about(&value, device)) {
            dir.remove(name)?;
        }
        // xftony's directory of a namespace goes with its last record.
        if let Some(inode) = inode {
            base.remove_dir_if_empty(inode);
        }
        Ok(())
    }

    pub(super) fn neighbour_path(&self, place: &Place<'_>) -> String {
        let name = format!("{}-{}", place.container, place.ifname);
        self.neighbour_dir(place.dir).join(name).display().to_string()
    }

    /// sriov-cni's lock of a VF, held until dropped.
    pub(super) fn lock_for_neighbours(
        &self,
        device: &DeviceId,
        timeout: Duration,
    ) -> Result<Vec<File>> {
        let dir = self.make_allocations()?;
        let name = format!("{}.lock", device.name());
        let file = dir.lock_file("vf_lock", &name)?;
        let end = Instant::now() + timeout;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(vec![file]),
                Err(TryLockError::WouldBlock) if Instant::now() < end => {
                    self.let_go();
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    let text = format!("{device} is being changed by another CNI plugin");
                    return Err(Error::new(Kind::Busy, text).device(device.to_string()));
                }
                Err(TryLockError::Error(error)) => {
                    let path = dir.place().join("vf_lock").join(name);
                    return Err(Error::io(format_args!("locking {}", path.display()), &error));
                }
            }
        }
    }
}

/// xftony's directory of a namespace is called by its inode.
fn is_number(name: &str) -> bool {
    name.parse::<u64>().is_ok()
}

/// Directory, directory of a namespace in it, and file, of a path that such a file may have.
fn parts(path: &Path) -> Option<(&Path, Option<&str>, &str)> {
    let name = path.file_name()?.to_str()?;
    let dir = path.parent().filter(|dir| dir.is_absolute())?;
    let inode = dir.file_name().and_then(|name| name.to_str()).filter(|name| is_number(name));
    let base = if inode.is_some() { dir.parent()? } else { dir };
    Some((base, inode, name))
}

#[cfg(test)]
#[path = "neighbours_tests.rs"]
mod tests;
