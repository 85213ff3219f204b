//! A binding that is made again whenever its device appears: what is kept below `/etc`, and the
//! udev rules that go with it (udev(7)).

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::ids::{DeviceId, MacAddr};
use super::link::VfSettings;
use super::plan::bind::Request;
use super::plan::replay::differences;
use super::record::FORMAT;
use super::step::{NodeAccess, VfAttr};

/// What a device shall be bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persistent {
    /// The version of this shape, [`FORMAT`].
    pub format: u32,
    /// The device.
    pub device: DeviceId,
    /// Its `vendor:device`: another card in its slot is left alone.
    pub id: String,
    /// The driver.
    pub driver: String,
    /// Its MAC, where one was asked for.
    pub mac: Option<MacAddr>,
    /// Its settings in the PF.
    pub settings: Vec<VfAttr>,
    /// Who may open its nodes.
    pub node: Option<NodeAccess>,
    /// Without an IOMMU too.
    pub allow_noiommu: bool,
    /// Not to be reset.
    pub no_reset: bool,
    /// Whatever it is used for by then.
    #[serde(default)]
    pub force: bool,
    /// What else is bound with it.
    #[serde(default)]
    pub together: Vec<DeviceId>,
}

impl Persistent {
    /// What `request` says of a device with these numbers.
    pub fn new(device: DeviceId, id: String, request: &Request) -> Self {
        Self {
            format: FORMAT,
            device,
            id,
            driver: request.driver.clone(),
            mac: request.mac,
            settings: differences(&VfSettings::default(), &request.settings),
            node: request.node,
            allow_noiommu: request.allow_noiommu,
            no_reset: request.no_reset,
            force: request.force,
            together: request.together.clone(),
        }
    }

    /// The request that makes it so.
    pub fn request(&self) -> Request {
        let mut settings = VfSettings::default();
        for attr in &self.settings {
            match *attr {
                VfAttr::Mac(mac) => settings.mac = Some(mac),
                VfAttr::Vlan(tag) => settings.vlan = Some(tag),
                VfAttr::Rate { min, max } => {
                    (settings.min_tx_rate, settings.max_tx_rate) = (Some(min), Some(max));
                }
                VfAttr::Spoofchk(on) => settings.spoofchk = Some(on),
                VfAttr::Trust(on) => settings.trust = Some(on),
                VfAttr::LinkState(state) => settings.link_state = Some(state),
                VfAttr::QueryRss(on) => settings.query_rss = Some(on),
                VfAttr::NodeGuid(guid) => settings.node_guid = Some(guid.0),
                VfAttr::PortGuid(guid) => settings.port_guid = Some(guid.0),
            }
        }
        Request {
            driver: self.driver.clone(),
            mac: self.mac,
            settings,
            node: self.node,
            allow_noiommu: self.allow_noiommu,
            no_reset: self.no_reset,
            force: self.force,
            together: self.together.clone(),
            keep_override: true,
            ..Request::default()
        }
    }

    /// The rules: `program` binds the device when it appears, and its nodes get their owner.
    pub fn udev_rules(&self, program: &str) -> String {
        let device = self.device.name();
        let mut text = format!(
            "# Made by: sriovctl bind-dpdk --persist. Taken away by: sriovctl bind-dpdk --restore --persist {device}\n"
        );
        let (vendor, number) = self.id.split_once(':').unwrap_or_default();
        let rule = format!(
            "ACTION==\"add\", SUBSYSTEM==\"pci\", KERNEL==\"{device}\", ATTR{{vendor}}==\"0x{vendor}\", \
             ATTR{{device}}==\"0x{number}\", RUN+=\"{program} bind-dpdk --from-udev {device}\"\n"
        );
        text += &rule;
        let Some(node) = self.node else { return text };
        let sets = [
            node.uid.map(|uid| format!("OWNER=\"{uid}\"")),
            node.gid.map(|gid| format!("GROUP=\"{gid}\"")),
            node.mode.map(|mode| format!("MODE=\"{mode:04o}\"")),
        ];
        let sets: Vec<String> = sets.into_iter().flatten().collect();
        let group = "/sys/kernel/iommu_groups";
        for nodes in [
            format!("SUBSYSTEM==\"vfio\", TEST==\"{group}/%k/devices/{device}\""),
            format!(
                "SUBSYSTEM==\"vfio\", KERNEL==\"noiommu-*\", TEST==\"{group}/%n/devices/{device}\""
            ),
            format!("SUBSYSTEM==\"vfio-dev\", KERNELS==\"{device}\""),
            format!("SUBSYSTEM==\"uio\", KERNELS==\"{device}\""),
        ] {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{nodes}, {}", sets.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::VlanId;
    use crate::model::link::{VlanProto, VlanTag};

    #[test]
    fn what_is_kept_asks_for_the_same_again() {
        let request = Request {
            driver: "vfio-pci".into(),
            mac: Some(MacAddr([2, 0, 0, 0, 0, 1])),
            settings: VfSettings {
                vlan: Some(VlanTag { id: VlanId(7), qos: 0, proto: VlanProto::Dot1q }),
                trust: Some(true),
                spoofchk: Some(false),
                ..VfSettings::default()
            },
            node: Some(NodeAccess { uid: Some(1000), gid: None, mode: Some(0o660) }),
            keep_override: true,
            no_reset: true,
            ..Request::default()
        };
        let kept = Persistent::new("0000:01:10.0".parse().unwrap(), "8086:10ca".into(), &request);
        let text = serde_json::to_string(&kept).unwrap();
        let read: Persistent = serde_json::from_str(&text).unwrap();
        assert_eq!(read.request(), request);
        let rules = kept.udev_rules("/usr/sbin/sriovctl");
        for part in [
            "KERNEL==\"0000:01:10.0\", ATTR{vendor}==\"0x8086\", ATTR{device}==\"0x10ca\"",
            "RUN+=\"/usr/sbin/sriovctl bind-dpdk --from-udev 0000:01:10.0\"",
            "TEST==\"/sys/kernel/iommu_groups/%k/devices/0000:01:10.0\", OWNER=\"1000\", MODE=\"0660\"",
        ] {
            assert!(rules.contains(part), "{rules}");
        }
        let nobody = Persistent { node: None, ..kept };
        assert!(!nobody.udev_rules("/x").contains("OWNER"));
    }
}
