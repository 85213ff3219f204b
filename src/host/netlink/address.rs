//! Addresses and routes: what tells that an interface is in use, and what an IPAM plugin wants of one
//! (kernel: net/ipv4/devinet.c, net/ipv4/fib_frontend.c, net/ipv6/addrconf.c, net/ipv6/route.c).

use std::net::IpAddr;

use netlink_packet_core::DefaultNla;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressHeader, AddressHeaderFlags, AddressScope};
use netlink_packet_route::route::{RouteHeader, RouteProtocol, RouteScope, RouteType};
use nix::libc::{
    RTA_DST, RTA_GATEWAY, RTA_METRICS, RTA_MULTIPATH, RTA_OIF, RTA_PRIORITY, RTA_TABLE,
    RTM_GETADDR, RTM_GETROUTE, RTM_NEWADDR, RTM_NEWROUTE,
};

use super::Netlink;
use super::attrs::{self, Attr, Attrs};
use super::request::{Request, nest, number};
use crate::error::Result;
use crate::model::step::Route;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_F_OPTIMISTIC: u32 = 0x04;
const IFA_F_TENTATIVE: u32 = 0x40;
const RTA_VIA: u16 = 18;
const RTAX_MTU: u16 = 2;
const RTAX_ADVMSS: u16 = 8;

/// Sizes of `struct ifaddrmsg`, `struct rtmsg`, and `struct rtnexthop`.
const IFADDRMSG: usize = 8;
const RTMSG: usize = 12;
const RTNEXTHOP: usize = 8;

impl Netlink {
    /// Addresses by ifindex, `10.0.0.1/24`; link-local IPv6 comes with "up" and says nothing.
    pub fn addresses(&mut self) -> Result<Vec<(u32, String)>> {
        let request = Request::new(RTM_GETADDR, &AddressHeader::default(), &[]);
        self.dump(&request, |_, payload| parse_address(payload))
            .map_err(|refused| refused.into_error("listing addresses"))
    }

    /// Addresses of one interface that are still probed for duplicates.
    pub fn tentative(&mut self, ifindex: u32) -> Result<Vec<IpAddr>> {
        let request = Request::new(RTM_GETADDR, &AddressHeader::default(), &[]);
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
            let request = Request::new(RTM_GETROUTE, &head, &[]);
            let routes = self
                .dump(&request, |_, payload| parse_route(payload))
                .map_err(|refused| refused.into_error("listing routes"))?;
            found.extend(routes.into_iter().flatten());
        }
        Ok(found)
    }
}

/// Gives an interface an address.
pub fn add_address(ifindex: u32, address: IpAddr, prefix: u8) -> Request {
    let head = AddressHeader {
        family: family(address),
        prefix_len: prefix,
        index: ifindex,
        ..AddressHeader::default()
    };
    let mut attributes = vec![with(IFA_LOCAL, address), with(IFA_ADDRESS, address)];
    match address {
        // Usable while it is probed; the kernel takes the flag only with `optimistic_dad`.
        IpAddr::V6(_) => attributes.push(number(IFA_FLAGS, IFA_F_OPTIMISTIC)),
        IpAddr::V4(v4) if prefix < 31 => {
            let broadcast = u32::from(v4) | u32::MAX >> prefix;
            attributes.push(with(IFA_BROADCAST, IpAddr::V4(broadcast.into())));
        }
        IpAddr::V4(_) => {}
    }
    Request::new(RTM_NEWADDR, &head, &attributes)
}

/// Leads a route through an interface.
pub fn add_route(ifindex: u32, route: &Route) -> Request {
    let options = &route.options;
    let head = RouteHeader {
        address_family: family(route.to.address),
        destination_prefix_length: route.to.prefix,
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Static,
        scope: match options.scope {
            Some(scope) => RouteScope::from(scope),
            None if route.via.is_some() => RouteScope::Universe,
            None => RouteScope::Link,
        },
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    let mut attributes = Vec::new();
    if route.to.prefix > 0 {
        attributes.push(with(RTA_DST, route.to.address));
    }
    attributes.push(number(RTA_OIF, ifindex));
    attributes.extend(route.via.map(|via| with(RTA_GATEWAY, via)));
    attributes.extend(options.priority.map(|priority| number(RTA_PRIORITY, priority)));
    // The header has a byte for the table, the attribute room for all of them.
    attributes.extend(options.table.map(|table| number(RTA_TABLE, table)));
    let metrics = [(RTAX_MTU, options.mtu), (RTAX_ADVMSS, options.advmss)];
    let metrics = metrics.into_iter().filter_map(|(kind, value)| Some(number(kind, value?)));
    let metrics: Vec<_> = metrics.collect();
    if !metrics.is_empty() {
        attributes.push(nest(RTA_METRICS, &metrics));
    }
    Request::new(RTM_NEWROUTE, &head, &attributes)
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn with(kind: u16, address: IpAddr) -> DefaultNla {
    let bytes = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    DefaultNla::new(kind, bytes)
}

/// An address by its length.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4().or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// The interface and the address that a message has.
pub(super) fn parse_address(payload: &[u8]) -> Option<(u32, String)> {
    let head = AddressHeader::parse(payload).ok()?;
    if head.family == AddressFamily::Inet6 && head.scope == AddressScope::Link {
        return None;
    }
    let of = |kind| Attrs::new(&payload[IFADDRMSG..]).find(kind).and_then(|is| address(is.value));
    // On a point-to-point interface IFA_ADDRESS is the peer's, IFA_LOCAL ours.
    let own = of(IFA_LOCAL).or_else(|| of(IFA_ADDRESS))?;
    Some((head.index, format!("{own}/{}", head.prefix_len)))
}

/// The interface and the address that a message has, if it is still probed for duplicates.
pub(super) fn parse_tentative(payload: &[u8]) -> Option<(u32, IpAddr)> {
    let head = AddressHeader::parse(payload).ok()?;
    let attrs = Attrs::new(&payload[IFADDRMSG..]);
    let flags = attrs.find(IFA_FLAGS).and_then(Attr::u32).unwrap_or(0);
    let is_probed =
        head.flags.contains(AddressHeaderFlags::Tentative) || flags & IFA_F_TENTATIVE != 0;
    let own = attrs.find(IFA_ADDRESS).and_then(|is| address(is.value))?;
    is_probed.then_some((head.index, own))
}

/// The interfaces that a route leads through, each with where to and the next hop.
pub(super) fn parse_route(payload: &[u8]) -> Option<Vec<(u32, String, Option<IpAddr>)>> {
    let head = RouteHeader::parse(payload).ok()?;
    if head.kind != RouteType::Unicast || head.protocol == RouteProtocol::Kernel {
        return None;
    }
    let attrs = Attrs::new(&payload[RTMSG..]);
    let to = attrs.find(RTA_DST).and_then(|to| address(to.value));
    let destination = match (to, head.destination_prefix_length) {
        (Some(to), prefix) => format!("{to}/{prefix}"),
        (None, 0) => "default".to_owned(),
        (None, prefix) => format!("?/{prefix}"),
    };
    let own = attrs.find(RTA_OIF).and_then(Attr::u32);
    let own = own.map(|ifindex| (ifindex, next_hop(&attrs)));
    let several = attrs.find(RTA_MULTIPATH).map(|hops| next_hops(hops.value)).unwrap_or_default();
    let all = own.into_iter().chain(several);
    Some(all.map(|(ifindex, via)| (ifindex, destination.clone(), via)).collect())
}

fn next_hop(attrs: &Attrs<'_>) -> Option<IpAddr> {
    let gateway = attrs.find(RTA_GATEWAY).and_then(|via| address(via.value));
    // Through a gateway of the other family: that stands before its address.
    let via = || attrs.find(RTA_VIA).and_then(|via| address(via.value.get(2..)?));
    gateway.or_else(via)
}

/// The records of a route of several ways, each a `struct rtnexthop` and attributes.
fn next_hops(mut rest: &[u8]) -> Vec<(u32, Option<IpAddr>)> {
    let mut hops = Vec::new();
    while let Some(&[l0, l1, _, _, i0, i1, i2, i3]) = rest.first_chunk::<RTNEXTHOP>() {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let Some(own) = rest.get(RTNEXTHOP..length) else { break };
        hops.push((u32::from_ne_bytes([i0, i1, i2, i3]), next_hop(&Attrs::new(own))));
        rest = rest.get(attrs::align(length)..).unwrap_or_default();
    }
    hops
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Cidr;
    use crate::model::step::RouteOptions;
    use netlink_packet_core::Emitable;
    use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
    use netlink_packet_route::route::{
        RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteNextHop, RouteVia,
    };

    /// As the library writes it.
    fn bytes(message: &impl Emitable) -> Vec<u8> {
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    fn payload(request: &Request) -> Vec<u8> {
        request.to_bytes(0, 1).split_off(16)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn message(address: &str, prefix: u8, attributes: Vec<AddressAttribute>) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.family = family(ip(address));
        message.header.prefix_len = prefix;
        message.header.index = 7;
        message.attributes = attributes;
        message
    }

    fn both(address: &str) -> Vec<AddressAttribute> {
        vec![AddressAttribute::Local(ip(address)), AddressAttribute::Address(ip(address))]
    }

    #[test]
    fn addresses_are_written_as_the_library_does() {
        let v4 = [both("10.1.2.3"), vec![AddressAttribute::Broadcast([10, 1, 3, 255].into())]];
        let of = |address, prefix| payload(&add_address(7, ip(address), prefix));
        assert_eq!(of("10.1.2.3", 23), bytes(&message("10.1.2.3", 23, v4.concat())));
        // Two ends have no broadcast.
        assert_eq!(of("10.1.2.3", 31), bytes(&message("10.1.2.3", 31, both("10.1.2.3"))));
        let v6 = [both("fd00::3"), vec![AddressAttribute::Flags(AddressFlags::Optimistic)]];
        assert_eq!(of("fd00::3", 64), bytes(&message("fd00::3", 64, v6.concat())));
    }

    #[test]
    fn addresses_are_read_as_the_library_writes_them() {
        let peer = vec![
            AddressAttribute::Address(ip("10.0.0.2")),
            AddressAttribute::Label("a".to_owned()),
            AddressAttribute::Local(ip("10.0.0.1")),
        ];
        let point_to_point = bytes(&message("10.0.0.1", 32, peer));
        assert_eq!(parse_address(&point_to_point), Some((7, "10.0.0.1/32".to_owned())));
        let mut link_local = message("fe80::1", 64, both("fe80::1"));
        link_local.header.scope = AddressScope::Link;
        assert_eq!(parse_address(&bytes(&link_local)), None);

        let own = (7, ip("fd00::1"));
        let plain = message("fd00::1", 64, both("fd00::1"));
        assert_eq!(parse_address(&bytes(&plain)), Some((7, "fd00::1/64".to_owned())));
        assert_eq!(parse_tentative(&bytes(&plain)), None);
        let mut by_head = plain.clone();
        by_head.header.flags = AddressHeaderFlags::Tentative;
        assert_eq!(parse_tentative(&bytes(&by_head)), Some(own));
        let mut by_flags = plain;
        by_flags.attributes.push(AddressAttribute::Flags(AddressFlags::Tentative));
        assert_eq!(parse_tentative(&bytes(&by_flags)), Some(own));
    }

    fn to(address: &str, prefix: u8, attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = family(ip(address));
        message.header.destination_prefix_length = prefix;
        message.header.table = 254;
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Unicast;
        message.attributes = attributes;
        message
    }

    fn inet(address: &str) -> RouteAddress {
        match ip(address) {
            IpAddr::V4(v4) => RouteAddress::Inet(v4),
            IpAddr::V6(v6) => RouteAddress::Inet6(v6),
        }
    }

    #[test]
    fn routes_are_written_as_the_library_does() {
        let mut route = Route {
            to: Cidr { address: ip("10.9.0.0"), prefix: 16 },
            via: Some(ip("10.0.0.1")),
            options: RouteOptions {
                mtu: Some(1400),
                advmss: Some(1300),
                priority: Some(50),
                table: Some(1000),
                scope: None,
            },
        };
        let all = vec![
            RouteAttribute::Destination(inet("10.9.0.0")),
            RouteAttribute::Oif(7),
            RouteAttribute::Gateway(inet("10.0.0.1")),
            RouteAttribute::Priority(50),
            RouteAttribute::Table(1000),
            RouteAttribute::Metrics(vec![RouteMetric::Mtu(1400), RouteMetric::Advmss(1300)]),
        ];
        assert_eq!(payload(&add_route(7, &route)), bytes(&to("10.9.0.0", 16, all)));

        route.to = Cidr { address: ip("::"), prefix: 0 };
        (route.via, route.options) = (None, RouteOptions::default());
        let mut default = to("::", 0, vec![RouteAttribute::Oif(7)]);
        default.header.scope = RouteScope::Link;
        assert_eq!(payload(&add_route(7, &route)), bytes(&default));
        route.options.scope = Some(200);
        default.header.scope = RouteScope::Site;
        assert_eq!(payload(&add_route(7, &route)), bytes(&default));
    }

    #[test]
    fn routes_are_read_as_the_library_writes_them() {
        let read = |message: &RouteMessage| parse_route(&bytes(message));
        let through = |ifindex, via: &str| {
            let mut hop = RouteNextHop::default();
            hop.interface_index = ifindex;
            hop.attributes = vec![RouteAttribute::Gateway(inet(via))];
            hop
        };
        let several = vec![
            RouteAttribute::Destination(inet("fd01::")),
            RouteAttribute::MultiPath(vec![through(3, "fd00::1"), through(4, "fd00::2")]),
        ];
        let found = |ifindex, to: &str, via| (ifindex, to.to_owned(), via);
        assert_eq!(
            read(&to("fd01::", 32, several)),
            Some(vec![
                found(3, "fd01::/32", Some(ip("fd00::1"))),
                found(4, "fd01::/32", Some(ip("fd00::2"))),
            ])
        );
        let IpAddr::V6(v6) = ip("fe80::9") else { panic!() };
        let other_family = RouteAttribute::Via(RouteVia::Inet6(v6));
        let mut default = to("0.0.0.0", 0, vec![RouteAttribute::Oif(5), other_family]);
        assert_eq!(read(&default), Some(vec![found(5, "default", Some(ip("fe80::9")))]));
        default.header.protocol = RouteProtocol::Kernel;
        assert_eq!(read(&default), None);
        default.header.protocol = RouteProtocol::Dhcp;
        default.header.kind = RouteType::BlackHole;
        assert_eq!(read(&default), None);
    }

    #[test]
    fn an_attribute_that_nobody_can_read_hides_no_route() {
        let own = vec![RouteAttribute::Destination(inet("10.9.0.0")), RouteAttribute::Oif(5)];
        let odd = [5, 0, 9, 0, 1, 0, 0, 0]; // ways of one byte
        let message = [&bytes(&to("10.9.0.0", 16, own))[..], &odd].concat();
        assert_eq!(parse_route(&message), Some(vec![(5, "10.9.0.0/16".to_owned(), None)]));
        let without = bytes(&to("10.9.0.0", 16, vec![RouteAttribute::Oif(5)]));
        assert_eq!(parse_route(&without), Some(vec![(5, "?/16".to_owned(), None)]));
    }
}
