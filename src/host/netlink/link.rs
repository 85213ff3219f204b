//! `RTM_NEWLINK`: an interface and the VFs behind it (kernel: net/core/rtnetlink.c,
//! `rtnl_fill_ifinfo`; include/uapi/linux/if_link.h).

use super::attrs::{self, Attr, Attrs};
use super::vf;
use crate::model::ids::{DeviceId, MacAddr};
use crate::model::link::{Link, VfReport, VfStats};

pub(super) const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NUM_VF: u16 = 21;
pub(super) const IFLA_VFINFO_LIST: u16 = 22;
const IFLA_STATS64: u16 = 23;
const IFLA_PHYS_SWITCH_ID: u16 = 36;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_PHYS_PORT_NAME: u16 = 38;
pub(super) const IFLA_PROP_LIST: u16 = 52;
pub(super) const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_PERM_ADDRESS: u16 = 54;
const IFLA_PARENT_DEV_NAME: u16 = 56;
const IFLA_PARENT_DEV_BUS_NAME: u16 = 57;
const IFLA_INFO_KIND: u16 = 1;

/// Size of `struct ifinfomsg`.
const IFINFOMSG: usize = 16;
const IFF_UP: u32 = 1;
const IFF_PROMISC: u32 = 0x100;
const IFF_ALLMULTI: u32 = 0x200;
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_INFINIBAND: u16 = 32;

/// An interface as a message describes it; `None` for what is no such message.
pub fn parse(payload: &[u8]) -> Option<Link> {
    let head: &[u8; IFINFOMSG] = payload.first_chunk()?;
    let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let hardware = u16::from_ne_bytes([head[2], head[3]]);
    let is_ethernet = hardware == ARPHRD_ETHER;
    let flags = word(8);
    let mut link = Link {
        ifindex: word(4),
        infiniband: hardware == ARPHRD_INFINIBAND,
        up: Some(flags & IFF_UP != 0),
        promisc: flags & IFF_PROMISC != 0,
        allmulti: flags & IFF_ALLMULTI != 0,
        ..Link::default()
    };
    let (mut bus, mut device) = (None, None);
    let mut lower_netns = None;

    let mut rest = &payload[IFINFOMSG..];
    while let Some((length, kind)) = attrs::header(rest) {
        if kind == IFLA_VFINFO_LIST {
            let used = vf_list(&rest[attrs::HEADER..], length, link.num_vf, &mut link.vfs);
            rest = rest.get(attrs::HEADER + used..).unwrap_or_default();
            continue;
        }
        let Some(value) = rest.get(attrs::HEADER..length) else { break };
        rest = rest.get(attrs::align(length)..).unwrap_or_default();
        let attr = Attr { kind, value };
        match kind {
            IFLA_ADDRESS if is_ethernet => link.mac = value.try_into().ok().map(MacAddr),
            IFLA_PERM_ADDRESS if is_ethernet => {
                link.perm_mac = value.try_into().ok().map(MacAddr);
            }
            IFLA_IFNAME => link.name = attr.text(),
            IFLA_MTU => link.mtu = attr.u32(),
            IFLA_LINK => link.lower = attr.u32(),
            IFLA_LINK_NETNSID => lower_netns = attr.u32().map(u32::cast_signed),
            IFLA_MASTER => link.master = attr.u32(),
            IFLA_OPERSTATE => link.operstate = attr.u8().map(|state| operstate(state).to_owned()),
            IFLA_LINKINFO => link.kind = attr.nested().find(IFLA_INFO_KIND).map(Attr::text),
            IFLA_NUM_VF => link.num_vf = attr.u32(),
            IFLA_STATS64 => link.stats = Some(stats64(value)),
            IFLA_PHYS_SWITCH_ID if !value.is_empty() => link.phys_switch_id = Some(hex(value)),
            IFLA_PHYS_PORT_NAME => link.phys_port_name = Some(attr.text()),
            IFLA_PROP_LIST => link.altnames = altnames(attr.nested()),
            IFLA_PARENT_DEV_NAME => device = Some(attr.text()),
            IFLA_PARENT_DEV_BUS_NAME => bus = Some(attr.text()),
            _ => {}
        }
    }
    if let Some(netns) = lower_netns {
        // A number of another namespace.
        link.lower_elsewhere = link.lower.take().map(|lower| (lower, netns));
    }
    link.parent = bus.zip(device).and_then(|(bus, device)| DeviceId::new(&bus, &device));
    Some(link)
}

/// Reads the VF list whose payload starts `bytes` and returns how much of `bytes` it takes.
///
/// The list's 16-bit length wraps beyond 65,535 bytes: 335 VFs without statistics, 222 with. The
/// records themselves are all there, one behind the other, each with its own valid length. So
/// where the list ends is told by the records: past the end that the length claims, as long as
/// VFs are missing (`IFLA_NUM_VF` stands before the list) and a record with a higher VF number
/// follows.
fn vf_list(bytes: &[u8], length: usize, num_vf: Option<u32>, vfs: &mut Vec<VfReport>) -> usize {
    let claimed = attrs::align(length.saturating_sub(attrs::HEADER)).min(bytes.len());
    let wanted = num_vf.map_or(usize::MAX, |count| count as usize);
    let mut used = 0;
    while used < claimed || vfs.len() < wanted {
        let rest = &bytes[used.min(bytes.len())..];
        let Some((record_length, kind)) = attrs::header(rest) else { break };
        let record = rest.get(attrs::HEADER..record_length);
        let Some(report) = record.filter(|_| kind == vf::IFLA_VF_INFO).and_then(vf::parse) else {
            // Inside the list a record that cannot be read is skipped; beyond, the list is over.
            if used < claimed && record.is_some() {
                used += attrs::align(record_length);
                continue;
            }
            break;
        };
        if used >= claimed && vfs.last().is_some_and(|last| report.index <= last.index) {
            break;
        }
        vfs.push(report);
        used += attrs::align(record_length);
    }
    used.max(claimed)
}

/// `struct rtnl_link_stats64` (include/uapi/linux/if_link.h); an older kernel's is shorter.
fn stats64(bytes: &[u8]) -> VfStats {
    let number = |nth: usize| -> Option<u64> {
        let bytes = bytes.get(nth * 8..nth * 8 + 8)?;
        bytes.try_into().ok().map(u64::from_ne_bytes)
    };
    VfStats {
        rx_packets: number(0),
        tx_packets: number(1),
        rx_bytes: number(2),
        tx_bytes: number(3),
        rx_dropped: number(6),
        tx_dropped: number(7),
        multicast: number(8),
        broadcast: None,
    }
}

fn altnames(list: Attrs<'_>) -> Vec<String> {
    list.filter(|attr| attr.kind == IFLA_ALT_IFNAME).map(Attr::text).collect()
}

/// Names as RFC 2863 and iproute2 have them (include/uapi/linux/if.h, `IF_OPER_*`).
fn operstate(state: u8) -> &'static str {
    match state {
        1 => "notpresent",
        2 => "down",
        3 => "lowerlayerdown",
        4 => "testing",
        5 => "dormant",
        6 => "up",
        _ => "unknown",
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)] // wrapping is what some of them are about
mod tests {
    use super::*;
    use crate::model::ids::VfIndex;

    fn attr(kind: u16, value: &[u8]) -> Vec<u8> {
        // The length wraps as the kernel's does: that is what some tests are about.
        let length = (value.len() + attrs::HEADER) as u16;
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(attrs::align(bytes.len()), 0);
        bytes
    }

    fn vf_record(index: u32) -> Vec<u8> {
        let mut mac = index.to_ne_bytes().to_vec();
        mac.extend([2, 0, 0, 0, (index >> 8) as u8, index as u8]);
        mac.resize(36, 0);
        let vlan = [index.to_ne_bytes(), (index + 1).to_ne_bytes(), 0u32.to_ne_bytes()].concat();
        // As many bytes a VF as the kernel sends, so that the length wraps where the kernel's does.
        let filler = attr(13, &[0; 196 - 4 - 40 - 16 - 4]);
        attr(1, &[attr(1, &mac), attr(2, &vlan), filler].concat())
    }

    fn pf(vfs: impl Iterator<Item = u32> + Clone, num_vf: u32) -> Vec<u8> {
        let list: Vec<u8> = vfs.flat_map(vf_record).collect();
        let mut message = vec![0, 0, 1, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        message.extend(attr(IFLA_IFNAME, b"eth0\0"));
        message.extend(attr(IFLA_NUM_VF, &num_vf.to_ne_bytes()));
        message.extend(attr(IFLA_VFINFO_LIST, &list));
        message.extend(attr(IFLA_PARENT_DEV_NAME, b"0000:01:00.0\0"));
        message.extend(attr(IFLA_PARENT_DEV_BUS_NAME, b"pci\0"));
        message
    }

    #[test]
    fn lists_of_any_length_are_whole_and_what_follows_them_is_read() {
        // 334 is the last that fits the list's 16-bit length; 335 and 668 wrap to almost nothing.
        for count in [0, 1, 7, 333, 334, 335, 336, 512, 668, 669, 1024] {
            let link = parse(&pf(0..count, count)).unwrap();
            assert_eq!(link.vfs.len(), count as usize, "{count}");
            let last = link.vfs.last().map(|vf| vf.index);
            assert_eq!(last, count.checked_sub(1).map(|n| VfIndex(n as u16)), "{count}");
            assert_eq!(link.parent.unwrap().to_string(), "0000:01:00.0", "{count}");
        }
    }

    #[test]
    fn a_list_with_holes_ends_where_it_ends() {
        let link = parse(&pf([0, 2, 10].into_iter(), 11)).unwrap();
        let indexes: Vec<_> = link.vfs.iter().map(|vf| vf.index.0).collect();
        assert_eq!(indexes, [0, 2, 10]);
        assert!(link.parent.is_some());
    }

    #[test]
    fn a_message_cut_short_gives_what_is_there() {
        let whole = pf(0..3, 3);
        for length in 0..whole.len() {
            let link = parse(&whole[..length]);
            assert_eq!(link.is_some(), length >= IFINFOMSG);
        }
    }

    #[test]
    fn a_lower_interface_of_another_namespace_is_not_taken_for_one_of_this() {
        let mut message = vec![0; IFINFOMSG];
        message.extend(attr(IFLA_LINK, &7u32.to_ne_bytes()));
        assert_eq!(parse(&message).unwrap().lower, Some(7));
        message.extend(attr(IFLA_LINK_NETNSID, &0u32.to_ne_bytes()));
        assert_eq!(parse(&message).unwrap().lower, None);
    }

    #[test]
    fn names_that_are_not_text_do_not_spoil_the_rest() {
        let mut message = vec![0; IFINFOMSG];
        message.extend(attr(IFLA_IFNAME, b"e\xff0\0"));
        let altnames = [attr(IFLA_ALT_IFNAME, b"one\0"), attr(IFLA_ALT_IFNAME, b"\xfe\0")];
        message.extend(attr(IFLA_PROP_LIST | 0x8000, &altnames.concat()));
        message.extend(attr(IFLA_MTU, &1500u32.to_ne_bytes()));
        let link = parse(&message).unwrap();
        assert_eq!(link.name, "e\u{fffd}0");
        assert_eq!(link.altnames, ["one", "\u{fffd}"]);
        assert_eq!(link.mtu, Some(1500));
    }
}
