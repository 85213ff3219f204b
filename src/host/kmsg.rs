//! The kernel's own words about a device: drivers give the reason for a refusal only there.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Reads what the kernel logs from now on.
pub struct KernelLog(Option<File>);

impl KernelLog {
    /// Starts listening. Where the log may not be read, nothing will be heard.
    pub fn listen() -> Self {
        let log = open(Path::new("/dev/kmsg"))
            .and_then(|mut log| log.seek(SeekFrom::End(0)).map(|_| log));
        Self(log.ok())
    }

    /// Lines since then that name the device, oldest first, at most the last five.
    pub fn lines_about(self, device: &str) -> Vec<String> {
        let Some(mut log) = self.0 else { return Vec::new() };
        let mut lines = records(&mut log);
        lines.retain(|message| message.contains(device));
        lines.split_off(lines.len().saturating_sub(5))
    }
}

/// All that the kernel has logged and still has; `path` may be a copy of `/dev/kmsg`.
pub fn logged(path: &Path) -> io::Result<Vec<String>> {
    open(path).map(|mut log| records(&mut log))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)
}

/// The messages from here on, without their prefixes and continuation lines
/// (Documentation/ABI/testing/dev-kmsg).
fn records(log: &mut File) -> Vec<String> {
    let mut record = [0; 8192];
    let mut text = String::new();
    // One record a read; EAGAIN ends it, EPIPE says that records were overwritten meanwhile.
    loop {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(length) => text.push_str(&String::from_utf8_lossy(&record[..length])),
            Err(error) if error.raw_os_error() == Some(nix::libc::EPIPE) => {}
            Err(_) => break,
        }
    }
    let messages = text.lines().filter(|line| !line.starts_with(' '));
    messages.filter_map(|line| Some(line.split_once(';')?.1.to_owned())).collect()
}
