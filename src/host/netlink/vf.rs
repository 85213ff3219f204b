//! `IFLA_VF_INFO`: one VF's settings, read and set (kernel: net/core/rtnetlink.c,
//! `rtnl_fill_vfinfo`, `do_setvfinfo`).

use netlink_packet_core::DefaultNla;
use netlink_packet_route::link::{
    LinkVfInfo, VfInfo, VfInfoGuid, VfInfoLinkState, VfInfoMac, VfInfoRate, VfInfoRssQueryEn,
    VfInfoSpoofCheck, VfInfoTrust, VfInfoVlan, VfLinkState, VfVlan, VfVlanInfo, VlanProtocol,
};

use super::attrs::{Attr, Attrs};
use super::request;
use crate::model::ids::{MacAddr, VfIndex, VlanId};
use crate::model::link::{LinkState, VfReport, VfSettings, VfStats, VlanProto, VlanTag};
use crate::model::step::VfAttr;

/// The record of one VF in `IFLA_VFINFO_LIST`.
pub const IFLA_VF_INFO: u16 = 1;

const IFLA_VF_MAC: u16 = 1;
const IFLA_VF_VLAN: u16 = 2;
const IFLA_VF_SPOOFCHK: u16 = 4;
const IFLA_VF_LINK_STATE: u16 = 5;
const IFLA_VF_RATE: u16 = 6;
const IFLA_VF_RSS_QUERY_EN: u16 = 7;
const IFLA_VF_STATS: u16 = 8;
const IFLA_VF_TRUST: u16 = 9;
const IFLA_VF_IB_NODE_GUID: u16 = 10;
const IFLA_VF_IB_PORT_GUID: u16 = 11;
const IFLA_VF_VLAN_LIST: u16 = 12;
const IFLA_VF_VLAN_INFO: u16 = 1;

/// Each attribute starts with the VF's number; what is meant stands behind it.
const VALUE: usize = 4;

/// Reads a record; `None` where it does not name its VF.
pub fn parse(record: &[u8]) -> Option<VfReport> {
    // The kernel puts the MAC first, so this also tells a record from whatever else is there.
    let first = Attrs::new(record).next().filter(|attr| attr.kind == IFLA_VF_MAC)?;
    let index = VfIndex(u16::try_from(first.u32()?).ok()?);
    let mut settings = VfSettings::default();
    let mut stats = None;
    for attr in Attrs::new(record) {
        match attr.kind {
            IFLA_VF_MAC => {
                settings.mac = attr
                    .value
                    .get(VALUE..)
                    .and_then(|mac| mac.first_chunk())
                    .map(|mac| MacAddr(*mac));
            }
            // The list, where it is sent, follows and also knows the protocol.
            IFLA_VF_VLAN => settings.vlan = vlan(attr, VlanProto::Dot1q),
            IFLA_VF_VLAN_LIST => {
                if let Some(info) = attr.nested().find(IFLA_VF_VLAN_INFO) {
                    settings.vlan = vlan(info, vlan_proto(info)).or(settings.vlan);
                }
            }
            IFLA_VF_SPOOFCHK => settings.spoofchk = switch(attr),
            IFLA_VF_TRUST => settings.trust = switch(attr),
            IFLA_VF_RSS_QUERY_EN => settings.query_rss = switch(attr),
            IFLA_VF_LINK_STATE => {
                settings.link_state = match attr.u32_at(VALUE) {
                    Some(0) => Some(LinkState::Auto),
                    Some(1) => Some(LinkState::Enable),
                    Some(2) => Some(LinkState::Disable),
                    _ => None,
                };
            }
            IFLA_VF_RATE => {
                settings.min_tx_rate = attr.u32_at(VALUE);
                settings.max_tx_rate = attr.u32_at(VALUE + 4);
            }
            // struct ifla_vf_guid: the number is followed by four bytes of padding.
            IFLA_VF_IB_NODE_GUID => settings.node_guid = attr.u64_at(8),
            IFLA_VF_IB_PORT_GUID => settings.port_guid = attr.u64_at(8),
            IFLA_VF_STATS => stats = Some(parse_stats(attr.nested())),
            _ => {}
        }
    }
    Some(VfReport { index, settings, stats })
}

fn vlan(attr: Attr<'_>, proto: VlanProto) -> Option<VlanTag> {
    let narrow = |value: u32| u16::try_from(value).ok();
    Some(VlanTag {
        id: VlanId(narrow(attr.u32_at(VALUE)?)?),
        qos: u8::try_from(attr.u32_at(VALUE + 4)?).ok()?,
        proto,
    })
}

/// The ethertype is in network byte order, unlike everything else.
fn vlan_proto(info: Attr<'_>) -> VlanProto {
    match info.u16_at(VALUE + 8).map(u16::from_be) {
        Some(0x88a8) => VlanProto::Dot1ad,
        _ => VlanProto::Dot1q,
    }
}

/// -1 means that the driver cannot say.
fn switch(attr: Attr<'_>) -> Option<bool> {
    match attr.u32_at(VALUE)? {
        0 => Some(false),
        u32::MAX => None,
        _ => Some(true),
    }
}

fn parse_stats(attrs: Attrs<'_>) -> VfStats {
    let mut stats = VfStats::default();
    for attr in attrs {
        let value = attr.u64_at(0);
        match attr.kind {
            0 => stats.rx_packets = value,
            1 => stats.tx_packets = value,
            2 => stats.rx_bytes = value,
            3 => stats.tx_bytes = value,
            4 => stats.broadcast = value,
            5 => stats.multicast = value,
            7 => stats.rx_dropped = value,
            8 => stats.tx_dropped = value,
            _ => {}
        }
    }
    stats
}

/// The attribute of an `RTM_SETLINK` on the PF that sets something of one VF. Within one record the kernel has an
/// order of its own; records are done in theirs.
pub fn set(index: VfIndex, attrs: &[VfAttr]) -> DefaultNla {
    request::vfs(&attrs.iter().map(|attr| record(index, *attr)).collect::<Vec<_>>())
}

/// The record that sets one thing.
pub fn record(index: VfIndex, attr: VfAttr) -> LinkVfInfo {
    LinkVfInfo(vec![info(u32::from(index.0), attr)])
}

fn info(vf: u32, attr: VfAttr) -> VfInfo {
    match attr {
        VfAttr::Mac(mac) => VfInfo::Mac(VfInfoMac::new(vf, &mac.0)),
        // The older attribute where it will do: not every driver knows the list.
        VfAttr::Vlan(VlanTag { id, qos, proto: VlanProto::Dot1q }) => {
            VfInfo::Vlan(VfInfoVlan::new(vf, u32::from(id.0), u32::from(qos)))
        }
        VfAttr::Vlan(VlanTag { id, qos, proto: VlanProto::Dot1ad }) => {
            VfInfo::VlanList(vec![VfVlan::Info(VfVlanInfo::new(
                vf,
                u32::from(id.0),
                u32::from(qos),
                VlanProtocol::Ieee8021Ad,
            ))])
        }
        VfAttr::Rate { min, max } => VfInfo::Rate(VfInfoRate::new(vf, min, max)),
        VfAttr::Spoofchk(on) => VfInfo::SpoofCheck(VfInfoSpoofCheck::new(vf, on)),
        VfAttr::Trust(on) => VfInfo::Trust(VfInfoTrust::new(vf, on)),
        VfAttr::QueryRss(on) => VfInfo::RssQueryEn(VfInfoRssQueryEn::new(vf, on)),
        VfAttr::NodeGuid(guid) => VfInfo::IbNodeGuid(VfInfoGuid::new(vf, guid.0)),
        VfAttr::PortGuid(guid) => VfInfo::IbPortGuid(VfInfoGuid::new(vf, guid.0)),
        VfAttr::LinkState(state) => VfInfo::LinkState(VfInfoLinkState::new(
            vf,
            match state {
                LinkState::Auto => VfLinkState::Auto,
                LinkState::Enable => VfLinkState::Enable,
                LinkState::Disable => VfLinkState::Disable,
            },
        )),
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)] // wrapping is what some of them are about
mod tests {
    use super::super::fuzzing::set_and_read;
    use super::*;
    use crate::model::ids::Guid;
    use netlink_packet_core::Emitable;

    #[test]
    fn what_is_set_is_what_is_read() {
        for attr in [
            VfAttr::Mac(MacAddr([2, 0, 0, 0, 0, 5])),
            VfAttr::Vlan(VlanTag { id: VlanId(4094), qos: 7, proto: VlanProto::Dot1q }),
            VfAttr::Vlan(VlanTag { id: VlanId(1), qos: 0, proto: VlanProto::Dot1ad }),
            VfAttr::Rate { min: 10, max: 100_000 },
            VfAttr::Spoofchk(true),
            VfAttr::Trust(false),
            VfAttr::QueryRss(true),
            VfAttr::LinkState(LinkState::Disable),
            VfAttr::NodeGuid(Guid(0x0011_2233_4455_6677)),
            VfAttr::PortGuid(Guid(u64::MAX)),
        ] {
            let read = set_and_read(VfIndex(5), attr);
            assert_eq!(attr.is_set_in(&read), Some(true), "{attr}");
        }
    }

    #[test]
    fn the_vlan_protocol_is_big_endian_on_the_wire() {
        let tag = VlanTag { id: VlanId(1), qos: 0, proto: VlanProto::Dot1ad };
        let attr = set(VfIndex(0), &[VfAttr::Vlan(tag)]);
        let mut bytes = vec![0; attr.buffer_len()];
        attr.emit(&mut bytes);
        assert!(bytes.windows(2).any(|pair| pair == [0x88, 0xa8]));
    }

    #[test]
    fn what_a_driver_cannot_say_is_unknown() {
        let attr = |kind: u16, words: &[u32]| {
            let value: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let length = (value.len() + 4) as u16;
            [length.to_ne_bytes().to_vec(), kind.to_ne_bytes().to_vec(), value].concat()
        };
        let record = [
            attr(IFLA_VF_MAC, &[3, 0, 0, 0, 0, 0, 0, 0, 0]),
            attr(IFLA_VF_SPOOFCHK, &[3, u32::MAX]),
            attr(IFLA_VF_TRUST, &[3, 1]),
            attr(IFLA_VF_LINK_STATE, &[3, 9]),
        ]
        .concat();
        let settings = parse(&record).unwrap().settings;
        assert_eq!((settings.spoofchk, settings.trust), (None, Some(true)));
        assert_eq!((settings.link_state, settings.query_rss), (None, None));
        assert_eq!(settings.mac, Some(MacAddr::ZERO));
    }
}
