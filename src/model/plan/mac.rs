//! Setting the MAC of a VF, which lives in two places.

use crate::model::ids::MacAddr;
use crate::model::step::VfRef;

/// A step of setting a MAC.
pub enum MacStep {
    /// In the PF.
    Admin(VfRef, MacAddr),
    /// On the interface.
    Own(MacAddr),
}

/// How a VF whose MACs are `has_admin` and `has` gets `admin` and `own`.
///
/// An untrusted VF may not change its own MAC once its PF has set it (igb), so the PF's is taken
/// away first and the interface's set before it. The PF's write is repeated whenever the
/// interface's was changed, since igb then lists that one as if the host had set it.
pub fn set_mac(
    vf: Option<VfRef>,
    has_admin: Option<MacAddr>,
    has: Option<MacAddr>,
    own: MacAddr,
    admin: MacAddr,
) -> Vec<MacStep> {
    let mut steps = Vec::new();
    let changes = has != Some(own);
    if let Some(vf) = vf.as_ref().filter(|_| changes && has_admin.is_some_and(|mac| !mac.is_zero()))
    {
        steps.push(MacStep::Admin(vf.clone(), MacAddr::ZERO));
    }
    if changes {
        steps.push(MacStep::Own(own));
    }
    if let Some(vf) = vf.filter(|_| changes || has_admin != Some(admin)) {
        steps.push(MacStep::Admin(vf, admin));
    }
    steps
}
