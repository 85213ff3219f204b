//! Made-up records of attachments, as ADDs of other containers would have left them.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;

use serde_json::json;

/// Writes a record for each device, and what is told to other plugins about it.
pub fn write(root: &Path, devices: &[String], boot_id: &str) {
    let base = root.join("var/lib/cni/sriov");
    let attached = base.join("sriovctl/attached");
    let calls = base.join("sriovctl/calls");
    for (dir, mode) in [
        (base.join("pci"), 0o755),
        (base.join("sriovctl"), 0o700),
        (attached.clone(), 0o700),
        (calls.clone(), 0o700),
    ] {
        fs::DirBuilder::new().recursive(true).mode(mode).create(dir).expect("a directory");
    }
    for (nth, device) in devices.iter().enumerate() {
        let container = format!("other-{nth}");
        let netns = format!("/run/netns/{container}");
        let told = format!("/var/lib/cni/sriov/{container}-net1");
        let record = json!({
            "format": 1, "boot_id": boot_id, "since": 1_795_773_071, "device": device, "incarnation": null,
            "vf_of": null, "owner": {"network": "other", "container": container, "ifname": "net1"},
            "netns": {"path": netns, "device": 4, "inode": 4_026_532_187_u64}, "ifname": "net1",
            "original": {
                "name": "eth2", "altnames": [], "mtu": 1500, "mac": "6e:a2:fb:b3:60:42", "up": false,
                "settings": null, "driver": "igbvf", "driver_override": null,
            },
            "told": [told], "first": null,
            "wanted": {
                "settings": [{"trust": true}, {"vlan": {"id": 100, "qos": 0, "proto": "802.1q"}}],
                "mac": "02:00:00:00:00:77", "mtu": null, "config": {"addresses": [], "routes": []},
                "driver": null, "node": null, "no_reset": false,
            },
        });
        let text = sriovctl::model::json::text(&record).expect("JSON");
        let file = attached.join(format!("pci-{device}.json"));
        fs::write(file, text).expect("a record");
        let link = calls.join(format!("{container}+net1"));
        let _ = fs::remove_file(&link); // of a run with fewer
        symlink(format!("pci-{device}.json"), link).expect("a link");
        fs::write(base.join("pci").join(device), netns).expect("an allocation");
        // As sriovctl writes it: the configuration of sriov-cni, with what that needs for its DEL.
        let told = json!({
            "cniVersion": "1.1.0", "name": "other", "type": "sriov", "deviceID": device, "sriovctl": "0.1.0",
            "Master": "eth0", "VFID": 1, "ContIFNames": "net1", "OrigVfState": {"HostIFName": "eth2"},
        });
        fs::write(base.join(format!("{container}-net1")), told.to_string()).expect("a file");
    }
}

/// Addresses of devices that no machine has: a bus of a domain has 256 functions.
pub fn addresses(count: usize) -> Vec<String> {
    let address = |n: usize| format!("00ff:{:02x}:{:02x}.{}", n / 256, n / 8 % 32, n % 8);
    (0..count).map(address).collect()
}
