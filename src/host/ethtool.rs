//! The driver's firmware version by the ethtool ioctl: drivers without devlink have no other way
//! to say it (include/uapi/linux/ethtool.h, `ETHTOOL_GDRVINFO`).
#![allow(unsafe_code)]

use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

const ETHTOOL_GDRVINFO: u32 = 3;

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus_info: [u8; 32],
    expansion_rom: [u8; 32],
    reserved: [u8; 12],
    counts: [u32; 5],
}

/// The firmware version of an interface; `None` where its driver does not tell.
pub fn firmware(interface: &str) -> Option<String> {
    let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).ok()?;
    // SAFETY: all of both structures is plain numbers, for which zero is a value.
    let (mut info, mut request): (DriverInfo, libc::ifreq) = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    info.command = ETHTOOL_GDRVINFO;
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    // SAFETY: the request points at `info`, which is as large as the kernel expects for this
    // command and outlives the call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result < 0 {
        return None;
    }
    let end = info.firmware.iter().position(|byte| *byte == 0)?;
    let text = String::from_utf8_lossy(&info.firmware[..end]).trim().to_owned();
    (!text.is_empty() && text != "N/A").then_some(text)
}
