//! `attach`: gives a device to a namespace, set up as asked for.

use super::mac::{MacStep, set_mac};
use super::replay::differences;
use crate::model::ids::{IfName, MacAddr};
use crate::model::link::{Link, VfSettings};
use crate::model::record::{NetnsId, Owner, Record, Wanted};
use crate::model::seen::{Seen, Target};
use crate::model::step::{IpConfig, LinkSet, Place, Step, VfAttr};
use crate::model::usage::User;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// For whom.
    pub owner: Owner,
    /// Name in the namespace; `None`: its name on the host.
    pub name: Option<IfName>,
    /// MAC of the interface, and in the PF.
    pub mac: Option<MacAddr>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// Settings in the PF; `None` is left alone.
    pub settings: VfSettings,
    /// Addresses and routes.
    pub config: IpConfig,
    /// Driver for the time of the attachment.
    pub driver: Option<String>,
    /// Files that are written about it for others, and go with it.
    pub told: Vec<String>,
}

/// The moment of a decision, which pure code cannot know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Identifier of this boot.
    pub boot_id: String,
    /// Seconds since 1970.
    pub time: u64,
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// Somebody else has it.
    Held(Box<Record>),
    /// It is used on the host, or is in a namespace without a record.
    InUse(Vec<User>),
    /// The namespace is the host's own.
    TargetIsHost,
    /// The name is taken in the namespace.
    NameTaken(String),
    /// The name that a further port of the device would get is none that an interface can have.
    NoNameForPort(String),
    /// No driver has it, so that it has no interface.
    NoDriver,
    /// Its driver makes no interface, or none is there yet.
    NoInterface(String),
    /// Larger than the PF's.
    MtuAbovePf {
        /// What was asked for.
        mtu: u32,
        /// The PF's.
        pf_mtu: u32,
    },
    /// Settings that only a PF can make, and it is not on this host.
    NeedsPf(Vec<VfAttr>),
}

/// What will be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What is written down before the first step.
    pub record: Record,
    /// The steps.
    pub steps: Vec<Step>,
    /// What was asked for and is so already, as `ip link` spells it.
    pub already_so: Vec<String>,
}

/// Decides how `seen` is given to `target`.
pub fn plan(
    request: &Request,
    seen: &Seen,
    target: &Target,
    held: Option<&Record>,
    moment: &Moment,
) -> Result<Plan, Refusal> {
    refuse(request, seen, target, held, moment)?;
    let wanted = wanted(request, seen);
    let ifname = match (&request.name, seen.host_link()) {
        (Some(name), Some(_)) => name.to_string(),
        (None, Some(link)) => link.name.clone(),
        (_, None) => String::new(),
    };
    let record = Record {
        ifname: ifname.clone(),
        ports: seen.ports.clone(),
        told: request.told.clone(),
        wanted,
        ..Record::of(seen, moment, request.owner.clone(), target.netns.clone())
    };
    let mut steps = pf_steps(&record, seen);
    match seen.host_link() {
        Some(link) => steps.extend(link_steps(request, seen, link, &target.netns, &ifname)),
        None => steps.extend(admin_mac(request, seen)),
    }
    let already_so = already_so(&record, seen);
    Ok(Plan { record, steps, already_so })
}

/// The name that it shall have where it goes: the wished-for one, else its own.
fn name_there<'a>(request: &'a Request, seen: &'a Seen) -> Option<&'a str> {
    let wished = request.name.as_ref().map(IfName::as_str);
    wished.or_else(|| seen.host_link().map(|link| link.name.as_str()))
}

/// The names that its interfaces shall have where it goes.
pub fn names(request: &Request, seen: &Seen) -> Vec<String> {
    let own = name_there(request, seen);
    let of_port = |name: &IfName| {
        let ports = seen.ports.iter();
        ports.map(|port| name_of_port(name.as_str(), port.port())).collect::<Vec<_>>()
    };
    let further = request.name.as_ref().map(of_port).unwrap_or_default();
    let all = own.map(str::to_owned).into_iter().chain(further);
    all.filter(|name| name.parse::<IfName>().is_ok()).collect()
}

/// Name of a further port's interface, as Intel's sriov-cni has it.
pub fn name_of_port(first: &str, port: u16) -> String {
    format!("{first}d{port}")
}

fn already_so(record: &Record, seen: &Seen) -> Vec<String> {
    let has = seen.settings.clone().unwrap_or_default();
    let wanted = &record.wanted;
    let link = seen.host_link();
    let settings = wanted.settings.iter().filter(|attr| attr.is_set_in(&has) == Some(true));
    let mut so: Vec<String> = settings.map(ToString::to_string).collect();
    let own = link.and_then(|link| link.mac);
    so.extend(
        wanted
            .mac
            .filter(|mac| own == Some(*mac) && has.mac == Some(*mac))
            .map(|mac| format!("mac {mac}")),
    );
    let mtu = link.and_then(|link| link.mtu);
    so.extend(wanted.mtu.filter(|wanted| mtu == Some(*wanted)).map(|mtu| format!("mtu {mtu}")));
    so
}

fn refuse(
    request: &Request,
    seen: &Seen,
    target: &Target,
    held: Option<&Record>,
    moment: &Moment,
) -> Result<(), Refusal> {
    if let Some(record) = held.filter(|record| record.boot_id == moment.boot_id) {
        return Err(Refusal::Held(Box::new(record.clone())));
    }
    if target.is_host {
        return Err(Refusal::TargetIsHost);
    }
    // "Up" alone is a reason not to pick a VF, but none to refuse one that was named.
    let users: Vec<User> = seen.users.iter().filter(|user| **user != User::Up).cloned().collect();
    if !users.is_empty() {
        return Err(Refusal::InUse(users));
    }
    if seen.link.is_none() && !seen.is_userspace() {
        return Err(match &seen.driver {
            None => Refusal::NoDriver,
            Some(driver) => Refusal::NoInterface(driver.clone()),
        });
    }
    if let Some(name) = name_there(request, seen).filter(|name| target.taken.contains(*name)) {
        return Err(Refusal::NameTaken(name.to_owned()));
    }
    if let Some(name) = &request.name {
        for port in &seen.ports {
            let name = name_of_port(name.as_str(), port.port());
            if name.parse::<IfName>().is_err() {
                return Err(Refusal::NoNameForPort(name));
            }
            if target.taken.contains(&name) {
                return Err(Refusal::NameTaken(name));
            }
        }
    }
    if let (Some(mtu), Some(pf_mtu)) = (request.mtu, seen.pf_mtu)
        && mtu > pf_mtu
    {
        return Err(Refusal::MtuAbovePf { mtu, pf_mtu });
    }
    let needs_pf = differences(&VfSettings::default(), &request.settings);
    if seen.vf_of.is_none() && !needs_pf.is_empty() {
        return Err(Refusal::NeedsPf(needs_pf));
    }
    Ok(())
}

/// The settings asked for, with what must be sent together filled up from the present.
pub fn wanted(request: &Request, seen: &Seen) -> Wanted {
    let mut settings = request.settings.clone();
    let has = seen.settings.clone().unwrap_or_default();
    if settings.min_tx_rate.is_some() || settings.max_tx_rate.is_some() {
        settings.min_tx_rate = settings.min_tx_rate.or(has.min_tx_rate).or(Some(0));
        settings.max_tx_rate = settings.max_tx_rate.or(has.max_tx_rate).or(Some(0));
    }
    settings.mac = None;
    Wanted {
        settings: differences(&VfSettings::default(), &settings),
        mac: request.mac,
        mtu: request.mtu,
        config: request.config.clone(),
        ..Wanted::default()
    }
}

/// One message a setting, for those that are not so already.
fn pf_steps(record: &Record, seen: &Seen) -> Vec<Step> {
    let Some(vf) = seen.vf() else { return Vec::new() };
    let has = seen.settings.clone().unwrap_or_default();
    let is_so = |attr: &VfAttr| attr.is_set_in(&has) == Some(true);
    let set = |attr: &VfAttr| Step::SetVf { vf: vf.clone(), attr: *attr };
    record.wanted.settings.iter().filter(|attr| !is_so(attr)).map(set).collect()
}

/// The PF's setting for a VF that user space drives and that takes its MAC from there.
fn admin_mac(request: &Request, seen: &Seen) -> Option<Step> {
    let mac = request.mac?;
    let has = seen.settings.as_ref().and_then(|settings| settings.mac);
    (has != Some(mac)).then_some(Step::SetVf { vf: seen.vf()?, attr: VfAttr::Mac(mac) })
}

fn link_steps(
    request: &Request,
    seen: &Seen,
    link: &Link,
    netns: &NetnsId,
    ifname: &str,
) -> Vec<Step> {
    let device = &seen.device;
    let set = |set| Step::Link { device: device.clone(), at: Place::Host, set };
    let mut steps = Vec::new();
    // Whatever a former user left behind is not for the next one.
    let quiet = link.promisc || link.allmulti;
    let mtu = request.mtu.filter(|mtu| link.mtu != Some(*mtu));
    let down = (link.up != Some(false)).then_some(false);
    if quiet || mtu.is_some() || down.is_some() {
        steps.push(set(LinkSet { up: down, quiet, mtu, ..LinkSet::default() }));
    }
    if let Some(mac) = request.mac {
        let has_admin = seen.settings.as_ref().and_then(|settings| settings.mac);
        steps.extend(set_mac(seen.vf(), has_admin, link.mac, mac, mac).into_iter().map(|step| {
            match step {
                MacStep::Admin(vf, mac) => Step::SetVf { vf, attr: VfAttr::Mac(mac) },
                MacStep::Own(mac) => set(LinkSet { mac: Some(mac), ..LinkSet::default() }),
            }
        }));
    }
    if !link.altnames.is_empty() {
        // They would go with it and may clash there; they come back with it.
        let remove = link.altnames.clone();
        steps.push(Step::AltNames {
            device: device.clone(),
            at: Place::Host,
            add: Vec::new(),
            remove,
        });
    }
    steps.push(set(LinkSet {
        name: Some(ifname.to_owned()),
        to: Some(netns.clone()),
        ..LinkSet::default()
    }));
    steps.push(Step::Configure {
        device: device.clone(),
        at: netns.clone(),
        config: request.config.clone(),
    });
    steps
}

/// What makes an attached device again what its record says it was made to be, where it still is
/// in its namespace.
pub fn again(record: &Record, seen: &Seen) -> Vec<Step> {
    let mut steps = pf_steps(record, seen);
    if seen.is_userspace() {
        // It takes its MAC from the PF.
        let has = seen.settings.as_ref().and_then(|settings| settings.mac);
        let mac = seen.vf().zip(record.wanted.mac.filter(|mac| has != Some(*mac)));
        steps.extend(mac.map(|(vf, mac)| Step::SetVf { vf, attr: VfAttr::Mac(mac) }));
    }
    let Some((at @ Place::Netns(_), link)) = &seen.link else { return steps };
    let set = |set| Step::Link { device: seen.device.clone(), at: at.clone(), set };
    let name = Some(record.ifname.clone()).filter(|name| *name != link.name);
    let mtu = record.wanted.mtu.filter(|mtu| link.mtu != Some(*mtu));
    if name.is_some() || mtu.is_some() {
        steps.push(set(LinkSet { mtu, name, ..LinkSet::default() }));
    }
    if let Some(mac) = record.wanted.mac {
        let has_admin = seen.settings.as_ref().and_then(|settings| settings.mac);
        let of_mac = set_mac(seen.vf(), has_admin, link.mac, mac, mac);
        steps.extend(of_mac.into_iter().map(|step| match step {
            MacStep::Admin(vf, mac) => Step::SetVf { vf, attr: VfAttr::Mac(mac) },
            MacStep::Own(mac) => set(LinkSet { mac: Some(mac), ..LinkSet::default() }),
        }));
    }
    let config = &record.wanted.config;
    let has_all = config.addresses.iter().all(|address| seen.addresses.contains(address))
        && config.routes.iter().all(|route| route.differs(&seen.routes).is_none());
    if let (Place::Netns(at), true) = (at, link.up == Some(false) || !has_all) {
        let (device, config) = (seen.device.clone(), config.clone());
        steps.push(Step::Configure { device, at: at.clone(), config });
    }
    steps
}
