//! CHECK: whether everything is as ADD left it. Changes nothing.

use super::failure::{Code, Failure};
use super::ipam::Ipam;
use super::{Command, Job};
use crate::engine::state;
use crate::engine::store::Store;
use crate::engine::{Kernel, Surroundings};
use crate::model::record::Record;
use crate::model::seen::Seen;

/// Compares; every difference is named.
pub fn check<K: Kernel + Store + Surroundings>(job: &Job<'_, K>) -> Result<(), Failure> {
    let Some(record) = job.record()? else {
        let text = format!(
            "container {} has no attachment {} that is known here",
            job.call.container, job.call.ifname
        );
        return Err(Failure::new(Code::UnknownContainer, text));
    };
    job.log.of_device(&record.device);
    let mut wrong = Vec::new();
    let netns = super::add::netns(job)?;
    if (netns.device, netns.inode) != (record.netns.device, record.netns.inode) {
        wrong.push(format!("it was attached to {}, which is another namespace", record.netns.path));
    }
    let seen = job.kernel.inspect(&record.device, Some(&record.netns))?;
    wrong.extend(state::drift(&record, &seen).iter().map(ToString::to_string));
    wrong.extend(against_previous(job, &record, &seen));
    if !wrong.is_empty() {
        wrong.dedup();
        let text = format!("{} is not as it was attached: {}", record.device, wrong[0]);
        return Err(Failure::new(Code::Drift, text).details(wrong.join("\n")));
    }
    match Ipam::of(job.config, job.call, job.input)? {
        Some(ipam) => ipam.pass_on(Command::Check),
        None => Ok(()),
    }
}

/// What ADD had answered and is no longer so.
fn against_previous<K>(job: &Job<'_, K>, record: &Record, seen: &Seen) -> Vec<String> {
    let Some(previous) = &job.config.previous else { return Vec::new() };
    let Some((_, link)) = &seen.link else { return Vec::new() };
    let name = &record.ifname;
    let of = |index: Option<u64>| {
        let index = index.and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| previous.interfaces.get(index))
    };
    let mut wrong = Vec::new();
    let ours = |interface: &&super::reply::Interface| {
        interface.name == *name && interface.sandbox.is_some()
    };
    match previous.interfaces.iter().find(ours) {
        None if !previous.interfaces.is_empty() => {
            wrong.push(format!("prevResult has no interface {name} in the container"));
        }
        None => {}
        Some(interface) => {
            let mac = link.mac.map(|mac| mac.to_string());
            if let (Some(told), Some(mac)) = (&interface.mac, mac)
                && !told.eq_ignore_ascii_case(&mac)
            {
                wrong.push(format!("MAC is {mac}, not {told}"));
            }
            if let (Some(told), Some(mtu)) = (interface.mtu, link.mtu)
                && told != mtu
            {
                wrong.push(format!("MTU is {mtu}, not {told}"));
            }
        }
    }
    let own = previous.ips.iter().filter(|ip| of(ip.interface).is_none_or(|i| i.name == *name));
    for ip in own {
        if !seen.addresses.contains(&ip.address) {
            wrong.push(format!("address is missing, not {}", ip.address));
        }
    }
    wrong
}
