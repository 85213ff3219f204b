//! Steps on the real host: each ensures, so that one applied twice changes nothing the second time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::kmsg::KernelLog;
use super::netlink::devlink::Devlink;
use super::netlink::{Refused, request, vf};
use super::write::{self, Failed};
use super::{Host, ports, sysfs};
use crate::engine::Kernel;
use crate::error::{Error, Kind, Result, libc_errno};
use crate::model::explain;
use crate::model::facts::Holder;
use crate::model::ids::DeviceId;
use crate::model::spec::Eswitch;
use crate::model::step::{LinkAttr, LinkSet, Outcome, Step, VfAttr, VfRef};

/// Reading the number of VFs takes no time, unless a write of it is under way, which may take
/// seconds or not end.
const READ_WITHIN: Duration = Duration::from_secs(5);

impl Host {
    pub(super) fn apply_step(&self, step: &Step, timeout: Duration) -> Result<Outcome> {
        self.must_be_live()?;
        let done = self.make_step(step, timeout);
        // What a step does to interfaces is seen anew.
        match step {
            _ if done.is_err() => self.recent.forget(),
            Step::Link { device, set: LinkSet { to: Some(to), name: Some(name), .. }, .. } => {
                self.recent.forget_one(device);
                self.recent.keep_moved(device, to, name);
            }
            Step::SetVf { .. } | Step::SetLink { .. } | Step::AltNames { .. } => {}
            Step::Link { device, .. }
            | Step::BringHome { device, .. }
            | Step::Configure { device, .. } => self.recent.forget_one(device),
            _ => self.recent.forget(),
        }
        done
    }

    fn make_step(&self, step: &Step, timeout: Duration) -> Result<Outcome> {
        match step {
            Step::SetNumVfs { pf, count } => self.set_numvfs(step, pf, *count, timeout),
            Step::SetAutoprobe { pf, on } => self.set_autoprobe(step, pf, *on),
            Step::SetEswitch { pf, mode } => self.set_eswitch(step, pf, *mode),
            Step::LoadDriver { driver } => self.load_driver(driver),
            Step::AllowNoIommu { on } => self.allow_noiommu(step, *on),
            Step::SetOverride { of, driver } => {
                self.set_override(step, of, driver.as_deref(), timeout)
            }
            Step::Unbind { of } => self.unbind(step, of, timeout),
            Step::Reset { device } => self.reset(step, device, timeout),
            Step::Bind { of, driver } => self.bind(step, of, driver, timeout),
            Step::SetNode { device, access } => self.set_node(step, device, *access),
            Step::SetVf { vf, attr } => self.set_vf(step, vf, *attr, timeout),
            Step::SetVectors { vf, count } => self.set_vectors(step, vf, *count, timeout),
            Step::SetLink { vf, attr } => self.set_vf_link(step, vf, attr, timeout),
            Step::Link { device, at, set } => self.set_link(step, device, at, set, timeout),
            Step::BringHome { device, at, name, detour } => {
                self.bring_home(step, device, at, name, *detour, timeout)
            }
            Step::AltNames { device, at, add, remove } => {
                self.set_altnames(step, device, at, (add, remove))
            }
            Step::Configure { device, at, config } => self.configure(step, device, at, config),
        }
    }

    /// A tree is only read.
    pub(super) fn must_be_live(&self) -> Result<()> {
        if self.is_live() {
            return Ok(());
        }
        let root = self.root.display();
        let message = format!("{root} is a copied or made-up tree: nothing can be changed in it");
        Err(Error::new(Kind::Usage, message).hint("leave --root away to change this host"))
    }

    pub(super) fn device_dir(&self, device: &DeviceId) -> PathBuf {
        self.root.join("sys").join(device.sysfs_dir())
    }

    pub(super) fn vf_dir(&self, vf: &VfRef) -> PathBuf {
        self.device_dir(&vf.pf).join(format!("virtfn{}", vf.index))
    }

    /// What the kernel counts; `None` where there is no such file.
    pub(super) fn count_by_kernel(&self, pf: &DeviceId) -> Result<Option<u32>> {
        let path = self.device_dir(pf).join("sriov_numvfs");
        if !self.is_live() {
            return Ok(sysfs::number(&path));
        }
        Kernel::let_go(self); // as for a write
        match write::read_within(&path, READ_WITHIN) {
            Ok(text) => Ok(text.parse().ok()),
            Err(Failed::Refused(_)) => Ok(None),
            Err(Failed::Stuck { .. }) => {
                let name = self.name_of(pf);
                Err(Error::new(
                    Kind::TimedOut,
                    format!("{name}: its number of VFs is being changed, and that does not end"),
                )
                .device(name)
                .details(holder_lines())
                .hint("end the process that holds a VF of it, then run this again"))
            }
        }
    }

    /// How many VFs exist: by their links, since the count itself is what the driver was asked for.
    fn count_vfs(&self, pf: &DeviceId) -> Option<u32> {
        let dir = self.device_dir(pf);
        if pf.pci().is_none() {
            return sysfs::number(&dir.join("sriov_numvfs"));
        }
        let vfs = sysfs::names(&dir).iter().filter(|name| name.starts_with("virtfn")).count();
        u32::try_from(vfs).ok()
    }

    fn set_numvfs(
        &self,
        step: &Step,
        pf: &DeviceId,
        count: u32,
        timeout: Duration,
    ) -> Result<Outcome> {
        let path = self.device_dir(pf).join("sriov_numvfs");
        let before = self.count_by_kernel(pf)?.unwrap_or(0);
        if before == count {
            return Ok(Outcome::AlreadySo);
        }
        if before != 0 && count != 0 {
            self.write_slowly(step, &path, "0", timeout)?;
        }
        self.write_slowly(step, &path, &count.to_string(), timeout)?;
        // Success of the write proves nothing: bnxt drops the request while its link is down, and
        // any driver may create fewer (iov.c logs it and goes on).
        let made = self.count_vfs(pf).unwrap_or(0);
        if made == count {
            return Ok(Outcome::Changed);
        }
        let name = self.name_of(pf);
        Err(Error::new(
            Kind::Unsupported,
            format!("{name}: its driver accepted {count} VFs but made {made}"),
        )
        .device(name)
        .hint(format!("read the driver's reason: dmesg | grep {pf}")))
    }

    /// A write that the kernel may hold for ever, with what it logs about it when it fails.
    pub(super) fn write_slowly(
        &self,
        step: &Step,
        path: &Path,
        value: &str,
        timeout: Duration,
    ) -> Result<()> {
        // A write that does not end outlives this program, and would keep their namespaces alive.
        Kernel::let_go(self);
        let log = KernelLog::listen();
        // Of a VF the log speaks under its PF's address as well as its own.
        let device = step.pf().or(step.device()).map(|device| device.name().to_owned());
        let device = device.unwrap_or_default();
        write::within(path, value, timeout).map_err(|failed| {
            let heard = log.lines_about(&device).into_iter().map(|line| format!("kernel: {line}"));
            match failed {
                Failed::Refused(errno) => self.refused(step, errno).details(heard),
                Failed::Stuck { pid } => {
                    let phrase = step.to_string().replace(&device, &self.name_of_step(step));
                    stuck(&phrase, pid, timeout).details(heard)
                }
            }
        })
    }

    fn set_autoprobe(&self, step: &Step, pf: &DeviceId, on: bool) -> Result<Outcome> {
        let path = self.device_dir(pf).join("sriov_drivers_autoprobe");
        if sysfs::switch(&path) == Some(on) {
            return Ok(Outcome::AlreadySo);
        }
        sysfs::write(&path, if on { "1" } else { "0" })
            .map_err(|errno| self.refused(step, errno))
            .map(|()| Outcome::Changed)
    }

    fn set_vf(&self, step: &Step, vf: &VfRef, attr: VfAttr, timeout: Duration) -> Result<Outcome> {
        let ifindex = self.ifindex(&vf.pf).ok_or_else(|| self.refused(step, libc_errno::ENODEV))?;
        let mut netlink = self.sockets.here()?;
        self.patiently(step, timeout, || netlink.set_link(ifindex, &[vf::set(vf.index, &[attr])]))
    }

    /// In one message, in their order; it ends at the first that is refused (kernel: net/core/rtnetlink.c,
    /// `do_setlink`).
    pub(super) fn set_vf_at_once(&self, steps: &[Step]) -> bool {
        let Some(Step::SetVf { vf, .. }) = steps.first() else { return false };
        let attr = |step: &Step| match step {
            Step::SetVf { vf: of, attr } if of == vf => Some(*attr),
            _ => None,
        };
        let attrs: Option<Vec<VfAttr>> = steps.iter().map(attr).collect();
        let (Some(attrs), true) = (attrs, self.is_live()) else { return false };
        let (Some(ifindex), Ok(mut netlink)) = (self.ifindex(&vf.pf), self.sockets.here()) else {
            return false;
        };
        // Once only: a VF that resets after the first of them is waited for when they are made one by one.
        let done = netlink.set_link(ifindex, &[vf::set(vf.index, &attrs)]).is_ok();
        if !done {
            self.recent.forget();
        }
        done
    }

    /// The number of the interface that a device has on the host.
    pub(super) fn ifindex(&self, device: &DeviceId) -> Option<u32> {
        if let Some(known) = self.recent.ifindex(device) {
            return Some(known);
        }
        let found = ifindex(&self.device_dir(device), device.port())?;
        self.recent.add(device, found);
        Some(found)
    }

    fn set_vf_link(
        &self,
        step: &Step,
        vf: &VfRef,
        attr: &LinkAttr,
        timeout: Duration,
    ) -> Result<Outcome> {
        let ifindex =
            ifindex(&self.vf_dir(vf), 0).ok_or_else(|| self.refused(step, libc_errno::ENODEV))?;
        let mut netlink = self.sockets.here()?;
        let attribute = || match attr {
            LinkAttr::Mac(mac) => request::mac(*mac),
            LinkAttr::Mtu(mtu) => request::mtu(*mtu),
            LinkAttr::Name(name) => request::name(name),
        };
        self.patiently(step, timeout, || netlink.set_link(ifindex, &[attribute()]))
    }

    /// Repeats a change while the driver says that the VF is resetting (i40e: EAGAIN, ice: EBUSY).
    pub(super) fn patiently(
        &self,
        step: &Step,
        timeout: Duration,
        mut change: impl FnMut() -> std::result::Result<(), Refused>,
    ) -> Result<Outcome> {
        let end = Instant::now() + timeout.min(Duration::from_secs(10));
        loop {
            match change() {
                Ok(()) => return Ok(Outcome::Changed),
                Err(Refused { errno: libc_errno::EAGAIN | libc_errno::EBUSY, .. })
                    if Instant::now() < end =>
                {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(refused) => return Err(self.refused_saying(step, refused)),
            }
        }
    }

    fn set_eswitch(&self, step: &Step, pf: &DeviceId, mode: Eswitch) -> Result<Outcome> {
        let Some(mut devlink) = Devlink::open()? else {
            return Err(self.refused(step, libc_errno::EOPNOTSUPP));
        };
        if devlink.eswitch_mode(pf).as_deref() == Some(&mode.to_string()) {
            return Ok(Outcome::AlreadySo);
        }
        match devlink.set_eswitch_mode(pf, mode) {
            Ok(()) => Ok(Outcome::Changed),
            Err(refused) => Err(self.refused_saying(step, refused)),
        }
    }

    /// The refusal of a step with the kernel's own sentence, where it gave one.
    pub(super) fn refused_saying(&self, step: &Step, Refused { errno, text }: Refused) -> Error {
        let said = text.map(|text| format!("the kernel says: {text}"));
        self.refused(step, errno).details(said)
    }

    pub(super) fn refused(&self, step: &Step, errno: i32) -> Error {
        let device = step.pf().or(step.device());
        let driver = device.and_then(|of| sysfs::link_name(&self.device_dir(of).join("driver")));
        explain::step(step, errno, &self.name_of_step(step), driver.as_deref())
    }

    fn name_of_step(&self, step: &Step) -> String {
        match (step.pf(), step.device()) {
            (Some(pf), _) => self.name_of(pf),
            (None, Some(device)) => self.called(device),
            (None, None) => String::new(),
        }
    }

    /// `PF#index` of a VF, else its interface or address.
    fn called(&self, device: &DeviceId) -> String {
        let dir = sysfs::Dir::open(&self.device_dir(device));
        match dir.and_then(|dir| super::inspect::vf_of(&dir, device, None)) {
            Some(of) => format!("{}#{}", self.name_of(&of.pf), of.index),
            None => self.name_of(device),
        }
    }

    fn name_of(&self, pf: &DeviceId) -> String {
        let dir = sysfs::Dir::open(&self.device_dir(pf));
        dir.and_then(|dir| ports::netdev(&dir, pf.port())).unwrap_or_else(|| pf.to_string())
    }
}

/// The number of the interface that a port of a device has on the host.
fn ifindex(dir: &Path, port: u16) -> Option<u32> {
    let dir = sysfs::Dir::open(dir)?;
    let netdev = ports::netdev(&dir, port)?;
    dir.number(&format!("net/{netdev}/ifindex"))
}

fn stuck(step: &str, pid: i32, timeout: Duration) -> Error {
    Error::new(
        Kind::TimedOut,
        format!("could not {step} within {} s: the kernel still works on it", timeout.as_secs_f32()),
    )
    .detail(format!(
        "process {pid} waits in the kernel; it ends, and the change happens, when whoever holds a VF lets it go"
    ))
    .hint("end the process that holds a VF")
}

/// Every process that holds a device node: which VF it has cannot be told any more, once the
/// kernel has begun to take it away.
fn holder_lines() -> Vec<String> {
    let holders = super::holders::read(&std::collections::HashMap::new());
    let line = |holder: &Holder| format!("{}[{}] holds {}", holder.comm, holder.pid, holder.node);
    holders.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn try_with(refusals: usize, errno: i32, timeout: Duration) -> (Result<Outcome>, usize) {
        let host = Host::new(Path::new("/nonexistent"));
        let step = Step::LoadDriver { driver: "x".into() };
        let mut tries = 0;
        let result = host.patiently(&step, timeout, || {
            tries += 1;
            if tries <= refusals { Err(Refused { errno, text: None }) } else { Ok(()) }
        });
        (result, tries)
    }

    #[test]
    fn a_vf_that_resets_is_asked_again_until_it_is_ready() {
        for errno in [libc_errno::EBUSY, libc_errno::EAGAIN] {
            let (result, tries) = try_with(5, errno, Duration::from_secs(10));
            assert_eq!((result, tries), (Ok(Outcome::Changed), 6));
        }
    }

    #[test]
    fn it_is_not_asked_for_ever_and_other_refusals_are_final() {
        let (result, _) = try_with(usize::MAX, libc_errno::EBUSY, Duration::from_millis(50));
        assert_eq!(result.unwrap_err().kind(), Kind::Busy);
        let (result, tries) = try_with(1, libc_errno::EINVAL, Duration::from_secs(10));
        assert_eq!((result.unwrap_err().errno(), tries), (Some(libc_errno::EINVAL), 1));
    }
}
