//! Reading sysfs: small files, and links whose last part is a name.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::error::{Error, Result, libc_errno};

/// Longer than any attribute that is read here.
const LONGEST: usize = 4096;

/// A directory that is read from: paths are resolved once, not again for every file in it.
pub struct Dir(OwnedFd);

impl Dir {
    /// Opens a directory; `None` where it is missing.
    pub fn open(path: &Path) -> Option<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        nix::fcntl::open(path, flags, Mode::empty()).ok().map(Self)
    }

    /// Opens a directory in it, through a link if it is one.
    pub fn dir(&self, name: &str) -> Option<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        nix::fcntl::openat(&self.0, name, flags, Mode::empty()).ok().map(Self)
    }

    /// The text of an attribute file without surrounding white space; `None` where it is missing,
    /// empty or cannot be read: one unreadable attribute must not hide a device.
    pub fn text(&self, name: &str) -> Option<String> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = nix::fcntl::openat(&self.0, name, flags, Mode::empty()).ok()?;
        let mut bytes = [0; LONGEST];
        // An attribute is handed out whole by one read.
        let length = nix::unistd::read(&file, &mut bytes).ok()?;
        trimmed(&bytes[..length])
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
        last_part(Path::new(&nix::fcntl::readlinkat(&self.0, name).ok()?))
    }

    /// Names in a directory in it, sorted; none where it is missing.
    pub fn names(&self, name: &str) -> Vec<String> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let Ok(dir) = nix::dir::Dir::openat(&self.0, name, flags, Mode::empty()) else {
            return Vec::new();
        };
        let names = dir.into_iter().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name != "." && name != "..").collect();
        names.sort_unstable();
        names
    }
}

pub(super) fn parse_hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

fn last_part(target: &Path) -> Option<String> {
    Some(target.file_name()?.to_string_lossy().into_owned())
}

/// As [`Dir::text`].
pub fn text(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    trimmed(&bytes)
}

fn trimmed(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// A decimal number.
pub fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    text(path)?.parse().ok()
}

/// A hexadecimal number with or without `0x` before it.
pub fn hex(path: &Path) -> Option<u32> {
    parse_hex(&text(path)?)
}

/// `1`, `0`, `Y` or `N`.
pub fn switch(path: &Path) -> Option<bool> {
    match text(path)?.as_str() {
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
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

/// Names in a directory; a missing one has none, an unreadable one is an error: "no rights" must
/// not look like "no devices".
pub fn names_or_error(path: &Path) -> Result<Vec<String>> {
    match fs::read_dir(path) {
        Ok(_) => Ok(names(path)),
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
