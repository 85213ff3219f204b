//! `bind-dpdk`: another driver for a device, so that user space can drive it, or an explanation
//! why not. (kernel: drivers/base/bus.c, drivers/pci/pci-driver.c, drivers/vfio)

use std::net::IpAddr;

use super::attach::Moment;
use super::replay::differences;
use crate::model::assemble::is_userspace_driver;
use crate::model::binding::{DriverState, Ground, Member, NoIommu, Node, Platform};
use crate::model::facts::Holder;
use crate::model::ids::{DeviceId, MacAddr};
use crate::model::link::VfSettings;
use crate::model::record::{NetnsId, Original, Owner, Record, Wanted};
use crate::model::seen::Seen;
use crate::model::step::{NodeAccess, Step, Subject, VfAttr};
use crate::model::usage::User;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The driver.
    pub driver: String,
    /// MAC that the PF sets; `None`: the one that the interface has, if the PF has set none.
    pub mac: Option<MacAddr>,
    /// Settings in the PF; `None` is left alone.
    pub settings: VfSettings,
    /// Do it although the host would lose something, or user space gain nothing.
    pub force: bool,
    /// Bind to VFIO without an IOMMU too.
    pub allow_noiommu: bool,
    /// Do not reset the device.
    pub no_reset: bool,
    /// Who may open its nodes.
    pub node: Option<NodeAccess>,
    /// Keep the device for this driver (`driver_override`) afterwards.
    pub keep_override: bool,
    /// Where the caller's SSH session arrives.
    pub session: Option<Session>,
    /// What else is bound by the same command: no obstacle in an IOMMU group.
    pub together: Vec<DeviceId>,
}

/// Where an SSH session arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The address.
    pub address: IpAddr,
    /// The interface, which a link-local address comes with.
    pub interface: Option<String>,
}

/// Everything that was looked at.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// The device.
    pub seen: &'a Seen,
    /// Its surroundings.
    pub ground: &'a Ground,
    /// The machine.
    pub platform: &'a Platform,
    /// Whether the driver is there.
    pub driver: &'a DriverState,
    /// Its attachment, if it has one.
    pub attachment: Option<&'a Record>,
    /// An earlier binding, if it has one.
    pub binding: Option<&'a Record>,
    /// Whether the name of its interface is final: udev has not yet seen one that is new.
    pub is_named: bool,
    /// The namespace that this program runs in.
    pub host: &'a NetnsId,
    /// Now.
    pub moment: &'a Moment,
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// It is not there.
    Gone,
    /// Somebody has it.
    Held(Box<Record>),
    /// It is a bridge, behind which others are.
    Bridge,
    /// It is no network card, and a driver of the kernel's uses it: disks may hang on it.
    NotNetwork(String),
    /// Its driver would take its VFs with it.
    HasVfs(usize),
    /// There is no such driver; perhaps this one was meant.
    UnknownDriver(Option<String>),
    /// The kernel's lockdown mode forbids it.
    Lockdown(String),
    /// Processes have its node open: the kernel would wait until they let go.
    Open(Vec<Holder>),
    /// Its interface is in another namespace.
    Away(String),
    /// The host would lose an address, a route, or what is built on it.
    InUse {
        /// By what.
        users: Vec<User>,
        /// Whether the caller's own session comes in through it.
        session: bool,
    },
    /// Its kernel driver and DPDK work on it together: taking it away makes DPDK fail.
    Bifurcated(String),
    /// There is no IOMMU.
    NoIommu,
    /// This kernel has no VFIO without an IOMMU.
    NoIommuAbsent,
    /// Other devices of its IOMMU group are with kernel drivers.
    NotViable(Vec<Member>),
    /// Settings that only a PF can make, and it has none here.
    NeedsPf(Vec<VfAttr>),
    /// The driver makes no device node that could belong to somebody.
    NoNode,
}

impl Refusal {
    /// Whether `--force` would go on.
    pub fn can_be_forced(&self) -> bool {
        matches!(
            self,
            Self::InUse { .. } | Self::Bifurcated(_) | Self::NotViable(_) | Self::NotNetwork(_)
        )
    }
}

/// What will be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What is written down before the first step.
    pub record: Record,
    /// The steps; none: it is so already.
    pub steps: Vec<Step>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

/// Whether the driver is one of VFIO's.
pub fn is_vfio(driver: &str) -> bool {
    is_userspace_driver(driver) && driver.contains("vfio")
}

/// Decides how the device gets the driver.
pub fn plan(request: &Request, sight: Sight<'_>) -> Result<Plan, Refusal> {
    refuse(request, sight)?;
    let Sight { seen, ground, platform, binding, .. } = sight;
    let wanted = wanted(request, seen);
    let has = seen.settings.clone().unwrap_or_default();
    let mut steps = Vec::new();
    if let Some(vf) = seen.vf() {
        let set = |attr| Step::SetVf { vf: vf.clone(), attr };
        let settings = wanted.settings.iter().copied();
        steps.extend(settings.filter(|attr| attr.is_set_in(&has) != Some(true)).map(set));
        // While its kernel driver still has it: DPDK sees the MAC that the host has always seen.
        // A PF also lists the MAC that the interface told it, and forgets that one with the driver:
        // which of the two it is cannot be seen, so it is set anew.
        let own = seen.host_link().and_then(|link| link.mac);
        let stays = |mac: &MacAddr| has.mac == Some(*mac) && own != Some(*mac);
        steps.extend(wanted.mac.filter(|mac| !stays(mac)).map(|mac| set(VfAttr::Mac(mac))));
    }
    let is_bound = seen.driver.as_ref() == Some(&request.driver);
    if is_bound {
        let keep = request.keep_override && seen.driver_override.as_ref() != Some(&request.driver);
        let of = Subject::Device(seen.device.clone());
        let driver = Some(request.driver.clone());
        steps.extend(keep.then_some(Step::SetOverride { of, driver }));
    } else {
        steps.extend(bind(request, seen, ground, platform));
    }
    let node = request.node.filter(|access| !is_bound || !has_access(ground, access));
    steps.extend(node.map(|access| Step::SetNode { device: seen.device.clone(), access }));
    let open = holders(seen);
    if is_bound && !steps.is_empty() && !open.is_empty() {
        return Err(Refusal::Open(open)); // what it works with would change below it
    }
    if is_bound && !steps.is_empty() {
        stays_where_it_is(seen)?; // going back would bring it home
    }
    let record = Record {
        original: seen.original(sight.is_named),
        first: binding
            .map(|record| record.before_binding().clone())
            .or_else(|| as_its_driver_makes_it(seen, ground)),
        wanted,
        ..Record::of(seen, sight.moment, Owner::manual(), sight.host.clone())
    };
    Ok(Plan { record, notes: notes(request, sight), steps })
}

/// Whether the nodes are so already.
fn has_access(ground: &Ground, access: &NodeAccess) -> bool {
    let NodeAccess { uid, gid, mode } = *access;
    let is_so = |node: &Node| {
        uid.is_none_or(|uid| uid == node.uid)
            && gid.is_none_or(|gid| gid == node.gid)
            && mode.is_none_or(|mode| mode == node.mode)
    };
    !ground.nodes.is_empty() && ground.nodes.iter().all(is_so)
}

/// Of a device that was bound by other means nobody wrote down how it was: it goes back to the
/// kernel's driver for it, with the settings it has now.
fn as_its_driver_makes_it(seen: &Seen, ground: &Ground) -> Option<Original> {
    let driver = ground.native.iter().find(|driver| !is_userspace_driver(driver))?;
    seen.is_userspace().then(|| Original {
        driver: Some(driver.clone()),
        driver_override: None,
        ..seen.original(false)
    })
}

/// Processes that have a node of the device open.
fn holders(seen: &Seen) -> Vec<Holder> {
    seen.users.iter().filter_map(User::holder).cloned().collect()
}

fn refuse(request: &Request, sight: Sight<'_>) -> Result<(), Refusal> {
    let Sight { seen, ground, platform, moment, .. } = sight;
    if !seen.exists {
        return Err(Refusal::Gone);
    }
    if let Some(record) = sight.attachment.filter(|record| record.boot_id == moment.boot_id) {
        return Err(Refusal::Held(Box::new(record.clone())));
    }
    let mut settings = differences(&VfSettings::default(), &request.settings);
    settings.extend(request.mac.map(VfAttr::Mac));
    if seen.settings.is_none() && !settings.is_empty() {
        return Err(Refusal::NeedsPf(settings));
    }
    if seen.driver.as_ref() == Some(&request.driver) {
        return Ok(());
    }
    let class = ground.class.map(|class| class >> 16);
    if class == Some(0x06) {
        return Err(Refusal::Bridge);
    }
    let of_kernel = seen.driver.as_ref().filter(|driver| !is_userspace_driver(driver));
    if let (Some(driver), false) = (of_kernel, request.force)
        && class.is_some_and(|class| class != 0x02)
    {
        return Err(Refusal::NotNetwork(driver.clone()));
    }
    if ground.vfs > 0 {
        return Err(Refusal::HasVfs(ground.vfs));
    }
    if let DriverState::Unknown(nearest) = sight.driver {
        return Err(Refusal::UnknownDriver(nearest.clone()));
    }
    let is_uio = request.driver.contains("uio") && is_userspace_driver(&request.driver);
    if request.node.is_some() && !is_uio && !is_vfio(&request.driver) {
        return Err(Refusal::NoNode);
    }
    if let (true, Some(mode)) = (is_uio, &platform.lockdown) {
        return Err(Refusal::Lockdown(mode.clone()));
    }
    leaves_the_host_whole(request, seen)?;
    if is_userspace_driver(&request.driver) && !request.force {
        let drivers = seen.driver.iter().chain(&ground.pf_driver).chain(&ground.native);
        let mut bifurcated = drivers.filter(|d| d.starts_with("mlx5_") || d.starts_with("mlx4_"));
        if let Some(driver) = bifurcated.next() {
            return Err(Refusal::Bifurcated(driver.clone()));
        }
    }
    if is_vfio(&request.driver) { has_a_group(request, sight) } else { Ok(()) }
}

/// Somebody has it in another namespace.
fn stays_where_it_is(seen: &Seen) -> Result<(), Refusal> {
    match seen.users.iter().find(|user| matches!(user, User::Netns(_))) {
        Some(User::Netns(netns)) => Err(Refusal::Away(netns.label())),
        _ => Ok(()),
    }
}

/// Nobody else must lose the device by it.
fn leaves_the_host_whole(request: &Request, seen: &Seen) -> Result<(), Refusal> {
    let open = holders(seen);
    if !open.is_empty() {
        return Err(Refusal::Open(open));
    }
    stays_where_it_is(seen)?;
    let mut users: Vec<User> =
        seen.users.iter().filter(|user| **user != User::Up).cloned().collect();
    // A link-local address is on every interface that is up, and counts only where one comes in.
    let session = request.session.as_ref().filter(|session| arrives(session, seen, &[]));
    if users.is_empty() {
        users.extend(session.map(|session| User::Address(session.address.to_string())));
    }
    if users.is_empty() || request.force {
        return Ok(());
    }
    let comes_in = |session: &Session| arrives(session, seen, &users);
    let session = request.session.as_ref().is_some_and(comes_in);
    Err(Refusal::InUse { users, session })
}

/// Whether a session comes in through the device's interface.
fn arrives(session: &Session, seen: &Seen, users: &[User]) -> bool {
    let address = session.address.to_canonical().to_string();
    let is_address = |user: &User| user.to_string().split('/').next() == Some(address.as_str());
    let through = session.interface.as_ref();
    users.iter().any(is_address)
        || seen.host_link().is_some_and(|link| through.is_some_and(|name| link.is_called(name)))
}

fn has_a_group(request: &Request, sight: Sight<'_>) -> Result<(), Refusal> {
    let Sight { seen, ground, platform, .. } = sight;
    match &ground.group {
        Some(group) => {
            let mut others = group.in_the_way_of(&seen.device);
            others.retain(|member| !request.together.contains(&member.device));
            if others.is_empty() || request.force {
                return Ok(());
            }
            Err(Refusal::NotViable(others.into_iter().cloned().collect()))
        }
        None if !request.allow_noiommu => Err(Refusal::NoIommu),
        None if platform.noiommu == NoIommu::Absent => Err(Refusal::NoIommuAbsent),
        None => Ok(()),
    }
}

/// From one driver to another.
///
/// The override comes before the unbinding, so that nothing else can take the device in between,
/// and the driver's own `bind` tells why it fails, which `drivers_probe` does not.
fn bind(request: &Request, seen: &Seen, ground: &Ground, platform: &Platform) -> Vec<Step> {
    let driver = &request.driver;
    let of = Subject::Device(seen.device.clone());
    let set_override = |driver: Option<String>| Step::SetOverride { of: of.clone(), driver };
    let mut steps = vec![Step::LoadDriver { driver: driver.clone() }];
    let without_iommu = is_vfio(driver) && ground.group.is_none();
    if without_iommu && platform.noiommu != NoIommu::On {
        steps.push(Step::AllowNoIommu { on: true });
    }
    // An override forces any driver onto a device, also one that crashes on it: only for those that
    // take every device, and those that know this one. (With autoprobe off it is the only way.)
    let may_force = is_userspace_driver(driver) || ground.native.contains(driver);
    let while_binding = may_force.then(|| driver.clone());
    if seen.driver_override != while_binding {
        steps.push(set_override(while_binding.clone()));
    }
    steps.extend(seen.driver.as_ref().map(|_| Step::Unbind { of: of.clone() }));
    if ground.can_reset && !request.no_reset {
        steps.push(Step::Reset { device: seen.device.clone() });
    }
    steps.push(Step::Bind { of: of.clone(), driver: driver.clone() });
    let afterwards =
        if request.keep_override { Some(driver.clone()) } else { seen.driver_override.clone() };
    if afterwards != while_binding {
        steps.push(set_override(afterwards));
    }
    steps
}

fn wanted(request: &Request, seen: &Seen) -> Wanted {
    let settings = VfSettings { mac: None, ..request.settings.clone() };
    let admin = seen.settings.as_ref().and_then(|has| has.mac);
    let own = seen.host_link().and_then(|link| link.mac).filter(|mac| !mac.is_zero());
    let own = own.filter(|own| admin == Some(MacAddr::ZERO) || admin == Some(*own));
    // A kernel driver brings its MAC along; of user space only the PF knows it.
    let own = own.filter(|_| is_userspace_driver(&request.driver));
    Wanted {
        settings: differences(&VfSettings::default(), &settings),
        mac: request.mac.or(own),
        driver: Some(request.driver.clone()),
        node: request.node,
        no_reset: request.no_reset,
        ..Wanted::default()
    }
}

fn notes(request: &Request, sight: Sight<'_>) -> Vec<String> {
    let Sight { seen, ground, platform, .. } = sight;
    let mut notes = Vec::new();
    if seen.vf_of.is_some() && seen.settings.is_none() && is_userspace_driver(&request.driver) {
        notes.push(
            "its PF cannot be seen here and keeps the MAC it has: a program may see another than the host did"
                .to_owned(),
        );
    }
    if is_vfio(&request.driver) && ground.group.is_none() {
        notes.push(
            "without an IOMMU the device can write to all memory, and the kernel is tainted"
                .to_owned(),
        );
    }
    if request.driver == "vfio-pci" && !ground.variants.is_empty() {
        let names = ground.variants.join(", ");
        notes.push(format!("for virtual machines there is a driver of its own: --driver {names}"));
    }
    let for_a_user = request.node.is_some_and(|node| node.uid.is_some_and(|uid| uid != 0));
    if let (true, true, Some(limit)) =
        (for_a_user, is_vfio(&request.driver), platform.memlock.filter(|limit| *limit < 1 << 30))
    {
        notes.push(format!(
            "a process may lock {} MiB of memory here, and DPDK locks all it uses: raise memlock in \
             /etc/security/limits.d, or LimitMEMLOCK of the service",
            limit >> 20
        ));
    }
    notes
}
