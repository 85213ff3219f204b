//! Addresses for what is attached already: an IPAM plugin may want to see the interface before it
//! gives any.

use super::{Attached, Job, STEP_WITHIN};
use crate::engine::store::{Shelf, Store, Stored};
use crate::engine::{Kernel, Progress, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::ids::DeviceId;
use crate::model::plan::attach::Request;
use crate::model::record::{Record, Wanted};
use crate::model::step::{IpConfig, Step};

/// Gives the interface its addresses and routes. Should this fail or be cut off, the record says that
/// the attachment is unfinished: it is for the caller to detach.
pub fn configure<K: Kernel + Store + Surroundings>(
    kernel: &K,
    attached: Attached,
    request: &Request,
    config: IpConfig,
    progress: &dyn Progress,
) -> Result<Attached> {
    let has_interface = !attached.record.ifname.is_empty();
    if config == IpConfig::default() || !has_interface {
        return Ok(attached);
    }
    let record = &attached.record;
    let (device, at) = (record.device.clone(), record.netns.clone());
    let pf: Option<&DeviceId> = record.vf_of.as_ref().map(|of| &of.pf);
    let _guard = kernel.lock_device(&device, pf, super::LOCK_WAIT)?;
    // The namespace may have ended while addresses were asked for, and another have the device now.
    match kernel.stored(Shelf::Attachments, &device)? {
        Some(Stored::Attached(now)) if now == *record => {}
        _ => {
            let text = format!("{} was given back meanwhile by somebody else", attached.name);
            return Err(Error::new(Kind::Busy, text).device(device.to_string()));
        }
    }
    let wanted = Wanted { config: config.clone(), ..record.wanted.clone() };
    let record = Record { wanted, ..record.clone() };
    kernel.begin(Shelf::Attachments, &record)?;
    let step = Step::Configure { device, at, config };
    progress.stage(&step.to_string(), 0);
    kernel.apply(&step, STEP_WITHIN)?;
    let job = Job { kernel, netns: &record.netns, request, progress };
    let seen = job.settle(&record, &attached.seen)?;
    job.conclude(&record)?;
    let steps = attached.steps.into_iter().chain([step]).collect();
    Ok(Attached { record, steps, seen, ..attached })
}
