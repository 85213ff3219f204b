//! What can be told of a file without a host.

use super::{Numbers, PfSpec, Spec, VfsSpec};
use crate::model::ids::VfIndex;
use crate::model::link::VlanProto;
use crate::order;

impl Spec {
    /// What cannot be meant so, each with its place.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (nth, pf) in self.pfs.iter().enumerate() {
            faults.extend(pf.faults().into_iter().map(|text| format!("pfs[{nth}]: {text}")));
            for (entry, vfs) in pf.vfs.iter().enumerate() {
                let of_entry = vfs.faults(pf).into_iter();
                faults.extend(of_entry.map(|text| format!("pfs[{nth}].vfs[{entry}]: {text}")));
            }
            if let Some(text) = pf.fault_together() {
                faults.push(format!("pfs[{nth}].vfs: {text}"));
            }
        }
        let macs = self.pfs.iter().flat_map(|pf| &pf.vfs).filter_map(|vfs| vfs.mac);
        let mut macs: Vec<_> = macs.collect();
        order::sort(&mut macs);
        let twice = macs.windows(2).find(|two| two[0] == two[1]);
        faults.extend(twice.map(|two| format!("two VFs have the mac {}", two[0])));
        faults
    }
}

impl PfSpec {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let text = self.pf.to_string();
        if text.contains('#') {
            faults.push(format!("pf is \"{text}\": VFs are named below it, as vfs"));
        }
        if self.mtu.is_some_and(|mtu| !(68..=65535).contains(&mtu)) {
            faults.push("mtu is 68 to 65535 bytes".to_owned());
        }
        if self.numvfs.is_some_and(|count| count > 65535) {
            faults.push("numvfs is at most 65535".to_owned());
        }
        faults
    }

    /// Of entries that are right by themselves.
    fn fault_together(&self) -> Option<String> {
        // Every combination of entries occurs at the end of a range, or beside it.
        let last = self.numvfs.map_or(u16::MAX, |n| u16::try_from(n).unwrap_or(u16::MAX));
        let ends = self.vfs.iter().filter_map(|entry| match &entry.vfs {
            Numbers::All => None,
            Numbers::Some(ranges) => Some(ranges),
        });
        let ends = ends
            .flatten()
            .flat_map(|range| [*range.start(), *range.end(), range.end().saturating_add(1)]);
        let mut numbers: Vec<u16> = ends.chain([0]).filter(|number| *number < last).collect();
        order::sort(&mut numbers);
        numbers.dedup();
        numbers.into_iter().find_map(|number| {
            let fault = self.of_vf(VfIndex(number)).fault_as_a_whole()?;
            Some(format!("VF {number} {fault}"))
        })
    }
}

impl VfsSpec {
    fn faults(&self, pf: &PfSpec) -> Vec<String> {
        let mut faults = Vec::new();
        let (vlan, qos, proto, mtu) = (self.vlan, self.qos, self.proto, self.mtu);
        let mut want = |is_wrong: bool, text: &str| {
            faults.extend(is_wrong.then(|| text.to_owned()));
        };
        want(self.is_empty(), "it says nothing of these VFs");
        want(self.has_own() && !self.vfs.is_one(), "a MAC or GUID is that of one VF");
        let mac = self.mac.filter(|mac| mac.is_multicast() || mac.is_zero());
        want(mac.is_some(), "its mac is zero or names a group");
        want(vlan.is_some_and(|id| id.0 > 4094), "vlan is 0 to 4094");
        want(qos.is_some() && vlan.is_none(), "qos needs a vlan beside it");
        want(proto.is_some() && vlan.is_none(), "proto needs a vlan beside it");
        want(qos.is_some_and(|qos| qos > 7), "qos is 0 to 7");
        let tagged = qos.is_some_and(|qos| qos > 0) || proto == Some(VlanProto::Dot1ad);
        want(
            vlan.is_some_and(|id| id.0 == 0) && tagged,
            "vlan 0 means no tag, which has neither priority nor protocol",
        );
        want(mtu.is_some_and(|mtu| !(68..=65535).contains(&mtu)), "mtu is 68 to 65535 bytes");
        if let (Some(count), Some(last)) = (pf.numvfs, self.vfs.last())
            && u32::from(last) >= count
        {
            faults.push(format!("there is no VF {last}: numvfs is {count}"));
        }
        faults
    }

    fn fault_as_a_whole(&self) -> Option<String> {
        let to_user_space = self.is_for_user_space();
        let of_kernel = self.driver.as_ref().filter(|_| !to_user_space);
        let has_node = self.owner.is_some() || self.mode.is_some() || self.allow_noiommu.is_some();
        if let (Some(driver), true) = (of_kernel, has_node) {
            let text = "has owner, mode or allow_noiommu, but its driver";
            return Some(format!("{text} {} makes no device node", driver.0));
        }
        if has_node && self.driver.is_none() {
            return Some("has owner, mode or allow_noiommu, but no driver".to_owned());
        }
        if to_user_space && self.mtu.is_some() {
            return Some("has an mtu, but its driver makes no interface".to_owned());
        }
        match (self.min_tx_rate, self.max_tx_rate) {
            (Some(min), Some(max)) if max != 0 && min > max => {
                Some(format!("has a lowest rate, {min}, above its highest, {max}"))
            }
            _ => None,
        }
    }
}
