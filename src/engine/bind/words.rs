//! Refusals of a binding in an administrator's words.

use super::Look;
use crate::error::{Error, Kind};
use crate::model::binding::{DriverState, Member};
use crate::model::explain;
use crate::model::facts::Holder;
use crate::model::plan::bind::{Refusal, Request};
use crate::model::record::Record;
use crate::model::seen::Seen;
use crate::model::usage::User;

/// Why nothing was changed, and what to do about it.
pub(super) fn refusal_error(
    request: &Request,
    look: &Look,
    driver: &DriverState,
    refusal: &Refusal,
) -> Error {
    let seen = &look.seen;
    let (name, wanted) = (&seen.name, &request.driver);
    let error = match refusal {
        Refusal::Gone => return gone(seen),
        Refusal::Held(record) => return held(seen, record),
        Refusal::Open(holders) => return is_open(seen, &holders.iter().collect::<Vec<_>>()),
        Refusal::UnknownDriver(_) => {
            let DriverState::Unknown(nearest) = driver else { return gone(seen) };
            return explain::no_driver(wanted, nearest.as_deref());
        }
        Refusal::Bridge => Error::new(
            Kind::Busy,
            format!("{name} is a bridge: whatever is behind it would be lost"),
        )
        .hint("name the device behind it: sriovctl list-vfs"),
        Refusal::NotNetwork(driver) => Error::new(
            Kind::Busy,
            format!(
                "{name} is no network card, and {driver} uses it: disks or screens may hang on it"
            ),
        )
        .hint("see what it is: lspci; bind it all the same with --force"),
        Refusal::NoNode => Error::new(
            Kind::Usage,
            format!("{wanted} makes no device node that could belong to somebody"),
        )
        .hint("leave --owner and --mode away"),
        Refusal::HasVfs(count) => Error::new(
            Kind::Busy,
            format!("{name} has {count} VFs, which its driver would destroy when it is taken away"),
        )
        .hint(format!("remove them first: sriovctl set-numvfs {name} 0")),
        Refusal::Lockdown(mode) => Error::new(
            Kind::Permission,
            format!(
                "this kernel is locked down ({mode}, by Secure Boot) and lets no UIO driver work"
            ),
        )
        .hint("use vfio-pci, which needs an IOMMU, or switch Secure Boot off"),
        Refusal::Away(netns) => Error::new(
            Kind::Busy,
            format!("{name} is in the network namespace {netns}, which would lose it"),
        )
        .hint(format!("bring it back first: sriovctl inspect-state --repair '{name}'")),
        Refusal::InUse { users, session } => in_use(name, users, *session),
        Refusal::Bifurcated(driver) => Error::new(
            Kind::Busy,
            format!("{name} needs no other driver: DPDK drives it through {driver}, which stays"),
        )
        .hint("leave it as it is and start the DPDK program; --force binds it all the same"),
        Refusal::NoIommu => Error::new(
            Kind::Unsupported,
            format!("{name} has no IOMMU group, without which {wanted} takes no device"),
        )
        .hint(format!(
            "{}; or, with no protection of memory, --allow-noiommu",
            look.platform.iommu_hint()
        )),
        Refusal::NoIommuAbsent => Error::new(
            Kind::Unsupported,
            format!("{name} has no IOMMU group, and this kernel's VFIO has no mode without one"),
        )
        .hint(format!("{}; or bind it to uio_pci_generic", look.platform.iommu_hint())),
        Refusal::NotViable(members) => not_viable(look, wanted, members),
        Refusal::NeedsPf(attrs) => {
            let attrs: Vec<String> = attrs.iter().map(ToString::to_string).collect();
            Error::new(
                Kind::Unsupported,
                format!("{name} has no PF here that could set: {}", attrs.join(", ")),
            )
        }
    };
    error.device(name.clone())
}

fn in_use(name: &str, users: &[User], session: bool) -> Error {
    let list: Vec<String> = users.iter().map(ToString::to_string).collect();
    let list = list.join(", ");
    let text = if session {
        format!("this SSH session comes in through {name} ({list}) and would end")
    } else {
        format!("{name} is in use, and the host would lose: {list}")
    };
    Error::new(Kind::Busy, text).hint("move that elsewhere first, or go on with --force")
}

fn not_viable(look: &Look, wanted: &str, members: &[Member]) -> Error {
    let name = &look.seen.name;
    let number = look.ground.group.as_ref().map(|group| group.number).unwrap_or_default();
    let line = |member: &Member| {
        format!("{}: {}", member.device, member.driver.as_deref().unwrap_or("no driver"))
    };
    let addresses: Vec<String> = members.iter().map(|member| member.device.to_string()).collect();
    let its_pf = look.seen.vf_of.as_ref().map(|of| &of.pf);
    let hint = if members.iter().any(|member| Some(&member.device) == its_pf) {
        "its PF, which must stay, is among them: put the card into a slot with ACS; --force binds it all the same"
            .to_owned()
    } else {
        format!(
            "bind these too: sriovctl bind-dpdk {}; or put the card into a slot with ACS; --force binds it all \
             the same",
            addresses.join(" ")
        )
    };
    Error::new(
        Kind::Busy,
        format!(
            "{name} shares IOMMU group {number} with devices on kernel drivers: {wanted} could have it, \
             but no program could open it"
        ),
    )
    .details(members.iter().map(line))
    .hint(hint)
}

pub(super) fn gone(seen: &Seen) -> Error {
    Error::new(Kind::NotFound, format!("there is no device {}", seen.device))
        .device(seen.device.to_string())
        .hint("list what there is with: sriovctl list-vfs")
}

pub(super) fn held(seen: &Seen, record: &Record) -> Error {
    let name = &seen.name;
    let place = match record.ifname.as_str() {
        "" => record.netns.path.clone(),
        ifname => format!("{ifname} in {}", record.netns.path),
    };
    Error::new(Kind::Busy, format!("{name} is attached: {} has it as {place}", record.owner))
        .device(name.clone())
        .hint(format!("give it back first: sriovctl detach {}", record.device))
}

pub(super) fn is_open(seen: &Seen, holders: &[&Holder]) -> Error {
    let list: Vec<String> =
        holders.iter().map(|h| format!("{}[{}] has {} open", h.comm, h.pid, h.node)).collect();
    let pids: Vec<String> = holders.iter().map(|holder| holder.pid.to_string()).collect();
    Error::new(Kind::Busy, format!("{} is in use: {}", seen.name, list.join(", ")))
        .device(seen.name.clone())
        .hint(format!(
            "end it first (kill {}): until then the kernel would wait, and nothing can be forced",
            pids.join(" ")
        ))
}
