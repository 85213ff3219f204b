//! Reading sysfs: small files, and links whose last part is a name.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::{Error, Result, libc_errno};

/// The text of an attribute file without surrounding white space; `None` where it is missing,
/// empty or cannot be read: one unreadable attribute must not hide a device.
pub fn text(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// A decimal number.
pub fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    text(path)?.parse().ok()
}

/// A hexadecimal number with `0x` before it.
pub fn hex(path: &Path) -> Option<u32> {
    let text = text(path)?;
    u32::from_str_radix(text.strip_prefix("0x").unwrap_or(&text), 16).ok()
}

/// `1`, `0`, `Y` or `N`.
pub fn switch(path: &Path) -> Option<bool> {
    match text(path)?.as_str() {
        "1" | "Y" => Some(true),
        "0" | "N" => Some(false),
        _ => None,
    }
}

/// The last part of what a link points at: the name of a driver, group or device.
pub fn link_name(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
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
