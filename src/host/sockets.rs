//! Netlink sockets that are kept from one look or change to the next. One that was opened in another
//! namespace stays there: for all that is done in it, it is entered once.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::netlink::Netlink;
use super::netns;
use crate::error::Result;
use crate::model::record::NetnsId;

/// Device and inode of a namespace; `None`: the one that this program runs in.
type At = Option<(u64, u64)>;

/// Sockets that nobody uses at the moment.
#[derive(Default)]
pub struct Sockets(Mutex<Vec<(At, Netlink)>>);

impl Sockets {
    /// One in this namespace.
    pub fn here(&self) -> Result<Lent<'_>> {
        let netlink = match self.take(None) {
            Some(netlink) => netlink,
            None => Netlink::route()?,
        };
        Ok(Lent { pool: self, at: None, netlink: Some(netlink) })
    }

    /// One in another namespace; `None`: it is gone, or another one has its path by now.
    pub fn at(&self, netns: &NetnsId) -> Result<Option<Lent<'_>>> {
        let at = Some((netns.device, netns.inode));
        let netlink = match self.take(at) {
            Some(netlink) => netlink,
            None => match netns::visit(&netns.path, Some(netns), Netlink::route)? {
                Some(netlink) => netlink,
                None => return Ok(None),
            },
        };
        Ok(Some(Lent { pool: self, at, netlink: Some(netlink) }))
    }

    /// Closes all: an open socket keeps its namespace alive.
    pub fn close(&self) {
        self.idle().clear();
    }

    fn take(&self, at: At) -> Option<Netlink> {
        let mut idle = self.idle();
        let nth = idle.iter().position(|(known, _)| *known == at)?;
        Some(idle.swap_remove(nth).1)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(At, Netlink)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sockets({})", self.idle().len())
    }
}

/// A socket while it is used.
pub struct Lent<'a> {
    pool: &'a Sockets,
    at: At,
    netlink: Option<Netlink>,
}

impl Deref for Lent<'_> {
    type Target = Netlink;
    fn deref(&self) -> &Netlink {
        self.netlink.as_ref().expect("there until it is dropped")
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Netlink {
        self.netlink.as_mut().expect("there until it is dropped")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // One that still owes an answer is not used again.
        if let Some(netlink) = self.netlink.take().filter(Netlink::is_idle) {
            let mut idle = self.pool.idle();
            // Whoever goes through many namespaces keeps the last one only.
            if self.at.is_some() {
                idle.retain(|(at, _)| at.is_none());
            }
            idle.push((self.at, netlink));
        }
    }
}
