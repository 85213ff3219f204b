//! Namespaces and netlink sockets that are kept open from one look or change to the next. A socket that was
//! opened in another namespace stays there: for all that is done in it, it is entered once.

use std::fmt;
use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::netlink::Netlink;
use super::netns;
use super::sysfs::Dir;
use crate::engine::NetnsChoice;
use crate::error::Result;
use crate::model::record::NetnsId;

/// Device and inode of a namespace; `None`: the one that this program runs in.
type At = Option<(u64, u64)>;

/// Where the settings of IPv6 of each interface are (kernel: Documentation/networking/ip-sysctl.rst). Which namespace's
/// it shows is decided when it is opened (fs/proc/proc_sysctl.c, `sysctl_follow_link`).
const IPV6: &str = "/proc/sys/net/ipv6/conf";

/// What is kept of a namespace.
struct Kept {
    at: At,
    netlink: Netlink,
    /// [`IPV6`] of another namespace, where its kernel has that.
    ipv6: Option<Dir>,
}

/// A namespace that is open, by its device and inode.
type Opened = Option<((u64, u64), Arc<File>)>;

/// Sockets that nobody uses at the moment, and the namespace that was opened last.
#[derive(Default)]
pub struct Sockets {
    idle: Mutex<Vec<Kept>>,
    opened: Mutex<Opened>,
}

impl Sockets {
    /// One in this namespace.
    pub fn here(&self) -> Result<Lent<'_>> {
        let kept = match self.take(None) {
            Some(kept) => kept,
            None => Kept { at: None, netlink: Netlink::route()?, ipv6: None },
        };
        Ok(Lent { pool: self, kept: Some(kept) })
    }

    /// One in another namespace; `None`: it is gone, or another one has its path by now.
    pub fn at(&self, netns: &NetnsId) -> Result<Option<Lent<'_>>> {
        let at = Some((netns.device, netns.inode));
        if let Some(kept) = self.take(at) {
            return Ok(Some(Lent { pool: self, kept: Some(kept) }));
        }
        let Some(there) = self.open(netns)? else { return Ok(None) };
        let open = || {
            Ok(Kept {
                at,
                netlink: Netlink::route_among_others()?,
                ipv6: Dir::open(Path::new(IPV6)),
            })
        };
        let kept = netns::visit(&there, &netns.path, open)?;
        Ok(Some(Lent { pool: self, kept: Some(kept) }))
    }

    /// The namespace that is meant, which is kept open.
    pub fn find(&self, choice: &NetnsChoice) -> Result<NetnsId> {
        let (netns, file) = netns::find(choice)?;
        *self.opened() = Some(((netns.device, netns.inode), Arc::new(file)));
        Ok(netns)
    }

    /// A namespace, open; `None`: as for [`Sockets::at`].
    pub fn open(&self, netns: &NetnsId) -> Result<Option<Arc<File>>> {
        let id = (netns.device, netns.inode);
        if let Some((_, file)) = self.opened().as_ref().filter(|(known, _)| *known == id) {
            return Ok(Some(Arc::clone(file)));
        }
        let Some(file) = netns::open(&netns.path, Some(netns))?.map(Arc::new) else {
            return Ok(None);
        };
        *self.opened() = Some((id, Arc::clone(&file)));
        Ok(Some(file))
    }

    /// Closes all: what is open keeps its namespace alive.
    pub fn close(&self) {
        self.idle().clear();
        *self.opened() = None;
    }

    fn take(&self, at: At) -> Option<Kept> {
        let mut idle = self.idle();
        let nth = idle.iter().position(|kept| kept.at == at)?;
        Some(idle.swap_remove(nth))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
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
    kept: Option<Kept>,
}

impl Lent<'_> {
    /// The directory of the namespace's interfaces with their settings of IPv6.
    pub fn ipv6(&self) -> Option<&Dir> {
        self.kept.as_ref()?.ipv6.as_ref()
    }
}

impl Deref for Lent<'_> {
    type Target = Netlink;
    fn deref(&self) -> &Netlink {
        self.kept.as_ref().map(|kept| &kept.netlink).expect("there until it is dropped")
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Netlink {
        self.kept.as_mut().map(|kept| &mut kept.netlink).expect("there until it is dropped")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // One that still owes an answer is not used again.
        if let Some(kept) = self.kept.take().filter(|kept| kept.netlink.is_idle()) {
            let mut idle = self.pool.idle();
            // Whoever goes through many namespaces keeps the last one only.
            if kept.at.is_some() {
                idle.retain(|other| other.at.is_none());
            }
            idle.push(kept);
        }
    }
}
