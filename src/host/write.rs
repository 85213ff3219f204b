//! Writes that the kernel may hold for ever: `sriov_numvfs`, `bind` and `unbind` wait,
//! uninterruptibly, for a VF that user space holds open.
//!
//! A thread will not do: a process with a thread stuck in the kernel cannot end, and its caller
//! would hang with it. So a forked child writes; it inherits the caller's locks, which therefore
//! stay held for as long as the write is under way, whatever becomes of the parent.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{ForkResult, Pid, fork};

use crate::error::libc_errno;

/// Why a write did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// The kernel refused it.
    Refused(i32),
    /// It is still under way, in a process of its own.
    Stuck {
        /// That process.
        pid: i32,
    },
}

/// Writes `value` to an existing file, waiting at most `timeout`.
pub fn within(path: &Path, value: &str, timeout: Duration) -> Result<(), Failed> {
    let file = OpenOptions::new().write(true).open(path).map_err(|error| refused(&error))?;
    in_child(&file, Some(value.as_bytes()), timeout).map(|_| ())
}

/// Reads a short file, waiting at most `timeout`: reading `sriov_numvfs` waits for a writer.
pub fn read_within(path: &Path, timeout: Duration) -> Result<String, Failed> {
    let file = OpenOptions::new().read(true).open(path).map_err(|error| refused(&error))?;
    let text = in_child(&file, None, timeout)?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

fn refused(error: &std::io::Error) -> Failed {
    Failed::Refused(error.raw_os_error().unwrap_or(libc_errno::EIO))
}

/// Has a child write `value` to the file, or read it; returns what was read.
fn in_child(file: &File, value: Option<&[u8]>, timeout: Duration) -> Result<Vec<u8>, Failed> {
    let (mut answer, report) = std::io::pipe().map_err(|error| refused(&error))?;
    // SAFETY: between fork and _exit the child makes only system calls that are safe after a fork
    // of a process with threads (signal-safety(7)); it allocates nothing and runs no destructor.
    let child = match unsafe { fork() }.map_err(|errno| Failed::Refused(errno as i32))? {
        ForkResult::Child => work_and_exit(file.as_raw_fd(), report.as_raw_fd(), value),
        ForkResult::Parent { child } => child,
    };
    drop(report);
    if !readable_within(&answer, timeout) {
        return Err(Failed::Stuck { pid: child.as_raw() });
    }
    let mut errno = [0; 4];
    let mut text = Vec::new();
    let told = answer.read_exact(&mut errno).and_then(|()| answer.read_to_end(&mut text));
    reap(child);
    match (told, i32::from_ne_bytes(errno)) {
        (Ok(_), 0) => Ok(text),
        (Ok(_), errno) => Err(Failed::Refused(errno)),
        (Err(_), _) => Err(Failed::Refused(libc::EINTR)), // killed before it could tell
    }
}

fn work_and_exit(file: i32, report: i32, value: Option<&[u8]>) -> ! {
    let mut text = [0u8; 64];
    // SAFETY: plain system calls on descriptors and memory that live until _exit.
    unsafe {
        libc::setsid(); // the terminal's Ctrl-C is for the parent, which reports
        // The caller waits for the end of what it reads from us: a stuck child must not hold it.
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        if null >= 0 {
            for stdio in 0..=2 {
                libc::dup2(null, stdio);
            }
        }
        let done = match value {
            Some(value) => libc::write(file, value.as_ptr().cast(), value.len()),
            None => libc::read(file, text.as_mut_ptr().cast(), text.len()),
        };
        let errno: i32 = if done < 0 { *libc::__errno_location() } else { 0 };
        let _ = libc::write(report, (&raw const errno).cast(), size_of::<i32>());
        if value.is_none() && done > 0 {
            let _ = libc::write(report, text.as_ptr().cast(), done.cast_unsigned());
        }
        libc::_exit(0)
    }
}

fn readable_within(answer: &impl AsFd, timeout: Duration) -> bool {
    let end = Instant::now() + timeout;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(answer.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, wait) {
            Ok(0) if left.is_zero() => return false,
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}

fn reap(child: Pid) {
    // It has told its result and is about to exit; there is nothing left to learn from it.
    let _ = nix::sys::wait::waitpid(child, None);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_write_reaches_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(within(file.path(), "7", LONG), Ok(()));
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "7");
    }

    #[test]
    fn what_is_read_comes_back() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"7\n").unwrap();
        assert_eq!(read_within(file.path(), LONG), Ok("7".to_owned()));
    }

    #[test]
    fn the_kernels_refusal_comes_back() {
        assert_eq!(within(Path::new("/dev/full"), "7", LONG), Err(Failed::Refused(libc::ENOSPC)));
        let missing = Path::new("/proc/self/no-such-file");
        assert_eq!(within(missing, "7", LONG), Err(Failed::Refused(libc::ENOENT)));
    }

    #[test]
    fn a_write_that_does_not_end_is_given_up() {
        // A pipe that nobody empties: the write blocks once 64 KiB are in it.
        let (_reader, writer) = std::io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
        let value = "x".repeat(1 << 20);
        let failed = within(Path::new(&path), &value, Duration::from_millis(50)).unwrap_err();
        let Failed::Stuck { pid } = failed else { panic!("{failed:?}") };
        let child = Pid::from_raw(pid);
        nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).unwrap();
        reap(child);
    }
}
