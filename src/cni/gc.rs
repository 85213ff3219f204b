//! GC: what is not listed is given back; of this network only, and going on after an error.

use super::del::all_of;
use super::failure::Failure;
use super::ipam::Ipam;
use super::log::Level;
use super::{Command, Job};
use crate::engine::detach::detach;
use crate::engine::neighbours::{Found, Neighbours, give_back};
use crate::engine::store::Store;
use crate::engine::{Kernel, Surroundings};
use crate::model::record::Record;

/// Gives back whatever has no owner any more.
pub fn gc<K: Kernel + Store + Surroundings + Neighbours>(job: &Job<'_, K>) -> Result<(), Failure> {
    let valid = job.config.valid.clone().unwrap_or_default();
    let stays = |record: &Record| {
        valid.iter().any(|(container, ifname)| record.owner.is_of(container, ifname))
    };
    let ours = |record: &Record| record.owner.network == job.config.name;
    let all = job.records()?.into_iter();
    let ipam = Ipam::of(job.config, job.call, job.input);
    let mut results = Vec::new();
    for record in all.filter(ours).filter(|record| !stays(record)) {
        job.log.line(Level::Info, &format!("{} of {} is left over", record.device, record.owner));
        // Looked at again under the lock: somebody may have got it meanwhile.
        let still = |now: &Record| ours(now) && !stays(now);
        let detached = detach(job.kernel, &record.device, &still, job.log);
        results.push(detached.map(|_| ()).map_err(Failure::from));
        if let (Ok(Some(ipam)), Some(container), Some(ifname)) =
            (&ipam, &record.owner.container, &record.owner.ifname)
        {
            job.kernel.let_go();
            results.push(ipam.release(container, ifname, &record.netns.path));
        }
    }
    results.extend(of_other_plugins(job, &valid));
    results.push(job.kernel.forget_dead_calls().map_err(Failure::from));
    results.push(ipam.and_then(|ipam| ipam.map_or(Ok(()), |ipam| job.pass_on(&ipam, Command::Gc))));
    all_of(results)
}

/// Attachments of this network that other plugins made before the node was switched over.
fn of_other_plugins<K: Kernel + Store + Neighbours>(
    job: &Job<'_, K>,
    valid: &[(String, String)],
) -> Vec<Result<(), Failure>> {
    let dir = job.place().dir;
    let all = match job.kernel.neighbours(dir) {
        Ok(all) => all,
        Err(error) => return vec![Err(error.into())],
    };
    let stays =
        |found: &Found| valid.iter().any(|(container, ifname)| found.is_of(container, ifname));
    // A VF that an attachment which stays has is not touched, whatever else is written of it.
    let is_kept = |found: &Found| {
        all.iter().any(|other| other.says.device == found.says.device && stays(other))
    };
    // Some name no network, but the namespace: gone, it was everybody's last.
    let has_nameless = all.iter().any(|found| found.says.network.is_none());
    let namespaces = if has_nameless { job.kernel.namespaces() } else { Ok(Vec::new()) };
    let is_gone = |inode: u64| {
        namespaces.as_ref().is_ok_and(|all| all.iter().all(|netns| netns.inode != inode))
    };
    let is_left = |found: &&Found| {
        let is_of_this = match &found.says.network {
            Some(network) => *network == job.config.name,
            None => found.inode.is_some_and(is_gone),
        };
        is_of_this && !found.says.ours && !is_kept(found)
    };
    let release = |found: &Found| {
        job.log.line(Level::Info, &format!("{} is left over from another plugin", found.path));
        give_back(job.kernel, found, None, dir, job.log).map_err(Failure::from)
    };
    all.iter().filter(is_left).map(release).collect()
}
