//! CHECK: whether everything is as ADD left it. Changes nothing.

use super::failure::{Code, Failure};
use super::ipam::Ipam;
use super::{Command, Job};
use crate::engine::neighbours::{Found, Neighbours};
use crate::engine::state;
use crate::engine::store::Store;
use crate::engine::{Kernel, Surroundings};
use crate::model::seen::Seen;
use crate::model::step::Place;

/// Compares; every difference is named.
pub fn check<K: Kernel + Store + Surroundings + Neighbours>(
    job: &Job<'_, K>,
) -> Result<(), Failure> {
    let records = job.records_of_call()?;
    let Some(record) = records.first() else {
        if let Some(found) = job.kernel.neighbour(&job.place())? {
            return of_another_plugin(job, &found);
        }
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
    for record in &records {
        let seen = job.kernel.inspect(&record.device, Some(&record.netns))?;
        let of = if records.len() > 1 { format!("{}: ", record.ifname) } else { String::new() };
        wrong.extend(state::drift(record, &seen).iter().map(|drift| format!("{of}{drift}")));
        wrong.extend(against_previous(job, &record.ifname, &seen));
    }
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

/// What another plugin attached: whether it is in its namespace under its name, and as ADD answered.
fn of_another_plugin<K: Kernel>(job: &Job<'_, K>, found: &Found) -> Result<(), Failure> {
    let netns = super::add::netns(job)?;
    let device = &found.says.device;
    let seen = job.kernel.inspect(device, Some(&netns))?;
    let mut wrong = Vec::new();
    match &seen.link {
        Some((Place::Netns(at), link)) if at.inode == netns.inode => {
            if link.name != job.place().ifname {
                wrong.push(format!("name is {}, not {}", link.name, job.place().ifname));
            }
            wrong.extend(against_previous(job, job.place().ifname, &seen));
        }
        // User space has it, or its driver: there is no interface that could be anywhere.
        None if seen.is_userspace() => {}
        _ => wrong.push(format!("it is not in {}", netns.path)),
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let text = format!("{device} is not as it was attached: {}", wrong[0]);
    Err(Failure::new(Code::Drift, text).details(wrong.join("\n")))
}

/// What ADD had answered and is no longer so.
fn against_previous<K>(job: &Job<'_, K>, name: &str, seen: &Seen) -> Vec<String> {
    let Some(previous) = &job.config.previous else { return Vec::new() };
    let Some((_, link)) = &seen.link else { return Vec::new() };
    let of = |index: Option<u64>| {
        let index = index.and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| previous.interfaces.get(index))
    };
    let mut wrong = Vec::new();
    let ours = |interface: &&super::reply::Interface| {
        interface.name == name && interface.sandbox.is_some()
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
    let own = previous.ips.iter().filter(|ip| of(ip.interface).is_none_or(|i| i.name == name));
    for ip in own {
        if !seen.addresses.contains(&ip.address) {
            wrong.push(format!("address is missing, not {}", ip.address));
        }
    }
    wrong
}
