//! The kernel's own words about a device: drivers give the reason for a refusal only there.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// Reads what the kernel logs from now on.
pub struct KernelLog(Option<std::fs::File>);

impl KernelLog {
    /// Starts listening. Where the log may not be read, nothing will be heard.
    pub fn listen() -> Self {
        let log = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .and_then(|mut log| log.seek(SeekFrom::End(0)).map(|_| log));
        Self(log.ok())
    }

    /// Lines since then that name the device, oldest first, at most the last five.
    pub fn lines_about(self, device: &str) -> Vec<String> {
        let Some(mut log) = self.0 else { return Vec::new() };
        let mut record = [0; 8192];
        let mut lines = Vec::new();
        // One record a read; EAGAIN ends it, EPIPE says that records were overwritten meanwhile.
        loop {
            match log.read(&mut record) {
                Ok(0) => break,
                Ok(length) => {
                    let text = String::from_utf8_lossy(&record[..length]);
                    let message = text.lines().next().and_then(|line| line.split_once(';'));
                    if let Some((_, message)) = message.filter(|(_, text)| text.contains(device)) {
                        lines.push(message.to_owned());
                    }
                }
                Err(error) if error.raw_os_error() == Some(nix::libc::EPIPE) => {}
                Err(_) => break,
            }
        }
        lines.split_off(lines.len().saturating_sub(5))
    }
}
