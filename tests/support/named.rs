//! Whole hosts, each with one thing that is hard to read right.

use super::models::{BNXT, GPU, I40E, ICE, IGB, IXGBE, MLX4, MLX5, Model, NVME, WIDE};
use super::tree::{Netdev, Pf, Tree, Vfs};

/// Makes a host.
pub type Make = fn() -> Tree;

/// Every host of moderate size, for what must hold on all of them.
pub const ALL: [(&str, Make); 19] = [
    ("igb_two_pfs", igb_two_pfs),
    ("mlx5_switchdev", mlx5_switchdev),
    ("mlx5_legacy_dual", mlx5_legacy_dual),
    ("ixgbe_63", ixgbe_63),
    ("i40e_32", i40e_32),
    ("ice_64", ice_64),
    ("bnxt_down", bnxt_down),
    ("pf_on_vfio", pf_on_vfio),
    ("pf_without_driver", pf_without_driver),
    ("connectx3_dual_port", connectx3_dual_port),
    ("vfs_512", vfs_512),
    ("other_domain", other_domain),
    ("nvme", nvme),
    ("gpu", gpu),
    ("holes", holes),
    ("noiommu", noiommu),
    ("no_sriov", no_sriov),
    ("unreadable", unreadable),
    ("empty", empty),
];

fn host(pfs: &[Pf<'_>]) -> Tree {
    let mut tree = Tree::new();
    for pf in pfs {
        tree.pf(pf);
    }
    tree
}

/// The lab's host: `eth0` with 4 of 7 VFs, VF 3 on vfio-pci; `eth1`, down, with none; `eth2`, a
/// plain e1000e without SR-IOV. VFs are 0000:01:10.0, .2, .4, .6 (routing ids 128 and up, by two).
pub fn igb_two_pfs() -> Tree {
    let mut tree = host(&[
        Pf {
            netdevs: &[Netdev::up("eth0", "52:54:00:aa:00:00", 1000)],
            vfs: Vfs::usual(&IGB, 4, "eth0"),
            ..Pf::new("0000:01:00.0", &IGB)
        },
        Pf {
            netdevs: &[Netdev::down("eth1", "52:54:00:aa:00:01")],
            numa: 1,
            ..Pf::new("0000:02:00.0", &IGB)
        },
    ]);
    tree.bind_vfio("0000:01:10.6");
    let plain = tree.plain("0000:00:1f.6", (0x8086, 0x10d3), 0x02_0000, Some("e1000e"));
    tree.netdev(&plain, &Netdev::up("eth2", "52:54:00:aa:00:02", 1000));
    tree
}

/// A ConnectX-5 in switchdev mode with 4 VFs: since Linux 5.8 the representors of the VFs share
/// the `net/` directory of the PF with the uplink; only the port names tell them apart
/// (Documentation/networking/representors.rst).
pub fn mlx5_switchdev() -> Tree {
    let switch = |netdev| Netdev { phys_switch_id: Some("c07fa10003a1420c"), ..netdev };
    let rep = |name, mac, port| {
        switch(Netdev { phys_port_name: Some(port), ..Netdev::up(name, mac, 25000) })
    };
    host(&[Pf {
        netdevs: &[
            switch(Netdev {
                phys_port_name: Some("p0"),
                mtu: 9000,
                ..Netdev::up("ens3f0np0", "0c:42:a1:7f:c0:00", 25000)
            }),
            rep("ens3f0npf0vf0", "0e:00:00:00:00:00", "pf0vf0"),
            rep("ens3f0npf0vf1", "0e:00:00:00:00:01", "pf0vf1"),
            rep("ens3f0npf0vf2", "0e:00:00:00:00:02", "pf0vf2"),
            rep("ens3f0npf0vf3", "0e:00:00:00:00:03", "pf0vf3"),
        ],
        rdma: Some("rocep3s0f0"),
        vfs: Vfs { rdma: Some("rocep3s0f0v"), ..Vfs::usual(&MLX5, 4, "ens3f0") },
        ..Pf::new("0000:03:00.0", &MLX5)
    }])
}

/// The two ports of a ConnectX-5 in legacy mode, a function each, with 4 and 2 VFs. Port 1's VFs
/// begin behind all that port 0 could have.
pub fn mlx5_legacy_dual() -> Tree {
    let second = Model { offset: 9, ..MLX5 };
    let port =
        |name, mac, port| Netdev { phys_port_name: Some(port), ..Netdev::up(name, mac, 100_000) };
    host(&[
        Pf {
            netdevs: &[port("ens3f0np0", "0c:42:a1:7f:c0:00", "p0")],
            rdma: Some("mlx5_0"),
            vfs: Vfs::usual(&MLX5, 4, "ens3f0"),
            ..Pf::new("0000:03:00.0", &MLX5)
        },
        Pf {
            netdevs: &[port("ens3f1np1", "0c:42:a1:7f:c0:01", "p1")],
            rdma: Some("mlx5_1"),
            vfs: Vfs::usual(&MLX5, 2, "ens3f1"),
            ..Pf::new("0000:03:00.1", &second)
        },
    ])
}

/// An 82599 with all of its 63 VFs.
pub fn ixgbe_63() -> Tree {
    host(&[Pf {
        netdevs: &[Netdev::up("ens2f0", "a0:36:9f:00:00:10", 10000)],
        vfs: Vfs::usual(&IXGBE, 63, "ens2f0"),
        ..Pf::new("0000:04:00.0", &IXGBE)
    }])
}

/// An X710 with 32 VFs; its interface is up without a carrier.
pub fn i40e_32() -> Tree {
    let netdev = Netdev { speed: None, ..Netdev::up("eno1", "3c:fd:fe:00:00:20", 0) };
    let tree = host(&[Pf {
        netdevs: &[netdev],
        vfs: Vfs::usual(&I40E, 32, "eno1"),
        ..Pf::new("0000:18:00.0", &I40E)
    }]);
    tree.write("sys/class/net/eno1/operstate", "down\n");
    tree.write("sys/class/net/eno1/carrier", "0\n");
    tree
}

/// An E810 with 64 VFs on vfio-pci, which the SR-IOV network operator manages.
pub fn ice_64() -> Tree {
    let tree = host(&[Pf {
        netdevs: &[Netdev::up("ens7f0", "b4:96:91:00:00:30", 100_000)],
        vfs: Vfs::idle(64),
        ..Pf::new("0000:51:00.0", &ICE)
    }]);
    for index in 0..64 {
        let id = 8 + index; // the card's VF offset
        tree.bind_vfio(&format!("0000:51:{:02x}.{}", id / 8, id % 8));
    }
    tree.write("etc/sriov-operator/pci/0000:51:00.0", "{\"numVfs\": 64}");
    tree
}

/// A BCM57414 whose interface is down: its driver then drops the request for VFs and says that
/// all is well (`bnxt_sriov.c`: `bnxt_sriov_configure`).
pub fn bnxt_down() -> Tree {
    host(&[Pf {
        netdevs: &[Netdev::down("enp59s0f0np0", "bc:97:e1:00:00:40")],
        ..Pf::new("0000:3b:00.0", &BNXT)
    }])
}

/// An X710 handed to DPDK as a whole by driverctl, with two VFs that vfio-pci made of it.
pub fn pf_on_vfio() -> Tree {
    let tree = host(&[Pf { vfs: Vfs::idle(2), ..Pf::new("0000:41:00.0", &I40E) }]);
    for address in ["0000:41:00.0", "0000:41:02.0", "0000:41:02.1"] {
        tree.bind_vfio(address);
    }
    tree.write("etc/driverctl.d/pci-0000:41:00.0", "vfio-pci\n");
    tree
}

/// An 82576 that no driver has taken, beside one that igb has.
pub fn pf_without_driver() -> Tree {
    host(&[
        Pf { driver: None, ..Pf::new("0000:01:00.0", &IGB) },
        Pf {
            netdevs: &[Netdev::up("eth0", "52:54:00:aa:00:00", 1000)],
            ..Pf::new("0000:02:00.0", &IGB)
        },
    ])
}

/// A ConnectX-3: both ports on one PCI function, two interfaces for the PF and for every VF.
pub fn connectx3_dual_port() -> Tree {
    host(&[Pf {
        netdevs: &[
            Netdev::up("ens5", "e4:1d:2d:00:00:50", 40000),
            Netdev { dev_port: 1, ..Netdev::down("ens5d1", "e4:1d:2d:00:00:51") },
        ],
        rdma: Some("mlx4_0"),
        vfs: Vfs { ports: 2, ..Vfs::usual(&MLX4, 2, "ens5") },
        ..Pf::new("0000:05:00.0", &MLX4)
    }])
}

/// 512 VFs of one PF, on the buses 80, 81 and 82.
pub fn vfs_512() -> Tree {
    host(&[Pf {
        netdevs: &[Netdev::up("ens8", "b4:96:91:00:00:60", 100_000)],
        vfs: Vfs::usual(&WIDE, 512, "ens8"),
        ..Pf::new("0000:80:00.0", &WIDE)
    }])
}

/// An E810 behind an Intel VMD, which opens a PCI domain of five digits.
pub fn other_domain() -> Tree {
    host(&[Pf {
        bridge: Some("pci0000:e0/0000:e0:00.5/pci10000:e0/10000:e0:01.0"),
        netdevs: &[Netdev::up("ens9", "b4:96:91:00:00:70", 100_000)],
        vfs: Vfs::usual(&ICE, 2, "ens9"),
        ..Pf::new("10000:e1:00.0", &ICE)
    }])
}

/// An `NVMe` disk with VFs that have no driver, beside a NIC.
pub fn nvme() -> Tree {
    host(&[
        Pf { vfs: Vfs::idle(4), ..Pf::new("0000:0a:00.0", &NVME) },
        Pf {
            netdevs: &[Netdev::up("eth0", "52:54:00:aa:00:00", 1000)],
            ..Pf::new("0000:01:00.0", &IGB)
        },
    ])
}

/// Graphics with VFs, on the root bus, and nothing else with SR-IOV.
pub fn gpu() -> Tree {
    host(&[Pf { vfs: Vfs::idle(2), numa: -1, ..Pf::new("0000:00:02.0", &GPU) }])
}

/// VFs 0, 2 and 10 of eleven: the others were taken off the bus (`echo 1 > remove`).
/// `sriov_numvfs` stays at 11, and virtfn10 sorts before virtfn2 as text.
pub fn holes() -> Tree {
    let vfs = Vfs { indexes: vec![0, 2, 10], ..Vfs::usual(&IXGBE, 0, "ens2f0") };
    host(&[Pf {
        netdevs: &[Netdev::up("ens2f0", "a0:36:9f:00:00:10", 10000)],
        vfs,
        ..Pf::new("0000:04:00.0", &IXGBE)
    }])
}

/// A host without IOMMU: eth0's VF 0 is in a group that vfio made up for its no-IOMMU mode, VF 1
/// in none (drivers/vfio/group.c: `vfio_noiommu_group_alloc`).
pub fn noiommu() -> Tree {
    let tree = host(&[Pf {
        netdevs: &[Netdev::up("eth0", "52:54:00:aa:00:00", 1000)],
        vfs: Vfs::usual(&IGB, 2, "eth0"),
        ..Pf::new("0000:01:00.0", &IGB)
    }]);
    tree.bind_vfio("0000:01:10.0");
    let group = "sys/kernel/iommu_groups/7";
    tree.write(format!("{group}/name"), "vfio-noiommu\n");
    let dir = tree.device_dir("0000:01:10.0");
    tree.remove(format!("{dir}/iommu_group"));
    tree.link(&format!("{dir}/iommu_group"), group);
    tree.link(&format!("{group}/devices/0000:01:10.0"), &dir);
    for device in ["0000:01:00.0", "0000:01:10.2"] {
        tree.remove(format!("{}/iommu_group", tree.device_dir(device)));
    }
    tree.write("dev/vfio/noiommu-7", "");
    tree
}

/// NICs without SR-IOV: an e1000e, and a virtio one, whose interface hangs below the virtio
/// device instead of the PCI one.
pub fn no_sriov() -> Tree {
    let mut tree = Tree::new();
    let plain = tree.plain("0000:00:1f.6", (0x8086, 0x10d3), 0x02_0000, Some("e1000e"));
    tree.netdev(&plain, &Netdev::up("eth0", "52:54:00:aa:00:00", 1000));
    let virtio = tree.plain("0000:00:03.0", (0x1af4, 0x1041), 0x02_0000, Some("virtio-pci"));
    tree.netdev(&format!("{virtio}/virtio0"), &Netdev::up("eth1", "52:54:00:aa:00:01", 10));
    tree
}

/// Attributes that are empty, garbage or missing; each must come out as "unknown" and take
/// nothing else with it.
///
/// - `eth0`: NUMA node -1, no speed, MTU and autoprobe to be read, a port name that is not UTF-8,
///   VF device number garbage; VF 0 sound, VF 1 with a driver link that leads nowhere (as in a
///   copy without `sys/bus/pci/drivers`), VF 2 without driver and IOMMU group and with an empty
///   MAC, VF 3 with nothing but its links.
/// - `eth1`: `sriov_totalvfs` garbage, `sriov_numvfs` and `vendor` missing.
pub fn unreadable() -> Tree {
    let tree = host(&[
        Pf {
            netdevs: &[Netdev::up("eth0", "52:54:00:aa:00:00", 1000)],
            numa: -1,
            vfs: Vfs::usual(&IGB, 4, "eth0"),
            ..Pf::new("0000:01:00.0", &IGB)
        },
        Pf {
            netdevs: &[Netdev::down("eth1", "52:54:00:aa:00:01")],
            ..Pf::new("0000:02:00.0", &IGB)
        },
    ]);
    let pf = tree.device_dir("0000:01:00.0");
    tree.write(format!("{pf}/sriov_drivers_autoprobe"), "");
    tree.write(format!("{pf}/sriov_vf_device"), "zz\n");
    tree.write(format!("{pf}/net/eth0/speed"), "fast\n");
    tree.write(format!("{pf}/net/eth0/mtu"), "");
    tree.write(format!("{pf}/net/eth0/phys_port_name"), b"p\xff\n");

    let vf = tree.device_dir("0000:01:10.2");
    tree.remove(format!("{vf}/driver"));
    tree.link(&format!("{vf}/driver"), "sys/bus/pci/drivers/gone");
    let vf = tree.device_dir("0000:01:10.4");
    tree.remove(format!("{vf}/driver"));
    tree.remove(format!("{vf}/iommu_group"));
    tree.write(format!("{vf}/net/eth0v2/address"), "");
    tree.rebind("0000:01:10.6", None);
    let vf = tree.device_dir("0000:01:10.6");
    for file in ["class", "vendor", "device", "numa_node", "driver_override", "uevent"] {
        tree.remove(format!("{vf}/{file}"));
    }

    let pf = tree.device_dir("0000:02:00.0");
    tree.write(format!("{pf}/sriov_totalvfs"), "many\n");
    tree.remove(format!("{pf}/sriov_numvfs"));
    tree.remove(format!("{pf}/vendor"));
    tree
}

/// A host without a PCI bus, as some virtual machines and all s390 without PCI are.
pub fn empty() -> Tree {
    Tree::bare()
}

/// One PF `ens0` with as many VFs, at most 4096.
pub fn scale(count: u16) -> Tree {
    let model = Model { total_vfs: 4096, ..WIDE };
    host(&[Pf {
        netdevs: &[Netdev::up("ens0", "b4:96:91:00:00:60", 100_000)],
        vfs: Vfs::usual(&model, count, "ens0"),
        ..Pf::new("0000:80:00.0", &model)
    }])
}

/// 16 PFs `ens0` to `ens15` with 256 VFs each.
pub fn mixed_4k() -> Tree {
    let mut tree = Tree::new();
    for port in 0..16 {
        let (at, name) = (format!("0000:{:02x}:00.0", 0x40 + 2 * port), format!("ens{port}"));
        let mac = format!("b4:96:91:00:01:{port:02x}");
        tree.pf(&Pf {
            netdevs: &[Netdev::up(&name, &mac, 100_000)],
            vfs: Vfs::usual(&WIDE, 256, &name),
            ..Pf::new(&at, &WIDE)
        });
    }
    tree
}

/// A host that is ready: an 82576 with 4 VFs, pass-through, vfio-pci, hugepages, and the plugin of a
/// container runtime, which is the program at `program`.
pub fn ready(program: &str) -> Tree {
    let tree = host(&[Pf {
        netdevs: &[Netdev::up("eth0", "52:54:00:aa:00:00", 1000)],
        vfs: Vfs::usual(&IGB, 4, "eth0"),
        ..Pf::new("0000:01:00.0", &IGB)
    }]);
    for (file, text) in [
        ("proc/cpuinfo", "vendor_id\t: GenuineIntel\n"),
        ("proc/cmdline", "quiet intel_iommu=on iommu=pt\n"),
        ("proc/meminfo", "MemTotal:       65781936 kB\nHugepagesize:       2048 kB\n"),
        ("proc/mounts", "hugetlbfs /dev/hugepages hugetlbfs rw,relatime 0 0\n"),
        ("sys/firmware/acpi/tables/DMAR", ""),
        ("sys/bus/pci/drivers/vfio-pci/bind", ""),
        ("dev/vfio/vfio", ""),
        ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n"),
        ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "500\n"),
        ("opt/cni/bin/host-local", "#!/bin/sh\n"),
        (
            "etc/cni/net.d/10-vfs.conflist",
            r#"{"cniVersion": "1.0.0", "name": "vfs", "plugins": [
                {"type": "sriov", "pool": ["eth0"], "ipam": {"type": "host-local"}}]}"#,
        ),
    ] {
        tree.write(file, text);
    }
    tree.make_executable("opt/cni/bin/host-local");
    std::os::unix::fs::symlink(program, tree.path("opt/cni/bin/sriov")).expect("symlink");
    tree
}
