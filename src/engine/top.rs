//! `top`: two looks at counters, and what grew between them.

use std::collections::HashSet;
use std::time::Duration;

use super::Kernel;
use crate::error::Result;
use crate::model::facts::Scope;
use crate::model::ids::{DeviceId, VfIndex};
use crate::model::inventory::{Inventory, Pf, Vf};
use crate::model::selector::Selector;
use crate::model::traffic::{Rates, Reading, rates, readings};

const SCOPE: Scope = Scope { stats: true, all_classes: true, ..Scope::NOTHING };

/// How the host looked at one time.
#[derive(Debug)]
pub struct Look {
    /// The PFs, for what is known of them.
    pub pfs: Vec<Pf>,
    /// Their VFs' counters.
    pub readings: Vec<Reading>,
    at: Duration,
}

/// A VF with what passes in a second; `None`: that cannot be told.
pub type Row<'a> = (&'a Reading, Option<Rates>);

/// Looks at all VFs, or those that are named.
pub fn look<K: Kernel>(kernel: &K, only: &[Selector]) -> Result<Look> {
    let at = kernel.now();
    let inventory = kernel.observe(SCOPE)?;
    let wanted = named(&inventory, only)?;
    let is_wanted =
        |pf: &Pf, vf: &Vf| only.is_empty() || wanted.contains(&(&pf.facts.device, vf.index()));
    let readings = readings(&inventory, &is_wanted);
    let mut pfs = inventory.pfs;
    pfs.retain(|pf| {
        readings.iter().any(|reading| reading.pf_device == pf.facts.device) || only.is_empty()
    });
    Ok(Look { pfs, readings, at })
}

fn named<'a>(
    inventory: &'a Inventory,
    only: &[Selector],
) -> Result<HashSet<(&'a DeviceId, VfIndex)>> {
    let mut all = HashSet::new();
    for selector in only {
        let vfs = selector.vfs(inventory)?;
        all.extend(vfs.iter().map(|(pf, vf)| (&pf.facts.device, vf.index())));
    }
    Ok(all)
}

impl Look {
    /// What passed since an earlier look.
    pub fn since<'a>(&'a self, before: &Look) -> Vec<Row<'a>> {
        let elapsed = self.at.saturating_sub(before.at);
        let row = |reading: &'a Reading| (reading, rates(&before.readings, reading, elapsed));
        self.readings.iter().map(row).collect()
    }

    /// The time since an earlier look.
    pub fn elapsed(&self, before: &Look) -> Duration {
        self.at.saturating_sub(before.at)
    }
}
