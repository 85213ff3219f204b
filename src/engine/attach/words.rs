//! Refusals of an attachment in an administrator's words.

use crate::error::{Error, Kind, libc_errno};
use crate::model::plan::attach::Refusal;
use crate::model::seen::{Seen, Target};

/// The refusal in an administrator's words.
pub(super) fn refusal_error(seen: &Seen, target: &Target, refusal: &Refusal) -> Error {
    let name = &seen.name;
    let path = &target.netns.path;
    let error = match refusal {
        Refusal::Held(record) => Error::new(
            Kind::Busy,
            format!(
                "{name} is already attached: {} has it as {} in {}",
                record.owner, record.ifname, record.netns.path
            ),
        )
        .hint(format!("give it back first: sriovctl detach {}", record.device)),
        Refusal::InUse(users) => {
            let users: Vec<String> = users.iter().map(ToString::to_string).collect();
            Error::new(Kind::Busy, format!("{name} is in use: {}", users.join(", ")))
                .hint("free it first, or take any free one with --pf")
        }
        Refusal::TargetIsHost => Error::new(
            Kind::Usage,
            format!("{path} is the host's own network namespace: there is nothing to attach to"),
        ),
        Refusal::NoNameForPort(long) => Error::new(
            Kind::Usage,
            format!("{name} has a second port, and no interface can be called {long}"),
        )
        .hint("give it a shorter name"),
        Refusal::NameTaken(taken) => {
            Error::new(Kind::Busy, format!("{path} has an interface called {taken} already"))
                .hint("choose another name with --name")
                .with_errno(libc_errno::EEXIST)
        }
        Refusal::NoDriver => {
            Error::new(Kind::Busy, format!("{name} has no driver, and so no interface"))
                .hint(format!("give it its own: sriovctl bind-dpdk --restore {}", seen.device))
        }
        Refusal::NoInterface(driver) => Error::new(
            Kind::Busy,
            format!("{name} has the driver {driver}, but no interface that can be seen"),
        ),
        Refusal::MtuAbovePf { mtu, pf_mtu } => Error::new(
            Kind::Usage,
            format!("an MTU of {mtu} on {name} is more than its PF's {pf_mtu}"),
        )
        .hint(format!(
            "raise the PF's first: ip link set {} mtu {mtu}",
            seen.pf_netdev.as_deref().unwrap_or("PF")
        )),
        Refusal::NeedsPf(attrs) => {
            let attrs: Vec<String> = attrs.iter().map(ToString::to_string).collect();
            Error::new(
                Kind::Unsupported,
                format!(
                    "{name} has no PF on this host, which alone could set: {}",
                    attrs.join(", ")
                ),
            )
        }
    };
    error.device(name.clone())
}
