//! Addresses and routes of this namespace, as far as they tell that an interface is in use.

use std::net::IpAddr;

use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteNextHop, RouteProtocol,
    RouteType, RouteVia,
};
use nix::libc::{RTM_GETADDR, RTM_GETROUTE};

use super::Netlink;
use super::request::Request;
use crate::error::Result;

impl Netlink {
    /// Addresses by ifindex, `10.0.0.1/24`; link-local IPv6 comes with "up" and says nothing.
    pub fn addresses(&mut self) -> Result<Vec<(u32, String)>> {
        let request = Request::new(RTM_GETADDR, &AddressMessage::default());
        self.dump(&request, |_, payload| parse_address(payload))
            .map_err(|refused| refused.into_error("listing addresses"))
    }

    /// Addresses of one interface that are still probed for duplicates.
    pub fn tentative(&mut self, ifindex: u32) -> Result<Vec<IpAddr>> {
        let request = Request::new(RTM_GETADDR, &AddressMessage::default());
        self.dump(&request, |_, payload| {
            parse_tentative(payload).filter(|(of, _)| *of == ifindex).map(|(_, address)| address)
        })
        .map_err(|refused| refused.into_error("listing addresses"))
    }

    /// Unicast routes of every table by the interface they leave through, `default` or
    /// `10.0.0.0/8`. Those that the kernel makes for an address are left out: the address is
    /// named already.
    pub fn routes(&mut self) -> Result<Vec<(u32, String)>> {
        let all = self.routes_with_hops()?.into_iter();
        Ok(all.map(|(ifindex, destination, _)| (ifindex, destination)).collect())
    }

    /// The same with the next hops.
    pub fn routes_with_hops(&mut self) -> Result<Vec<(u32, String, Option<IpAddr>)>> {
        let mut found = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let head = RouteHeader { address_family: family, ..RouteHeader::default() };
            let request = Request::new(RTM_GETROUTE, &head);
            let routes = self
                .dump(&request, |_, payload| parse_route(payload))
                .map_err(|refused| refused.into_error("listing routes"))?;
            found.extend(routes.into_iter().flatten());
        }
        Ok(found)
    }
}

/// The interface and the address that a message has.
pub(super) fn parse_address(payload: &[u8]) -> Option<(u32, String)> {
    let message = AddressMessage::parse(payload).ok()?;
    let is_v6 = message.header.family == AddressFamily::Inet6;
    if is_v6 && message.header.scope == AddressScope::Link {
        return None;
    }
    // On a point-to-point interface IFA_ADDRESS is the peer's, IFA_LOCAL ours.
    let mut address = None;
    for attribute in message.attributes {
        match attribute {
            AddressAttribute::Local(local) => address = Some(local),
            AddressAttribute::Address(peer) => address = address.or(Some(peer)),
            _ => {}
        }
    }
    let text = format!("{}/{}", address?, message.header.prefix_len);
    Some((message.header.index, text))
}

/// The interface and the address that a message has, if it is still probed for duplicates.
pub(super) fn parse_tentative(payload: &[u8]) -> Option<(u32, IpAddr)> {
    let message = AddressMessage::parse(payload).ok()?;
    let mut address = None;
    let mut probed = message.header.flags.contains(AddressHeaderFlags::Tentative);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(own) => address = Some(*own),
            AddressAttribute::Flags(flags) => {
                probed |= flags.contains(AddressFlags::Tentative);
            }
            _ => {}
        }
    }
    Some((message.header.index, address?)).filter(|_| probed)
}

pub(super) fn parse_route(payload: &[u8]) -> Option<Vec<(u32, String, Option<IpAddr>)>> {
    let message = RouteMessage::parse(payload).ok()?;
    if message.header.kind != RouteType::Unicast || message.header.protocol == RouteProtocol::Kernel
    {
        return None;
    }
    let mut destination = "default".to_owned();
    let mut interfaces = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(to)) => {
                destination = format!("{to}/{}", message.header.destination_prefix_length);
            }
            RouteAttribute::Destination(RouteAddress::Inet6(to)) => {
                destination = format!("{to}/{}", message.header.destination_prefix_length);
            }
            RouteAttribute::Oif(ifindex) => {
                interfaces.push((*ifindex, next_hop(&message.attributes)));
            }
            RouteAttribute::MultiPath(hops) => {
                let hop = |hop: &RouteNextHop| (hop.interface_index, next_hop(&hop.attributes));
                interfaces.extend(hops.iter().map(hop));
            }
            _ => {}
        }
    }
    let found = interfaces.into_iter();
    Some(found.map(|(ifindex, via)| (ifindex, destination.clone(), via)).collect())
}

fn next_hop(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(via))
        | RouteAttribute::Via(RouteVia::Inet(via)) => Some(IpAddr::V4(*via)),
        RouteAttribute::Gateway(RouteAddress::Inet6(via))
        | RouteAttribute::Via(RouteVia::Inet6(via)) => Some(IpAddr::V6(*via)),
        _ => None,
    })
}
