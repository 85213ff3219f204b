//! What surrounds a device: its IOMMU group, nodes and drivers, and what the platform allows.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use super::drivers::NOIOMMU;
use super::{Host, modules, sysfs};
use crate::error::{Error, Kind, Result};
use crate::model::binding::{Cpu, Ground, Group, HugePages, Member, NoIommu, Node, Platform};
use crate::model::ids::{DeviceId, PciId};
use crate::model::step::{NodeAccess, Outcome, Step};
use crate::order;

impl Host {
    pub(super) fn ground_of(&self, device: &DeviceId) -> Ground {
        let dir = self.device_dir(device);
        let half = |name: &str| sysfs::hex(&dir.join(name)).and_then(|id| u16::try_from(id).ok());
        let modalias = sysfs::text(&dir.join("modalias")).unwrap_or_default();
        let (native, variants) = modules::knowing(&self.root, self.module_aliases(), &modalias);
        let vfs = sysfs::names(&dir).iter().filter(|name| name.starts_with("virtfn")).count();
        Ground {
            class: sysfs::hex(&dir.join("class")),
            id: half("vendor").zip(half("device")).map(|(vendor, device)| PciId { vendor, device }),
            pf_driver: sysfs::link_name(&dir.join("physfn/driver")),
            vfs,
            group: group(&dir),
            native,
            variants,
            can_reset: dir.join("reset").exists(),
            nodes: self.nodes(device),
        }
    }

    /// Read once: a megabyte, the same for every device.
    fn module_aliases(&self) -> &str {
        self.aliases.get_or_init(|| modules::aliases(&self.root))
    }

    pub(super) fn platform_facts(&self) -> Platform {
        let text = |path: &str| sysfs::text(&self.root.join(path));
        // The mode in force stands in brackets: none [integrity] confidentiality.
        let lockdown = text("sys/kernel/security/lockdown");
        let lockdown = lockdown.and_then(|all| {
            let (_, rest) = all.split_once('[')?;
            Some(rest.split_once(']')?.0.to_owned()).filter(|mode| mode != "none")
        });
        let vfio_is_loaded = self.root.join("sys/module/vfio").exists();
        let noiommu = match text(NOIOMMU).as_deref() {
            Some("Y" | "1") => NoIommu::On,
            Some(_) => NoIommu::Off,
            None if vfio_is_loaded => NoIommu::Absent,
            None => NoIommu::Unknown,
        };
        let memlock = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_MEMLOCK);
        Platform {
            cpu: cpu(&text("proc/cpuinfo").unwrap_or_default()),
            cmdline: text("proc/cmdline").unwrap_or_default(),
            has_iommu: !sysfs::names(&self.root.join("sys/class/iommu")).is_empty(),
            noiommu,
            lockdown,
            memlock: memlock.ok().map(|(soft, _)| soft).filter(|soft| *soft != u64::MAX),
        }
    }

    pub(super) fn huge_pages(&self) -> Vec<HugePages> {
        let nodes = self.root.join("sys/devices/system/node");
        let number = |name: &str| name.strip_prefix("node")?.parse::<u32>().ok();
        let by_node = sysfs::names(&nodes)
            .into_iter()
            .filter_map(|name| Some((Some(number(&name)?), nodes.join(name).join("hugepages"))));
        let mut places: Vec<(Option<u32>, PathBuf)> = by_node.collect();
        if places.is_empty() {
            places.push((None, self.root.join("sys/kernel/mm/hugepages")));
        }
        let mut found = Vec::new();
        for (node, dir) in places {
            for name in sysfs::names(&dir) {
                let size = name.strip_prefix("hugepages-").and_then(|name| name.strip_suffix("kB"));
                let Some(size_kib) = size.and_then(|size| size.parse().ok()) else { continue };
                let count = |file: &str| sysfs::number(&dir.join(&name).join(file)).unwrap_or(0);
                let (total, free) = (count("nr_hugepages"), count("free_hugepages"));
                found.push(HugePages { size_kib, node, total, free });
            }
        }
        order::sort_by_key(&mut found, |pages| (pages.size_kib, pages.node));
        found
    }

    /// Every node through which user space drives the device: of its group, its own, its UIO.
    fn nodes(&self, device: &DeviceId) -> Vec<Node> {
        let paths = node_paths(&self.device_dir(device));
        let node = |path: String| {
            let at = self.root.join(path.trim_start_matches('/'));
            let stat = std::fs::metadata(at).ok()?;
            let mode = stat.mode() & 0o7777;
            Some(Node { path, uid: stat.uid(), gid: stat.gid(), mode })
        };
        paths.into_iter().filter_map(node).collect()
    }

    pub(super) fn set_node(
        &self,
        step: &Step,
        device: &DeviceId,
        access: NodeAccess,
    ) -> Result<Outcome> {
        let nodes = self.nodes(device);
        if nodes.is_empty() {
            return Err(Error::new(
                Kind::NotFound,
                format!("could not {step}: there is none (its driver makes no device node)"),
            )
            .device(device.to_string()));
        }
        let mut outcome = Outcome::AlreadySo;
        for node in nodes {
            let path = PathBuf::from(&node.path);
            let failed =
                |error: std::io::Error| Error::io(format_args!("could not {step}"), &error);
            let differs = |want: Option<u32>, has| want.is_some_and(|want| want != has);
            if differs(access.uid, node.uid) || differs(access.gid, node.gid) {
                chown(&path, access.uid, access.gid).map_err(failed)?;
                outcome = Outcome::Changed;
            }
            if let Some(mode) = access.mode.filter(|mode| *mode != node.mode) {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
                std::fs::set_permissions(&path, mode).map_err(failed)?;
                outcome = Outcome::Changed;
            }
        }
        Ok(outcome)
    }
}

/// Paths of the nodes that the kernel makes for a device (drivers/vfio/group.c, vfio_main.c,
/// drivers/uio/uio.c).
fn node_paths(dir: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    if let Some(group) = sysfs::link_name(&dir.join("iommu_group")) {
        let name = sysfs::text(&dir.join("iommu_group/name"));
        let before = if name.as_deref() == Some("vfio-noiommu") { "noiommu-" } else { "" };
        paths.push(format!("/dev/vfio/{before}{group}"));
    }
    let own = sysfs::names(&dir.join("vfio-dev")).into_iter();
    paths.extend(own.map(|name| format!("/dev/vfio/devices/{name}")));
    paths.extend(sysfs::names(&dir.join("uio")).into_iter().map(|name| format!("/dev/{name}")));
    paths
}

fn group(dir: &Path) -> Option<Group> {
    let number = sysfs::link_name(&dir.join("iommu_group"))?.parse().ok()?;
    let members = dir.join("iommu_group/devices");
    let member = |name: String| {
        let dir = members.join(&name);
        Some(Member {
            device: DeviceId::new("pci", &name)?,
            driver: sysfs::link_name(&dir.join("driver")),
            bridge: sysfs::hex(&dir.join("class")).is_some_and(|class| class >> 16 == 0x06),
        })
    };
    Some(Group {
        number,
        noiommu: sysfs::text(&dir.join("iommu_group/name")).as_deref() == Some("vfio-noiommu"),
        members: sysfs::names(&members).into_iter().filter_map(member).collect(),
    })
}

pub(super) fn cpu(cpuinfo: &str) -> Cpu {
    let says = |word: &str| cpuinfo.lines().any(|line| line.contains(word));
    if says("GenuineIntel") {
        Cpu::Intel
    } else if says("AuthenticAMD") || says("HygonGenuine") {
        Cpu::Amd
    } else if says("CPU implementer") {
        Cpu::Arm
    } else {
        Cpu::Other
    }
}
