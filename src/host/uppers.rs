//! Interfaces in other namespaces (macvlan, ipvlan, VLAN) that sit on one of this: they vanish with
//! it, and nothing in this namespace tells of them.

use std::fs::File;
use std::os::fd::AsRawFd;

use netlink_packet_core::Parseable;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use nix::libc::RTM_GETNSID;

use super::netlink::Netlink;
use super::netlink::request::Request;
use super::netns;
use crate::error::Result;
use crate::model::link::{Link, Netns};

/// Their names, each with its namespace.
pub fn elsewhere(ifindex: u32) -> Result<Vec<String>> {
    let own = netns::Home::get()?.file();
    let mut found = Vec::new();
    for other in netns::others()? {
        let look = || {
            let mut netlink = Netlink::route()?;
            // Which numbers a namespace knows others by is its own affair; it knows this one only
            // if something in it is tied to this one.
            let Some(id) = nsid(&mut netlink, own) else { return Ok(Vec::new()) };
            let links = netlink.names()?.into_iter();
            let on_it = links.filter(|link| link.lower_elsewhere == Some((ifindex, id)));
            Ok(on_it.collect::<Vec<Link>>())
        };
        // One that dies while it is looked at takes them with it.
        let Ok(Some(links)) = netns::enter(&other.path, None, look) else { continue };
        found.extend(links.iter().map(|link| named(link, &other)));
    }
    Ok(found)
}

fn named(link: &Link, netns: &Netns) -> String {
    format!("{} in {}", link.name, netns.label())
}

/// The number that the socket's namespace knows another by (kernel: net/core/net_namespace.c,
/// `rtnl_net_getid`).
fn nsid(netlink: &mut Netlink, netns: &File) -> Option<i32> {
    let mut request = NsidMessage::default();
    request.attributes.push(NsidAttribute::Fd(netns.as_raw_fd().cast_unsigned()));
    let mut found = None;
    let read = &mut |_: u16, payload: &[u8]| {
        let message = NsidMessage::parse(payload).ok();
        let attributes = message.map(|message| message.attributes).unwrap_or_default();
        found = attributes.iter().find_map(|attribute| match attribute {
            NsidAttribute::Id(id) if *id >= 0 => Some(*id),
            _ => None,
        });
    };
    netlink.ask(&Request::new(RTM_GETNSID, &request, &[]), read).ok()?;
    found
}
