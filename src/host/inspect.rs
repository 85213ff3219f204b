//! One device, wherever its interface is, with what a decision about it needs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::netlink::Netlink;
use super::pci::Alias;
use super::sysfs::Dir;
use super::{Host, holders, netns, pci, ports};
use crate::error::Result;
use crate::model::assemble::is_userspace_driver;
use crate::model::facts::{Scope, VfFacts};
use crate::model::ids::{Cidr, DeviceId, PciAddress, VfIndex};
use crate::model::link::{Link, VfReport};
use crate::model::record::{NetnsId, VfOf};
use crate::model::seen::Seen;
use crate::model::step::Place;
use crate::model::usage::{self, Witnesses};
use crate::order;

impl Host {
    /// Looks for the interface in the namespace where it was last, then in all others; returns all that
    /// are there as well.
    fn elsewhere(
        &self,
        device: &DeviceId,
        hint: Option<&NetnsId>,
    ) -> Result<Option<(Place, Link, Vec<Link>)>> {
        if let Some(at) = hint
            && let Some(mut netlink) = self.sockets.at(at)?
        {
            let links = netlink.names()?;
            if let Some(link) = ports::own_in(&links, device, at)? {
                return Ok(Some((Place::Netns(at.clone()), link, links)));
            }
        }
        let look = |at: &NetnsId| netns::enter(&at.path, Some(at), || inside(device));
        for other in netns::others()? {
            let id = netns::id_of(&other)?;
            // A namespace may die while it is looked at; what was in it is on its way to the host.
            if let Ok(Some(Some((link, links)))) = look(&id) {
                return Ok(Some((Place::Netns(id), link, links)));
            }
        }
        Ok(None)
    }

    /// Which VF a device is, as was found when it was looked at last.
    fn vf_seen(&self, dir: &Dir, incarnation: Option<u64>, device: &DeviceId) -> Option<VfOf> {
        // A further port has the directory of the first, and another PF.
        let Some(of) = incarnation.filter(|_| device.port() == 0) else {
            return vf_of(dir, device, None);
        };
        if let Some(known) = self.recent.vf(of) {
            return Some(known);
        }
        let pf = self.recent.pf(device, || None).and_then(|pf| pf.pci());
        let found = vf_of(dir, device, pf)?;
        self.recent.keep_vf(of, &found);
        Some(found)
    }

    pub(super) fn inspect_device(
        &self,
        device: &DeviceId,
        hint: Option<&NetnsId>,
        with_ip: bool,
    ) -> Result<Seen> {
        self.look_at(device, hint, with_ip)
            .map_err(|error| error.at(format!("looking at {device}")).device(device.to_string()))
    }

    fn look_at(&self, device: &DeviceId, hint: Option<&NetnsId>, with_ip: bool) -> Result<Seen> {
        let (opened, driver_override) = self.open_device(device)?.unzip();
        let dir = opened.as_ref().map(|opened| &opened.dir);
        let incarnation = opened.as_ref().and_then(|opened| opened.incarnation);
        let vf_of = dir.and_then(|dir| self.vf_seen(dir, incarnation, device));
        let driver = dir.and_then(|dir| dir.link_name("driver"));
        let mut netlink = self.sockets.here()?;
        let here = netlink.names()?;
        let pf = vf_of.as_ref().and_then(|of| ports::own(&here, &of.pf, &ports::on_host));
        let own = ports::own(&here, device, &ports::on_host);
        // Where only its second port is here the first may be elsewhere; but for those of mlx4, whose PF has one has
        // one as well.
        let has_one_port =
            vf_of.as_ref().is_some_and(|of| ports::of_device(&here, &of.pf).len() == 1)
                && driver.as_deref().is_some_and(|driver| driver != "mlx4_core");
        let is_another = |link: &Link| {
            device.port() == 0 && !has_one_port && ports::on_host(link).is_some_and(|port| port > 0)
        };
        let on_host = |link: &Link| (Place::Host, link.clone());
        let (link, there) = match own {
            Some(link) if !is_another(link) => (Some(on_host(link)), Vec::new()),
            _ if dir.is_none() => (None, Vec::new()),
            own => match self.elsewhere(device, hint)? {
                Some((at, link, there)) => (Some((at, link)), there),
                None => (own.map(on_host), Vec::new()),
            },
        };
        let own = link.as_ref().filter(|(at, _)| *at == Place::Host).map(|(_, link)| link.ifindex);
        let report = match (pf, &vf_of) {
            (Some(pf), Some(of)) => report(&mut netlink, pf.ifindex, of.index)?,
            _ => None,
        };
        let pf_name = pf.map(|pf| pf.name.clone());
        let index = vf_of.as_ref().map_or(VfIndex(0), |of| of.index);
        self.recent.forget();
        if let (Some(pf), Some(of)) = (pf, &vf_of) {
            self.recent.add(&of.pf, pf.ifindex);
        }
        if let Some(own) = own {
            self.recent.add(device, own);
        }
        let (mut facts, alias) = match dir {
            Some(dir) => facts(dir, device, index, driver),
            None => (VfFacts::without_device(index), None),
        };
        facts.driver_override = driver_override.flatten();
        let mut seen = Seen {
            device: device.clone(),
            exists: dir.is_some(),
            incarnation,
            name: name(device, vf_of.as_ref(), pf_name.as_deref(), link.as_ref()),
            pf_netdev: pf_name,
            pf_mtu: pf.and_then(|pf| pf.mtu),
            driver: facts.driver.clone(),
            driver_override: facts.driver_override.clone(),
            ports: further_ports(&here, device, own),
            node: facts.node.clone(),
            addresses: Vec::new(),
            routes: Vec::new(),
            settings: report.map(|report| report.settings),
            host_names: names_but(&here, own),
            there_names: BTreeSet::new(),
            users: Vec::new(),
            vf_of,
            link: link.as_ref().map(|(at, link)| (at.clone(), link.clone())),
        };
        if let Some((Place::Netns(_), link)) = &link {
            seen.there_names = names_but(&there, Some(link.ifindex));
        }
        if let (true, Some((Place::Netns(at), link))) = (with_ip, &link)
            && let Some(mut there) = self.sockets.at(at)?
        {
            (seen.addresses, seen.routes) = ip_config(&mut there, link.ifindex)?;
        }
        if hint.is_none() {
            // Knowing less must not make a device look free: one with a driver of the kernel's has its
            // interface somewhere.
            let is_network = || {
                let class = dir.and_then(|dir| dir.hex("class"));
                class.is_some_and(|class| class >> 16 == 0x02)
            };
            let has_netdev = facts.driver.as_deref().is_some_and(|d| !is_userspace_driver(d));
            let must = seen.link.is_none() && has_netdev && seen.vf_of.is_some() && is_network();
            seen.users = users(&mut netlink, &facts, alias, &seen, (&here, must))?;
        }
        Ok(seen)
    }

    /// Looks again at what was moved a moment ago, and at nothing else; `None`: that needs a whole look.
    pub(super) fn look_again(
        &self,
        before: &Seen,
        at: &NetnsId,
        ifname: &str,
        with_ip: bool,
    ) -> Result<Option<Seen>> {
        let is_one = before.device.port() == 0 && before.ports.is_empty() && !ifname.is_empty();
        let pf = before.vf_of.as_ref().map(|of| (self.recent.ifindex(&of.pf), of.index));
        let (Some((Some(pf), index)), true) = (pf, is_one) else { return Ok(None) };
        let Some(mut there) = self.sockets.at(at)? else { return Ok(None) };
        let Ok(link) = there.link_named(ifname) else { return Ok(None) };
        if link.name != ifname
            || ports::of_device(std::slice::from_ref(&link), &before.device).is_empty()
        {
            return Ok(None);
        }
        let Ok(report) = report(&mut *self.sockets.here()?, pf, index) else { return Ok(None) };
        let settings = report.map(|report| report.settings);
        let mut seen = Seen { settings, ..before.clone() };
        if with_ip {
            (seen.addresses, seen.routes) = ip_config(&mut there, link.ifindex)?;
        }
        seen.link = Some((Place::Netns(at.clone()), link));
        Ok(Some(seen))
    }
}

/// Addresses and routes of an interface in the socket's namespace.
fn ip_config(netlink: &mut Netlink, ifindex: u32) -> Result<(Vec<Cidr>, Vec<String>)> {
    let addresses = netlink.addresses()?;
    let own = addresses.iter().filter(|(of, _)| *of == ifindex);
    let addresses = own.filter_map(|(_, text)| text.parse().ok()).collect();
    let own = netlink.routes_with_hops()?.into_iter().filter(|(of, ..)| *of == ifindex);
    let text = |(_, to, via): (u32, String, Option<IpAddr>)| match via {
        Some(via) => format!("{to} via {via}"),
        None => to,
    };
    Ok((addresses, own.map(text).collect()))
}

/// The PF of a VF, and its number there (kernel: drivers/pci/iov.c, `physfn`, `virtfnN`). A port of a
/// VF belongs to the same port of its PF, where that has several. `pf`: where that is known.
pub(super) fn vf_of(dir: &Dir, device: &DeviceId, pf: Option<PciAddress>) -> Option<VfOf> {
    let pf: PciAddress = pf.or_else(|| dir.link_name("physfn")?.parse().ok())?;
    // Mostly it is where the first two lead to; else there is nothing but to look at all.
    let any = || {
        let names = dir.names("physfn").into_iter();
        let mut indexes = names.filter_map(|name| name.strip_prefix("virtfn")?.parse().ok());
        indexes.find(|index| nth(dir, *index).as_deref() == Some(device.name()))
    };
    let index = index_by_routing_id(dir, device).or_else(any)?;
    let has_port = || dir.dir("physfn").and_then(|pf| ports::netdev(&pf, device.port())).is_some();
    let port = Some(device.port()).filter(|port| *port > 0 && has_port());
    let pf = DeviceId::from(pf).with_port(port.unwrap_or(0));
    Some(VfOf { pf, index: VfIndex(index) })
}

/// The name of a VF of the same PF.
fn nth(dir: &Dir, index: u16) -> Option<String> {
    dir.link_name(&format!("physfn/virtfn{index}"))
}

/// The number of a VF by its routing ID: those of a PF's VFs have all the same distance (kernel:
/// drivers/pci/iov.c, `pci_iov_virtfn_devfn`).
fn index_by_routing_id(dir: &Dir, vf: &DeviceId) -> Option<u16> {
    let own = vf.pci()?.routing_id();
    let first = nth(dir, 0)?;
    if first == vf.name() {
        return Some(0);
    }
    let second = nth(dir, 1)?;
    if second == vf.name() {
        return Some(1);
    }
    let routing_id = |name: &str| name.parse().ok().map(PciAddress::routing_id);
    let first = routing_id(&first)?;
    let distance = routing_id(&second)?.checked_sub(first)?;
    let index = u16::try_from(own.checked_sub(first)?.checked_div(distance)?).ok()?;
    (nth(dir, index)? == vf.name()).then_some(index)
}

/// What its directory says. What a driver of the kernel's has is no node's, and its IOMMU group no matter.
fn facts(
    dir: &Dir,
    device: &DeviceId,
    index: VfIndex,
    driver: Option<String>,
) -> (VfFacts, Option<Alias>) {
    if driver.as_deref().is_none_or(is_userspace_driver) {
        return pci::read_vf(dir, Some(device.clone()), index, Scope::default());
    }
    let device = Some(device.clone());
    (VfFacts { device, driver, ..VfFacts::without_device(index) }, None)
}

/// The ports beside the first one that have an interface here.
fn further_ports(here: &[Link], device: &DeviceId, own: Option<u32>) -> Vec<DeviceId> {
    if device.port() > 0 {
        return Vec::new();
    }
    let others = ports::of_device(here, device).into_iter();
    let mut others: Vec<&Link> = others.filter(|link| Some(link.ifindex) != own).collect();
    order::sort_by_key(&mut others, |link| link.ifindex);
    let numbers = others.into_iter().zip(1..).map(|(link, nth)| {
        let known = ports::on_host(link).filter(|port| *port > 0);
        device.with_port(known.unwrap_or(nth))
    });
    numbers.collect()
}

/// The interface of a device in the namespace of this thread, and all that are there.
pub(super) fn inside(device: &DeviceId) -> Result<Option<(Link, Vec<Link>)>> {
    let ports = ports::Inside::default();
    let links = Netlink::route()?.names()?;
    let own = ports::own(&links, device, &|link| ports.dev_port(link)).cloned();
    Ok(own.map(|own| (own, links)))
}

/// The settings of a VF. That they could not be read must not look like a VF that has none: nobody
/// could put them back.
fn report(netlink: &mut Netlink, pf_ifindex: u32, index: VfIndex) -> Result<Option<VfReport>> {
    let pf = match netlink.link(pf_ifindex) {
        // Some kernels have no room for the VFs in the answer about one interface (InfiniBand).
        Err(refused) if refused.errno == nix::libc::EMSGSIZE => {
            netlink.links(false)?.into_iter().find(|link| link.ifindex == pf_ifindex)
        }
        done => Some(done.map_err(|refused| refused.into_error("reading the settings of a VF"))?),
    };
    let vfs = pf.map(|pf| pf.vfs).unwrap_or_default();
    Ok(vfs.into_iter().find(|report| report.index == index))
}

fn names_but(links: &[Link], own: Option<u32>) -> BTreeSet<String> {
    let others = links.iter().filter(|link| Some(link.ifindex) != own);
    others.flat_map(|link| link.altnames.iter().chain([&link.name])).cloned().collect()
}

fn name(
    device: &DeviceId,
    vf_of: Option<&VfOf>,
    pf: Option<&str>,
    link: Option<&(Place, Link)>,
) -> String {
    match (vf_of, pf, link) {
        (Some(of), Some(pf), _) => format!("{pf}#{}", of.index),
        (Some(of), None, _) => format!("{}#{}", of.pf, of.index),
        (None, _, Some((Place::Host, link))) => link.name.clone(),
        _ => device.to_string(),
    }
}

fn users(
    netlink: &mut Netlink,
    facts: &VfFacts,
    alias: Option<Alias>,
    seen: &Seen,
    (here, must_have_netdev): (&[Link], bool),
) -> Result<Vec<usage::User>> {
    let aliases = alias.into_iter().collect();
    let holders = if facts.node.is_some() { holders::read(&aliases) } else { Vec::new() };
    // Of one that is elsewhere they say nothing, and through one that is down there is no route.
    let own = seen.link.as_ref().filter(|(at, _)| *at == Place::Host).map(|(_, link)| link);
    let addresses = own.map_or(Ok(Vec::new()), |_| netlink.addresses())?;
    let has_routes = own.is_some_and(|link| link.up != Some(false));
    let routes = if has_routes { netlink.routes()? } else { Vec::new() };
    let witnesses = Witnesses::new(here, &addresses, &routes, &holders);
    let mut link: Vec<Link> = seen.link.iter().map(|(_, link)| link.clone()).collect();
    if let (Some(link), Some((Place::Netns(at), _))) = (link.first_mut(), &seen.link) {
        link.netns = Some(std::sync::Arc::new(netns::described(at)));
    }
    Ok(usage::users(facts, &link, must_have_netdev, &witnesses))
}
