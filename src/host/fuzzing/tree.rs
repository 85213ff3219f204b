//! Files of a made-up host, in memory where that can be had.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const PF: &str = "sys/devices/pci0000:00/0000:01:00.0";
const VF: &str = "sys/devices/pci0000:00/0000:01:10.0";

/// The files of a host that an input fills, in its order; `PF/` and `VF/` are directories of the two
/// devices.
pub const FILES: [&str; 36] = [
    "lib/modules/6.1/modules.alias",
    "VF/modalias",
    "proc/cpuinfo",
    "proc/cmdline",
    "sys/kernel/security/lockdown",
    "sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
    "PF/class",
    "PF/vendor",
    "PF/device",
    "PF/sriov_vf_device",
    "PF/sriov_totalvfs",
    "PF/sriov_drivers_autoprobe",
    "PF/numa_node",
    "PF/net/eth0/flags",
    "PF/net/eth0/ifindex",
    "PF/net/eth0/address",
    "PF/net/eth0/mtu",
    "PF/net/eth0/operstate",
    "PF/net/eth0/speed",
    "PF/net/eth0/phys_port_name",
    "PF/net/eth0/phys_switch_id",
    "PF/net/eth0/dev_port",
    "VF/driver_override",
    "VF/class",
    "VF/vendor",
    "VF/device",
    "VF/net/eth1/address",
    "sys/kernel/iommu_groups/7/name",
    "usr/share/misc/pci.ids",
    "run/NetworkManager/devices/2",
    "run/systemd/netif/links/2",
    "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
    "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages",
    "lib/modules/6.1/modules.dep",
    "var/lib/cni/sriov/pci/0000:01:10.0",
    "proc/sys/kernel/random/boot_id",
];

/// A PF and its VF.
pub struct Tree {
    root: PathBuf,
    has: HashMap<&'static str, Option<Vec<u8>>>,
}

impl Tree {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sriovctl-fuzz-{}-{number}", std::process::id());
        // In memory, where there is such a place: it is written some thousand times a second.
        let memory = Path::new("/dev/shm");
        let above = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let root = above.join(name);
        let tree = Self { root, has: HashMap::new() };
        // Left by a process of that number.
        let _ = fs::remove_dir_all(&tree.root);
        for file in FILES {
            fs::create_dir_all(tree.path(file).parent().expect("it has one")).expect("a directory");
        }
        tree.text("proc/sys/kernel/osrelease", "6.1\n");
        tree.text("PF/sriov_numvfs", "1\n");
        tree.text("VF/net/eth1/ifindex", "3\n");
        for driver in ["igb", "igbvf"] {
            let dir = tree.root.join("sys/bus/pci/drivers").join(driver);
            fs::create_dir_all(dir).expect("a directory");
        }
        let group = tree.root.join("sys/kernel/iommu_groups/7/devices");
        fs::create_dir_all(group).expect("a directory");
        for (at, to) in [
            ("PF/driver", "../../../bus/pci/drivers/igb"),
            ("PF/virtfn0", "../0000:01:10.0"),
            ("VF/driver", "../../../bus/pci/drivers/igbvf"),
            ("VF/physfn", "../0000:01:00.0"),
            ("VF/iommu_group", "../../../kernel/iommu_groups/7"),
            ("sys/bus/pci/devices/0000:01:00.0", "../../../devices/pci0000:00/0000:01:00.0"),
            ("sys/bus/pci/devices/0000:01:10.0", "../../../devices/pci0000:00/0000:01:10.0"),
            ("sys/class/net/eth0", "../../devices/pci0000:00/0000:01:00.0/net/eth0"),
            ("sys/class/net/eth1", "../../devices/pci0000:00/0000:01:10.0/net/eth1"),
            (
                "sys/kernel/iommu_groups/7/devices/0000:01:10.0",
                "../../../../bus/pci/devices/0000:01:10.0",
            ),
        ] {
            let at = tree.path(at);
            fs::create_dir_all(at.parent().expect("it has one")).expect("a directory");
            symlink(to, at).expect("a link");
        }
        tree
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, file: &str) -> PathBuf {
        let below = |dir: &str, name: &str| self.root.join(dir).join(name);
        match file.split_once('/') {
            Some(("PF", name)) => below(PF, name),
            Some(("VF", name)) => below(VF, name),
            _ => self.root.join(file),
        }
    }

    fn text(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).expect("a file");
    }

    /// What a file has from now on; `None`: it is missing, but for the one that makes a PF of it.
    pub fn write(&mut self, file: &'static str, text: Option<&[u8]>) {
        let text = text.or((file == "PF/sriov_totalvfs").then_some(b"7"));
        if self.has.get(file).is_some_and(|has| has.as_deref() == text) {
            return;
        }
        match text {
            Some(text) => fs::write(self.path(file), text).expect("a file"),
            None => drop(fs::remove_file(self.path(file))), // it may never have been there
        }
        self.has.insert(file, text.map(<[u8]>::to_vec));
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root); // nobody reads it any more
    }
}
