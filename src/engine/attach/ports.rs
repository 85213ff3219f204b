//! Further ports of a device: where several have one PCI address, all of them go with the first, as
//! `NAMEd1` and so on, or none does.

use super::clear::clear;
use super::{Attached, Failed, Job};
use crate::engine::store::{Shelf, Store};
use crate::engine::{Kernel, Progress, Surroundings};
use crate::error::{Error, Result};
use crate::model::plan::attach::{Request, name_of_port};
use crate::model::record::Record;
use crate::model::step::IpConfig;

impl<K: Kernel + Store + Surroundings> Job<'_, K> {
    /// Attaches them, under the lock of the device. What belongs to one interface only, its MAC and
    /// its addresses, the first one has.
    pub(super) fn attach_ports(&self, record: &Record, dry_run: bool) -> Result<Vec<Attached>> {
        let mut done = Vec::new();
        for port in &record.ports {
            let name = self.request.name.as_ref();
            let name = name.map(|name| name_of_port(name.as_str(), port.port()));
            let request = Request {
                // The plan of the first has seen that these are names.
                name: name.and_then(|name| name.parse().ok()),
                mac: None,
                config: IpConfig::default(),
                driver: None,
                told: Vec::new(),
                ..self.request.clone()
            };
            let job = Job { request: &request, ..*self };
            done.push(job.attach_locked(port, dry_run).map_err(Failed::into_error)?);
        }
        Ok(done)
    }
}

/// Gives back those that have a record, under the lock of the device; returns what could not be done.
pub(in crate::engine) fn clear_ports<K: Kernel + Store>(
    kernel: &K,
    record: &Record,
    progress: &dyn Progress,
) -> Vec<Error> {
    let one = |port| -> Result<()> {
        let Some(stored) = kernel.stored(Shelf::Attachments, port)? else { return Ok(()) };
        match stored.record().filter(|of| of.owner == record.owner) {
            Some(of) => clear(kernel, Shelf::Attachments, of, true, progress),
            None => Ok(()),
        }
    };
    record.ports.iter().filter_map(|port| one(port).err()).collect()
}
