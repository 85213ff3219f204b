//! Files of other plugins below `/var/lib/cni/sriov`, see [`crate::model::neighbour`].

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Host, sysfs};
use crate::engine::neighbours::{Found, Place};
use crate::error::{Error, Kind, Result};
use crate::model::ids::DeviceId;
use crate::model::neighbour::Neighbour;

/// Where they are unless a configuration says otherwise (`cniDir`).
const DIR: &str = "var/lib/cni/sriov";
/// No record is nearly so long.
const LONGEST: u64 = 1 << 20;

impl Host {
    fn neighbour_dir(&self, dir: Option<&str>) -> PathBuf {
        match dir {
            Some(dir) => self.root.join(dir.trim_start_matches('/')),
            None => self.root.join(DIR),
        }
    }

    fn allocation_path(&self, device: &DeviceId) -> PathBuf {
        self.root.join(DIR).join("pci").join(device.name())
    }

    pub(super) fn neighbour_of(&self, place: &Place<'_>) -> Result<Option<Found>> {
        let dir = self.neighbour_dir(place.dir);
        let name = format!("{}-{}", place.container, place.ifname);
        let mut paths = vec![dir.join(&name)];
        // xftony's are below a directory for each namespace, which may be gone by now.
        let numbered = sysfs::names(&dir).into_iter().filter(|name| is_numbered(&dir, name));
        paths.extend(numbered.map(|inode| dir.join(inode).join(format!("{name}.json"))));
        for path in paths {
            if let Some(found) = self.read_neighbour(&path)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    pub(super) fn all_neighbours(&self, dir: Option<&str>) -> Result<Vec<Found>> {
        let dir = self.neighbour_dir(dir);
        let mut paths = Vec::new();
        for name in sysfs::names_or_error(&dir)? {
            let path = dir.join(&name);
            if is_numbered(&dir, &name) {
                paths.extend(sysfs::names(&path).iter().map(|name| path.join(name)));
            } else {
                paths.push(path);
            }
        }
        let mut all = Vec::new();
        for path in paths {
            all.extend(self.read_neighbour(&path)?);
        }
        Ok(all)
    }

    /// Reads one; `None`: there is no file, or none that is such a record.
    fn read_neighbour(&self, path: &Path) -> Result<Option<Found>> {
        let Some((text, mtime)) = read_file(path)? else { return Ok(None) };
        let value: Option<Value> = serde_json::from_slice(&text).ok();
        let Some(says) = value.as_ref().and_then(Neighbour::parse) else { return Ok(None) };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = name.strip_suffix(".json").unwrap_or(&name).to_owned();
        Ok(Some(Found {
            name,
            netns: self.allocated_to(&says.device),
            of_this_boot: self.booted_at().is_none_or(|booted| mtime >= booted),
            path: path.display().to_string(),
            inode: path
                .parent()
                .and_then(|dir| dir.file_name()?.to_str()?.parse().ok())
                .filter(|_| path.extension().is_some_and(|extension| extension == "json")),
            says,
        }))
    }

    /// When the kernel started, in seconds since 1970.
    fn booted_at(&self) -> Option<i64> {
        let stat = fs::read_to_string(self.root.join("proc/stat")).ok()?;
        stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
    }

    pub(super) fn allocated_to(&self, device: &DeviceId) -> Option<String> {
        let (text, _) = read_file(&self.allocation_path(device)).ok()??;
        let text = String::from_utf8(text).ok()?;
        Some(text.trim().to_owned()).filter(|netns| !netns.is_empty())
    }

    pub(super) fn write_neighbour(
        &self,
        place: &Place<'_>,
        device: &DeviceId,
        netns: &str,
        document: &Value,
    ) -> Result<()> {
        self.must_be_live()?;
        let name = format!("{}-{}", place.container, place.ifname);
        write_whole(&self.root.join(DIR).join(name), &document.to_string())?;
        write_whole(&self.allocation_path(device), netns)
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
        write_whole(&path, &document.to_string())?;
        Ok(path.display().to_string())
    }

    pub(super) fn remove_neighbour(
        &self,
        path: &str,
        device: &DeviceId,
        netns: Option<&str>,
    ) -> Result<()> {
        let remove = |path: &Path| match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(failed("removing", path, &error))
            }
            _ => Ok(()),
        };
        let path = Path::new(path);
        if netns.is_some() && self.allocated_to(device).as_deref() == netns {
            remove(&self.allocation_path(device))?;
        }
        remove(path)?;
        // xftony's directory of a namespace goes with its last record.
        let parent = path.parent().filter(|dir| {
            dir.file_name().and_then(|name| name.to_str()).is_some_and(|n| n.parse::<u64>().is_ok())
        });
        let _ = parent.map(fs::remove_dir);
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
        let dir = self.root.join(DIR).join("pci/vf_lock");
        let path = dir.join(format!("{}.lock", device.name()));
        let file = fs::create_dir_all(&dir).and_then(|()| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            options.custom_flags(nix::libc::O_NOFOLLOW).open(&path)
        });
        let file = file.map_err(|error| failed("locking", &path, &error))?;
        let end = Instant::now() + timeout;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(vec![file]),
                Err(TryLockError::WouldBlock) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    let text = format!("{device} is being changed by another CNI plugin");
                    return Err(Error::new(Kind::Busy, text).device(device.to_string()));
                }
                Err(TryLockError::Error(error)) => return Err(failed("locking", &path, &error)),
            }
        }
    }
}

/// xftony's directory of a namespace; a link to one is not.
fn is_numbered(dir: &Path, name: &str) -> bool {
    name.parse::<u64>().is_ok() && dir.join(name).symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

/// A file of others, and when it was written; `None`: there is none. Links are not followed, and what
/// is no file is not waited for: the directory may be open to others.
fn read_file(path: &Path) -> Result<Option<(Vec<u8>, i64)>> {
    let open = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(path);
    let none = [nix::libc::ELOOP, nix::libc::ENXIO, nix::libc::ENOTDIR];
    let file = match open {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error().is_some_and(|errno| none.contains(&errno)) => {
            return Ok(None);
        }
        Err(error) => return Err(failed("reading", path, &error)),
    };
    let meta = file.metadata().map_err(|error| failed("reading", path, &error))?;
    let mut text = Vec::new();
    let is_read = meta.is_file() && file.take(LONGEST).read_to_end(&mut text).is_ok();
    Ok(is_read.then(|| (text, meta.mtime())))
}

/// Whole or not at all. The file that is made must be new: a link that somebody put there is not
/// written through.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let new = path
        .with_file_name(format!(".{}.new", path.file_name().unwrap_or_default().to_string_lossy()));
    let parent = path.parent().unwrap_or(Path::new("/"));
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(parent)?;
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {} // left by one that died
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&new)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        fs::rename(&new, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&new); // what is said is why it could not be written
        failed("writing", path, &error)
    })
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::io(format_args!("{what} {}", path.display()), error)
}
