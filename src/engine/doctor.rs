//! `doctor`: whether the host is ready, each area judged by the model on what the host shows.

use super::state;
use super::store::Store;
use super::{Kernel, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::doctor::facts::{Facts, Unseen};
use crate::model::doctor::state::Known;
use crate::model::doctor::{Area, Finding, Severity, cni, conflicts, dpdk, iommu, sriov, worst};
use crate::model::facts::Scope;
use crate::model::ids::DeviceId;
use crate::model::inventory::{Inventory, Pf};
use crate::model::selector::Selector;

/// What a judgement needs to know beside the devices.
pub trait Checkup {
    /// Looks at these areas; what cannot be looked at is told in the answer.
    fn look(&self, areas: &[Area]) -> Facts;
}

/// Everything that there is to say of these areas and PFs (none named: all network devices), by
/// area. Nothing is changed.
pub fn examine<K: Kernel + Store + Surroundings + Checkup>(
    kernel: &K,
    areas: &[Area],
    only: &[Selector],
) -> Result<Vec<Finding>> {
    let scope = Scope { change: true, all_classes: !only.is_empty(), ..Scope::default() };
    let mut inventory = kernel.observe(scope)?;
    let uncounted = count_vfs(kernel, &mut inventory);
    let mut pfs: Vec<&Pf> = inventory.pfs.iter().filter(|pf| pf.is_network()).collect();
    if !only.is_empty() {
        pfs.clear();
        for selector in only {
            for pf in selector.pfs(&inventory)? {
                // One may be named twice, by its name and by its address.
                if pfs.iter().all(|known| known.facts.device != pf.facts.device) {
                    pfs.push(pf);
                }
            }
        }
    }
    let mut facts = kernel.look(areas);
    facts.unseen.extend(uncounted);
    let told = |warning: &String| Unseen {
        area: Area::Sriov,
        what: "namespaces".to_owned(),
        why: warning.clone(),
        lacks_rights: !facts.is_root,
    };
    let warnings: Vec<Unseen> = inventory.warnings.iter().map(told).collect();
    facts.unseen.extend(warnings);
    let mut all = Vec::new();
    for &area in areas {
        let mut found = judge(kernel, area, &pfs, &inventory, &mut facts)?;
        found.extend(crate::model::doctor::unseen(area, &facts.unseen));
        if worst(&found) > Severity::Note {
            found.retain(|finding| !finding.id.is_summary());
        }
        all.extend(found);
    }
    Ok(all)
}

/// How many VFs the kernel counts; a PF whose count is being changed does not tell until that ends.
fn count_vfs<K: Kernel>(kernel: &K, inventory: &mut Inventory) -> Vec<Unseen> {
    let mut unseen = Vec::new();
    for pf in &mut inventory.pfs {
        match kernel.num_vfs(&pf.facts.device) {
            Ok(count) => pf.facts.num_vfs = count,
            Err(error) => unseen.push(Unseen {
                area: Area::Sriov,
                what: pf.name(),
                why: error.message().to_owned(),
                lacks_rights: false,
            }),
        }
    }
    unseen
}

fn judge<K: Kernel + Store + Surroundings>(
    kernel: &K,
    area: Area,
    pfs: &[&Pf],
    inventory: &Inventory,
    facts: &mut Facts,
) -> Result<Vec<Finding>> {
    Ok(match area {
        Area::Sriov => {
            let natives = natives(kernel, pfs)?;
            // Other users' namespaces are not seen without root's rights.
            let knows_namespaces =
                inventory.knows_usage && inventory.warnings.is_empty() && facts.is_root;
            sriov::judge(&sriov::Given { pfs, knows_namespaces, natives: &natives, facts })
        }
        Area::Iommu => iommu::judge(pfs, &kernel.platform()?, facts),
        Area::Dpdk => dpdk::judge(&dpdk::Given {
            pfs,
            platform: &kernel.platform()?,
            vfio: &kernel.driver_state("vfio-pci")?,
            pages: &kernel.hugepages()?,
            facts,
        }),
        Area::Cni => cni::judge(inventory, facts),
        Area::State => {
            let records = records(kernel, pfs, inventory, facts);
            crate::model::doctor::state::judge(records.as_deref(), facts)
        }
        Area::Conflicts => conflicts::judge(pfs, inventory, facts),
    })
}

/// Drivers of the kernel's that know the PFs without one.
fn natives<K: Surroundings>(kernel: &K, pfs: &[&Pf]) -> Result<Vec<(DeviceId, Vec<String>)>> {
    let without = pfs.iter().filter(|pf| pf.facts.driver.is_none());
    let native = |pf: &&Pf| {
        let device = pf.facts.device.clone();
        let ground = kernel.ground(&device)?;
        Ok((device, ground.native))
    };
    without.map(native).collect()
}

/// What `inspect-state` says; `None`: it cannot, which is then told as not seen.
fn records<K: Kernel + Store>(
    kernel: &K,
    pfs: &[&Pf],
    inventory: &Inventory,
    facts: &mut Facts,
) -> Option<Vec<Known>> {
    let entries = match state::examine(kernel) {
        Ok(entries) => entries,
        // Said already, with what to do about it.
        Err(_) if facts.state_dirs.iter().any(|dir| dir.fault.is_some()) => return None,
        Err(error) => {
            facts.unseen.push(not_read(&error));
            return None;
        }
    };
    let is_of = |pf: &Pf, device: &DeviceId| {
        let mut vfs = pf.vfs.iter().filter_map(|vf| vf.facts.device.as_ref());
        pf.facts.device == *device || vfs.any(|vf| vf == device)
    };
    // A record of a VF that is gone may be of any PF.
    let is_wanted = |device: &DeviceId| {
        pfs.iter().any(|pf| is_of(pf, device)) || !inventory.pfs.iter().any(|pf| is_of(pf, device))
    };
    let known = entries.into_iter().filter(|entry| is_wanted(&entry.device)).map(|entry| Known {
        word: entry.verdict.word(),
        details: entry.verdict.details(),
        name: entry.name,
        device: entry.device,
    });
    Some(known.collect())
}

fn not_read(error: &Error) -> Unseen {
    Unseen {
        area: Area::State,
        what: "records".to_owned(),
        why: error.message().to_owned(),
        lacks_rights: error.kind() == Kind::Permission,
    }
}
