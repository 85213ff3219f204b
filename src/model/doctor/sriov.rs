//! PFs and VFs: what keeps them from being created, driven and set up.

use super::facts::Facts;
use super::{Finding, Fix, Id, Severity, count, worst};
use crate::model::assemble::is_userspace_driver;
use crate::model::ids::DeviceId;
use crate::model::inventory::{Pf, Vf};
use crate::model::plan::numvfs::MUST_BE_UP;
use crate::model::text::shell_word;

/// What it is judged by.
pub struct Given<'a> {
    /// The PFs that are asked about.
    pub pfs: &'a [&'a Pf],
    /// Whether all network namespaces were looked into.
    pub knows_namespaces: bool,
    /// Drivers of the kernel's that know a PF without a driver.
    pub natives: &'a [(DeviceId, Vec<String>)],
    /// The rest of the host.
    pub facts: &'a Facts,
}

/// All that there is to say.
pub fn judge(given: &Given<'_>) -> Vec<Finding> {
    if given.pfs.is_empty() {
        let text = "no network device here can have VFs";
        let next = "enable SR-IOV in the firmware setup of the machine, and in that of the card";
        return vec![Finding::new(Id::NoPf, Severity::Error, "host", text).advise(next)];
    }
    let mut found = Vec::new();
    for pf in given.pfs {
        let of_pf = of_pf(pf, given);
        if worst(&of_pf) == Severity::Ok {
            let driver = pf.facts.driver.as_deref().unwrap_or("none");
            let total = pf.facts.total_vfs.unwrap_or_default();
            let text = format!("has {} of {total} VFs, driver {driver}", pf.num_vfs());
            found.push(about(pf, Id::PfReady, Severity::Ok, text));
        }
        found.extend(of_pf);
    }
    let enabled: u32 = given.pfs.iter().map(|pf| pf.num_vfs()).sum();
    let total: u32 = given.pfs.iter().filter_map(|pf| pf.facts.total_vfs).sum();
    let text = format!("{}, {enabled} of {total} VFs", count(given.pfs.len(), "PF", "PFs"));
    found.push(Finding::new(Id::SriovReady, Severity::Ok, "SR-IOV", text));
    found
}

fn about(pf: &Pf, id: Id, severity: Severity, text: impl Into<String>) -> Finding {
    Finding::new(id, severity, pf.name(), text).of(&pf.facts.device)
}

fn of_pf(pf: &Pf, given: &Given<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = [
        pf_driver(pf, given),
        pf_total(pf),
        pf_place(pf),
        pf_link(pf),
        pf_on_vfio(pf, given.facts),
        missing(pf),
        without_driver(pf),
        without_netdev(pf, given),
        logged(pf, given.facts),
    ]
    .into_iter()
    .flatten()
    .collect();
    // With a reason for it there is no need to say that there are none.
    let is_able = pf.facts.total_vfs.is_some_and(|total| total > 0);
    if pf.num_vfs() == 0 && is_able && found.is_empty() {
        let total = pf.facts.total_vfs.unwrap_or_default();
        let command =
            format!("sriovctl set-numvfs {} {}", shell_word(&pf.name()), total.clamp(1, 4));
        let text = format!("has no VFs; {total} are possible");
        found.push(about(pf, Id::PfNoVfs, Severity::Note, text).run(command));
    }
    found
}

fn pf_driver(pf: &Pf, given: &Given<'_>) -> Option<Finding> {
    if pf.facts.driver.is_some() {
        return None;
    }
    let device = &pf.facts.device;
    let native = given.natives.iter().find(|(of, _)| of == device);
    let native = native.and_then(|(_, drivers)| drivers.first());
    let load = native.map(|driver| format!("modprobe {} && ", shell_word(driver)));
    let probe = format!("echo {} > /sys/bus/{}/drivers_probe", device.name(), device.bus());
    let text = "has no driver, which is what creates VFs";
    let finding = about(pf, Id::PfNoDriver, Severity::Warning, text);
    Some(finding.run(load.unwrap_or_default() + &probe))
}

fn pf_total(pf: &Pf) -> Option<Finding> {
    if pf.facts.total_vfs != Some(0) {
        return None;
    }
    let finding =
        about(pf, Id::PfTotalvfsZero, Severity::Warning, "can have no VFs: they are switched off");
    let driver = pf.facts.driver.as_deref().unwrap_or_default();
    let is_mellanox = driver == "mlx5_core" || pf.facts.id.is_some_and(|id| id.vendor == 0x15b3);
    let at = pf.facts.device.name();
    Some(if is_mellanox {
        finding.run(format!("mstconfig -d {at} set SRIOV_EN=1 NUM_OF_VFS=8 && reboot"))
    } else {
        finding
            .advise("enable SR-IOV in the firmware setup of the machine, and in that of the card")
    })
}

fn pf_place(pf: &Pf) -> Option<Finding> {
    let link = pf.netdev()?;
    let netns = link.netns.as_ref()?;
    let name = shell_word(&link.name);
    let text =
        format!("is in another network namespace, {}: its VFs cannot be set up", netns.label());
    let finding = about(pf, Id::PfElsewhere, Severity::Warning, text);
    let back = format!("ip link set {name} netns 1");
    Some(match (&netns.name, netns.pid) {
        (Some(there), _) => {
            finding.run(format!("ip -n {} {}", shell_word(there), &back["ip ".len()..]))
        }
        (None, Some(pid)) => finding.run(format!("nsenter -t {pid} -n {back}")),
        (None, None) => finding.run(format!("nsenter --net={} {back}", shell_word(&netns.path))),
    })
}

fn pf_link(pf: &Pf) -> Option<Finding> {
    let is_down = |link: &crate::model::link::Link| link.netns.is_none() && link.up == Some(false);
    let first = pf.netdev().filter(|_| pf.netdevs.iter().all(is_down))?;
    let driver = pf.facts.driver.as_deref().unwrap_or_default();
    let text = if MUST_BE_UP.contains(&driver) && pf.vfs.is_empty() {
        format!("is down: its driver {driver} creates VFs only while it is up")
    } else if pf.vfs.iter().any(|vf| vf.facts.driver.is_some()) {
        "is down: its VFs have no carrier".to_owned()
    } else {
        return None;
    };
    let up = format!("ip link set {} up", shell_word(&first.name));
    Some(about(pf, Id::PfDown, Severity::Warning, text).run(up))
}

fn pf_on_vfio(pf: &Pf, facts: &Facts) -> Option<Finding> {
    let is_vfio = pf.facts.driver.as_deref() == Some("vfio-pci") && pf.num_vfs() == 0;
    if !is_vfio || facts.machine.vfio_creates_vfs != Some(false) {
        return None;
    }
    let text = "is on vfio-pci, which may not create VFs";
    let allow = "echo Y > /sys/module/vfio_pci/parameters/enable_sriov";
    Some(about(pf, Id::PfVfioNoVfs, Severity::Note, text).run(allow))
}

fn missing(pf: &Pf) -> Option<Finding> {
    let there = u32::try_from(pf.vfs.len()).ok()?;
    let counted = pf.num_vfs();
    if there >= counted {
        return None;
    }
    let name = pf.name();
    let text = format!(
        "should have {counted} VFs, and {} of them {} off the bus",
        counted - there,
        if counted - there == 1 { "is" } else { "are" }
    );
    let name = shell_word(&name);
    let command = format!("sriovctl set-numvfs {name} 0 && sriovctl set-numvfs {name} {counted}");
    Some(about(pf, Id::VfMissing, Severity::Warning, text).run(command))
}

/// Several VFs of a PF, as a selector.
fn some(pf: &Pf, vfs: &[&Vf]) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for index in vfs.iter().map(|vf| vf.index().0) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => ranges.push((index, index)),
        }
    }
    let range = |(first, last): &(u16, u16)| match last - first {
        0 => first.to_string(),
        _ => format!("{first}-{last}"),
    };
    format!("{}#{}", pf.name(), ranges.iter().map(range).collect::<Vec<_>>().join(","))
}

fn without_driver(pf: &Pf) -> Option<Finding> {
    let is_idle = |vf: &&Vf| vf.facts.driver.is_none() && vf.facts.device.is_some();
    let idle: Vec<&Vf> = pf.vfs.iter().filter(is_idle).collect();
    if idle.is_empty() || !pf.is_network() {
        return None;
    }
    let (severity, why) = match pf.facts.autoprobe {
        Some(false) => (Severity::Note, ": sriov_drivers_autoprobe is off for their PF"),
        _ => (Severity::Warning, ": its module may be missing, or it failed"),
    };
    let names = some(pf, &idle);
    let command = format!("sriovctl bind-dpdk --restore {}", shell_word(&names));
    let finding = Finding::new(Id::VfNoDriver, severity, names, format!("no driver{why}"));
    Some(finding.of(&pf.facts.device).run(command))
}

fn without_netdev(pf: &Pf, given: &Given<'_>) -> Option<Finding> {
    if !given.knows_namespaces || !pf.is_network() {
        return None;
    }
    let is_lost = |vf: &&Vf| {
        let driver = vf.facts.driver.as_deref();
        vf.netdevs.is_empty() && driver.is_some_and(|driver| !is_userspace_driver(driver))
    };
    let lost: Vec<&Vf> = pf.vfs.iter().filter(is_lost).collect();
    let first = lost.first()?;
    let driver = first.facts.driver.as_deref().unwrap_or_default();
    let text = format!("driver {driver}, but no interface in any namespace");
    let finding = Finding::new(Id::VfNoNetdev, Severity::Warning, some(pf, &lost), text);
    let address = first.facts.device.as_ref().map(DeviceId::name).unwrap_or_default();
    Some(finding.of(&pf.facts.device).run(format!("dmesg | grep {address}")))
}

/// What only the kernel's log tells (drivers/pci/iov.c: `sriov_enable`).
fn logged(pf: &Pf, facts: &Facts) -> Option<Finding> {
    let says = |words: &[&str]| {
        let name = pf.facts.device.name();
        let of_pf = facts.log.iter().filter(|line| line.contains(name));
        of_pf.rev().any(|line| words.iter().all(|word| line.contains(word)))
    };
    let (id, text, fix) = if says(&["not enough MMIO resources for SR-IOV"]) {
        let text = "the firmware gave it too little memory space (MMIO) for VFs";
        (Id::VfNoMmio, text, facts.machine.loader.with("pci=realloc"))
    } else if says(&["can't enable", "out of range of"]) {
        let text = "its VFs would lie on bus numbers that its bridge does not have";
        (Id::VfNoBus, text, facts.machine.loader.with("pci=assign-busses"))
    } else {
        return None;
    };
    // A request for fewer may have come after it.
    let severity = if pf.num_vfs() == 0 { Severity::Warning } else { Severity::Note };
    let text =
        format!("{text}, by the kernel's log; Above 4G Decoding in the firmware setup helps, too");
    let fix = match fix {
        Fix::Run(command) => Fix::Run(format!("{command} && reboot")),
        other @ Fix::Do(_) => other,
    };
    Some(about(pf, id, severity, text).fix(fix))
}

#[cfg(test)]
#[path = "sriov_tests.rs"]
mod tests;
