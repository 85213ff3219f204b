//! Drivers of devices: loading, taking away, giving (kernel: drivers/base/bus.c,
//! drivers/pci/pci-driver.c).

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Host, modules, sysfs};
use crate::error::{Error, Kind, Result, libc_errno};
use crate::model::binding::DriverState;
use crate::model::explain;
use crate::model::ids::DeviceId;
use crate::model::step::{Outcome, Step, Subject};

/// Whether VFIO takes devices without an IOMMU; writable while the module is loaded.
pub(super) const NOIOMMU: &str = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode";

impl Host {
    fn subject_dir(&self, of: &Subject) -> PathBuf {
        match of {
            Subject::Vf(vf) => self.vf_dir(vf),
            Subject::Device(device) => self.device_dir(device),
        }
    }

    /// The address of a device that is there.
    fn address(&self, step: &Step, of: &Subject) -> Result<String> {
        let gone = || self.refused(step, libc_errno::ENODEV);
        match of {
            Subject::Vf(vf) => sysfs::link_name(&self.vf_dir(vf)).ok_or_else(gone),
            Subject::Device(device) if self.device_dir(device).exists() => {
                Ok(device.name().to_owned())
            }
            Subject::Device(_) => Err(gone()),
        }
    }

    pub(super) fn driver_dir(&self, driver: &str) -> PathBuf {
        self.root.join("sys/bus/pci/drivers").join(driver)
    }

    /// Whether a driver is there, or can be had.
    pub(super) fn state_of_driver(&self, driver: &str) -> DriverState {
        if self.driver_dir(driver).exists() {
            return DriverState::Loaded;
        }
        // The commonest slip: modules treat - and _ alike, drivers do not.
        let plain = |name: &str| name.to_lowercase().replace('-', "_");
        let loaded = sysfs::names(&self.root.join("sys/bus/pci/drivers"));
        if let Some(right) = loaded.iter().find(|name| plain(name) == plain(driver)) {
            return DriverState::Unknown(Some(right.clone()));
        }
        let module = modules::named(&self.root, driver);
        match module {
            // The module that is not loaded yet shows how its driver is spelled only by its file.
            Some(file) if file == driver || !modules::spells_its_driver(&file) => {
                DriverState::Loadable
            }
            Some(file) => DriverState::Unknown(Some(file)),
            None => DriverState::Unknown(
                crate::model::selector::nearest(
                    driver,
                    loaded.iter().map(String::as_str).chain([
                        "vfio-pci",
                        "uio_pci_generic",
                        "igb_uio",
                    ]),
                )
                .map(str::to_owned),
            ),
        }
    }

    pub(super) fn load_driver(&self, driver: &str) -> Result<Outcome> {
        match self.state_of_driver(driver) {
            DriverState::Loaded => return Ok(Outcome::AlreadySo),
            DriverState::Loadable => {}
            DriverState::Unknown(nearest) => {
                return Err(explain::no_driver(driver, nearest.as_deref()));
            }
        }
        let output = std::process::Command::new("modprobe")
            .args(["--", driver])
            .output()
            .map_err(|error| Error::io("running modprobe", &error))?;
        let failed = |why: &str| {
            Error::new(Kind::Failed, format!("could not load the driver {driver}: {why}"))
                .hint("read the kernel's reason: dmesg | tail")
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let lines = said.lines().map(|line| {
                let line = line.trim_start_matches("modprobe: ");
                line.trim_start_matches("FATAL: ").trim_start_matches("ERROR: ")
            });
            let said = lines.collect::<Vec<_>>().join("; ");
            return Err(failed(&if said.is_empty() {
                format!("modprobe ended with {}", output.status)
            } else {
                said
            }));
        }
        match self.state_of_driver(driver) {
            DriverState::Loaded => Ok(Outcome::Changed),
            DriverState::Unknown(Some(right)) => Err(explain::no_driver(driver, Some(&right))),
            _ => Err(Error::new(
                Kind::NotFound,
                format!("the module {driver} was loaded, but brings no PCI driver of that name"),
            )
            .hint("see which there are: sriovctl bind-dpdk --status")),
        }
    }

    pub(super) fn allow_noiommu(&self, step: &Step, on: bool) -> Result<Outcome> {
        let path = self.root.join(NOIOMMU);
        if sysfs::text(&path).is_some_and(|is| (is == "Y" || is == "1") == on) {
            return Ok(Outcome::AlreadySo);
        }
        sysfs::write(&path, if on { "Y" } else { "N" })
            .map_err(|errno| self.refused(step, errno))
            .map(|()| Outcome::Changed)
    }

    /// The write takes the device's lock, which whoever is stuck with the device holds.
    pub(super) fn set_override(
        &self,
        step: &Step,
        of: &Subject,
        driver: Option<&str>,
        timeout: Duration,
    ) -> Result<Outcome> {
        let path = self.subject_dir(of).join("driver_override");
        let present = sysfs::text(&path).filter(|text| text != "(null)");
        if present.as_deref() == driver {
            return Ok(Outcome::AlreadySo);
        }
        // An empty line clears it (drivers/base/driver.c, `driver_set_override`).
        self.write_slowly(step, &path, &format!("{}\n", driver.unwrap_or_default()), timeout)
            .map(|()| Outcome::Changed)
    }

    pub(super) fn unbind(&self, step: &Step, of: &Subject, timeout: Duration) -> Result<Outcome> {
        let driver = self.subject_dir(of).join("driver");
        if !driver.exists() {
            return Ok(Outcome::AlreadySo);
        }
        let address = self.address(step, of)?;
        self.write_slowly(step, &driver.join("unbind"), &address, timeout)
            .map(|()| Outcome::Changed)
    }

    /// Where the kernel knows no way to reset the device there is no such file
    /// (Documentation/ABI/testing/sysfs-bus-pci).
    pub(super) fn reset(&self, step: &Step, of: &DeviceId, timeout: Duration) -> Result<Outcome> {
        let path = self.device_dir(of).join("reset");
        if !path.exists() {
            return Ok(Outcome::AlreadySo);
        }
        self.write_slowly(step, &path, "1", timeout).map(|()| Outcome::Changed)
    }

    pub(super) fn bind(
        &self,
        step: &Step,
        of: &Subject,
        driver: &str,
        timeout: Duration,
    ) -> Result<Outcome> {
        let link = self.subject_dir(of).join("driver");
        if sysfs::link_name(&link).as_deref() == Some(driver) {
            return Ok(Outcome::AlreadySo);
        }
        let address = self.address(step, of)?;
        let path = self.driver_dir(driver).join("bind");
        self.write_slowly(step, &path, &address, timeout)?;
        match sysfs::link_name(&link).as_deref() {
            Some(bound) if bound == driver => Ok(Outcome::Changed),
            _ => Err(self.refused(step, libc_errno::ENODEV)),
        }
    }
}

/// Where depmod writes what it knows of the modules of the running kernel.
pub(super) fn modules_dir(root: &Path) -> PathBuf {
    let release = sysfs::text(&root.join("proc/sys/kernel/osrelease")).unwrap_or_default();
    root.join("lib/modules").join(release)
}
