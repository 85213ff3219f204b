//! `export`: a file that says what a host is.

use std::collections::HashMap;

use super::apply::given_back;
use crate::model::assemble::is_userspace_driver;
use crate::model::ids::{DeviceId, Guid};
use crate::model::inventory::{Pf, Vf};
use crate::model::link::VlanProto;
use crate::model::record::Original;
use crate::model::selector::Selector;
use crate::model::spec::{Driver, Eswitch, Mode, Numbers, PfSpec, Spec, Switch, VERSION, VfsSpec};
use crate::model::step::NodeAccess;

/// What is written down of VFs.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// How attached ones will come back.
    pub originals: HashMap<DeviceId, Original>,
    /// Whose the nodes of bound ones are.
    pub nodes: HashMap<DeviceId, NodeAccess>,
}

/// What the PFs are.
pub fn spec(pfs: &[Pf], kept: &Kept) -> Spec {
    // Without a driver a PF can have no VFs, nor be given any.
    let driven = pfs.iter().filter(|pf| pf.facts.driver.is_some());
    Spec { version: VERSION, pfs: driven.filter_map(|pf| of_pf(pf, kept)).collect() }
}

/// By its device, which no rename changes, and its permanent MAC, by which another card is told.
fn of_pf(pf: &Pf, kept: &Kept) -> Option<PfSpec> {
    let selector = Selector::of_device(&pf.facts.device).ok()?;
    let here = pf.netdev().filter(|link| link.netns.is_none());
    let eswitch_mode = match pf.facts.eswitch_mode.as_deref() {
        Some("legacy") => Some(Eswitch::Legacy),
        Some("switchdev") => Some(Eswitch::Switchdev),
        _ => None,
    };
    let mut spec = PfSpec {
        mac: here.and_then(|link| link.perm_mac),
        eswitch_mode,
        // What a driver sets by itself need not be said.
        mtu: here.and_then(|link| link.mtu).filter(|mtu| *mtu != 1500),
        autoprobe: pf.facts.autoprobe.map(Switch),
        numvfs: Some(pf.num_vfs()),
        ..PfSpec::of(selector)
    };
    let mut groups: Vec<(VfsSpec, Vec<u16>)> = Vec::new();
    let mut alone = Vec::new();
    for vf in &pf.vfs {
        let one = of_vf(vf, kept);
        let number = vf.index().0;
        let own = VfsSpec {
            mac: one.mac,
            node_guid: one.node_guid,
            port_guid: one.port_guid,
            ..VfsSpec::of(Numbers::of(&[number]))
        };
        let shared =
            VfsSpec { mac: None, node_guid: None, port_guid: None, vfs: Numbers::All, ..one };
        if !shared.is_empty() {
            match groups.iter_mut().find(|(known, _)| *known == shared) {
                Some((_, numbers)) => numbers.push(number),
                None => groups.push((shared, vec![number])),
            }
        }
        alone.extend(Some(own).filter(|own| !own.is_empty()));
    }
    let group = |(set, numbers): (VfsSpec, Vec<u16>)| VfsSpec { vfs: Numbers::of(&numbers), ..set };
    spec.vfs.extend(groups.into_iter().map(group));
    spec.vfs.extend(alone);
    Some(spec)
}

fn of_vf(vf: &Vf, kept: &Kept) -> VfsSpec {
    let mut one = VfsSpec::of(Numbers::All);
    let original = vf.facts.device.as_ref().and_then(|device| kept.originals.get(device));
    let back = original.map(|original| given_back(vf, original));
    let vf = back.as_ref().unwrap_or(vf);
    let is_user = |driver: &&String| is_userspace_driver(driver);
    if let Some(driver) = vf.facts.driver.as_ref().filter(is_user) {
        one.driver = Some(Driver(driver.clone()));
        let node = vf.facts.device.as_ref().and_then(|device| kept.nodes.get(device));
        if let Some(NodeAccess { uid, gid, mode }) = node {
            let id = |id: Option<u32>| id.map(|id| id.to_string()).unwrap_or_default();
            let group = gid.map(|gid| format!(":{gid}")).unwrap_or_default();
            one.owner = Some(id(*uid) + &group).filter(|owner| !owner.is_empty());
            one.mode = mode.map(Mode);
        }
    }
    let own = vf.netdev().filter(|link| link.netns.is_none());
    one.mtu = own.and_then(|link| link.mtu).filter(|mtu| *mtu != 1500);
    let Some(has) = &vf.settings else { return one };
    // A MAC that the interface does not have is none that could be set so.
    let is_own = |mac: &crate::model::ids::MacAddr| {
        own.and_then(|link| link.mac).is_none_or(|own| own == *mac)
    };
    one.mac = has.mac.filter(|mac| !mac.is_zero() && is_own(mac));
    if let Some(tag) = has.vlan {
        one.vlan = Some(tag.id);
        one.qos = Some(tag.qos).filter(|qos| *qos != 0);
        one.proto = Some(tag.proto).filter(|proto| *proto != VlanProto::Dot1q);
    }
    one.trust = has.trust.map(Switch);
    one.spoofchk = has.spoofchk.map(Switch);
    one.link_state = has.link_state;
    one.min_tx_rate = has.min_tx_rate;
    one.max_tx_rate = has.max_tx_rate;
    one.query_rss = has.query_rss.map(Switch);
    one.node_guid = has.node_guid.filter(|guid| *guid != 0).map(Guid);
    one.port_guid = has.port_guid.filter(|guid| *guid != 0).map(Guid);
    one
}
