//! `watch`: looks anew whenever the kernel tells of an interface or a device, and says what became of
//! PFs and VFs.

use std::time::Duration;

use super::Kernel;
use crate::error::Result;
use crate::model::changes::{Event, between};
use crate::model::facts::Scope;
use crate::model::inventory::Inventory;
use crate::model::selector::Selector;

/// Where the kernel tells of changes.
pub trait Listen {
    /// What is listened to.
    type Events;

    /// Listens from now on.
    fn listen(&self) -> Result<Self::Events>;

    /// Waits until something is told, at most that long; whether there was anything.
    fn hear(&self, events: &mut Self::Events, within: Duration) -> Result<bool>;
}

const SCOPE: Scope = Scope { all_classes: true, ..Scope::NOTHING };
/// What belongs together comes this closely.
const TOGETHER: Duration = Duration::from_millis(30);
/// What goes on is told at least so often.
const AT_LATEST: Duration = Duration::from_millis(500);
/// Who has a device node open, or wrote a record, the kernel tells nobody.
const ANYWAY: Duration = Duration::from_secs(1);

/// Tells events, batch by batch, until `is_over`.
pub fn watch<K: Kernel + Listen>(
    kernel: &K,
    only: &[Selector],
    is_over: &dyn Fn(Duration) -> bool,
    tell: &mut dyn FnMut(&[Event]) -> Result<()>,
) -> Result<()> {
    // Before the first look: what happens between the two is not missed.
    let mut events = kernel.listen()?;
    let begun = kernel.now();
    let mut known = kernel.observe(SCOPE)?;
    check(&known, only)?;
    tell(&[])?;
    loop {
        let heard = kernel.now();
        if kernel.hear(&mut events, ANYWAY)? {
            while kernel.now().saturating_sub(heard) < AT_LATEST
                && kernel.hear(&mut events, TOGETHER)?
            {}
        }
        let now = kernel.observe(SCOPE)?;
        let mut happened = between(&known, &now);
        happened.retain(|event| is_meant(event, only, [&known, &now]));
        if !happened.is_empty() {
            tell(&happened)?;
        }
        known = now;
        if is_over(kernel.now().saturating_sub(begun)) {
            return Ok(());
        }
    }
}

/// Names that name nothing are a mistake.
fn check(inventory: &Inventory, only: &[Selector]) -> Result<()> {
    only.iter().try_for_each(|selector| Ok(selector.vfs(inventory).map(drop)?))
}

fn is_meant(event: &Event, only: &[Selector], looks: [&Inventory; 2]) -> bool {
    let is_of = |selector: &Selector, look: &Inventory| {
        let of_pf = selector.pfs(look).is_ok_and(|pfs| pfs.iter().any(|pf| pf.name() == event.pf));
        let of_vf = || {
            selector.vfs(look).is_ok_and(|vfs| {
                vfs.iter().any(|(pf, vf)| Some(pf.vf_name(vf.index())) == event.vf)
            })
        };
        of_pf || of_vf()
    };
    only.is_empty() || only.iter().any(|selector| looks.iter().any(|look| is_of(selector, look)))
}
