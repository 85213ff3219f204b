//! The VFs of a host as Kubernetes hands them out: a pool for each driver that VFs of a PF have, for
//! k8snetworkplumbingwg/sriov-network-device-plugin, and networks on these pools for Multus.

use serde_json::{Value, json};

use super::export::Kept;
use crate::model::ids::PciId;
use crate::model::inventory::{Pf, Vf};
use crate::model::spec::Numbers;

/// VFs of one PF with one driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// What the resource is called: letters, digits and `_`.
    pub name: String,
    /// Vendor and device of the VFs.
    pub id: PciId,
    /// Their driver.
    pub driver: String,
    /// Address of the PF with the numbers of the VFs: `0000:3b:00.0#0-3`.
    pub root: String,
}

/// The pools of these PFs; VFs with another driver for the time of an attachment count as what they come
/// back as.
pub fn pools(pfs: &[Pf], kept: &Kept) -> Vec<Pool> {
    let mut all: Vec<Pool> = Vec::new();
    for pf in pfs {
        let (Some(address), Some(id)) = (pf.pci(), pf.vf_id()) else { continue };
        let mut by_driver: Vec<(&String, Vec<u16>)> = Vec::new();
        for vf in pf.vfs.iter().filter(|vf| vf.pci().is_some()) {
            let Vf { facts, .. } = vf;
            let original = facts.device.as_ref().and_then(|device| kept.originals.get(device));
            let driver = original.map_or(&facts.driver, |original| &original.driver);
            let Some(driver) = driver else { continue };
            match by_driver.iter_mut().find(|(known, _)| *known == driver) {
                Some((_, numbers)) => numbers.push(facts.index.0),
                None => by_driver.push((driver, vec![facts.index.0])),
            }
        }
        for (driver, numbers) in by_driver {
            let mut name = word(&format!("{}_{driver}", pf.name()));
            // Of networks' names only small letters count.
            if all.iter().any(|pool| pool.name.eq_ignore_ascii_case(&name)) {
                name = format!("{name}_{}", word(&address.to_string()));
            }
            all.push(Pool {
                name,
                id,
                driver: driver.clone(),
                root: format!("{address}#{}", Numbers::of(&numbers)),
            });
        }
    }
    all
}

/// As the names of resources may be spelled (device plugin: `validResourceName`).
fn word(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Configuration of the device plugin.
pub fn device_plugin(pools: &[Pool], prefix: &str) -> Value {
    let resource = |pool: &Pool| {
        json!({
            "resourcePrefix": prefix,
            "resourceName": pool.name,
            "deviceType": "netDevice",
            "selectors": [{
                "vendors": [format!("{:04x}", pool.id.vendor)],
                "devices": [format!("{:04x}", pool.id.device)],
                "drivers": [pool.driver],
                "rootDevices": [pool.root],
            }],
        })
    };
    json!({ "resourceList": pools.iter().map(resource).collect::<Vec<_>>() })
}

/// A List of NetworkAttachmentDefinitions, one a pool. Without ipam: which addresses there are only an
/// administrator knows.
pub fn networks(pools: &[Pool], prefix: &str, namespace: &str) -> Value {
    let network = |pool: &Pool| {
        let name = pool.name.to_lowercase().replace('_', "-");
        // What the plugin tells by itself from the VF's driver need not be said.
        let config = json!({ "cniVersion": "1.1.0", "name": name, "type": "sriov" });
        json!({
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "annotations": {
                    "k8s.v1.cni.cncf.io/resourceName": format!("{prefix}/{}", pool.name),
                },
            },
            "spec": { "config": config.to_string() },
        })
    };
    let items: Vec<Value> = pools.iter().map(network).collect();
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}
