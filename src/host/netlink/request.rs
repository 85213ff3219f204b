//! Requests as they go to the kernel: the head of their kind, then attributes.
//!
//! A whole `LinkMessage` knows every attribute of every kind of interface, and takes 180 KB of the binary to write
//! the seven that are needed here.

use std::os::fd::AsRawFd;

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NLM_F_REQUEST, NetlinkHeader};
use netlink_packet_route::link::{LinkFlags, LinkHeader, LinkVfInfo};

use super::link::{
    IFLA_ADDRESS, IFLA_ALT_IFNAME, IFLA_IFNAME, IFLA_MTU, IFLA_PROP_LIST, IFLA_VFINFO_LIST,
};
use crate::model::ids::MacAddr;

const IFLA_NET_NS_FD: u16 = 28;
const IFLA_EXT_MASK: u16 = 29;

/// Leaves an interface's counters out of the answer (kernel: include/uapi/linux/rtnetlink.h).
pub const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
/// Brings an interface's VFs into the answer.
pub const RTEXT_FILTER_VF: u32 = 1;

/// A request, without what the socket adds: flags and sequence number.
#[derive(Debug)]
pub struct Request {
    kind: u16,
    payload: Vec<u8>,
}

impl Request {
    /// Of a kind (`RTM_*`), which has a head of its own.
    pub fn new(kind: u16, head: &dyn Emitable, attributes: &[DefaultNla]) -> Self {
        Self { kind, payload: [bytes(head), bytes(&attributes)].concat() }
    }

    /// About an interface: its number, or 0 where the attributes name it or all are meant.
    pub fn link(kind: u16, ifindex: u32, attributes: &[DefaultNla]) -> Self {
        Self::link_with_flags(kind, ifindex, (0, 0), attributes)
    }

    /// The same with flags (`IFF_*`), of which those count that the second number has.
    pub fn link_with_flags(
        kind: u16,
        ifindex: u32,
        (flags, mask): (u32, u32),
        attributes: &[DefaultNla],
    ) -> Self {
        let head = LinkHeader {
            index: ifindex,
            flags: LinkFlags::from_bits_retain(flags),
            change_mask: LinkFlags::from_bits_retain(mask),
            ..LinkHeader::default()
        };
        Self::new(kind, &head, attributes)
    }

    /// Of generic netlink: the family's number, and a command of its.
    pub fn generic(family: u16, command: u8, attributes: &[DefaultNla]) -> Self {
        let head = [command, 1, 0, 0]; // struct genlmsghdr: command, version, and two that are reserved
        Self { kind: family, payload: [&head[..], &bytes(&attributes)].concat() }
    }

    /// As it is sent.
    pub(super) fn to_bytes(&self, flags: u16, sequence: u32) -> Vec<u8> {
        let mut head = NetlinkHeader::default();
        head.message_type = self.kind;
        head.flags = NLM_F_REQUEST | flags;
        head.sequence_number = sequence;
        let length = head.buffer_len() + self.payload.len();
        // What is longer than a number of 32 bits nobody can build.
        head.length = u32::try_from(length).unwrap_or(u32::MAX);
        [&bytes(&head)[..], &self.payload].concat()
    }
}

fn bytes(message: &dyn Emitable) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

/// An attribute of 32 bits.
pub fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_ne_bytes().to_vec())
}

/// A text with the zero that ends it.
pub fn text(kind: u16, text: &str) -> DefaultNla {
    DefaultNla::new(kind, [text.as_bytes(), &[0]].concat())
}

/// An attribute that consists of attributes.
pub fn nest(kind: u16, inner: &[DefaultNla]) -> DefaultNla {
    DefaultNla::new(kind, bytes(&inner))
}

/// What an interface is called, or shall be.
pub fn name(name: &str) -> DefaultNla {
    text(IFLA_IFNAME, name)
}

/// An interface's hardware address.
pub fn mac(mac: MacAddr) -> DefaultNla {
    DefaultNla::new(IFLA_ADDRESS, mac.0.to_vec())
}

/// An interface's MTU in bytes.
pub fn mtu(mtu: u32) -> DefaultNla {
    number(IFLA_MTU, mtu)
}

/// The namespace that an interface moves to.
pub fn netns(file: &impl AsRawFd) -> DefaultNla {
    number(IFLA_NET_NS_FD, file.as_raw_fd().cast_unsigned())
}

/// What of an interface is told (`RTEXT_FILTER_*`).
pub fn wanted(mask: u32) -> DefaultNla {
    number(IFLA_EXT_MASK, mask)
}

/// Other names of an interface, to add or to remove.
pub fn altnames(names: &[String]) -> DefaultNla {
    let names: Vec<_> = names.iter().map(|name| text(IFLA_ALT_IFNAME, name)).collect();
    // The kernel takes this list only as one that says that it is one (net/core/rtnetlink.c, `rtnl_linkprop`).
    nest(IFLA_PROP_LIST | NLA_F_NESTED, &names)
}

/// Settings of VFs, a record for each.
pub fn vfs(records: &[LinkVfInfo]) -> DefaultNla {
    DefaultNla::new(IFLA_VFINFO_LIST, bytes(&records))
}

#[cfg(test)]
mod tests {
    use super::name as name_of;
    use super::*;
    use crate::host::netlink::vf;
    use crate::model::ids::VfIndex;
    use crate::model::step::VfAttr;
    use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage, Prop};
    use nix::libc::{RTM_GETLINK, RTM_SETLINK};

    /// The same as the library writes it.
    fn whole(message: RouteNetlinkMessage, flags: u16, sequence: u32) -> Vec<u8> {
        let mut head = NetlinkHeader::default();
        head.flags = NLM_F_REQUEST | flags;
        head.sequence_number = sequence;
        let mut message = NetlinkMessage::new(head, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn of_link(ifindex: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = ifindex;
        message.attributes = attributes;
        message
    }

    #[test]
    fn what_asks_for_interfaces_is_what_the_library_writes() {
        let mask = vec![LinkExtentMask::Vf, LinkExtentMask::SkipStats];
        let name = LinkAttribute::IfName("eth0".to_owned());
        let message = of_link(0, vec![name, LinkAttribute::ExtMask(mask)]);
        let attributes = [name_of("eth0"), wanted(RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS)];
        let request = Request::link(RTM_GETLINK, 0, &attributes);
        assert_eq!(
            request.to_bytes(0x300, 7),
            whole(RouteNetlinkMessage::GetLink(message), 0x300, 7)
        );
    }

    #[test]
    fn what_changes_an_interface_is_what_the_library_writes() {
        let own = MacAddr([2, 0, 0, 0, 0, 7]);
        let mut message = of_link(
            5,
            vec![
                LinkAttribute::NetNsFd(0),
                LinkAttribute::IfName("a-name".to_owned()),
                LinkAttribute::Address(own.0.to_vec()),
                LinkAttribute::Mtu(9000),
            ],
        );
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up | LinkFlags::Promisc;
        let attributes = [netns(&std::io::stdin()), name_of("a-name"), mac(own), mtu(9000)];
        let request = Request::link_with_flags(RTM_SETLINK, 5, (1, 0x101), &attributes);
        assert_eq!(request.to_bytes(4, 9), whole(RouteNetlinkMessage::SetLink(message), 4, 9));
    }

    #[test]
    fn what_sets_vfs_and_altnames_is_what_the_library_writes() {
        let attrs = [VfAttr::Trust(true), VfAttr::Rate { min: 1, max: 100 }];
        let list = attrs.map(|attr| vf::record(VfIndex(3), attr)).to_vec();
        let request = Request::link(RTM_SETLINK, 2, &[vf::set(VfIndex(3), &attrs)]);
        let message = of_link(2, vec![LinkAttribute::VfInfoList(list)]);
        assert_eq!(request.to_bytes(4, 1), whole(RouteNetlinkMessage::SetLink(message), 4, 1));

        let names = ["one".to_owned(), "another".to_owned()];
        let props = names.iter().cloned().map(Prop::AltIfName).collect();
        let message = of_link(2, vec![LinkAttribute::PropList(props)]);
        let request = Request::link(108, 2, &[altnames(&names)]);
        let whole = whole(RouteNetlinkMessage::NewLinkProp(message), 4, 1);
        assert_eq!(request.to_bytes(4, 1), whole);
    }

    #[test]
    fn a_generic_request_is_a_command_and_attributes() {
        let request = Request::generic(0x15, 29, &[text(1, "pci")]);
        let bytes = request.to_bytes(0, 3);
        let head = [28, 0, 0, 0, 0x15, 0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0];
        let rest = [29, 1, 0, 0, 8, 0, 1, 0, b'p', b'c', b'i', 0];
        assert_eq!(bytes, [&head[..], &rest].concat());
    }
}
