//! Records of every format: ours, and those of other plugins.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::host::fuzzing::record;
use crate::model::json;
use crate::model::neighbour::Neighbour;
use crate::model::persist::Persistent;
use crate::model::record::{FORMAT, NetnsId, Original, Owner, Record, Resize, VfOf, Wanted};

/// A file of the state directory, or of another plugin's.
pub fn check(text: &[u8]) {
    if let Some(record) = record(text) {
        comes_back(&record);
        let _ = record.owner.to_string();
        neighbour(&Neighbour::write(&Map::new(), &record, Some("eth0")));
        neighbour(&Neighbour::for_container(&record));
    }
    if let Ok(resize) = serde_json::from_slice::<Resize>(text) {
        comes_back(&resize);
    }
    if let Ok(kept) = serde_json::from_slice::<Persistent>(text) {
        comes_back(&kept);
        let request = kept.request();
        let again = Persistent::new(kept.device.clone(), kept.id.clone(), &request);
        assert_eq!(again.request(), request);
        let _ = kept.udev_rules("/usr/sbin/sriovctl");
    }
    if let Ok(value) = serde_json::from_slice::<Value>(text) {
        neighbour(&value);
    }
}

fn comes_back<T>(what: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let text = json::text(what).unwrap();
    match serde_json::from_str::<T>(&text) {
        Ok(again) => assert_eq!(again, *what),
        Err(error) => panic!("{error}: {text}"),
    }
}

/// What is read of another plugin's record and written for it again says the same from then on: what
/// the format cannot leave open has its usual value.
fn neighbour(value: &Value) {
    let read = Neighbour::parse(value);
    assert_eq!(Neighbour::parse(value), read);
    let Some(read) = read else { return };
    assert!(read.device.pci().is_some(), "{}", read.device);
    let written = |original: &Original| {
        let record = Record {
            format: FORMAT,
            boot_id: String::new(),
            since: 0,
            device: read.device.clone(),
            incarnation: None,
            vf_of: None::<VfOf>,
            owner: Owner::manual(),
            netns: NetnsId { path: "/run/netns/blue".into(), device: 4, inode: 100 },
            ifname: "net1".into(),
            original: original.clone(),
            ports: Vec::new(),
            told: Vec::new(),
            first: None,
            wanted: Wanted::default(),
        };
        let config = value.as_object().cloned().unwrap_or_default();
        let written = Neighbour::write(&config, &record, None);
        Neighbour::parse(&written).expect("what is written is such a record")
    };
    let once = written(&read.original);
    assert_eq!((&once.device, &once.network, once.ours), (&read.device, &read.network, true));
    assert_eq!(written(&once.original).original, once.original);
}
