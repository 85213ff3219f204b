//! Builds a sysfs tree the way the kernel lays one out: devices in real directories below
//! `sys/devices`, all other ways to them relative symbolic links.
//!
//! Sources: Documentation/ABI/testing/sysfs-bus-pci and sysfs-class-net, drivers/pci/iov.c,
//! net/core/net-sysfs.c, drivers/iommu/iommu.c. A copy of a live tree has no file where reading
//! gave an error, so neither has this one (`speed` of an interface that is down, `phys_port_name`
//! of a driver without one).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::models::{Model, PCI_IDS};

/// A made-up host; its files go when it is dropped.
pub struct Tree {
    dir: TempDir,
    next_ifindex: u32,
    next_group: u32,
}

/// A PF to be put into a tree, and its VFs.
#[derive(Clone)]
pub struct Pf<'a> {
    /// Its address, with a domain.
    pub at: &'a str,
    /// What it is.
    pub model: &'a Model,
    /// Directory of the bridge it sits behind, below `sys/devices`; `None`: a root port of bus 0.
    pub bridge: Option<&'a str>,
    /// Its driver.
    pub driver: Option<&'a str>,
    /// Its interfaces.
    pub netdevs: &'a [Netdev<'a>],
    /// Its RDMA device.
    pub rdma: Option<&'a str>,
    /// NUMA node, -1 for none.
    pub numa: i32,
    /// `sriov_drivers_autoprobe`.
    pub autoprobe: bool,
    /// Its VFs.
    pub vfs: Vfs<'a>,
}

impl<'a> Pf<'a> {
    /// A card with its usual driver, on node 0, without an interface or VFs.
    pub fn new(at: &'a str, model: &'a Model) -> Self {
        Self {
            at,
            model,
            bridge: None,
            driver: Some(model.driver),
            netdevs: &[],
            rdma: None,
            numa: 0,
            autoprobe: true,
            vfs: Vfs::default(),
        }
    }
}

/// The VFs of a PF.
#[derive(Clone, Default)]
pub struct Vfs<'a> {
    /// Their numbers.
    pub indexes: Vec<u16>,
    /// Their driver.
    pub driver: Option<&'a str>,
    /// Start of their interfaces' names: VF 3 of `eth0` has `eth0v3`; `None`: no interfaces.
    pub netdev: Option<&'a str>,
    /// Interfaces each; the second is called `eth0v3d1`.
    pub ports: u8,
    /// Start of their RDMA devices' names.
    pub rdma: Option<&'a str>,
}

impl<'a> Vfs<'a> {
    /// `count` VFs with the model's usual driver and an interface each.
    pub fn usual(model: &Model, count: u16, netdev: &'a str) -> Self {
        Self {
            indexes: (0..count).collect(),
            driver: model.vf_driver,
            netdev: Some(netdev),
            ports: 1,
            rdma: None,
        }
    }

    /// `count` VFs that nobody drives.
    pub fn idle(count: u16) -> Self {
        Self { indexes: (0..count).collect(), ..Self::default() }
    }
}

/// An interface.
#[derive(Clone, Copy)]
pub struct Netdev<'a> {
    /// Name.
    pub name: &'a str,
    /// MAC address.
    pub mac: &'a str,
    /// Mbit/s, where it is up and has a carrier.
    pub speed: Option<u32>,
    /// Administratively up.
    pub up: bool,
    /// Largest packet.
    pub mtu: u32,
    /// Port of the device.
    pub dev_port: u8,
    /// `p0`, `pf0vf3`.
    pub phys_port_name: Option<&'a str>,
    /// Hexadecimal, in switchdev mode.
    pub phys_switch_id: Option<&'a str>,
}

impl<'a> Netdev<'a> {
    /// An interface that is down.
    pub fn down(name: &'a str, mac: &'a str) -> Self {
        Self {
            name,
            mac,
            speed: None,
            up: false,
            mtu: 1500,
            dev_port: 0,
            phys_port_name: None,
            phys_switch_id: None,
        }
    }

    /// An interface that is up, with a carrier at `speed` Mbit/s.
    pub fn up(name: &'a str, mac: &'a str, speed: u32) -> Self {
        Self { up: true, speed: Some(speed), ..Self::down(name, mac) }
    }
}

/// `domain:bus:device.function`, with device and function as the one byte they are.
#[derive(Clone, Copy)]
struct Address {
    domain: u32,
    routing_id: u16,
}

impl Address {
    fn parse(text: &str) -> Self {
        let number = |part: &str| u32::from_str_radix(part, 16).expect("a PCI address");
        let [domain, bus, slot] = text.split(':').collect::<Vec<_>>()[..] else {
            panic!("{text} is no full PCI address")
        };
        let (device, function) = slot.split_once('.').expect("a PCI address");
        let id = number(bus) << 8 | number(device) << 3 | number(function);
        Self { domain: number(domain), routing_id: u16::try_from(id).expect("a PCI address") }
    }

    fn bus(self) -> u16 {
        self.routing_id >> 8
    }

    /// As the kernel names VF `index` (drivers/pci/iov.c: `pci_iov_virtfn_bus`, `..._devfn`).
    fn vf(self, model: &Model, index: u16) -> Self {
        Self { routing_id: self.routing_id + model.offset + model.stride * index, ..self }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { domain, routing_id } = self;
        let (device, function) = (routing_id >> 3 & 0x1f, routing_id & 7);
        write!(f, "{domain:04x}:{:02x}:{device:02x}.{function}", self.bus())
    }
}

impl Tree {
    /// A host with a PCI bus, a loopback interface and the PCI id list, and nothing else.
    pub fn new() -> Self {
        let mut tree = Self::bare();
        for dir in ["sys/bus/pci/devices", "sys/bus/pci/drivers", "sys/kernel/iommu_groups"] {
            tree.mkdir(dir);
        }
        for file in ["sys/bus/pci/drivers_probe", "sys/bus/pci/rescan"] {
            tree.write(file, "");
        }
        tree.write("sys/bus/pci/drivers_autoprobe", "1\n");
        tree.write("usr/share/misc/pci.ids", PCI_IDS);
        let lo = Netdev { mtu: 65536, ..Netdev::down("lo", "00:00:00:00:00:00") };
        tree.netdev("sys/devices/virtual", &lo);
        tree
    }

    /// A host without even a PCI bus.
    pub fn bare() -> Self {
        // In memory where there is such a place: a tree is tens of thousands of tiny files.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let dir = dir.expect("a temporary directory");
        let tree = Self { dir, next_ifindex: 1, next_group: 0 };
        tree.mkdir("sys/class/net");
        tree
    }

    /// What `--root` takes.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Absolute path of a file given relative to the root.
    pub fn path(&self, file: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(file)
    }

    /// The real directory of a device, relative to the root.
    pub fn device_dir(&self, address: &str) -> String {
        let link = format!("sys/bus/pci/devices/{address}");
        let target = fs::read_link(self.path(&link)).expect("a device of the tree");
        format!("sys/{}", target.to_str().expect("UTF-8").trim_start_matches("../"))
    }

    /// Writes a file and the directories above it.
    pub fn write(&self, file: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path(&file);
        if fs::write(&path, &content).is_ok() {
            return;
        }
        fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
        fs::write(&path, content).expect("write");
    }

    /// Removes a file or link.
    pub fn remove(&self, file: impl AsRef<Path>) {
        fs::remove_file(self.path(file)).expect("unlink");
    }

    /// Lets everybody execute a file.
    pub fn make_executable(&self, file: &str) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(self.path(file), mode).expect("chmod");
    }

    /// Makes `link` point at `target`, both relative to the root, by a relative path as sysfs does.
    pub fn link(&self, link: &str, target: &str) {
        let (dir, _) = link.rsplit_once('/').expect("a link below the root");
        let common = common_dirs(dir, target);
        let up = dir.split('/').count() - common;
        let down: Vec<_> = target.split('/').skip(common).collect();
        let path = self.path(link);
        let text = "../".repeat(up) + &down.join("/");
        if symlink(&text, &path).is_ok() {
            return;
        }
        fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
        symlink(&text, &path).expect("symlink");
    }

    /// Puts a PF and its VFs in.
    pub fn pf(&mut self, pf: &Pf<'_>) {
        let address = Address::parse(pf.at);
        let model = pf.model;
        let parent = self.parent(address, pf.bridge);
        let dir = self.device(&parent, address, (model.vendor, model.device), model.class, pf.numa);
        self.bind(&dir, address, pf.driver);
        for netdev in pf.netdevs {
            self.netdev(&dir, netdev);
        }
        if let Some(rdma) = pf.rdma {
            self.rdma(&dir, rdma);
        }
        let numvfs = pf.vfs.indexes.iter().max().map_or(0, |last| last + 1);
        for (name, value) in [
            ("sriov_totalvfs", model.total_vfs.to_string()),
            ("sriov_numvfs", numvfs.to_string()),
            ("sriov_offset", model.offset.to_string()),
            ("sriov_stride", model.stride.to_string()),
            ("sriov_vf_device", format!("{:x}", model.vf_device)),
            ("sriov_drivers_autoprobe", u8::from(pf.autoprobe).to_string()),
            ("sriov_vf_total_msix", "0".to_owned()),
        ] {
            self.write(format!("{dir}/{name}"), value + "\n");
        }
        for &index in &pf.vfs.indexes {
            self.vf(pf, &parent, address, index);
        }
    }

    fn vf(&mut self, pf: &Pf<'_>, parent: &str, of: Address, index: u16) {
        let (model, vfs) = (pf.model, &pf.vfs);
        let address = of.vf(model, index);
        let dir =
            self.device(parent, address, (model.vendor, model.vf_device), model.class, pf.numa);
        // The VFs' parent is the PF's own, whichever bus they are on (iov.c: pci_iov_add_virtfn).
        symlink(format!("../{}", pf.at), self.path(format!("{dir}/physfn"))).expect("symlink");
        let virtfn = self.path(format!("{parent}/{}/virtfn{index}", pf.at));
        symlink(format!("../{address}"), virtfn).expect("symlink");
        self.bind(&dir, address, vfs.driver);
        if let Some(prefix) = vfs.netdev {
            for port in 0..vfs.ports {
                let name = match port {
                    0 => format!("{prefix}v{index}"),
                    _ => format!("{prefix}v{index}d{port}"),
                };
                let mac = vf_mac(of, port, index);
                self.netdev(&dir, &Netdev { dev_port: port, ..Netdev::down(&name, &mac) });
            }
        }
        if let Some(prefix) = vfs.rdma {
            self.rdma(&dir, &format!("{prefix}{index}"));
        }
    }

    /// Puts a device without SR-IOV in; returns its directory.
    pub fn plain(&mut self, at: &str, id: (u16, u16), class: u32, driver: Option<&str>) -> String {
        let address = Address::parse(at);
        let parent = self.parent(address, None);
        let dir = self.device(&parent, address, id, class, 0);
        self.bind(&dir, address, driver);
        dir
    }

    /// Gives a device another driver, or none; its interfaces and RDMA devices go, as they do
    /// when the driver is unbound.
    pub fn rebind(&self, address: &str, driver: Option<&str>) {
        let dir = self.device_dir(address);
        for class in ["net", "infiniband"] {
            let Ok(members) = fs::read_dir(self.path(format!("{dir}/{class}"))) else {
                continue;
            };
            for member in members {
                let name = member.expect("readdir").file_name();
                self.remove(Path::new("sys/class").join(class).join(name));
            }
            fs::remove_dir_all(self.path(format!("{dir}/{class}"))).expect("rmdir");
        }
        if let Ok(old) = fs::read_link(self.path(format!("{dir}/driver"))) {
            let old = old.file_name().expect("a driver").to_str().expect("UTF-8").to_owned();
            self.remove(format!("sys/bus/pci/drivers/{old}/{address}"));
            self.remove(format!("{dir}/driver"));
        }
        self.bind(&dir, Address::parse(address), driver);
    }

    /// Binds as `driver_override` does, and puts the group's node in place. A plain file stands
    /// in for the character device.
    pub fn bind_vfio(&self, address: &str) {
        self.rebind(address, Some("vfio-pci"));
        let dir = self.device_dir(address);
        self.write(format!("{dir}/driver_override"), "vfio-pci\n");
        let group = fs::read_link(self.path(format!("{dir}/iommu_group"))).expect("a group");
        let group = group.file_name().expect("a number").to_str().expect("UTF-8");
        self.write(format!("dev/vfio/{group}"), "");
        self.write("dev/vfio/vfio", "");
    }

    /// The directory that the devices of a bus are in, with the bridge that leads to it.
    fn parent(&mut self, address: Address, bridge: Option<&str>) -> String {
        if let Some(bridge) = bridge {
            let dir = format!("sys/devices/{bridge}");
            self.mkdir(&dir);
            return dir;
        }
        let root = format!("sys/devices/pci{:04x}:00", address.domain);
        self.mkdir(&root);
        if address.bus() == 0 {
            return root;
        }
        // One root port a bus: 00:01.0 leads to bus 1, 00:01.1 to bus 0x21.
        let slot = (address.bus() & 0x1f) << 3 | address.bus() >> 5;
        let port = Address { routing_id: slot, ..address };
        if !self.path(format!("{root}/{port}")).exists() {
            let dir = self.device(&root, port, (0x8086, 0x3420), 0x06_0400, 0);
            self.bind(&dir, port, Some("pcieport"));
        }
        format!("{root}/{port}")
    }

    /// What every PCI device has (drivers/pci/pci-sysfs.c).
    fn device(
        &mut self,
        parent: &str,
        address: Address,
        (vendor, device): (u16, u16),
        class: u32,
        numa: i32,
    ) -> String {
        let dir = format!("{parent}/{address}");
        fs::create_dir(self.path(&dir)).expect("mkdir");
        for (name, value) in [
            ("class", format!("0x{class:06x}\n")),
            ("vendor", format!("0x{vendor:04x}\n")),
            ("device", format!("0x{device:04x}\n")),
            ("subsystem_vendor", format!("0x{vendor:04x}\n")),
            ("subsystem_device", "0x0001\n".to_owned()),
            ("numa_node", format!("{numa}\n")),
            ("driver_override", "(null)\n".to_owned()),
        ] {
            self.write(format!("{dir}/{name}"), value);
        }
        self.link(&format!("{dir}/subsystem"), "sys/bus/pci");
        self.link(&format!("sys/bus/pci/devices/{address}"), &dir);

        let group = format!("sys/kernel/iommu_groups/{}", self.next_group);
        self.next_group += 1;
        self.mkdir(&group);
        self.write(format!("{group}/type"), "DMA-FQ\n");
        self.mkdir(&format!("{group}/devices"));
        self.link(&format!("{group}/devices/{address}"), &dir);
        self.link(&format!("{dir}/iommu_group"), &group);
        dir
    }

    fn bind(&self, dir: &str, address: Address, driver: Option<&str>) {
        let mut uevent = String::new();
        if let Some(driver) = driver {
            writeln!(uevent, "DRIVER={driver}").expect("a string");
            let driver_dir = format!("sys/bus/pci/drivers/{driver}");
            if fs::create_dir(self.path(&driver_dir)).is_ok() {
                for file in ["bind", "unbind", "new_id", "remove_id", "uevent"] {
                    self.write(format!("{driver_dir}/{file}"), "");
                }
            }
            self.link(&format!("{dir}/driver"), &driver_dir);
            self.link(&format!("{driver_dir}/{address}"), dir);
        }
        writeln!(uevent, "PCI_SLOT_NAME={address}").expect("a string");
        self.write(format!("{dir}/uevent"), uevent);
    }

    /// Puts an interface below a device's directory; returns its directory.
    pub fn netdev(&mut self, device: &str, netdev: &Netdev<'_>) -> String {
        let Netdev { name, mac, speed, up, mtu, dev_port, phys_port_name, phys_switch_id } =
            *netdev;
        let ifindex = self.next_ifindex;
        self.next_ifindex += 1;
        let dir = format!("{device}/net/{name}");
        if fs::create_dir(self.path(format!("{device}/net"))).is_ok() {
            fs::create_dir(self.path(&dir)).expect("mkdir");
        } else {
            self.mkdir(&dir);
        }
        let mut files = vec![
            ("address", mac.to_owned()),
            ("mtu", mtu.to_string()),
            ("ifindex", ifindex.to_string()),
            ("type", "1".to_owned()),
            ("dev_port", dev_port.to_string()),
            // `dev->flags`, without the bits that netlink adds: IFF_RUNNING and IFF_LOWER_UP
            ("flags", if up { "0x1003" } else { "0x1002" }.to_owned()),
            ("operstate", if up { "up" } else { "down" }.to_owned()),
            ("uevent", format!("INTERFACE={name}\nIFINDEX={ifindex}")),
        ];
        if up {
            files.push(("carrier", "1".to_owned()));
            files.push(("speed", speed.map_or("-1".to_owned(), |speed| speed.to_string())));
        }
        files.extend(phys_port_name.map(|name| ("phys_port_name", name.to_owned())));
        files.extend(phys_switch_id.map(|id| ("phys_switch_id", id.to_owned())));
        for (file, value) in files {
            self.write(format!("{dir}/{file}"), value + "\n");
        }
        self.link(&format!("{dir}/subsystem"), "sys/class/net");
        if device.contains("/pci") {
            self.link(&format!("{dir}/device"), device);
        }
        self.link(&format!("sys/class/net/{name}"), &dir);
        dir
    }

    fn rdma(&self, device: &str, name: &str) {
        let dir = format!("{device}/infiniband/{name}");
        self.write(format!("{dir}/node_type"), "1: CA\n");
        self.link(&format!("{dir}/device"), device);
        self.link(&format!("sys/class/infiniband/{name}"), &dir);
    }

    fn mkdir(&self, dir: &str) {
        fs::create_dir_all(self.path(dir)).expect("mkdir");
    }

    /// Every file with its content and every link with its target: what "nothing was written" is
    /// checked by.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut dirs = vec![self.root().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).expect("readdir") {
                let entry = entry.expect("readdir");
                let (path, kind) = (entry.path(), entry.file_type().expect("lstat"));
                let content = if kind.is_dir() {
                    dirs.push(path.clone());
                    Vec::new()
                } else if kind.is_symlink() {
                    fs::read_link(&path).expect("readlink").into_os_string().into_encoded_bytes()
                } else {
                    fs::read(&path).expect("read")
                };
                found.insert(path, content);
            }
        }
        found
    }
}

/// How many leading directories of `target` a link in `dir` need not climb over. The last
/// component is never among them: the kernel writes `net/eth0/device` as `../../../0000:01:00.0`,
/// not as `../..` (fs/kernfs/symlink.c: `kernfs_get_target_path`).
fn common_dirs(dir: &str, target: &str) -> usize {
    let (above, _) = target.rsplit_once('/').expect("a target below the root");
    dir.split('/').zip(above.split('/')).take_while(|(a, b)| a == b).count()
}

/// `02:PORT:BUS:SLOT:HI:LO` of the PF's bus and slot byte and of the VF's number: VF 3 of
/// 0000:01:00.0 has 02:00:01:00:00:03.
fn vf_mac(pf: Address, port: u8, index: u16) -> String {
    let ([bus, slot], [high, low]) = (pf.routing_id.to_be_bytes(), index.to_be_bytes());
    format!("02:{port:02x}:{bus:02x}:{slot:02x}:{high:02x}:{low:02x}")
}
