//! CHECK: whether everything is as ADD left it. Changes nothing.

use super::dialect::Wish;
use super::failure::{Code, Failure};
use super::ipam::Ipam;
use super::log::Level;
use super::reply;
use super::{Command, Job};
use crate::engine::neighbours::{Found, Neighbours};
use crate::engine::state;
use crate::engine::store::Store;
use crate::engine::{Kernel, Surroundings};
use crate::model::ids::Cidr;
use crate::model::plan::attach::wanted;
use crate::model::record::{Record, Wanted};
use crate::model::seen::Seen;

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
        let seen = job.kernel.inspect_with_ip(&record.device, Some(&record.netns))?;
        let of = if records.len() > 1 { format!("{}: ", record.ifname) } else { String::new() };
        let drift = state::drift(record, &seen).iter().map(ToString::to_string).collect();
        let all = against_previous(job, record, &seen, drift);
        wrong.extend(all.iter().map(|line| format!("{of}{line}")));
    }
    if !wrong.is_empty() {
        let text = format!("{} is not as it was attached: {}", record.device, wrong[0]);
        return Err(Failure::new(Code::Drift, text).details(wrong.join("\n")));
    }
    match Ipam::of(job.config, job.call, job.input)? {
        Some(ipam) => job.pass_on(&ipam, Command::Check),
        None => Ok(()),
    }
}

/// What another plugin attached: whether it is as the configuration asks for, and as ADD answered.
fn of_another_plugin<K: Kernel + Store + Surroundings + Neighbours>(
    job: &Job<'_, K>,
    found: &Found,
) -> Result<(), Failure> {
    let device = &found.says.device;
    job.log.of_device(device);
    let netns = super::add::netns(job)?;
    let seen = job.kernel.inspect_with_ip(device, Some(&netns))?;
    let asked = match Wish::read(job.config, job.call) {
        Ok(wish) => wanted(&super::add::request(job, &wish, &netns), &seen),
        // That plugin may have taken what is refused here.
        Err(failure) => {
            let text = format!("not compared with the configuration: {}", failure.msg);
            job.log.line(Level::Warning, &text);
            Wanted::default()
        }
    };
    // User space has it, or its driver: there is no interface that could be anywhere.
    let has_none = seen.link.is_none() && seen.is_userspace();
    let record = Record {
        ifname: if has_none { String::new() } else { job.place().ifname.to_owned() },
        original: found.says.original.clone(),
        wanted: asked,
        ..Record::of(&seen, &job.kernel.moment()?, job.owner(), netns)
    };
    let drift = state::drift(&record, &seen).iter().map(ToString::to_string).collect();
    let wrong = against_previous(job, &record, &seen, drift);
    if wrong.is_empty() {
        return Ok(());
    }
    let text = format!("{device} is not as it was attached: {}", wrong[0]);
    Err(Failure::new(Code::Drift, text).details(wrong.join("\n")))
}

/// Adds what ADD had answered and is no longer so.
fn against_previous<K>(
    job: &Job<'_, K>,
    record: &Record,
    seen: &Seen,
    mut wrong: Vec<String>,
) -> Vec<String> {
    let (Some(previous), Some((_, link))) = (&job.config.previous, &seen.link) else {
        return wrong;
    };
    let name = record.ifname.as_str();
    let mut differ = |text: String| {
        if !wrong.contains(&text) {
            wrong.push(text);
        }
    };
    let of = |index: Option<u64>| {
        let index = index.and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| previous.interfaces.get(index))
    };
    let mut inside = previous.interfaces.iter().filter(|interface| interface.sandbox.is_some());
    // What names no interface is ours where there is no other.
    let is_alone = inside.clone().all(|interface| interface.name == name);
    match inside.find(|interface| interface.name == name) {
        None if !previous.interfaces.is_empty() => {
            differ(format!("prevResult has no interface {name} in the container"));
        }
        None => {}
        Some(interface) => {
            let mac = link.mac.map(|mac| mac.to_string());
            if let (Some(told), Some(mac)) = (&interface.mac, mac)
                && !told.eq_ignore_ascii_case(&mac)
            {
                differ(format!("MAC is {mac}, not {told}"));
            }
            if let (Some(told), Some(mtu)) = (interface.mtu, link.mtu)
                && told != mtu
            {
                differ(format!("MTU is {mtu}, not {told}"));
            }
        }
    }
    let is_own = |ip: &&reply::Ip| match ip.interface {
        Some(_) => of(ip.interface).is_none_or(|interface| interface.name == name),
        None => is_alone || record.wanted.config.addresses.contains(&ip.address),
    };
    let own: Vec<Cidr> = previous.ips.iter().filter(is_own).map(|ip| ip.address).collect();
    for address in own.iter().filter(|address| !seen.addresses.contains(address)) {
        differ(format!("address is missing, not {address}"));
    }
    for route in previous.routes.iter().filter_map(reply::Route::parsed) {
        // A route names no interface, but is through a network that one of them is in.
        let is_own = is_alone
            || route.via.is_some_and(|via| own.iter().any(|address| address.contains(via)));
        if let (true, Some(actual)) = (is_own, route.differs(&seen.routes)) {
            differ(format!("route is {actual}, not {route}"));
        }
    }
    wrong
}
