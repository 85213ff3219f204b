//! One device, wherever its interface is, with what a decision about it needs.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::netlink::Netlink;
use super::pci::Alias;
use super::sysfs::{self, Dir};
use super::{Host, holders, netns, pci};
use crate::error::Result;
use crate::model::assemble::is_userspace_driver;
use crate::model::facts::{Scope, VfFacts};
use crate::model::ids::{DeviceId, PciAddress, VfIndex};
use crate::model::link::{Link, VfReport, is_representor};
use crate::model::record::{NetnsId, VfOf};
use crate::model::seen::Seen;
use crate::model::step::Place;
use crate::model::usage::{self, Witnesses};

impl Host {
    pub(super) fn inspect_device(&self, device: &DeviceId, hint: Option<&NetnsId>) -> Result<Seen> {
        let dir = self.device_dir(device);
        let vf_of = vf_of(&dir, device);
        let mut netlink = Netlink::route()?;
        let here = netlink.names()?;
        let pf = vf_of.as_ref().and_then(|of| own_link(&here, &of.pf));
        let own = own_link(&here, device).cloned();
        let link = match own {
            Some(link) => Some((Place::Host, link)),
            None if dir.exists() => elsewhere(device, hint)?,
            None => None,
        };
        let report = match (pf, &vf_of) {
            (Some(pf), Some(of)) => report(&mut netlink, pf.ifindex, of.index)?,
            _ => None,
        };
        let pf_name = pf.map(|pf| pf.name.clone());
        let index = vf_of.as_ref().map_or(VfIndex(0), |of| of.index);
        let (facts, alias) = match Dir::open(&dir) {
            Some(dir) => {
                let scope = Scope { change: true, ..Scope::default() };
                pci::read_vf(&dir, Some(device.clone()), index, scope)
            }
            None => (VfFacts::without_device(index), None),
        };
        let mut seen = Seen {
            device: device.clone(),
            exists: dir.exists(),
            // kernfs numbers its directories one after the other (fs/kernfs/dir.c, `__kernfs_new_node`).
            incarnation: std::fs::metadata(&dir).ok().map(|meta| meta.ino()),
            name: name(device, vf_of.as_ref(), pf_name.as_deref(), link.as_ref()),
            pf_netdev: pf_name,
            pf_mtu: pf.and_then(|pf| pf.mtu),
            driver: facts.driver.clone(),
            driver_override: facts.driver_override.clone(),
            node: facts.node.clone(),
            addresses: Vec::new(),
            routes: Vec::new(),
            settings: report.map(|report| report.settings),
            host_names: names_but(&here, device),
            there_names: BTreeSet::new(),
            users: Vec::new(),
            vf_of,
            link: link.as_ref().map(|(at, link)| (at.clone(), link.clone())),
        };
        if let Some((Place::Netns(at), link)) = &link {
            let look = || {
                let mut netlink = Netlink::route()?;
                Ok((netlink.names()?, netlink.addresses()?, netlink.routes()?))
            };
            let (links, addresses, routes) =
                netns::enter(&at.path, Some(at), look)?.unwrap_or_default();
            seen.there_names = names_but(&links, device);
            let own = addresses.iter().filter(|(ifindex, _)| *ifindex == link.ifindex);
            seen.addresses = own.filter_map(|(_, text)| text.parse().ok()).collect();
            let own = routes.into_iter().filter(|(ifindex, _)| *ifindex == link.ifindex);
            seen.routes = own.map(|(_, text)| text).collect();
        }
        if hint.is_none() {
            // Knowing less must not make a device look free: one with a driver of the kernel's has its
            // interface somewhere.
            let is_network = dir_class(&dir).is_some_and(|class| class >> 16 == 0x02);
            let has_netdev = facts.driver.as_deref().is_some_and(|d| !is_userspace_driver(d));
            let must = is_network && has_netdev && seen.vf_of.is_some();
            seen.users = users(&mut netlink, &facts, alias, &seen, (&here, must))?;
        }
        Ok(seen)
    }
}

fn dir_class(dir: &Path) -> Option<u32> {
    sysfs::hex(&dir.join("class"))
}

/// The PF of a VF, and its number there (kernel: drivers/pci/iov.c, `physfn`, `virtfnN`).
pub(super) fn vf_of(dir: &Path, device: &DeviceId) -> Option<VfOf> {
    let pf: PciAddress = sysfs::link_name(&dir.join("physfn"))?.parse().ok()?;
    let physfn = dir.join("physfn");
    let is_it =
        |name: &String| sysfs::link_name(&physfn.join(name)).as_deref() == Some(device.name());
    let link = sysfs::names(&physfn).into_iter().filter(|n| n.starts_with("virtfn")).find(is_it)?;
    let index = link.strip_prefix("virtfn")?.parse().ok()?;
    Some(VfOf { pf: pf.into(), index: VfIndex(index) })
}

/// The interface of a device, no representor.
fn own_link<'a>(links: &'a [Link], device: &DeviceId) -> Option<&'a Link> {
    let is_own = |link: &&Link| {
        link.parent.as_ref() == Some(device)
            && !link.phys_port_name.as_deref().is_some_and(is_representor)
    };
    links.iter().filter(is_own).min_by_key(|link| link.ifindex)
}

/// Looks for the interface in the namespace where it was last, then in all others.
fn elsewhere(device: &DeviceId, hint: Option<&NetnsId>) -> Result<Option<(Place, Link)>> {
    if let Some(at) = hint
        && let Some(links) = netns::links_at(at)?
        && let Some(link) = own_link(&links, device)
    {
        return Ok(Some((Place::Netns(at.clone()), link.clone())));
    }
    for other in netns::others()? {
        let id = netns::id_of(&other)?;
        // A namespace may die while it is looked at; what was in it is on its way to the host.
        let Ok(Some(links)) = netns::links_at(&id) else { continue };
        if let Some(link) = own_link(&links, device) {
            return Ok(Some((Place::Netns(id), link.clone())));
        }
    }
    Ok(None)
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

fn names_but(links: &[Link], device: &DeviceId) -> BTreeSet<String> {
    let others = links.iter().filter(|link| link.parent.as_ref() != Some(device));
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
    let (addresses, routes) = (netlink.addresses()?, netlink.routes()?);
    let witnesses = Witnesses::new(here, &addresses, &routes, &holders);
    let mut link: Vec<Link> = seen.link.iter().map(|(_, link)| link.clone()).collect();
    if let (Some(link), Some((Place::Netns(at), _))) = (link.first_mut(), &seen.link) {
        link.netns = Some(std::sync::Arc::new(netns::described(at)));
    }
    Ok(usage::users(facts, &link, must_have_netdev, &witnesses))
}
