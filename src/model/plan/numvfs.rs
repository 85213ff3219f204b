//! `set-numvfs`: the kernel knows only "none" and "this many", so that a resize destroys every VF.
//! What is in use is therefore looked at first, and what can be put back is written down.
//! (kernel: drivers/pci/iov.c, `sriov_numvfs_store`)

use super::replay::{SavedVf, WantedDriver};
use crate::model::assemble::is_userspace_driver;
use crate::model::inventory::{Pf, Vf};
use crate::model::record::Resize;
use crate::model::step::Step;
use crate::model::usage::User;
use crate::order;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// How many VFs the PF shall have.
    pub count: u32,
    /// Driver that every VF shall be bound to.
    pub driver: Option<String>,
    /// Leave the VFs without a driver.
    pub no_autoprobe: bool,
    /// Destroy VFs that are in use.
    pub force: bool,
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// More than the device can have.
    TooMany {
        /// What was asked for.
        count: u32,
        /// `sriov_totalvfs`.
        total: u32,
    },
    /// No driver is bound, so that nobody would create the VFs.
    NoDriver,
    /// The driver drops the request while the PF is down (bnxt: without an error).
    Down,
    /// Its interface is in another namespace, where its VFs' settings cannot be reached.
    Away(String),
    /// Its VFs have no device that a driver could be bound to.
    NoVfDevices,
    /// VFs that would be destroyed are in use.
    InUse(Vec<InUse>),
}

/// A VF that is in use.
#[derive(Debug, Clone, PartialEq)]
pub struct InUse {
    /// `PF#index`.
    pub name: String,
    /// By whom.
    pub users: Vec<User>,
}

/// What will be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Number of VFs at present.
    pub before: u32,
    /// Number of VFs asked for.
    pub after: u32,
    /// Steps up to the point where the VFs exist.
    pub create: Vec<Step>,
    /// How each VF shall be afterwards.
    pub wanted: Vec<SavedVf>,
    /// What makes it as it was: the former number, then [`Plan::saved`].
    pub rollback: Vec<Step>,
    /// Every present VF as it is.
    pub saved: Vec<SavedVf>,
    /// Whether every new VF is expected to get an interface.
    pub expects_netdevs: bool,
    /// VFs in use that go under, since it was forced.
    pub destroys: Vec<InUse>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.create.is_empty()
    }
}

/// Drivers whose PF must be up (kernel: bnxt_sriov.c `bnxt_sriov_configure`, bnx2x_sriov.c).
pub const MUST_BE_UP: [&str; 2] = ["bnxt_en", "bnx2x"];

/// Decides how the PF gets `request.count` VFs.
pub fn plan(pf: &Pf, request: &Request) -> Result<Plan, Refusal> {
    let device = &pf.facts.device;
    let before = pf.num_vfs();
    let Request { count, .. } = *request;
    let saved: Vec<SavedVf> = pf.vfs.iter().map(SavedVf::of).collect();
    if count == before {
        return Ok(Plan::nothing(count));
    }
    if let Some(total) = pf.facts.total_vfs.filter(|total| count > *total) {
        return Err(Refusal::TooMany { count, total });
    }
    let Some(pf_driver) = pf.facts.driver.as_deref() else {
        return Err(Refusal::NoDriver);
    };
    if count > 0
        && MUST_BE_UP.contains(&pf_driver)
        && pf.netdev().is_some_and(|link| link.up == Some(false))
    {
        return Err(Refusal::Down);
    }
    if let (Some(netns), true) = (pf.netdev().and_then(|link| link.netns.as_ref()), before > 0) {
        return Err(Refusal::Away(netns.label()));
    }
    if request.driver.is_some() && device.pci().is_none() {
        return Err(Refusal::NoVfDevices);
    }
    let destroys = in_use(pf);
    if !destroys.is_empty() && !request.force {
        return Err(Refusal::InUse(destroys));
    }

    let autoprobe = pf.facts.autoprobe;
    let probing = autoprobe != Some(false) && request.driver.is_none() && !request.no_autoprobe;
    // Where the kernel has no such file, VFs are probed, and there is nothing to switch.
    let switch = autoprobe == Some(true) && !probing && count > 0;
    let set_autoprobe = |on| Step::SetAutoprobe { pf: device.clone(), on };
    let set_count = |count| Step::SetNumVfs { pf: device.clone(), count };

    let mut create = Vec::new();
    create.extend(
        request.driver.clone().filter(|_| count > 0).map(|driver| Step::LoadDriver { driver }),
    );
    create.extend((before > 0).then(|| set_count(0)));
    create.extend(switch.then(|| set_autoprobe(false)));
    create.extend((count > 0).then(|| set_count(count)));
    create.extend(switch.then(|| set_autoprobe(true)));

    let mut rollback = vec![set_count(before)];
    // First of all, so that the VFs that come back are treated as those before were.
    if let Some(on) = autoprobe.filter(|_| switch) {
        rollback.insert(0, set_autoprobe(on));
    }

    let expects_netdevs = count > 0
        && pf.is_network()
        && pf.facts.device.pci().is_some()
        && match &request.driver {
            Some(driver) => !is_userspace_driver(driver),
            None => probing && !is_userspace_driver(pf_driver),
        };
    Ok(Plan {
        before,
        after: count,
        create,
        wanted: wanted(&saved, request),
        rollback,
        saved,
        expects_netdevs,
        destroys,
    })
}

impl Plan {
    /// The way back from a change that was cut off.
    pub fn back_to(resize: &Resize) -> Self {
        let pf = &resize.pf;
        let autoprobe = resize.autoprobe.map(|on| Step::SetAutoprobe { pf: pf.clone(), on });
        let count = Step::SetNumVfs { pf: pf.clone(), count: resize.before };
        Self {
            rollback: autoprobe.into_iter().chain([count]).collect(),
            saved: resize.saved.clone(),
            ..Self::nothing(resize.before)
        }
    }

    fn nothing(count: u32) -> Self {
        Self {
            before: count,
            after: count,
            create: Vec::new(),
            wanted: Vec::new(),
            rollback: Vec::new(),
            saved: Vec::new(),
            expects_netdevs: false,
            destroys: Vec::new(),
        }
    }
}

/// The VFs of the PF that are in use.
pub fn in_use(pf: &Pf) -> Vec<InUse> {
    let used = |vf: &&Vf| !vf.users.is_empty();
    pf.vfs
        .iter()
        .filter(used)
        .map(|vf| InUse { name: pf.vf_name(vf.index()), users: vf.users.clone() })
        .collect()
}

/// The saved VFs that will exist again, and every new one that needs a driver.
fn wanted(saved: &[SavedVf], request: &Request) -> Vec<SavedVf> {
    let driver = match &request.driver {
        Some(driver) => Some(WantedDriver::Asked(driver.clone())),
        None => request.no_autoprobe.then_some(WantedDriver::None),
    };
    let count = u16::try_from(request.count).unwrap_or(u16::MAX);
    let mut wanted: Vec<SavedVf> = saved.iter().filter(|vf| vf.index.0 < count).cloned().collect();
    if let Some(driver) = driver {
        for vf in &mut wanted {
            vf.driver = driver.clone();
            vf.driver_override = None;
        }
        let known: Vec<_> = wanted.iter().map(|vf| vf.index.0).collect();
        let new = (0..count).filter(|index| !known.contains(index));
        wanted.extend(new.map(|index| SavedVf::with_driver(index, driver.clone())));
        order::sort_by_key(&mut wanted, |vf| vf.index);
    }
    wanted
}

impl std::fmt::Display for InUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let users: Vec<String> = self.users.iter().map(User::to_string).collect();
        write!(f, "{}: {}", self.name, users.join(", "))
    }
}
