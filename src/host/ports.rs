//! Which interface of a device that has several: ports behind one PCI address (mlx4). They are told
//! apart by `dev_port` (kernel: Documentation/ABI/testing/sysfs-class-net), which only sysfs has, and
//! which a sysfs shows of the namespace that it was mounted in.

use std::cell::OnceCell;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::netns;
use super::sysfs::{self, Dir};
use crate::error::Result;
use crate::model::ids::DeviceId;
use crate::model::link::{Link, is_representor};
use crate::model::record::NetnsId;
use crate::order;

/// The interface of a device's port among those of one namespace; no representor.
pub fn own<'a>(
    links: &'a [Link],
    device: &DeviceId,
    dev_port: &dyn Fn(&Link) -> Option<u16>,
) -> Option<&'a Link> {
    let mut all = of_device(links, device);
    if all.len() < 2 && device.port() == 0 {
        return all.pop();
    }
    let all = all.into_iter().map(|link| (dev_port(link), link.ifindex, link));
    of_port(all.collect(), device.port())
}

/// The same of another namespace, whose links these are. That it is the only one is mostly all there
/// is to know; else the namespace has to be entered for what only its sysfs tells.
pub fn own_in(links: &[Link], device: &DeviceId, at: &NetnsId) -> Result<Option<Link>> {
    let mut all = of_device(links, device);
    if all.len() < 2 && device.port() == 0 {
        return Ok(all.pop().cloned());
    }
    let look = || {
        let ports = Inside::default();
        Ok(own(links, device, &|link| ports.dev_port(link)).cloned())
    };
    Ok(netns::enter(&at.path, Some(at), look)?.flatten())
}

/// The one of a port among a device's, each with its `dev_port` and its ifindex. A driver that does not
/// number them makes them in their order.
fn of_port<T>(mut all: Vec<(Option<u16>, u32, T)>, port: u16) -> Option<T> {
    order::sort_by_key(&mut all, |(dev_port, ifindex, _)| (*dev_port, *ifindex));
    let is_known = all.iter().any(|(dev_port, ..)| dev_port.is_some_and(|port| port > 0));
    let at = match port {
        0 => 0,
        port if is_known => all.iter().position(|(dev_port, ..)| *dev_port == Some(port))?,
        port => usize::from(port),
    };
    (at < all.len()).then(|| all.swap_remove(at).2)
}

/// Every interface of a device, whatever its port.
pub fn of_device<'a>(links: &'a [Link], device: &DeviceId) -> Vec<&'a Link> {
    let device = device.with_port(0);
    let is_own = |link: &&Link| {
        link.parent.as_ref() == Some(&device)
            && !link.phys_port_name.as_deref().is_some_and(is_representor)
    };
    links.iter().filter(is_own).collect()
}

/// The port of an interface of the host.
pub fn on_host(link: &Link) -> Option<u16> {
    sysfs::number(&Path::new("/sys/class/net").join(&link.name).join("dev_port"))
}

/// The ports of interfaces in the namespace of this thread, which must be one made for that: it gets
/// a `/sys` of its own.
#[derive(Default)]
pub struct Inside {
    mounted: OnceCell<bool>,
}

impl Inside {
    /// The port of an interface; `None`: it cannot be known.
    pub fn dev_port(&self, link: &Link) -> Option<u16> {
        let mounted = || -> nix::Result<()> {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?;
            mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::MS_RDONLY, None::<&str>)
        };
        // Never the host's: it may have another interface of that name.
        let is_mounted = *self.mounted.get_or_init(|| mounted().is_ok());
        is_mounted.then(|| on_host(link)).flatten()
    }
}

/// The name of the interface that a port of the device in this sysfs directory has on the host.
pub fn netdev(dir: &Dir, port: u16) -> Option<String> {
    let mut names = dir.names("net");
    let is_other = |port: Option<String>| port.is_some_and(|port| is_representor(&port));
    // Of one interface there is nothing to tell, but that it is no representor.
    if port == 0 && names.len() == 1 {
        let port = |name: &String| dir.text(&format!("net/{name}/phys_port_name"));
        return names.pop().filter(|name| !is_other(port(name)));
    }
    let all = names.into_iter().filter_map(|name| {
        let of = dir.dir(&format!("net/{name}"))?;
        let ifindex = || of.number::<u32>("ifindex").unwrap_or_default();
        (!is_other(of.text("phys_port_name")))
            .then(|| (of.number::<u16>("dev_port"), ifindex(), name))
    });
    of_port(all.collect(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(ifindex: u32, parent: &str) -> Link {
        Link { ifindex, parent: parent.parse().ok(), ..Link::default() }
    }

    /// (interfaces by ifindex and `dev_port`, port asked for, ifindex found)
    #[test]
    fn a_port_is_known_by_its_number_else_by_its_order() {
        type Case = (&'static [(u32, Option<u16>)], u16, Option<u32>);
        let cases: [Case; 11] = [
            (&[(7, Some(0))], 0, Some(7)),
            // The only one of a VF that has just the second port of its card.
            (&[(7, Some(1))], 0, Some(7)),
            (&[(7, None)], 0, Some(7)),
            (&[(9, Some(0)), (7, Some(1))], 0, Some(9)),
            (&[(9, Some(0)), (7, Some(1))], 1, Some(7)),
            // The first is in another namespace.
            (&[(7, Some(1))], 1, Some(7)),
            (&[(7, Some(0))], 1, None),
            (&[(9, None), (7, None)], 0, Some(7)),
            (&[(9, None), (7, None)], 1, Some(9)),
            (&[(9, None)], 1, None),
            (&[], 0, None),
        ];
        for (ports, port, expected) in cases {
            let mut links: Vec<Link> =
                ports.iter().map(|(ifindex, _)| link(*ifindex, "0000:03:00.1")).collect();
            links.push(link(1, "0000:03:00.2"));
            let dev_port = |link: &Link| {
                ports.iter().find(|(ifindex, _)| *ifindex == link.ifindex).and_then(|(_, p)| *p)
            };
            let device = "0000:03:00.1".parse::<DeviceId>().unwrap().with_port(port);
            let found = own(&links, &device, &dev_port).map(|link| link.ifindex);
            assert_eq!(found, expected, "{ports:?} {port}");
        }
    }
}
