//! `export`: what `apply` would be told to make this host as it is.

use super::Kernel;
use super::store::{Shelf, Store, Stored};
use crate::error::Result;
use crate::model::facts::Scope;
use crate::model::ids::DeviceId;
use crate::model::inventory::Pf;
use crate::model::plan::export::Kept;
use crate::model::selector::Selector;

const SCOPE: Scope = Scope { change: true, all_classes: true, ..Scope::NOTHING };

/// PFs, each once; without selectors all network cards.
pub fn pfs<K: Kernel>(kernel: &K, selectors: &[Selector]) -> Result<Vec<Pf>> {
    let inventory = kernel.observe(SCOPE)?;
    if selectors.is_empty() {
        return Ok(inventory.pfs.into_iter().filter(Pf::is_network).collect());
    }
    let mut all: Vec<Pf> = Vec::new();
    for selector in selectors {
        for pf in selector.pfs(&inventory)? {
            if all.iter().all(|known| known.facts.device != pf.facts.device) {
                all.push(pf.clone());
            }
        }
    }
    Ok(all)
}

/// What is written down of VFs: how attached ones will come back, and whose the nodes of bound ones are.
pub fn kept<K: Store>(kernel: &K, pfs: &[Pf]) -> Result<Kept> {
    let mut boot = None;
    let mut kept = Kept::default();
    let is_ours = |device: &DeviceId| {
        let vfs = pfs.iter().flat_map(|pf| &pf.vfs);
        vfs.filter_map(|vf| vf.facts.device.as_ref()).any(|known| known == device)
    };
    for shelf in Shelf::ALL {
        for stored in kernel.all_stored(shelf)? {
            let Stored::Attached(record) = stored else { continue };
            let boot = match &mut boot {
                Some(boot) => boot,
                none => none.insert(kernel.moment()?.boot_id),
            };
            if record.boot_id != *boot || !is_ours(&record.device) {
                continue;
            }
            let device = record.device.clone();
            match shelf {
                Shelf::Attachments => drop(kept.originals.insert(device, record.original)),
                Shelf::Bindings => {
                    kept.nodes.extend(record.wanted.node.map(|node| (device, node)));
                }
            }
        }
    }
    Ok(kept)
}
