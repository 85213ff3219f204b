//! How people and kernels name devices, addresses and settings.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cni::kernel::FakeKernel;
use super::prints_back;
use crate::engine::Kernel;
use crate::model::facts::Scope;
use crate::model::ids::{Cidr, DeviceId, IfName, MacAddr, PciAddress, PciId, VfIndex, VlanId};
use crate::model::link::{is_representor, representor_vf};
use crate::model::selector::{Selector, nearest};

/// A line is a name.
pub fn check(data: &[u8]) {
    let inventory = FakeKernel::with_vfs(4).observe(Scope::default()).unwrap();
    for line in String::from_utf8_lossy(data).lines() {
        ids(line);
        selector(line, &inventory);
        port_name(line);
    }
}

fn ids(text: &str) {
    prints_back::<PciId>(text);
    prints_back::<VlanId>(text);
    in_json(prints_back::<PciAddress>(text));
    in_json(prints_back::<MacAddr>(text));
    if let Some(name) = in_json(prints_back::<IfName>(text)) {
        assert_eq!(name.as_str(), text);
        assert!(!text.contains(char::is_control));
    }
    if let Some(device) = in_json(prints_back::<DeviceId>(text)) {
        let dir = device.sysfs_dir();
        let leaves = dir.split('/').any(|part| part.is_empty() || part == "." || part == "..");
        assert!(!leaves && dir.split('/').count() == 4, "{dir}");
        assert_eq!(DeviceId::new(device.bus(), device.name()), Some(device.with_port(0)));
    }
    if let Some(cidr) = in_json(prints_back::<Cidr>(text)) {
        let network = cidr.network();
        assert_eq!((network.network(), network.prefix), (network, cidr.prefix));
    }
}

/// What stands in a record comes back from it.
fn in_json<T>(id: Option<T>) -> Option<T>
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let id = id?;
    let text = serde_json::to_string(&id).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).ok().as_ref(), Some(&id), "{text}");
    Some(id)
}

fn selector(text: &str, inventory: &crate::model::inventory::Inventory) {
    let Ok(selector) = text.parse::<Selector>() else { return };
    assert_eq!(selector.to_string(), text);
    assert_eq!(text.parse().as_ref(), Ok(&selector));
    let vfs = || {
        let found = selector.vfs(inventory);
        found.map(|all| all.iter().map(|(pf, vf)| (pf.name(), vf.index())).collect::<Vec<_>>())
    };
    assert_eq!(vfs(), vfs());
    let pfs = || selector.pfs(inventory).map(|all| all.iter().map(|pf| pf.name()).collect());
    assert_eq!(pfs() as Result<Vec<String>, _>, pfs());
    let pf = selector.pf(inventory).map(crate::model::inventory::Pf::name);
    assert_eq!(pf.is_ok(), pfs().is_ok(), "there is one PF");
    match vfs() {
        Ok(mut all) => {
            let count = all.len();
            all.sort();
            all.dedup();
            assert_eq!(all.len(), count, "a VF stands twice in {all:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let known = ["eth0", "eth1", "mlx5_0"];
    assert!(nearest(text, known.into_iter()).is_none_or(|near| near != text));
}

fn port_name(text: &str) {
    if let Some((pf, vf)) = representor_vf(text) {
        assert!(is_representor(text), "{text:?} is a VF's and no representor's");
        assert_eq!(representor_vf(&format!("pf{pf}vf{vf}")), Some((pf, VfIndex(vf.0))));
    }
}
