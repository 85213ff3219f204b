//! Reading sysfs: small files, and links whose last part is a name.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fstat};
use rustix::fs::{Access, AtFlags, RawDir};

use crate::error::{Error, Result, libc_errno};
use crate::order;

/// Longer than any attribute that is read here, and than any link (PATH_MAX).
const LONGEST: usize = 4096;

/// A directory that is read from: paths are resolved once, not again for every file in it.
#[derive(Debug)]
pub struct Dir(OwnedFd);

impl Dir {
    /// Opens a directory; `None` where it is missing.
    pub fn open(path: &Path) -> Option<Self> {
        Self::of_device(path).ok().flatten()
    }

    /// Opens one that may be missing (`None`); that it cannot be opened must not look like that.
    pub fn of_device(path: &Path) -> Result<Option<Self>> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match nix::fcntl::open(path, flags, Mode::empty()) {
            Ok(dir) => Ok(Some(Self(dir))),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Error::os(format_args!("opening {}", path.display()), errno as i32)),
        }
    }

    /// Opens a directory in it, through a link if it is one.
    pub fn dir(&self, name: &str) -> Option<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        nix::fcntl::openat(&self.0, name, flags, Mode::empty()).ok().map(Self)
    }

    /// The text of an attribute file without surrounding white space; `None` where it is missing,
    /// empty or cannot be read: one unreadable attribute must not hide a device.
    pub fn text(&self, name: &str) -> Option<String> {
        attribute(self.file(name)?)
    }

    /// Opens an attribute file, to be read again and again.
    pub fn file(&self, name: &str) -> Option<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        nix::fcntl::openat(&self.0, name, flags, Mode::empty()).ok()
    }

    /// A decimal number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// A hexadecimal number with or without `0x` before it.
    pub fn hex(&self, name: &str) -> Option<u32> {
        parse_hex(&self.text(name)?)
    }

    /// The last part of what a link points at: the name of a driver, group or device.
    pub fn link_name(&self, name: &str) -> Option<String> {
        // No link is longer. Not nix's, which takes that much memory for each.
        let mut target = [const { MaybeUninit::uninit() }; LONGEST];
        let (target, _) = rustix::fs::readlinkat_raw(&self.0, name, &mut target).ok()?;
        last_part(Path::new(OsStr::from_bytes(target)))
    }

    /// Names in a directory in it, sorted; none where it is missing.
    pub fn names(&self, name: &str) -> Vec<String> {
        self.dir_with_names(name).map_or_else(Vec::new, |(_, names)| names)
    }

    /// A directory in it with the names in that, likewise; `None` where it is missing.
    pub fn dir_with_names(&self, name: &str) -> Option<(Self, Vec<String>)> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = nix::fcntl::openat(&self.0, name, flags, Mode::empty()).ok()?;
        let names = entries(&dir).0;
        Some((Self(dir), names))
    }

    /// Whether something is there under a name, wherever that leads.
    pub fn has(&self, name: &str) -> bool {
        rustix::fs::accessat(&self.0, name, Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// Writes a value into a file in it, as [`write`].
    pub fn write(&self, name: &str, value: &str) -> std::result::Result<(), i32> {
        let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let file = nix::fcntl::openat(&self.0, name, flags, Mode::empty());
        let file = file.map_err(|errno| errno as i32)?;
        // Whole or not at all.
        nix::unistd::write(&file, value.as_bytes()).map(drop).map_err(|errno| errno as i32)
    }

    /// Its number on its file system, which no other directory of this boot had or will have (kernel:
    /// fs/kernfs/dir.c, `__kernfs_new_node`).
    pub fn inode(&self) -> Option<u64> {
        fstat(&self.0).ok().map(|meta| meta.st_ino)
    }
}

/// What an open attribute says. It is handed out whole by one read.
fn attribute(file: impl AsFd) -> Option<String> {
    let mut bytes = [0; LONGEST];
    let length = nix::unistd::read(file, &mut bytes).ok()?;
    trimmed(&bytes[..length])
}

/// What an attribute says by now, of a file that stays open.
pub(super) fn attribute_again(file: impl AsFd) -> nix::Result<Option<String>> {
    let mut bytes = [0; LONGEST];
    let length = rustix::io::pread(file, &mut bytes, 0)
        .map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
    Ok(trimmed(&bytes[..length]))
}

/// Names in an open directory, sorted, and why there may be more of them.
pub(super) fn entries(dir: impl AsFd) -> (Vec<String>, Option<io::Error>) {
    let mut buffer = [const { MaybeUninit::uninit() }; 16 << 10];
    let mut dir = RawDir::new(dir, &mut buffer);
    let (mut names, mut failed) = (Vec::new(), None);
    while let Some(entry) = dir.next() {
        match entry {
            Ok(entry) => names.push(entry.file_name().to_string_lossy().into_owned()),
            // It was removed meanwhile, and has no names any more.
            Err(rustix::io::Errno::NOENT) => break,
            Err(errno) => {
                failed = Some(errno.into());
                break;
            }
        }
    }
    names.retain(|name| name != "." && name != "..");
    order::sort(&mut names);
    (names, failed)
}

pub(super) fn parse_hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

fn last_part(target: &Path) -> Option<String> {
    Some(target.file_name()?.to_string_lossy().into_owned())
}

/// A whole file, of whatever length, as [`Dir::text`].
pub fn text(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    trimmed(&bytes)
}

/// A short one, as [`Dir::text`].
pub fn value(path: &Path) -> Option<String> {
    value_or_error(path).ok()
}

fn trimmed(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// A short one that must be there.
pub fn value_or_error(path: &Path) -> Result<String> {
    let reading = || format!("reading {}", path.display());
    let file = fs::File::open(path).map_err(|error| Error::io(reading(), &error))?;
    attribute(file).ok_or_else(|| Error::os(reading(), libc_errno::EIO))
}

/// A decimal number.
pub fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    value(path)?.parse().ok()
}

/// A hexadecimal number with or without `0x` before it.
pub fn hex(path: &Path) -> Option<u32> {
    parse_hex(&value(path)?)
}

/// `1`, `0`, `Y` or `N`.
pub fn switch(path: &Path) -> Option<bool> {
    match value(path)?.as_str() {
        "1" | "Y" => Some(true),
        "0" | "N" => Some(false),
        _ => None,
    }
}

/// As [`Dir::link_name`].
pub fn link_name(path: &Path) -> Option<String> {
    last_part(&fs::read_link(path).ok()?)
}

/// Names in a directory, sorted; none where it is missing.
pub fn names(path: &Path) -> Vec<String> {
    open_dir(path).map_or_else(|_| Vec::new(), |dir| entries(&dir).0)
}

fn open_dir(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_DIRECTORY).open(path)
}

/// Names in a directory; a missing one has none, an unreadable one is an error: "no rights" must
/// not look like "no devices".
pub fn names_or_error(path: &Path) -> Result<Vec<String>> {
    match open_dir(path) {
        Ok(dir) => Ok(entries(&dir).0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io(format_args!("reading {}", path.display()), &error)),
    }
}

/// Writes a value as the kernel wants it: in one `write`.
pub fn write(path: &Path, value: &str) -> std::result::Result<(), i32> {
    use std::io::Write;
    let errno = |error: io::Error| error.raw_os_error().unwrap_or(libc_errno::EIO);
    // Not created: an attribute that is missing must stay so.
    let mut file = fs::OpenOptions::new().write(true).open(path).map_err(errno)?;
    file.write_all(value.as_bytes()).map_err(errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_gone_has_no_names_and_one_that_cannot_be_opened_is_not_gone() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("0000:01:10.0");
        fs::create_dir(&inner).unwrap();
        let open = open_dir(&inner).unwrap();
        assert!(Dir::of_device(&inner).unwrap().is_some());
        fs::remove_dir(&inner).unwrap();
        let (names, failed) = entries(&open);
        assert!(names.is_empty() && failed.is_none(), "{names:?} {failed:?}");
        assert!(Dir::of_device(&inner).unwrap().is_none());
        fs::write(&inner, "").unwrap();
        let said = Dir::of_device(&inner).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.starts_with("opening ") && said.contains("0000:01:10.0"), "{said}");
    }
}
