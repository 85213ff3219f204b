//! GC: what is not listed is given back; of this network only, and going on after an error.

use super::del::all_of;
use super::failure::Failure;
use super::ipam::Ipam;
use super::log::Level;
use super::{Command, Job, is_of};
use crate::engine::detach::detach;
use crate::engine::store::Store;
use crate::engine::{Kernel, Surroundings};
use crate::model::record::Record;

/// Gives back whatever has no owner any more.
pub fn gc<K: Kernel + Store + Surroundings>(job: &Job<'_, K>) -> Result<(), Failure> {
    let valid = job.config.valid.clone().unwrap_or_default();
    let stays =
        |record: &Record| valid.iter().any(|(container, ifname)| is_of(record, container, ifname));
    let ours = |record: &Record| record.owner.network == job.config.name;
    let all = job.records()?.into_iter();
    let ipam = Ipam::of(job.config, job.call, job.input);
    let mut results = Vec::new();
    for record in all.filter(ours).filter(|record| !stays(record)) {
        job.log.line(Level::Info, &format!("{} of {} is left over", record.device, record.owner));
        // Looked at again under the lock: somebody may have got it meanwhile.
        let still = |now: &Record| ours(now) && !stays(now);
        if let Err(error) = detach(job.kernel, &record.device, &still, job.log) {
            results.push(Err(Failure::from(error)));
        }
        if let (Ok(Some(ipam)), Some(container), Some(ifname)) =
            (&ipam, &record.owner.container, &record.owner.ifname)
        {
            results.push(ipam.release(container, ifname, &record.netns.path));
        }
    }
    results.push(ipam.and_then(|ipam| ipam.map_or(Ok(()), |ipam| ipam.pass_on(Command::Gc))));
    all_of(results)
}
