//! What the kernel tells by itself: interfaces (`RTMGRP_LINK`) and devices (kobject uevents, kernel:
//! lib/kobject_uevent.c).

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use netlink_sys::protocols::{NETLINK_KOBJECT_UEVENT, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::netlink::Borrowed;
use crate::error::{Error, Result};

/// Sockets that are told.
pub struct Events([Socket; 2]);

/// Multicast groups as bits: RTMGRP_LINK, and that of the kernel's own uevents (udev has the second).
const GROUP: u32 = 1;

/// Listens from now on.
pub fn listen() -> Result<Events> {
    let open = |protocol| -> io::Result<Socket> {
        let mut socket = Socket::new(protocol)?;
        socket.bind(&SocketAddr::new(0, GROUP))?;
        socket.set_non_blocking(true)?;
        Ok(socket)
    };
    let all = || Ok([open(NETLINK_ROUTE)?, open(NETLINK_KOBJECT_UEVENT)?]);
    all().map(Events).map_err(|error: io::Error| Error::io("listening to the kernel", &error))
}

impl Events {
    /// Waits until something is told, and forgets what that is: who listens looks anew.
    pub fn hear(&mut self, within: Duration) -> Result<bool> {
        let within = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
        let ready = {
            let sockets = self.0.each_ref().map(Borrowed);
            let mut polled =
                sockets.each_ref().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
            match poll(&mut polled, within) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => 0,
                Err(errno) => return Err(Error::os("listening to the kernel", errno as i32)),
            }
        };
        if ready == 0 {
            return Ok(false);
        }
        let mut buffer: Vec<u8> = Vec::with_capacity(64 * 1024);
        for socket in &self.0 {
            // That some were lost (ENOBUFS) is told by an error, and is as good as having heard them.
            loop {
                buffer.clear();
                match socket.recv(&mut buffer, 0) {
                    Ok(_) => {}
                    Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {}
                    Err(_) => break,
                }
            }
        }
        Ok(true)
    }
}
