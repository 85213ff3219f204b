//! DEL: the VF as it was, the addresses given back; idempotent, and going on after an error.

use super::dialect::{Source, Wish};
use super::failure::{Code, Failure};
use super::ipam::Ipam;
use super::log::Level;
use super::{Command, Job};
use crate::engine::detach::{Detached, detach};
use crate::engine::neighbours::{Neighbours, give_back, taken_over};
use crate::engine::state::bring_home;
use crate::engine::store::Store;
use crate::engine::{Kernel, Surroundings};
use crate::model::ids::DeviceId;
use crate::model::link::Link;
use crate::model::record::{NetnsId, Record};

/// Detaches. What is not attached is detached already.
pub fn del<K: Kernel + Store + Surroundings + Neighbours>(job: &Job<'_, K>) -> Result<(), Failure> {
    let _call = job.lock()?;
    let ipam = Ipam::of(job.config, job.call, job.input);
    let addresses_first = matches!(&ipam, Ok(Some(ipam)) if ipam.needs_interface());
    let addresses = || ipam?.map_or(Ok(()), |ipam| job.pass_on(&ipam, Command::Del));
    // The device first where that is possible: whatever an IPAM plugin waits for, it is not lost.
    if addresses_first {
        let addresses = addresses();
        return all_of([addresses].into_iter().chain(devices(job)));
    }
    let devices = devices(job);
    all_of(devices.into_iter().chain([addresses()]))
}

/// Gives back whatever device the attachment has, by our records or another plugin's.
fn devices<K: Kernel + Store + Surroundings + Neighbours>(
    job: &Job<'_, K>,
) -> Vec<Result<(), Failure>> {
    let ours = match job.records_of_call() {
        Ok(records) => records,
        Err(failure) => return vec![Err(failure)],
    };
    // What another plugin has by now is by that one's record.
    let (over, ours): (Vec<_>, Vec<_>) =
        ours.iter().partition(|record| taken_over(job.kernel, record).is_some());
    let mut results: Vec<_> = over.iter().map(|record| release(job, record)).collect();
    if ours.is_empty() {
        results.push(by_another(job));
        results.push(job.kernel.forget_call(&job.owner()).map_err(Failure::from));
    }
    results.extend(ours.iter().map(|record| release(job, record)));
    results
}

/// Gives back what another plugin attached before the node was switched over, by its record.
fn by_another<K: Kernel + Store + Surroundings + Neighbours>(
    job: &Job<'_, K>,
) -> Result<(), Failure> {
    let Some(found) = job.kernel.neighbour(&job.place())? else { return lost(job) };
    job.log.of_device(&found.says.device);
    job.log.line(Level::Info, &format!("another plugin attached it: {}", found.path));
    // The namespace may be gone, or not be named.
    let at = super::add::netns(job).ok();
    Ok(give_back(job.kernel, &found, at.as_ref(), job.place().dir, job.log)?)
}

/// No record tells of it; see [`bring_lost_home`].
fn lost<K: Kernel + Store + Neighbours>(job: &Job<'_, K>) -> Result<(), Failure> {
    match bring_lost_home(job)? {
        Some(name) => job.log.line(
            Level::Warning,
            &format!("it had no record: given back as {name}, with its driver's settings"),
        ),
        None => {
            job.log.line(Level::Info, "there is no such attachment: nothing to give back");
        }
    }
    Ok(())
}

/// What the configuration names is in the container under the call's name, and no record tells of it:
/// the directory was lost, or something wrote over the file. Left there, it would come back with
/// everything that was set for the container when the namespace ends. Returns its name on the host.
fn bring_lost_home<K: Kernel + Store + Neighbours>(
    job: &Job<'_, K>,
) -> Result<Option<String>, Failure> {
    // The namespace may be gone, or not be named; what was in it is on the host then.
    let (Ok(wish), Ok(netns)) = (Wish::read(job.config, job.call), super::add::netns(job)) else {
        return Ok(None);
    };
    let Source::Device(address) = wish.source else { return Ok(None) };
    let device = DeviceId::from(address);
    // Where a record of another attachment tells of it, it is not lost.
    let known = job.kernel.neighbours(job.place().dir)?;
    if known.iter().any(|found| found.says.device == device) {
        return Ok(None);
    }
    job.log.of_device(&device);
    let is_it =
        |at: &NetnsId, link: &Link| at.inode == netns.inode && link.name == wish.ifname.as_str();
    let name = bring_home(job.kernel, &device, &is_it, job.log)?;
    if name.is_some() {
        job.kernel.untell(&job.kernel.told_at(&job.told_place()), &device, Some(&netns.path))?;
    }
    Ok(name)
}

/// Gives one device back, if it still is this call's, with what was written down of it for others.
pub fn release<K: Kernel + Store + Neighbours>(
    job: &Job<'_, K>,
    record: &Record,
) -> Result<(), Failure> {
    let device = &record.device;
    job.log.of_device(device);
    let still = |record: &Record| record.owner.is_of(&job.call.container, &job.call.ifname);
    match detach(job.kernel, device, &still, job.log)? {
        Detached::Done(_) => job.log.line(Level::Info, "given back"),
        Detached::NotAttached(_) => {
            job.log.line(Level::Info, "it was given back meanwhile");
            return Ok(());
        }
        Detached::SetAside { kept, .. } => {
            job.log.line(Level::Warning, &format!("its record was no record; kept as {kept}"));
        }
    }
    Ok(())
}

/// One failure of several.
pub fn all_of(results: impl IntoIterator<Item = Result<(), Failure>>) -> Result<(), Failure> {
    let mut failures = results.into_iter().filter_map(Result::err);
    let Some(first) = failures.next() else { return Ok(()) };
    let more: Vec<String> = failures.map(|f| format!("{}: {}", f.msg, f.details)).collect();
    if more.is_empty() {
        return Err(first);
    }
    let details = [vec![first.details.clone()], more].concat().join("\n");
    Err(Failure { code: Code::Partial, ..first }.details(details.trim().to_owned()))
}
