//! Steps on interfaces wherever they are: set, move, bring home, configure.

use std::time::Duration;

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::AddressFamily;
use nix::sched::{CloneFlags, unshare};

use super::inspect::inside;
use super::netlink::request::{self, Request};
use super::netlink::{IFF_UP, Netlink, Refused, address};
use super::sockets::Lent;
use super::{Host, netns, ports};
use crate::error::{Result, libc_errno};
use crate::model::ids::DeviceId;
use crate::model::link::Link;
use crate::model::record::NetnsId;
use crate::model::step::{IpConfig, LinkSet, Outcome, Place, Step};

/// libc has no names for them (kernel: include/uapi/linux/rtnetlink.h).
const RTM_NEWLINKPROP: u16 = 108;
const RTM_DELLINKPROP: u16 = 109;

const IFF_PROMISC: u32 = 0x100;
const IFF_ALLMULTI: u32 = 0x200;

impl Host {
    pub(super) fn set_link(
        &self,
        step: &Step,
        device: &DeviceId,
        at: &Place,
        set: &LinkSet,
        timeout: Duration,
    ) -> Result<Outcome> {
        let (mut netlink, ifindex) = self.at(step, device, at)?;
        let target = match &set.to {
            None => None,
            Some(to) => {
                Some(self.sockets.open(to)?.ok_or_else(|| self.refused(step, libc_errno::ENOENT))?)
            }
        };
        let attributes = || {
            let mut all = Vec::new();
            all.extend(target.as_ref().map(|file| request::netns(&**file)));
            all.extend(set.name.as_deref().map(request::name));
            all.extend(set.mac.map(request::mac));
            all.extend(set.mtu.map(request::mtu));
            all.extend(target.is_some().then(arp_notify));
            all
        };
        let flags = flags(set);
        self.patiently(step, timeout, || netlink.change_link(ifindex, flags, &attributes()))
    }

    /// A socket in the place, and the number that the device's interface has there.
    fn at(&self, step: &Step, device: &DeviceId, at: &Place) -> Result<(Lent<'_>, u32)> {
        let gone = || self.refused(step, libc_errno::ENODEV);
        match at {
            Place::Host => Ok((self.sockets.here()?, self.ifindex(device).ok_or_else(gone)?)),
            Place::Netns(id) => {
                let (netlink, link) = self.link_at(step, device, id)?;
                Ok((netlink, link.ifindex))
            }
        }
    }

    /// A socket in a namespace, and the device's interface there, which is to be changed.
    fn link_at(&self, step: &Step, device: &DeviceId, at: &NetnsId) -> Result<(Lent<'_>, Link)> {
        let gone = || self.refused(step, libc_errno::ENODEV);
        let mut netlink = self.sockets.at(at)?.ok_or_else(gone)?;
        netlink.explain();
        let links = netlink.names()?;
        let own = ports::own_in(&links, device, at)?.ok_or_else(gone)?;
        Ok((netlink, own))
    }

    /// Down and renamed in one message where it is, then moved: the host never sees another name.
    /// (Moved under its present name it would be announced by that first, then renamed.)
    pub(super) fn bring_home(
        &self,
        step: &Step,
        device: &DeviceId,
        at: &NetnsId,
        name: &str,
        detour: bool,
        timeout: Duration,
    ) -> Result<Outcome> {
        let home = netns::Home::get()?.file();
        let to_home = [request::netns(home)];
        let named = [request::name(name)];
        let (mut netlink, mut ifindex) = self.at(step, device, &Place::Netns(at.clone()))?;
        if !detour {
            self.patiently(step, timeout, || netlink.change_link(ifindex, (0, IFF_UP), &named))?;
            return self.patiently(step, timeout, || netlink.set_link(ifindex, &to_home));
        }
        // An empty namespace of our own, in which every name is free. It lives as long as its
        // thread; if we die, the kernel gives the interface back to the host.
        let wait = Duration::from_secs(5);
        std::thread::scope(|scope| {
            let (send_file, receive_file) = std::sync::mpsc::channel();
            let (send_done, receive_done) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || {
                let made = unshare(CloneFlags::CLONE_NEWNET)
                    .map_err(|errno| errno as i32)
                    .and_then(|()| {
                        let file = std::fs::File::open("/proc/thread-self/ns/net");
                        file.map_err(|error| error.raw_os_error().unwrap_or(libc_errno::EIO))
                    })
                    .and_then(|file| {
                        Netlink::route().map(|n| (file, n)).map_err(|_| libc_errno::EIO)
                    });
                if send_file.send(made).is_ok() {
                    let _ = receive_done.recv(); // ends when the other side is dropped
                }
            });
            let made = receive_file.recv_timeout(wait).unwrap_or(Err(libc_errno::ETIMEDOUT));
            let (scratch, mut inside) = made.map_err(|errno| self.refused(step, errno))?;
            let to_scratch = [request::netns(&scratch)];
            self.patiently(step, timeout, || {
                netlink.change_link(ifindex, (0, IFF_UP), &to_scratch)
            })?;
            // Nothing else of the device is there.
            let alone = ports::of_device(&inside.names()?, device).first().map(|link| link.ifindex);
            ifindex = alone.ok_or_else(|| self.refused(step, libc_errno::ENODEV))?;
            // An altname that is the wanted name is in the way of it; the others come back later.
            let alt = inside.link(ifindex).map(|link| link.altnames).unwrap_or_default();
            if alt.iter().any(|alt| alt == name) {
                let alt = [request::altnames(&[name.to_owned()])];
                inside
                    .request(&Request::link(RTM_DELLINKPROP, ifindex, &alt), 0)
                    .map_err(|refused| self.refused(step, refused.errno))?;
            }
            self.patiently(step, timeout, || inside.change_link(ifindex, (0, IFF_UP), &named))?;
            let moved = self.patiently(step, timeout, || inside.set_link(ifindex, &to_home));
            drop(send_done);
            moved
        })
    }

    pub(super) fn set_altnames(
        &self,
        step: &Step,
        device: &DeviceId,
        at: &Place,
        (add, remove): (&[String], &[String]),
    ) -> Result<Outcome> {
        let (mut netlink, ifindex) = self.at(step, device, at)?;
        let refused = |refused: Refused| self.refused(step, refused.errno);
        if !remove.is_empty() {
            let names = [request::altnames(remove)];
            netlink
                .request(&Request::link(RTM_DELLINKPROP, ifindex, &names), 0)
                .map_err(refused)?;
        }
        if !add.is_empty() {
            let names = [request::altnames(add)];
            let request = Request::link(RTM_NEWLINKPROP, ifindex, &names);
            netlink.request(&request, NLM_F_CREATE | NLM_F_EXCL).map_err(refused)?;
        }
        Ok(Outcome::Changed)
    }

    pub(super) fn configure(
        &self,
        step: &Step,
        device: &DeviceId,
        at: &NetnsId,
        config: &IpConfig,
    ) -> Result<Outcome> {
        let moved = self.recent.moved(device, at).filter(|_| *config == IpConfig::default());
        // What was moved there as this a moment ago needs no number to be brought up.
        if let (Some(name), Some(mut netlink)) = (moved, self.sockets.at(at)?) {
            prepare(&netlink, &name);
            if netlink.bring_up(&name).is_ok() {
                return Ok(Outcome::Changed);
            }
        }
        let (mut netlink, link) = self.link_at(step, device, at)?;
        configure_there(&mut netlink, &link, config)
            .map_err(|refused| self.refused_saying(step, refused))?;
        Ok(Outcome::Changed)
    }
}

fn flags(set: &LinkSet) -> (u32, u32) {
    let quiet = if set.quiet { IFF_PROMISC | IFF_ALLMULTI } else { 0 };
    match set.up {
        None => (0, quiet),
        Some(up) => (if up { IFF_UP } else { 0 }, IFF_UP | quiet),
    }
}

/// The number of the device's interface in the namespace of this thread.
pub(super) fn ifindex_here(device: &DeviceId) -> Result<Option<u32>> {
    Ok(inside(device)?.map(|(link, _)| link.ifindex))
}

/// Has the kernel tell neighbours by itself when the interface comes up in its new namespace (kernel:
/// net/ipv4/devinet.c, `inet_set_link_af`; uapi/linux/if_link.h, `IFLA_INET_CONF`; uapi/linux/ip.h).
fn arp_notify() -> DefaultNla {
    const IFLA_AF_SPEC: u16 = 26;
    const IFLA_INET_CONF: u16 = 1;
    const IPV4_DEVCONF_ARP_NOTIFY: u16 = 22;
    let on = request::nest(IFLA_INET_CONF, &[request::number(IPV4_DEVCONF_ARP_NOTIFY, 1)]);
    let inet = u16::from(u8::from(AddressFamily::Inet));
    request::nest(IFLA_AF_SPEC, &[request::nest(inet, &[on])])
}

/// What must be set before "up": a new IPv6 address can be used at once, without a second of waiting whether it is a
/// duplicate, and neighbours are told of it.
fn prepare(netlink: &Lent<'_>, name: &str) {
    for key in ["ndisc_notify", "optimistic_dad", "use_optimistic"] {
        set_ipv6(netlink, name, key, "1");
    }
}

fn set_ipv6(netlink: &Lent<'_>, name: &str, key: &str, value: &str) {
    // A kernel without IPv6, or a read-only /proc/sys, is no reason to fail.
    let _ = netlink.ipv6().map(|all| all.write(&format!("{name}/{key}"), value));
}

/// In another namespace: addresses, up, routes.
fn configure_there(
    netlink: &mut Lent<'_>,
    link: &Link,
    config: &IpConfig,
) -> std::result::Result<(), Refused> {
    let ifindex = link.ifindex;
    prepare(netlink, &link.name);
    if config.addresses.iter().any(|cidr| cidr.address.is_ipv6()) {
        // Some runtimes switch it off in new namespaces.
        set_ipv6(netlink, &link.name, "disable_ipv6", "0");
    }
    for cidr in &config.addresses {
        let request = address::add_address(ifindex, cidr.address, cidr.prefix);
        netlink.request(&request, NLM_F_CREATE | NLM_F_REPLACE)?;
    }
    netlink.change_link(ifindex, (IFF_UP, IFF_UP), &[])?;
    for route in &config.routes {
        match netlink.request(&address::add_route(ifindex, route), NLM_F_CREATE) {
            Err(Refused { errno: libc_errno::EEXIST, .. }) => {} // the very same one is there
            done => done?,
        }
    }
    Ok(())
}
