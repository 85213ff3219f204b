//! Error numbers in an administrator's words: the same number means different things to
//! different files (kernel: drivers/pci/iov.c and the drivers' `sriov_configure`, `ndo_set_vf_*`).

use super::step::{Step, VfAttr};
use crate::error::libc_errno::{
    EACCES, EADDRNOTAVAIL, EAGAIN, EBUSY, EEXIST, EINVAL, EIO, ENODEV, ENOENT, ENOMEM, ENOSPC,
    ENOTSUPP, EOPNOTSUPP, EPERM, EPROTONOSUPPORT, ERANGE, EROFS, ETIMEDOUT,
};
use crate::error::{Error, Kind, errno_text};

/// The error of a step that the kernel refused.
///
/// `name` is what the device is called, `driver` its driver.
pub fn step(step: &Step, errno: i32, name: &str, driver: Option<&str>) -> Error {
    let (kind, why, hint) = match step {
        Step::SetNumVfs { pf, count } => numvfs(errno, &pf.to_string(), *count, driver),
        Step::Bind { driver, .. } => bind(errno, driver),
        Step::SetVf { attr, .. } => setting(errno, *attr, driver),
        Step::SetVectors { .. } => vectors(errno, driver),
        Step::AllowNoIommu { .. } if errno == ENOENT => why(
            Kind::Unsupported,
            "this kernel's VFIO has no mode without one",
            "switch the IOMMU on, or bind it to uio_pci_generic",
        ),
        _ => general(errno),
    };
    let error = Error::new(kind, format!("could not {}: {why}", named(step, name)))
        .device(name)
        .with_errno(errno);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// A driver that is neither loaded nor to be had.
pub fn no_driver(driver: &str, nearest: Option<&str>) -> Error {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let same = nearest.is_some_and(|near| plain(near) == plain(driver));
    let error = Error::new(Kind::NotFound, format!("there is no driver {driver}, nor a module"));
    match (driver, nearest) {
        (_, Some(right)) if same => Error::new(
            Kind::NotFound,
            format!(
                "there is no driver {driver}: unlike modules, drivers are told by case, - and _"
            ),
        )
        .hint(format!("the driver is spelled {right}")),
        ("igb_uio", _) => error
            .hint("it is no part of the kernel: use vfio-pci, or install its package (dpdk-kmods)"),
        (_, Some(near)) => error.hint(format!("did you mean {near}?")),
        _ => error.hint("see which there are: sriovctl bind-dpdk --status"),
    }
}

/// The step's phrase with the device called what people call it.
fn named(step: &Step, name: &str) -> String {
    let device = step.pf().or(step.device()).map(ToString::to_string).unwrap_or_default();
    let phrase = step.to_string();
    if device.is_empty() || device == name { phrase } else { phrase.replacen(&device, name, 1) }
}

type Why = (Kind, String, Option<String>);

fn why(kind: Kind, text: &str, hint: &str) -> Why {
    (kind, text.to_owned(), (!hint.is_empty()).then(|| hint.to_owned()))
}

fn numvfs(errno: i32, address: &str, count: u32, driver: Option<&str>) -> Why {
    let called = driver.unwrap_or("its driver");
    let log = format!("read the driver's reason: dmesg | grep {address}");
    match errno {
        ENOENT => match driver {
            None => why(Kind::Unsupported, "no driver is bound to it", "bind its driver first, then run this again"),
            Some("vfio-pci") => why(
                Kind::Unsupported,
                "vfio-pci creates VFs only where it is allowed to",
                "echo Y > /sys/module/vfio_pci/parameters/enable_sriov",
            ),
            Some("mlx4_core") => why(
                Kind::Unsupported,
                "mlx4_core takes the number of VFs only when it is loaded",
                "set it in /etc/modprobe.d: options mlx4_core num_vfs=N",
            ),
            Some(name) => (
                Kind::Unsupported,
                format!("the driver {name} cannot create VFs"),
                Some("use a PF driver with SR-IOV support".to_owned()),
            ),
        },
        ERANGE => (
            Kind::Busy,
            format!("{count} is more than the device can have now"),
            Some(format!("see how many it can have: sriovctl list-pfs {address}")),
        ),
        EBUSY => (
            Kind::Busy,
            format!("{called} is busy: it resets, has VFs already, or a guest has one of them"),
            Some("wait a moment and run this again; if it stays so, ".to_owned() + &log),
        ),
        ENOMEM => why(
            Kind::Unsupported,
            "the firmware gave the device too little memory space or too few bus numbers for so many VFs",
            "enable SR-IOV, ARI and Above 4G Decoding in the firmware setup, or boot with pci=realloc",
        ),
        ENOSPC => why(
            Kind::Unsupported,
            "no interrupt vectors (MSI-X) are left for so many VFs",
            "ask for fewer VFs, or give the PF fewer queues: ethtool -L PF combined N",
        ),
        EPERM => (
            Kind::Busy,
            match driver {
                Some("ixgbe") => "ixgbe refuses so many (63, 31 or 15, by its traffic classes and macvlans), or a guest has one of the VFs".to_owned(),
                Some("igb") => "igb refuses: it allows 7, needs MSI-X, and no VF may be in a guest".to_owned(),
                _ => format!("{called} refuses: a guest has one of the VFs, or its own limit is lower"),
            },
            Some(log),
        ),
        EOPNOTSUPP | ENOTSUPP => (
            Kind::Unsupported,
            match driver {
                Some("ice") => "ice cannot in safe mode (its DDP package is missing), or not so many".to_owned(),
                Some("cxgb4") => "cxgb4 needs a PCI bridge with ARI".to_owned(),
                _ => format!("{called} cannot do this in its present mode"),
            },
            Some(log),
        ),
        EINVAL => (
            Kind::Unsupported,
            format!("{called} refuses this number (a VF may be in a guest, or the PF be down)"),
            Some(log),
        ),
        ENODEV | EIO => (
            Kind::Failed,
            format!("the device does not answer ({})", errno_text(errno)),
            Some(log),
        ),
        _ => general(errno),
    }
}

fn bind(errno: i32, driver: &str) -> Why {
    match errno {
        ENODEV => (
            Kind::Unsupported,
            format!("{driver} does not take this device"),
            Some("see which do: sriovctl bind-dpdk --status".to_owned()),
        ),
        ENOENT => (
            Kind::NotFound,
            format!("there is no driver {driver}"),
            Some(format!("load it: modprobe {driver}")),
        ),
        EINVAL if driver.starts_with("vfio") => why(
            Kind::Unsupported,
            "the device has no IOMMU group, or is a bridge",
            "switch the IOMMU on: intel_iommu=on or amd_iommu=on on the kernel command line, and VT-d/AMD-Vi in the firmware setup",
        ),
        EBUSY => {
            why(Kind::Busy, "the device is in use, or shares its IOMMU group with one that is", "")
        }
        _ => general(errno),
    }
}

fn setting(errno: i32, attr: VfAttr, driver: Option<&str>) -> Why {
    let called = driver.unwrap_or("the driver");
    match (errno, attr) {
        (EOPNOTSUPP | ENOTSUPP, _) => {
            (Kind::Unsupported, format!("{called} cannot set this"), None)
        }
        (EPROTONOSUPPORT, _) => (
            Kind::Unsupported,
            format!("{called} knows no such VLAN protocol"),
            Some("use 802.1q".to_owned()),
        ),
        (EINVAL, VfAttr::Rate { .. }) => (
            Kind::Unsupported,
            format!(
                "{called} does not take this rate (a minimum is rare, and the link must be up)"
            ),
            None,
        ),
        (EINVAL, _) => (Kind::Unsupported, format!("{called} does not take this value"), None),
        (EAGAIN | EBUSY, _) => (
            Kind::Busy,
            "the VF is still resetting".to_owned(),
            Some("run this again in a moment".to_owned()),
        ),
        _ => general(errno),
    }
}

/// Kernel: drivers/pci/iov.c, `sriov_vf_msix_count_store`.
fn vectors(errno: i32, driver: Option<&str>) -> Why {
    let called = driver.unwrap_or("its PF's driver");
    match errno {
        EOPNOTSUPP | ENOTSUPP | ENOENT => {
            (Kind::Unsupported, format!("{called} gives each VF a fixed number"), None)
        }
        EBUSY => why(
            Kind::Busy,
            "the kernel takes their number only while the VF has no driver",
            "take it from its driver: echo ADDRESS > /sys/bus/pci/devices/ADDRESS/driver/unbind",
        ),
        EINVAL | ENOSPC => why(
            Kind::Busy,
            "there are not so many left, or a VF may not have so many",
            "see how many there are for all VFs: cat /sys/class/net/PF/device/sriov_vf_total_msix",
        ),
        _ => general(errno),
    }
}

fn general(errno: i32) -> Why {
    let text = errno_text(errno);
    match errno {
        EPERM | EACCES => (Kind::Permission, text, Some("run it as root".to_owned())),
        EROFS => why(
            Kind::Permission,
            "sysfs is mounted read-only here, as in an unprivileged container",
            "run it on the host",
        ),
        EBUSY | EAGAIN => (Kind::Busy, text, None),
        EADDRNOTAVAIL => {
            why(Kind::Busy, "the VF may not change its own MAC, since its PF has set one", "")
        }
        EEXIST => why(
            Kind::Busy,
            "the name is taken",
            "rename or remove the interface that has it: ip link show",
        ),
        ENODEV | ENOENT => (Kind::NotFound, text, None),
        EOPNOTSUPP | ENOTSUPP => (Kind::Unsupported, text, None),
        ETIMEDOUT => (Kind::TimedOut, text, None),
        _ => (Kind::Failed, text, None),
    }
}
