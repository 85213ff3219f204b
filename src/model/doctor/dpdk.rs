//! What a DPDK program needs of the host beside a device.

use super::facts::Facts;
use super::{Finding, Id, Severity};
use crate::model::binding::{DriverState, HugePages, Platform};
use crate::model::inventory::Pf;

/// What a DPDK program locks at the very least: some hugepages, and what the device reads.
const MEMLOCK: u64 = 64 << 20;

/// Mappings that the kernel allows by itself (drivers/vfio/vfio_iommu_type1.c).
const DMA_ENTRIES: u64 = 65535;

/// What it is judged by.
pub struct Given<'a> {
    /// The PFs that are asked about.
    pub pfs: &'a [&'a Pf],
    /// What the kernel allows.
    pub platform: &'a Platform,
    /// Whether vfio-pci is there.
    pub vfio: &'a DriverState,
    /// Hugepages by size and node.
    pub pages: &'a [HugePages],
    /// The rest of the host.
    pub facts: &'a Facts,
}

/// All that there is to say.
pub fn judge(given: &Given<'_>) -> Vec<Finding> {
    let mut found = vec![vfio(given), hugepages(given)];
    found.extend(hugetlbfs(given.facts));
    found.extend(lockdown(given.platform));
    found.extend(dma_entries(given.facts));
    found.extend(memlock(given));
    let total: u64 = given.pages.iter().map(|pages| pages.total).sum();
    let text = format!("vfio-pci is there, {total} hugepages");
    found.push(Finding::new(Id::DpdkReady, Severity::Ok, "DPDK", text));
    found
}

fn vfio(given: &Given<'_>) -> Finding {
    let subject = "vfio-pci";
    let node = "mkdir -p /dev/vfio && mknod /dev/vfio/vfio c 10 196";
    match given.vfio {
        DriverState::Loaded if !given.facts.machine.has_vfio_node => {
            let text = "it is loaded, but /dev/vfio/vfio is missing";
            Finding::new(Id::VfioNodeMissing, Severity::Warning, subject, text).run(node)
        }
        DriverState::Loaded => Finding::new(Id::VfioReady, Severity::Ok, subject, "it is loaded"),
        DriverState::Loadable => {
            let text = "bind-dpdk loads it when it is needed";
            Finding::new(Id::VfioReady, Severity::Ok, subject, text)
        }
        DriverState::Unknown(_) => {
            // DPDK drives these through the kernel's own driver.
            let is_bifurcated =
                |pf: &&Pf| matches!(pf.facts.driver.as_deref(), Some("mlx4_core" | "mlx5_core"));
            let is_needed = given.pfs.is_empty() || !given.pfs.iter().all(is_bifurcated);
            let severity = if is_needed { Severity::Error } else { Severity::Note };
            let text = "this kernel has no such driver, nor a module of it";
            Finding::new(Id::VfioMissing, severity, subject, text).advise(
                "install the package with this kernel's other modules (linux-modules-extra, kernel-modules)",
            )
        }
    }
}

fn hugepages(given: &Given<'_>) -> Finding {
    let total: u64 = given.pages.iter().map(|pages| pages.total).sum();
    let free: u64 = given.pages.iter().map(|pages| pages.free).sum();
    let subject = "hugepages";
    if total == 0 {
        let text = "there are none, and DPDK needs some";
        let command = format!("sysctl -w vm.nr_hugepages={}", wanted_pages(given.facts));
        return Finding::new(Id::NoHugepages, Severity::Warning, subject, text).run(command);
    }
    if free == 0 {
        let text = format!("all {total} are in use: no further DPDK program can start");
        let more = total + wanted_pages(given.facts);
        let finding = Finding::new(Id::HugepagesUsedUp, Severity::Note, subject, text);
        // Of the size that vm.nr_hugepages counts, which need not be the one that is used up.
        return finding.run(format!("sysctl -w vm.nr_hugepages={more}"));
    }
    let text = format!("{free} of {total} are free");
    Finding::new(Id::HugepagesReady, Severity::Ok, subject, text)
}

/// 2 GiB, or a quarter of what there is: a program with one port starts with far less.
fn wanted_pages(facts: &Facts) -> u64 {
    let size = facts.machine.hugepage_kib.filter(|size| *size > 0).unwrap_or(2048);
    let quarter = facts.machine.memory_kib.map_or(2 << 20, |memory| memory / 4);
    (quarter.min(2 << 20) / size).max(1)
}

fn hugetlbfs(facts: &Facts) -> Option<Finding> {
    let subject = "hugetlbfs";
    if facts.machine.has_hugetlbfs? {
        return Some(Finding::new(Id::HugetlbfsReady, Severity::Ok, subject, "it is mounted"));
    }
    let text = "it is not mounted: only programs with --in-memory get hugepages";
    let mount = "mkdir -p /dev/hugepages && mount -t hugetlbfs hugetlbfs /dev/hugepages";
    Some(Finding::new(Id::NoHugetlbfs, Severity::Warning, subject, text).run(mount))
}

fn lockdown(platform: &Platform) -> Option<Finding> {
    let mode = platform.lockdown.as_ref()?;
    let text = format!(
        "it is locked down ({mode}): uio_pci_generic and igb_uio are refused, and so are tools that write firmware"
    );
    let finding = Finding::new(Id::Lockdown, Severity::Note, "kernel", text);
    Some(finding.advise("use vfio-pci, which it allows"))
}

fn dma_entries(facts: &Facts) -> Option<Finding> {
    let allowed = facts.machine.dma_entries.filter(|allowed| *allowed < DMA_ENTRIES)?;
    let text =
        format!("a process may have {allowed} mappings, and the kernel's default is {DMA_ENTRIES}");
    let finding = Finding::new(Id::DmaEntryLimit, Severity::Note, "vfio", text);
    let path = "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit";
    Some(finding.run(format!("echo {DMA_ENTRIES} > {path}")))
}

/// Root's programs are not bound by it, and nothing tells of other users' limits.
fn memlock(given: &Given<'_>) -> Option<Finding> {
    let limit = given.platform.memlock.filter(|limit| *limit < MEMLOCK && !given.facts.is_root)?;
    let text = format!("programs of this user may lock {} MiB, which VFIO counts", limit >> 20);
    let finding = Finding::new(Id::MemlockLow, Severity::Note, "memlock", text);
    Some(finding.advise("raise it in /etc/security/limits.d (memlock), and log in again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::doctor::facts::Machine;
    use crate::model::doctor::only;

    fn pages(total: u64, free: u64) -> Vec<HugePages> {
        vec![HugePages { size_kib: 2048, node: None, total, free }]
    }

    fn machine() -> Machine {
        Machine { has_vfio_node: true, has_hugetlbfs: Some(true), ..Machine::default() }
    }

    /// What is said of a host that is fine but for one thing.
    fn said(
        change: impl Fn(&mut Machine, &mut Platform, &mut DriverState, &mut Vec<HugePages>),
    ) -> Vec<Finding> {
        let (mut machine, mut platform) = (machine(), Platform::default());
        let (mut vfio, mut pages) = (DriverState::Loaded, pages(512, 500));
        change(&mut machine, &mut platform, &mut vfio, &mut pages);
        let facts = Facts { machine, ..Facts::default() };
        let given =
            Given { pfs: &[], platform: &platform, vfio: &vfio, pages: &pages, facts: &facts };
        let found = judge(&given);
        found.into_iter().filter(|finding| finding.severity > Severity::Ok).collect()
    }

    #[test]
    fn each_thing_that_is_missing_is_found_alone() {
        assert_eq!(said(|_, _, _, _| {}), []);
        assert_eq!(said(|_, _, vfio, _| *vfio = DriverState::Loadable), []);
        let found = said(|_, _, vfio, _| *vfio = DriverState::Unknown(None));
        only(&found, Id::VfioMissing, Severity::Error, "install");
        let found = said(|machine, _, _, _| machine.has_vfio_node = false);
        only(&found, Id::VfioNodeMissing, Severity::Warning, "mknod /dev/vfio/vfio c 10 196");
        let found = said(|_, _, _, pages| pages.clear());
        only(&found, Id::NoHugepages, Severity::Warning, "vm.nr_hugepages=1024");
        let found = said(|_, _, _, has| *has = pages(8, 0));
        only(&found, Id::HugepagesUsedUp, Severity::Note, "vm.nr_hugepages=1032");
        let found = said(|machine, _, _, _| machine.has_hugetlbfs = Some(false));
        only(&found, Id::NoHugetlbfs, Severity::Warning, "mount -t hugetlbfs");
        let found = said(|_, platform, _, _| platform.lockdown = Some("integrity".to_owned()));
        only(&found, Id::Lockdown, Severity::Note, "vfio-pci");
        let found = said(|machine, _, _, _| machine.dma_entries = Some(1000));
        only(&found, Id::DmaEntryLimit, Severity::Note, "echo 65535 >");
        let found = said(|_, platform, _, _| platform.memlock = Some(8 << 20));
        only(&found, Id::MemlockLow, Severity::Note, "limits.d");
    }

    #[test]
    fn a_small_machine_is_not_asked_for_all_its_memory() {
        let of = |memory_kib, hugepage_kib| {
            let machine = Machine {
                memory_kib: Some(memory_kib),
                hugepage_kib: Some(hugepage_kib),
                ..Machine::default()
            };
            wanted_pages(&Facts { machine, ..Facts::default() })
        };
        assert_eq!(of(1 << 20, 2048), 128);
        assert_eq!(of(64 << 20, 2048), 1024);
        assert_eq!(of(64 << 20, 1 << 20), 2);
        assert_eq!(of(1 << 20, 1 << 20), 1);
    }
}
