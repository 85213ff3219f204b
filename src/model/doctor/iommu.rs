//! The IOMMU, which keeps a device that user space or a guest drives to their memory.

use super::facts::{Facts, Machine};
use super::{Finding, Fix, Id, Severity, count};
use crate::model::binding::{Cpu, NoIommu, Platform};
use crate::model::inventory::Pf;
use crate::model::text::shell_word;
use crate::order;

/// All that there is to say.
pub fn judge(pfs: &[&Pf], platform: &Platform, facts: &Facts) -> Vec<Finding> {
    let machine = &facts.machine;
    let mut found = Vec::new();
    if platform.noiommu == NoIommu::On {
        let text = "VFIO hands out devices without an IOMMU: nothing protects the host's memory";
        let off = "echo N > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
        found.push(Finding::new(Id::NoiommuOn, Severity::Warning, "vfio", text).run(off));
    }
    if machine.iommu_groups == 0 {
        found.push(off(platform, machine));
        return found;
    }
    found.extend(translated(platform, machine));
    for pf in pfs {
        found.extend(covered(pf).into_iter().chain(shared(pf)));
    }
    let groups = count(machine.iommu_groups, "group", "groups");
    let passes = if is_passing(platform, machine) { ", iommu=pt" } else { "" };
    found.push(Finding::new(Id::IommuOn, Severity::Ok, "IOMMU", format!("on, {groups}{passes}")));
    found
}

/// Why there is none, and how to get one.
fn off(platform: &Platform, machine: &Machine) -> Finding {
    let has = |word: &str| platform.cmdline.split_whitespace().any(|arg| arg == word);
    let table = |name: &str| {
        machine.tables.as_ref().is_some_and(|tables| tables.iter().any(|table| table == name))
    };
    let finding = |why: &str| {
        let text = format!("no IOMMU is in use: {why}; vfio-pci cannot bind");
        Finding::new(Id::IommuOff, Severity::Error, "kernel", text)
    };
    let reboot = |fix: Fix| match fix {
        Fix::Run(command) => Fix::Run(format!("{command} && reboot")),
        other @ Fix::Do(_) => other,
    };
    for (wrong, right) in [("intel_iommu=off", "intel_iommu=on"), ("amd_iommu=off", "iommu=pt")] {
        if has(wrong) {
            return finding(&format!("{wrong} is on the kernel command line"))
                .advise(format!("put {right} there instead, then reboot"));
        }
    }
    if table("DMAR") && !has("intel_iommu=on") {
        let fix = reboot(machine.loader.with("intel_iommu=on iommu=pt"));
        return finding(
            "the machine has one, but intel_iommu=on is not on the kernel command line",
        )
        .fix(fix);
    }
    if table("DMAR") || table("IVRS") || table("IORT") {
        return finding("the machine has one, but the kernel does not use it")
            .run("dmesg | grep -iE 'DMAR|IVRS|AMD-Vi|SMMU|IOMMU'");
    }
    let (name, what) = match platform.cpu {
        Cpu::Intel => ("VT-d", "no DMAR table"),
        Cpu::Amd => ("AMD-Vi (IOMMU)", "no IVRS table"),
        Cpu::Arm => ("the SMMU", "no IORT table"),
        Cpu::Other => ("the IOMMU", "no table"),
    };
    finding(&format!("the firmware shows none ({what})")).advise(format!(
        "enable {name} in the firmware setup; give a virtual machine a virtual IOMMU"
    ))
}

/// Whether the host's own drivers use their devices untranslated.
fn is_passing(platform: &Platform, machine: &Machine) -> bool {
    let has = |word: &str| platform.cmdline.split_whitespace().any(|arg| arg == word);
    machine.untranslated > 0 || has("iommu=pt") || has("iommu.passthrough=1")
}

fn translated(platform: &Platform, machine: &Machine) -> Option<Finding> {
    if is_passing(platform, machine) {
        return None;
    }
    let text = "the host's own traffic goes through the IOMMU too, which costs time";
    let finding = Finding::new(Id::IommuNoPt, Severity::Note, "kernel", text);
    Some(finding.fix(machine.loader.with("iommu=pt")))
}

fn covered(pf: &Pf) -> Option<Finding> {
    let is_bare = |vf: &&crate::model::inventory::Vf| {
        vf.facts.device.is_some() && vf.facts.iommu_group.is_none()
    };
    let bare = pf.vfs.iter().filter(is_bare).count();
    if bare == 0 {
        return None;
    }
    let text = format!(
        "{} without an IOMMU group: it does not cover them",
        count(bare, "VF is", "VFs are")
    );
    let finding = Finding::new(Id::IommuGroupMissing, Severity::Warning, pf.name(), text);
    Some(finding.of(&pf.facts.device).run("dmesg | grep -iE 'DMAR|IVRS|AMD-Vi|SMMU|IOMMU'"))
}

/// Seen by two VFs, or a VF and its PF, in one group.
fn shared(pf: &Pf) -> Option<Finding> {
    let groups: Vec<u32> = pf.vfs.iter().filter_map(|vf| vf.facts.iommu_group).collect();
    let mut all: Vec<u32> = groups.iter().copied().chain(pf.facts.iommu_group).collect();
    order::sort(&mut all);
    let group = all.windows(2).find(|two| two[0] == two[1] && groups.contains(&two[0]))?[0];
    let text = format!("its VFs share IOMMU group {group}: user space gets all of a group or none");
    let finding = Finding::new(Id::IommuGroupShared, Severity::Warning, pf.name(), text);
    let look = format!("sriovctl bind-dpdk --status {}", shell_word(&pf.name()));
    Some(finding.of(&pf.facts.device).run(look))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::doctor::facts::Loader;

    fn facts(groups: usize, tables: &[&str]) -> Facts {
        let tables = Some(tables.iter().map(|&table| table.to_owned()).collect());
        let machine = Machine { iommu_groups: groups, tables, ..Machine::default() };
        Facts { machine, ..Facts::default() }
    }

    fn platform(cpu: Cpu, cmdline: &str) -> Platform {
        Platform { cpu, cmdline: cmdline.to_owned(), ..Platform::default() }
    }

    #[test]
    fn without_one_it_says_what_this_machine_lacks() {
        for (cpu, cmdline, tables, why, fix) in [
            (
                Cpu::Intel,
                "quiet",
                &["DMAR"][..],
                "intel_iommu=on is not on",
                "intel_iommu=on iommu=pt",
            ),
            (
                Cpu::Intel,
                "intel_iommu=off",
                &["DMAR"],
                "intel_iommu=off is on",
                "put intel_iommu=on",
            ),
            (Cpu::Intel, "intel_iommu=on", &["DMAR"], "does not use it", "dmesg"),
            (Cpu::Intel, "intel_iommu=on", &[], "no DMAR table", "VT-d"),
            (Cpu::Amd, "", &[], "no IVRS table", "AMD-Vi"),
            (Cpu::Amd, "amd_iommu=off", &["IVRS"], "amd_iommu=off is on", "iommu=pt"),
            (Cpu::Amd, "", &["IVRS"], "does not use it", "dmesg"),
            (Cpu::Arm, "", &[], "no IORT table", "SMMU"),
        ] {
            let found = judge(&[], &platform(cpu, cmdline), &facts(0, tables));
            let [off] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!((off.id, off.severity), (Id::IommuOff, Severity::Error));
            assert!(off.text.contains(why), "{cpu:?} {cmdline}: {}", off.text);
            let Some(Fix::Run(said) | Fix::Do(said)) = &off.fix else { panic!() };
            assert!(said.contains(fix), "{cpu:?} {cmdline}: {said}");
        }
        let mut grub = facts(0, &["DMAR"]);
        grub.machine.loader = Loader::UpdateGrub;
        let found = judge(&[], &platform(Cpu::Intel, ""), &grub);
        let Some(Fix::Run(command)) = &found[0].fix else { panic!("{found:?}") };
        assert!(command.ends_with("&& update-grub && reboot"), "{command}");
    }

    #[test]
    fn pass_through_is_seen_by_the_command_line_or_by_the_groups() {
        let ids = |cmdline: &str, untranslated| {
            let mut facts = facts(12, &["DMAR"]);
            facts.machine.untranslated = untranslated;
            let found = judge(&[], &platform(Cpu::Intel, cmdline), &facts);
            found.iter().map(|finding| finding.id).collect::<Vec<_>>()
        };
        assert_eq!(ids("", 0), [Id::IommuNoPt, Id::IommuOn]);
        assert_eq!(ids("iommu=pt", 0), [Id::IommuOn]);
        assert_eq!(ids("", 12), [Id::IommuOn]);
    }

    #[test]
    fn noiommu_is_a_warning() {
        let platform = Platform { noiommu: NoIommu::On, ..platform(Cpu::Intel, "iommu=pt") };
        let found = judge(&[], &platform, &facts(3, &["DMAR"]));
        assert_eq!((found[0].id, found[0].severity), (Id::NoiommuOn, Severity::Warning));
        assert!(found[0].fix.is_some());
    }
}
