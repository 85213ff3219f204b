//! Records that other plugins keep of their attachments, read so that a node can be switched over
//! with pods running, and written so that it can be switched back.
//!
//! | plugin | file | what |
//! |---|---|---|
//! | k8snetworkplumbingwg/sriov-cni 2.x | `<dir>/<container>-<ifname>` | its configuration with `OrigVfState` |
//! | Intel sriov-cni of 2017 | `<dir>/<container>-<if0name>` | `pci_addr`, `kernel_driver`, `dpdk_driver`, `vfid` |
//! | xftony/sriov-cni | `<dir>/<netns inode>/<container>-<if0name>.json` | the same, in every mode |

use serde_json::{Value, json};

use super::ids::{DeviceId, MacAddr, PciAddress, VlanId};
use super::link::{LinkState, VfSettings, VlanProto, VlanTag};
use super::record::{Original, Record};

/// The key that tells this program's files from others'.
const MARK: &str = "sriovctl";

/// What a record of another plugin says.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbour {
    /// The device.
    pub device: DeviceId,
    /// The network, where it says.
    pub network: Option<String>,
    /// How the VF was, as far as it says.
    pub original: Original,
    /// Whether the driver is to be what it says, and not what it is.
    pub knows_driver: bool,
    /// Whether this program wrote it, for others: it has better records of its own.
    pub ours: bool,
}

impl Neighbour {
    /// Reads it; `None`: it is no such record.
    pub fn parse(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|t| !t.is_empty());
        let address = text("deviceID").or_else(|| text("pci_addr"))?;
        let device = DeviceId::from(address.parse::<PciAddress>().ok()?);
        let network = text("name").map(str::to_owned);
        let ours = value.get(MARK).is_some();
        if let Some(state) = value.get("OrigVfState").filter(|state| state.is_object()) {
            let original = original(state);
            return Some(Self { device, network, original, knows_driver: false, ours });
        }
        // The dialects of 2017 and 2018; they wrote nothing down but what was bound.
        let driver = text("kernel_driver").map(str::to_owned);
        let vlan = Some(VlanTag::default());
        Some(Self {
            device,
            network,
            knows_driver: driver.is_some(),
            ours,
            original: Original {
                driver,
                settings: Some(VfSettings { vlan, ..VfSettings::default() }),
                ..blank()
            },
        })
    }

    /// Whether a file says of itself that it is such a record, of this device.
    pub fn is_about(value: &Value, device: &DeviceId) -> bool {
        let address = value.get("deviceID").or_else(|| value.get("pci_addr"));
        address.and_then(Value::as_str) == Some(device.name())
    }

    /// How a VF was, as k8snetworkplumbingwg/sriov-cni reads it, beside the configuration.
    pub fn write(
        config: &serde_json::Map<String, Value>,
        record: &Record,
        master: Option<&str>,
    ) -> Value {
        let original = &record.original;
        let has = original.settings.clone().unwrap_or_default();
        let tag = has.vlan.unwrap_or_default();
        let mac = |mac: Option<MacAddr>| mac.map(|mac| mac.to_string()).unwrap_or_default();
        let mut document = config.clone();
        // What a runtime added for the one call is not for the record.
        document.remove("prevResult");
        document.insert("deviceID".into(), record.device.name().into());
        document.insert(MARK.into(), env!("CARGO_PKG_VERSION").into());
        document.insert("DPDKMode".into(), record.ifname.is_empty().into());
        // Without the PF's name it could not give the VF back, and what was set only where it reads so.
        document.insert("Master".into(), master.unwrap_or_default().into());
        if let Some(mac) = record.wanted.mac {
            document.insert("mac".into(), mac.to_string().into());
            document.insert("MAC".into(), mac.to_string().into());
        }
        let vlan = record.wanted.settings.iter().find_map(|attr| match attr {
            super::step::VfAttr::Vlan(tag) => Some(tag.id.0),
            _ => None,
        });
        match vlan {
            Some(vlan) => drop(document.insert("vlan".into(), vlan.into())),
            None => drop(document.remove("vlan")),
        }
        document.insert("VFID".into(), record.vf_of.as_ref().map_or(0, |of| of.index.0).into());
        document.insert("ContIFNames".into(), record.ifname.clone().into());
        document.insert(
            "OrigVfState".into(),
            json!({
                "HostIFName": original.name.clone().unwrap_or_default(),
                "SpoofChk": has.spoofchk.unwrap_or(false),
                "Trust": has.trust.unwrap_or(false),
                "AdminMAC": mac(has.mac),
                "EffectiveMAC": mac(original.mac),
                "Vlan": tag.id.0,
                "VlanQoS": tag.qos,
                "VlanProto": if tag.proto == VlanProto::Dot1ad { 0x88a8 } else { 0x8100 },
                "MinTxRate": has.min_tx_rate.unwrap_or(0),
                "MaxTxRate": has.max_tx_rate.unwrap_or(0),
                "LinkState": link_state_number(has.link_state),
                "MTU": original.mtu.unwrap_or(0),
            }),
        );
        Value::Object(document)
    }
}

impl Neighbour {
    /// What a container is told of its device, as xftony/sriov-cni does.
    pub fn for_container(record: &Record) -> Value {
        json!({
            MARK: env!("CARGO_PKG_VERSION"),
            "pci_addr": record.device.name(),
            "ifname": record.ifname,
            "kernel_driver": record.original.driver.clone().unwrap_or_default(),
            "dpdk_driver": record.wanted.driver.clone().unwrap_or_default(),
            "vfid": record.vf_of.as_ref().map_or(0, |of| of.index.0),
        })
    }
}

fn blank() -> Original {
    Original {
        name: None,
        altnames: Vec::new(),
        mtu: None,
        mac: None,
        up: false,
        settings: None,
        driver: None,
        driver_override: None,
    }
}

fn original(state: &Value) -> Original {
    let text = |key: &str| state.get(key).and_then(Value::as_str).filter(|t| !t.is_empty());
    let number = |key: &str| state.get(key).and_then(Value::as_u64);
    let small = |key: &str| number(key).and_then(|number| u32::try_from(number).ok());
    let flag = |key: &str| state.get(key).and_then(Value::as_bool);
    let mac = |key: &str| text(key).and_then(|mac| mac.parse::<MacAddr>().ok());
    let id = number("Vlan").and_then(|id| u16::try_from(id).ok()).filter(|id| *id < 4095);
    let vlan = id.map(|id| VlanTag {
        id: VlanId(id),
        qos: number("VlanQoS")
            .and_then(|qos| u8::try_from(qos).ok())
            .filter(|q| *q < 8)
            .unwrap_or(0),
        // In host or network byte order, as its versions have it.
        proto: match number("VlanProto") {
            Some(0x88a8 | 0xa888) => VlanProto::Dot1ad,
            _ => VlanProto::Dot1q,
        },
    });
    Original {
        name: text("HostIFName").map(str::to_owned),
        mtu: small("MTU").filter(|mtu| *mtu > 0),
        mac: mac("EffectiveMAC"),
        settings: Some(VfSettings {
            mac: mac("AdminMAC"),
            vlan,
            min_tx_rate: small("MinTxRate"),
            max_tx_rate: small("MaxTxRate"),
            spoofchk: flag("SpoofChk"),
            trust: flag("Trust"),
            link_state: match number("LinkState") {
                Some(0) => Some(LinkState::Auto),
                Some(1) => Some(LinkState::Enable),
                Some(2) => Some(LinkState::Disable),
                _ => None,
            },
            ..VfSettings::default()
        }),
        ..blank()
    }
}

/// `IFLA_VF_LINK_STATE_*`.
fn link_state_number(state: Option<LinkState>) -> u32 {
    match state {
        Some(LinkState::Enable) => 1,
        Some(LinkState::Disable) => 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{FORMAT, NetnsId, Owner, Wanted};

    #[test]
    fn sriov_cnis_record_says_how_the_vf_was() {
        let text = r#"{"cniVersion":"0.3.1","name":"sriov-net","type":"sriov","deviceID":"0000:01:10.2","vlan":100,
            "OrigVfState":{"HostIFName":"eth3","SpoofChk":true,"Trust":false,"AdminMAC":"00:00:00:00:00:00",
            "EffectiveMAC":"02:00:00:00:00:33","Vlan":7,"VlanQoS":2,"VlanProto":33024,"MinTxRate":0,"MaxTxRate":10,
            "LinkState":1,"MTU":1450},"DPDKMode":false,"Master":"eth0","MAC":"02:00:00:00:00:77","VFID":1}"#;
        let read = Neighbour::parse(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(
            (read.device.name(), read.network.as_deref()),
            ("0000:01:10.2", Some("sriov-net"))
        );
        assert_eq!((read.original.name.as_deref(), read.original.mtu), (Some("eth3"), Some(1450)));
        let has = read.original.settings.unwrap();
        assert_eq!(has.vlan, Some(VlanTag { id: VlanId(7), qos: 2, proto: VlanProto::Dot1q }));
        assert_eq!((has.spoofchk, has.trust, has.max_tx_rate), (Some(true), Some(false), Some(10)));
        assert_eq!((has.link_state, has.mac), (Some(LinkState::Enable), Some(MacAddr::ZERO)));
    }

    #[test]
    fn the_older_ones_say_which_driver_it_had() {
        let text = r#"{"pci_addr":"0000:01:10.2","ifname":"net0","kernel_driver":"igbvf","dpdk_driver":"vfio-pci",
            "dpdk_tool":"/x","vfid":1}"#;
        let read = Neighbour::parse(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!((read.original.driver.as_deref(), read.knows_driver), (Some("igbvf"), true));
        assert_eq!(read.original.settings.unwrap().vlan, Some(VlanTag::default()));
        for text in ["{}", "[]", r#"{"deviceID":"eth0"}"#, r#"{"pci_addr":7}"#] {
            assert_eq!(Neighbour::parse(&serde_json::from_str(text).unwrap()), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_for_sriov_cni_is_what_it_would_have_written() {
        let vlan = VlanTag { id: VlanId(7), qos: 2, proto: VlanProto::Dot1ad };
        let settings = VfSettings {
            mac: Some(MacAddr::ZERO),
            vlan: Some(vlan),
            min_tx_rate: Some(0),
            max_tx_rate: Some(10),
            spoofchk: Some(true),
            trust: Some(true),
            link_state: Some(LinkState::Disable),
            ..VfSettings::default()
        };
        let original = Original {
            name: Some("eth3".into()),
            mtu: Some(1450),
            mac: Some(MacAddr([2, 0, 0, 0, 0, 1])),
            settings: Some(settings),
            ..blank()
        };
        let record = Record {
            format: FORMAT,
            boot_id: String::new(),
            since: 0,
            device: "0000:01:10.2".parse().unwrap(),
            incarnation: None,
            vf_of: None,
            owner: Owner::manual(),
            netns: NetnsId { path: "/x".into(), device: 0, inode: 0 },
            ifname: "net1".into(),
            original: original.clone(),
            ports: Vec::new(),
            told: Vec::new(),
            first: None,
            wanted: Wanted::default(),
        };
        let config = json!({"name": "n", "type": "sriov", "prevResult": {}});
        let written = Neighbour::write(config.as_object().unwrap(), &record, Some("eth0"));
        assert_eq!(Neighbour::parse(&written).unwrap().original, original);
        assert!(written.get("prevResult").is_none());
        assert_eq!(
            (&written["Master"], Neighbour::parse(&written).unwrap().ours),
            (&json!("eth0"), true)
        );
    }
}
