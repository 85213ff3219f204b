//! The device that was looked at last, open: the next look reads on where this one was, and sees by that whether it is
//! the same device still.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use super::Host;
use super::sysfs::{self, Dir};
use crate::error::Result;
use crate::model::ids::DeviceId;

/// A device's directory.
#[derive(Debug)]
pub struct Opened {
    device: DeviceId,
    /// The directory.
    pub dir: Dir,
    /// Its number, see [`Dir::inode`].
    pub incarnation: Option<u64>,
    /// What `driver_override` says is read from, where the bus has that.
    driver_override: Option<OwnedFd>,
}

impl Opened {
    /// Its `driver_override`; an error once the device has gone, which an open file of it outlives (kernel:
    /// fs/kernfs/file.c, `kernfs_get_active`).
    fn driver_override(&self) -> nix::Result<Option<String>> {
        let Some(file) = &self.driver_override else { return Ok(None) };
        let text = sysfs::attribute_again(file)?;
        Ok(text.filter(|driver| driver != "(null)"))
    }
}

/// The last one.
#[derive(Debug, Default)]
pub struct LastOpened(Mutex<Option<Arc<Opened>>>);

impl LastOpened {
    /// Closes it.
    pub fn close(&self) {
        *self.last() = None;
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<Arc<Opened>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    /// A device's directory, and its `driver_override`; `None`: there is no such device.
    pub(super) fn open_device(
        &self,
        device: &DeviceId,
    ) -> Result<Option<(Arc<Opened>, Option<String>)>> {
        let known = self.opened.last().clone().filter(|known| known.device == *device);
        if let Some(known) = known.filter(|known| known.driver_override.is_some())
            && let Ok(driver) = known.driver_override()
        {
            return Ok(Some((known, driver)));
        }
        let Some(dir) = Dir::of_device(&self.device_dir(device))? else { return Ok(None) };
        let opened = Arc::new(Opened {
            device: device.clone(),
            incarnation: dir.inode(),
            driver_override: dir.file("driver_override"),
            dir,
        });
        let driver = opened.driver_override().unwrap_or_default();
        *self.opened.last() = Some(Arc::clone(&opened));
        Ok(Some((opened, driver)))
    }
}
