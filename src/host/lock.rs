//! Locks that keep two changers apart: `flock` on a file a device, freed by the kernel when its
//! holder dies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::model::ids::DeviceId;

/// Held until dropped.
#[derive(Debug)]
pub struct Guard {
    _files: Vec<File>,
    /// A file that goes with it.
    goes: Option<PathBuf>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // While the lock is held: whoever waits for this file finds that it is not the one there.
        if let Some(path) = &self.goes {
            let _ = fs::remove_file(path);
        }
    }
}

/// How long a lock may be waited for.
struct Wait<'a> {
    end: Instant,
    timeout: Duration,
    /// What must not stay open meanwhile.
    let_go: &'a dyn Fn(),
}

impl<'a> Wait<'a> {
    fn new(timeout: Duration, let_go: &'a dyn Fn()) -> Self {
        Self { end: Instant::now() + timeout, timeout, let_go }
    }
}

/// Locks a PF for a change of its VFs' number, waiting at most `timeout`.
pub fn exclusive(
    dir: &Path,
    device: &DeviceId,
    timeout: Duration,
    let_go: &dyn Fn(),
) -> Result<Guard> {
    let wait = Wait::new(timeout, let_go);
    let file = lock_of(dir, device, false, &wait)?;
    Ok(Guard { _files: vec![file], goes: None })
}

/// Locks one device for itself, and its PF against a change of the number, waiting at most
/// `timeout` for both.
pub fn device(
    dir: &Path,
    device: &DeviceId,
    pf: Option<&DeviceId>,
    timeout: Duration,
    let_go: &dyn Fn(),
) -> Result<Guard> {
    let wait = Wait::new(timeout, let_go);
    let mut files = Vec::new();
    if let Some(pf) = pf {
        files.push(lock_of(dir, pf, true, &wait)?);
    }
    files.push(lock_of(dir, device, false, &wait)?);
    Ok(Guard { _files: files, goes: None })
}

/// Locks one interface of a container against other calls of its runtime. Its file goes with the
/// lock, so that they do not grow with the containers.
pub fn call(
    dir: &Path,
    container: &str,
    ifname: &str,
    timeout: Duration,
    let_go: &dyn Fn(),
) -> Result<Guard> {
    let wait = Wait::new(timeout, let_go);
    // No container has a + in its id.
    let path = dir.join(format!("call-{container}+{ifname}.lock"));
    let held = |holder: &str| {
        let text = format!(
            "another call for container {container}, interface {ifname} is running ({holder}); waited {} s",
            timeout.as_secs()
        );
        Error::new(Kind::Busy, text).hint("wait for it to end, then call again")
    };
    let file = lock(dir, &path, (false, true), &wait, &held)?;
    Ok(Guard { _files: vec![file], goes: Some(path) })
}

fn lock_of(dir: &Path, device: &DeviceId, shared: bool, wait: &Wait<'_>) -> Result<File> {
    let path = dir.join(format!("{}-{}.lock", device.bus(), device.name()));
    let held = |holder: &str| {
        Error::new(
            Kind::Busy,
            format!("{device} is being changed by {holder}; waited {} s", wait.timeout.as_secs()),
        )
        .device(device.to_string())
        .hint("wait for it to end, then run this again")
    };
    lock(dir, &path, (shared, false), wait, &held)
}

/// `goes`: its file goes with it.
fn lock(
    dir: &Path,
    path: &Path,
    (shared, goes): (bool, bool),
    wait: &Wait<'_>,
    held: &dyn Fn(&str) -> Error,
) -> Result<File> {
    let failed =
        |error: std::io::Error| Error::io(format_args!("locking {}", path.display()), &error);
    let mut file = match open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
            open(path)
        }
        opened => opened,
    }
    .map_err(failed)?;
    let mut waited = false;
    loop {
        match if shared { file.try_lock_shared() } else { file.try_lock() } {
            Ok(()) if !goes && !waited => return Ok(file),
            // One that was taken away meanwhile is not what others would lock.
            Ok(()) if file.metadata().is_ok_and(|file| file.nlink() > 0) => return Ok(file),
            Ok(()) => file = open(path).map_err(failed)?,
            Err(TryLockError::WouldBlock) if Instant::now() < wait.end => {
                if !waited {
                    (wait.let_go)();
                }
                waited = true;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => return Err(held(&holder(&file))),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path)
}

/// Who holds the lock, for whoever waits for it.
fn holder(file: &File) -> String {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let pid = file.metadata().ok().and_then(|file| holder_in(&locks, file.dev(), file.ino()));
    let pid = pid.unwrap_or_default();
    let command = fs::read(format!("/proc/{pid}/cmdline"))
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned())
        .unwrap_or_default();
    match (pid.is_empty(), command.is_empty()) {
        (false, false) => format!("process {pid} ({command})"),
        // The lock outlives the process that took it when a write of its is stuck in the kernel.
        (false, true) => {
            format!("a write to the device that process {pid} began and that does not end")
        }
        (true, _) => "another process".to_owned(),
    }
}

/// The process that took the lock on a file, in the text of `/proc/locks` (kernel: fs/locks.c,
/// `lock_get_status`): number, kind, mode, access, process, device:inode, range.
fn holder_in(locks: &str, dev: u64, ino: u64) -> Option<&str> {
    let (major, minor) = (nix::sys::stat::major(dev), nix::sys::stat::minor(dev));
    let file = format!("{major:02x}:{minor:02x}:{ino}");
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        (words.next()? == "FLOCK").then_some(())?;
        let (pid, of) = (words.nth(2)?, words.next()?);
        (of == file).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_lock_and_not_who_waits_for_it() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 00:1a:42 0 EOF\n\
            2: FLOCK  ADVISORY  READ  8 00:1a:43 0 EOF\n\
            3: FLOCK  ADVISORY  WRITE 9 00:1a:42 0 EOF\n\
            3: -> FLOCK  ADVISORY  WRITE 10 00:1a:42 0 EOF\n";
        assert_eq!(holder_in(locks, nix::sys::stat::makedev(0, 0x1a), 42), Some("9"));
        assert_eq!(holder_in(locks, nix::sys::stat::makedev(0, 0x1b), 42), None);
    }

    #[test]
    fn calls_of_one_interface_follow_each_other_and_leave_no_file() {
        let dir = std::env::temp_dir().join(format!("sriovctl-calls-{}", std::process::id()));
        let now = Duration::ZERO;
        let one = call(&dir, "c1", "net1", now, &|| ()).unwrap();
        let other = call(&dir, "c1", "net2", now, &|| ()).unwrap();
        let said = call(&dir, "c1", "net1", now, &|| ()).unwrap_err().to_string();
        let expected = "another call for container c1, interface net1 is running (process ";
        assert!(said.starts_with(expected), "{said}");
        let waits = std::thread::spawn({
            let dir = dir.clone();
            move || call(&dir, "c1", "net1", Duration::from_secs(20), &|| ()).map(drop)
        });
        drop((one, other));
        waits.join().unwrap().unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        fs::remove_dir(&dir).unwrap();
    }
}
