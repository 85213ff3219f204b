//! What must hold of every answer of the kernel (see [`crate::fuzzing`]).

use netlink_packet_core::Nla;
use netlink_packet_route::link::{VfInfo, VfInfoMac};

use super::attrs::Attrs;
use super::{address, answers, devlink, link, request, vf};
use crate::model::ids::{DeviceId, VfIndex};
use crate::model::link::VfSettings;
use crate::model::plan::replay::differences;
use crate::model::step::VfAttr;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
/// The smallest record of a VF: its own header, and that of a MAC with the VF's number.
const SMALLEST_VF: usize = 12;

/// A datagram of messages with the sequence number of the first.
pub fn check(datagram: &[u8]) {
    let sequence = datagram.get(8..).and_then(|rest| rest.first_chunk().copied());
    let sequence = sequence.map_or(0, u32::from_ne_bytes);
    let read = || {
        let (mut told, mut interrupted) = (Vec::new(), false);
        let end = answers(datagram, sequence, &mut interrupted, &mut |kind, payload| {
            told.push((kind, payload.to_vec()));
        });
        (told, interrupted, end)
    };
    let (told, interrupted, end) = read();
    for (kind, payload) in &told {
        match *kind {
            RTM_NEWLINK => of_link(payload),
            RTM_NEWADDR => {
                assert_eq!(address::parse_address(payload), address::parse_address(payload));
                let tentative = address::parse_tentative(payload);
                assert_eq!(tentative, address::parse_tentative(payload));
            }
            RTM_NEWROUTE => {
                assert_eq!(address::parse_route(payload), address::parse_route(payload));
            }
            _ => of_devlink(payload),
        }
    }
    if let Some(Err(refused)) = &end {
        assert!(refused.errno != 0);
        let _ = refused.clone().into_error("asking").to_string();
    }
    assert_eq!(read(), (told, interrupted, end));
}

fn of_link(payload: &[u8]) {
    let Some(link) = link::parse(payload) else { return };
    assert_eq!(link::parse(payload).as_ref(), Some(&link));
    assert!(link.vfs.len() * SMALLEST_VF <= payload.len(), "{} VFs", link.vfs.len());
    assert!(link.lower.is_none() || link.lower_elsewhere.is_none());
    for name in link.altnames.iter().chain([&link.name]).chain(&link.phys_port_name) {
        assert!(!name.contains('\0'), "{name:?}");
    }
    if let Some(parent) = &link.parent {
        assert_eq!(parent.to_string().parse::<DeviceId>().as_ref(), Ok(parent));
    }
    for vf in &link.vfs {
        for attr in differences(&VfSettings::default(), &vf.settings) {
            assert_eq!(attr.is_set_in(&set_and_read(vf.index, attr)), Some(true), "{attr}");
        }
    }
}

/// What is read out of a VF list in which something was set. The kernel sends the MAC first, which
/// what sets a single thing does not have.
pub fn set_and_read(index: VfIndex, attr: VfAttr) -> VfSettings {
    let mac = VfInfo::Mac(VfInfoMac::new(index.0.into(), &[2, 0, 0, 0, 0, 5]));
    let mut record = vf::record(index, attr);
    record.0.insert(0, mac);
    let list = request::vfs(&[record]);
    let mut bytes = vec![0; list.value_len()];
    list.emit_value(&mut bytes);
    let record = Attrs::new(&bytes).next().expect("a record");
    let report = vf::parse(record.value).expect("a VF");
    assert_eq!(report.index, index);
    report.settings
}

fn of_devlink(payload: &[u8]) {
    let attrs = || Attrs::new(payload.get(devlink::GENLMSGHDR..).unwrap_or_default());
    assert!(attrs().count() * super::attrs::HEADER <= payload.len());
    assert_eq!(devlink::mode(&attrs()), devlink::mode(&attrs()));
    let firmware = devlink::firmware(&attrs());
    assert!(firmware.as_ref().is_none_or(|version| !version.contains('\0')));
    assert_eq!(devlink::firmware(&attrs()), firmware);
}
