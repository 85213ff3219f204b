//! Talking to the kernel's networking: one socket, requests, dumps, acknowledgements.

pub mod address;
pub mod attrs;
pub mod devlink;
pub mod link;
pub mod request;
pub mod vf;

#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Mutex;

use netlink_packet_core::{DefaultNla, NLM_F_ACK, NLM_F_DUMP, NetlinkBuffer};
use netlink_sys::{Socket, SocketAddr};
use nix::libc::{MSG_DONTWAIT, MSG_TRUNC, RTM_GETLINK, RTM_SETLINK};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::attrs::Attrs;
use self::request::{RTEXT_FILTER_SKIP_STATS, RTEXT_FILTER_VF, Request};
use crate::error::{Error, Result};
use crate::model::link::Link;

/// Of an interface that is up (kernel: uapi/linux/if.h).
pub const IFF_UP: u32 = 1;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// The kernel's answer mostly is there when a request was sent; nothing keeps it for this long.
const ANSWER_WITHIN_SECONDS: u16 = 30;
/// A PF with 512 VFs answers in a datagram of 100 KiB. What is not filled takes no memory.
const LARGEST_DATAGRAM: usize = 1 << 20;

/// For one answer at a time, whichever socket it comes from; threads that meet here have one each.
static BUFFER: Mutex<[u8; LARGEST_DATAGRAM]> = Mutex::new([0; LARGEST_DATAGRAM]);

/// A dump that changes interrupt is repeated so often; each takes milliseconds.
const DUMP_TRIES: usize = 16;

/// A refusal of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Error number, positive.
    pub errno: i32,
    /// The kernel's own sentence, where it gave one.
    pub text: Option<String>,
}

impl Refused {
    fn io(error: &io::Error) -> Self {
        Self { errno: error.raw_os_error().unwrap_or(nix::libc::EIO), text: None }
    }

    /// As an error of doing `what`.
    pub fn into_error(self, what: impl std::fmt::Display) -> Error {
        let error = Error::os(what, self.errno);
        match self.text {
            Some(text) => error.detail(format!("the kernel says: {text}")),
            None => error,
        }
    }
}

/// A netlink socket of one protocol, in the namespace where it was opened.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    /// Whether a request was sent whose answer did not end.
    is_waiting: bool,
    explains: bool,
}

impl Netlink {
    /// A socket for interfaces, addresses and routes.
    pub fn route() -> Result<Self> {
        Self::open(netlink_sys::protocols::NETLINK_ROUTE)
    }

    /// The same in a namespace that others are masters of, who could fill a socket with what the kernel did not send;
    /// for looks, which are refused without a word, until it is to [`Netlink::explain`].
    pub fn route_among_others() -> Result<Self> {
        let netlink = Self::open_plain(netlink_sys::protocols::NETLINK_ROUTE)?;
        let connected = netlink.socket.connect(&SocketAddr::new(0, 0));
        connected.map_err(|error| Error::io("connecting a netlink socket", &error))?;
        Ok(netlink)
    }

    /// A socket for generic netlink (devlink).
    pub fn generic() -> Result<Self> {
        Self::open(netlink_sys::protocols::NETLINK_GENERIC)
    }

    fn open(protocol: isize) -> Result<Self> {
        let mut netlink = Self::open_plain(protocol)?;
        netlink.explain();
        Ok(netlink)
    }

    fn open_plain(protocol: isize) -> Result<Self> {
        // What is sent through one that is not connected goes to the kernel.
        let socket = Socket::new(protocol);
        let socket = socket.map_err(|error| Error::io("opening a netlink socket", &error))?;
        Ok(Self { socket, sequence: 0, is_waiting: false, explains: false })
    }

    /// Has refusals come with the kernel's own sentence.
    pub fn explain(&mut self) {
        // Older kernels have none.
        self.explains = self.explains || self.socket.set_ext_ack(true).is_ok();
    }

    /// Whether every request was answered.
    pub fn is_idle(&self) -> bool {
        !self.is_waiting
    }

    /// Interfaces of the socket's namespace, with their VFs; counters only where `stats`.
    pub fn links(&mut self, stats: bool) -> Result<Vec<Link>> {
        let mask = RTEXT_FILTER_VF | if stats { 0 } else { RTEXT_FILTER_SKIP_STATS };
        let request = Request::link(RTM_GETLINK, 0, &[request::wanted(mask)]);
        self.dump(&request, |_, payload| link::parse(payload))
            .map_err(|refused| refused.into_error("listing network interfaces"))
    }

    /// Interfaces of the socket's namespace without their VFs, which a large PF has many of.
    pub fn names(&mut self) -> Result<Vec<Link>> {
        let request = Request::link(RTM_GETLINK, 0, &[]);
        self.dump(&request, |_, payload| link::parse(payload))
            .map_err(|refused| refused.into_error("listing network interfaces"))
    }

    /// One interface with its VFs.
    pub fn link(&mut self, ifindex: u32) -> std::result::Result<Link, Refused> {
        let mask = request::wanted(RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS);
        self.get_link(&Request::link(RTM_GETLINK, ifindex, &[mask]))
    }

    /// The interface of a name, without its VFs.
    pub fn link_named(&mut self, name: &str) -> std::result::Result<Link, Refused> {
        let mask = request::wanted(RTEXT_FILTER_SKIP_STATS);
        self.get_link(&Request::link(RTM_GETLINK, 0, &[request::name(name), mask]))
    }

    /// Whether an interface is called so, be it by an altname.
    pub fn has_name(&mut self, name: &str) -> Result<bool> {
        match self.link_named(name) {
            Ok(_) => Ok(true),
            Err(Refused { errno: nix::libc::ENODEV, .. }) => Ok(false),
            Err(refused) => Err(refused.into_error(format_args!("looking for {name}"))),
        }
    }

    fn get_link(&mut self, request: &Request) -> std::result::Result<Link, Refused> {
        let mut found = None;
        self.exchange(request, 0, &mut |_, payload| {
            found = link::parse(payload).or(found.take());
        })?;
        found.ok_or(Refused { errno: nix::libc::ENODEV, text: None })
    }

    /// Changes an interface; the attributes are applied in the kernel's own order.
    pub fn set_link(
        &mut self,
        ifindex: u32,
        attributes: &[DefaultNla],
    ) -> std::result::Result<(), Refused> {
        self.change_link(ifindex, (0, 0), attributes)
    }

    /// Changes an interface together with its flags: `flags` where `mask` has a bit.
    pub fn change_link(
        &mut self,
        ifindex: u32,
        (flags, mask): (u32, u32),
        attributes: &[DefaultNla],
    ) -> std::result::Result<(), Refused> {
        let request = Request::link_with_flags(RTM_SETLINK, ifindex, (flags, mask), attributes);
        self.request(&request, 0)
    }

    /// Brings up the interface of a name.
    pub fn bring_up(&mut self, name: &str) -> std::result::Result<(), Refused> {
        self.change_link(0, (IFF_UP, IFF_UP), &[request::name(name)])
    }

    /// Sends a request that is answered by one message.
    pub fn ask(
        &mut self,
        request: &Request,
        read: &mut dyn FnMut(u16, &[u8]),
    ) -> std::result::Result<(), Refused> {
        self.exchange(request, 0, read).map(drop)
    }

    /// Sends a request that is only acknowledged.
    pub fn request(&mut self, request: &Request, flags: u16) -> std::result::Result<(), Refused> {
        self.exchange(request, NLM_F_ACK | flags, &mut |_, _| {}).map(drop)
    }

    /// Everything that a dump request yields, whole: one that a change interrupted is repeated.
    pub fn dump<T>(
        &mut self,
        request: &Request,
        mut parse: impl FnMut(u16, &[u8]) -> Option<T>,
    ) -> std::result::Result<Vec<T>, Refused> {
        for _ in 0..DUMP_TRIES {
            let mut found = Vec::new();
            let interrupted = self.exchange(request, NLM_F_DUMP, &mut |kind, payload| {
                found.extend(parse(kind, payload));
            })?;
            if !interrupted {
                return Ok(found);
            }
        }
        Err(Refused {
            errno: nix::libc::EAGAIN,
            text: Some("the list changed while it was read, again and again".to_owned()),
        })
    }

    /// Sends a request and hands over each answer until the acknowledgement, the end of the dump,
    /// or an error; the only one, where neither is asked for. Returns whether the answers are marked as
    /// interrupted.
    pub fn exchange(
        &mut self,
        request: &Request,
        flags: u16,
        each: &mut dyn FnMut(u16, &[u8]),
    ) -> std::result::Result<bool, Refused> {
        self.sequence += 1;
        self.is_waiting = true;
        let bytes = request.to_bytes(flags, self.sequence);
        self.socket.send(&bytes, 0).map_err(|error| Refused::io(&error))?;

        match BUFFER.try_lock() {
            Ok(mut buffer) => self.hear_out(flags, &mut *buffer, each),
            Err(_) => self.hear_out(flags, &mut vec![0; LARGEST_DATAGRAM], each),
        }
    }

    /// Reads until the answer has ended.
    fn hear_out(
        &mut self,
        flags: u16,
        buffer: &mut [u8],
        each: &mut dyn FnMut(u16, &[u8]),
    ) -> std::result::Result<bool, Refused> {
        let is_single = flags & (NLM_F_ACK | NLM_F_DUMP) == 0;
        let mut interrupted = false;
        loop {
            let length = self.receive(buffer)?;
            let mut answered = false;
            let mut each = |kind, payload: &[u8]| {
                answered = true;
                each(kind, payload);
            };
            let end = answers(&buffer[..length], self.sequence, &mut interrupted, &mut each);
            if let Some(end) = end.or_else(|| (answered && is_single).then_some(Ok(()))) {
                self.is_waiting = false;
                return end.map(|()| interrupted);
            }
        }
    }

    /// Puts one datagram of the kernel's into the buffer and returns its length. Another process of the namespace
    /// may send some, too.
    fn receive(&self, buffer: &mut [u8]) -> std::result::Result<usize, Refused> {
        loop {
            match self.socket.recv_from(&mut &mut *buffer, MSG_TRUNC | MSG_DONTWAIT) {
                Ok((_, sender)) if sender.port_number() != 0 => {}
                Ok((length, _)) if length > buffer.len() => {
                    let text = format!("an answer of {length} bytes is more than can be read");
                    return Err(Refused { errno: nix::libc::EMSGSIZE, text: Some(text) });
                }
                Ok((length, _)) => return Ok(length),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                Err(error) => return Err(Refused::io(&error)),
            }
        }
    }

    /// Waits until there is something to receive.
    fn wait(&self) -> std::result::Result<(), Refused> {
        let socket = Borrowed(&self.socket);
        let mut waits = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waits, PollTimeout::from(ANSWER_WITHIN_SECONDS * 1000)) {
            Ok(0) => Err(Refused {
                errno: nix::libc::ETIMEDOUT,
                text: Some(format!(
                    "no answer within {ANSWER_WITHIN_SECONDS} s: another change holds the lock of all interfaces"
                )),
            }),
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(Refused { errno: errno as i32, text: None }),
        }
    }
}

/// `netlink_sys::Socket` knows only the raw descriptor.
pub(super) struct Borrowed<'a>(pub(super) &'a Socket);

impl AsFd for Borrowed<'_> {
    #[allow(unsafe_code)]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket is open, and borrowed for as long as the descriptor is.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}

/// Hands over each answer to the request `sequence` that a datagram has. `Some`: there are no more.
fn answers(
    datagram: &[u8],
    sequence: u32,
    interrupted: &mut bool,
    each: &mut dyn FnMut(u16, &[u8]),
) -> Option<std::result::Result<(), Refused>> {
    let mut rest = datagram;
    while let Ok(answer) = NetlinkBuffer::new_checked(rest) {
        let length = answer.length() as usize;
        rest = rest.get(attrs::align(length)..).unwrap_or_default();
        if answer.sequence_number() != sequence {
            continue; // left over from a request that ended in an error
        }
        *interrupted |= answer.flags() & NLM_F_DUMP_INTR != 0;
        let payload = answer.payload();
        match answer.message_type() {
            kind @ (NLMSG_ERROR | NLMSG_DONE) => {
                return Some(refusal(kind, payload, answer.flags()).map_or(Ok(()), Err));
            }
            kind => each(kind, payload),
        }
    }
    None
}

/// The refusal that an error or the end of a dump carries; `None`: it is an acknowledgement.
fn refusal(kind: u16, payload: &[u8], flags: u16) -> Option<Refused> {
    let code = payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
    if code == 0 {
        return None;
    }
    // A refusal repeats its request whole before them, the end of a dump does not.
    let request = || payload.get(4..)?.first_chunk().map(|length| u32::from_ne_bytes(*length));
    let tlvs = || match kind {
        NLMSG_DONE => payload.get(4..),
        _ => payload.get(4 + attrs::align(request()? as usize)..),
    };
    let text = (flags & NLM_F_ACK_TLVS != 0)
        .then(tlvs)
        .flatten()
        .and_then(|tlvs| Attrs::new(tlvs).find(NLMSGERR_ATTR_MSG))
        .map(attrs::Attr::text);
    Some(Refused { errno: code.saturating_abs(), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_any_number_is_one() {
        let errno =
            |code: i32| refusal(NLMSG_ERROR, &code.to_ne_bytes(), 0).map(|refused| refused.errno);
        assert_eq!([0, -95, 95].map(errno), [None, Some(95), Some(95)]);
        assert_eq!(errno(i32::MIN), Some(i32::MAX));
    }

    #[test]
    fn the_kernels_sentence_stands_after_the_request() {
        let request: Vec<u8> = [20u32.to_ne_bytes(), [0; 4], [0; 4], [0; 4], [7; 4]].concat();
        let sentence = [&[9, 0, NLMSGERR_ATTR_MSG.to_ne_bytes()[0], 0][..], b"Oops\0"].concat();
        let payload = [&(-22i32).to_ne_bytes()[..], &request, &sentence].concat();
        let text = |kind, payload: &[u8]| refusal(kind, payload, NLM_F_ACK_TLVS).unwrap().text;
        assert_eq!(text(NLMSG_ERROR, &payload).as_deref(), Some("Oops"));
        assert_eq!(text(NLMSG_ERROR, &payload[..9]), None);
        let endless = [&(-22i32).to_ne_bytes()[..], &[0xff; 16]].concat();
        assert_eq!(text(NLMSG_ERROR, &endless), None);
        let end_of_dump = [&payload[..4], &sentence].concat();
        assert_eq!(text(NLMSG_DONE, &end_of_dump).as_deref(), Some("Oops"));
    }
}
