//! Locks that keep two changers apart: `flock` on a file a device, freed by the kernel when its
//! holder dies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::model::ids::DeviceId;

/// Held until dropped.
#[derive(Debug)]
pub struct Guard {
    _files: Vec<File>,
}

/// Locks a PF for a change of its VFs' number, waiting at most `timeout`.
pub fn exclusive(dir: &Path, device: &DeviceId, timeout: Duration) -> Result<Guard> {
    let file = lock(dir, device, false, Instant::now() + timeout, timeout)?;
    Ok(Guard { _files: vec![file] })
}

/// Locks one device for itself, and its PF against a change of the number, waiting at most
/// `timeout` for both.
pub fn device(
    dir: &Path,
    device: &DeviceId,
    pf: Option<&DeviceId>,
    timeout: Duration,
) -> Result<Guard> {
    let end = Instant::now() + timeout;
    let mut files = Vec::new();
    if let Some(pf) = pf {
        files.push(lock(dir, pf, true, end, timeout)?);
    }
    files.push(lock(dir, device, false, end, timeout)?);
    Ok(Guard { _files: files })
}

fn lock(
    dir: &Path,
    device: &DeviceId,
    shared: bool,
    end: Instant,
    timeout: Duration,
) -> Result<File> {
    let path = dir.join(format!("{}-{}.lock", device.bus(), device.name()));
    let failed =
        |error: std::io::Error| Error::io(format_args!("locking {}", path.display()), &error);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(&path)
        .map_err(failed)?;
    loop {
        match if shared { file.try_lock_shared() } else { file.try_lock() } {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => return Err(held(&path, device, timeout)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    // Who holds it is a courtesy to whoever waits; the lock is a lock without it.
    let _ = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

fn held(path: &Path, device: &DeviceId, timeout: Duration) -> Error {
    let pid = fs::read_to_string(path).unwrap_or_default();
    let pid = pid.trim();
    let command = fs::read(format!("/proc/{pid}/cmdline"))
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned())
        .unwrap_or_default();
    let holder = match (pid.is_empty(), command.is_empty()) {
        (false, false) => format!("process {pid} ({command})"),
        // The lock outlives the process that took it when a write of its is stuck in the kernel.
        (false, true) => {
            format!("a write to the device that process {pid} began and that does not end")
        }
        (true, _) => "another process".to_owned(),
    };
    Error::new(
        Kind::Busy,
        format!("{device} is being changed by {holder}; waited {} s", timeout.as_secs()),
    )
    .device(device.to_string())
    .hint("wait for it to end, then run this again")
}
