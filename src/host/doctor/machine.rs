//! Boot parameters, memory and VFIO.

use super::Look;
use crate::host::sysfs;
use crate::model::doctor::facts::{Loader, Machine};

impl Look<'_> {
    pub(super) fn machine(&mut self) -> Machine {
        let at = |path: &str| self.root.join(path);
        let groups = at("sys/kernel/iommu_groups");
        let groups: Vec<_> = sysfs::names(&groups).iter().map(|name| groups.join(name)).collect();
        let is_real = |group: &&std::path::PathBuf| {
            sysfs::text(&group.join("name")).as_deref() != Some("vfio-noiommu")
        };
        let is_untranslated = |group: &&std::path::PathBuf| {
            sysfs::text(&group.join("type")).as_deref() == Some("identity")
        };
        let real: Vec<_> = groups.iter().filter(is_real).collect();
        let untranslated = real.iter().copied().filter(is_untranslated).count();
        let meminfo = sysfs::text(&at("proc/meminfo")).unwrap_or_default();
        let mounts = sysfs::text(&at("proc/mounts"));
        let is_hugetlbfs = |line: &str| line.split(' ').nth(2) == Some("hugetlbfs");
        Machine {
            iommu_groups: real.len(),
            untranslated,
            tables: self.tables(),
            loader: self.loader(),
            has_vfio_node: at("dev/vfio/vfio").exists(),
            has_hugetlbfs: mounts.map(|mounts| mounts.lines().any(is_hugetlbfs)),
            hugepage_kib: kib(&meminfo, "Hugepagesize:"),
            memory_kib: kib(&meminfo, "MemTotal:"),
            dma_entries: sysfs::number(&at(
                "sys/module/vfio_iommu_type1/parameters/dma_entry_limit",
            )),
            vfio_creates_vfs: sysfs::switch(&at("sys/module/vfio_pci/parameters/enable_sriov")),
        }
    }

    /// Reading them takes root's rights, their names do not.
    fn tables(&mut self) -> Option<Vec<String>> {
        let tables = "/sys/firmware/acpi/tables";
        let found = self.exists(tables).then(|| self.paths(tables))?;
        let mut names: Vec<String> =
            found.iter().map(|path| super::name_of(path).to_owned()).collect();
        names.retain(|name| ["DMAR", "IVRS", "IORT"].contains(&name.as_str()));
        Some(names)
    }

    fn loader(&self) -> Loader {
        let has = |path: &str| self.exists(path);
        if has("/usr/sbin/grubby") || has("/usr/bin/grubby") || has("/sbin/grubby") {
            Loader::Grubby
        } else if has("/etc/default/grub")
            && (has("/usr/sbin/update-grub") || has("/sbin/update-grub"))
        {
            Loader::UpdateGrub
        } else {
            Loader::Other
        }
    }
}

/// A line of `/proc/meminfo`.
fn kib(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_meminfo() {
        let meminfo = "MemTotal:        1011728 kB\nHugepagesize:       2048 kB\n";
        assert_eq!(kib(meminfo, "MemTotal:"), Some(1_011_728));
        assert_eq!(kib(meminfo, "Hugepagesize:"), Some(2048));
        assert_eq!(kib(meminfo, "Nothing:"), None);
    }
}
