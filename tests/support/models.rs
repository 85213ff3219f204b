//! Cards as their configuration space and driver present them.
//!
//! VF device numbers, offsets and strides are those of the SR-IOV capability (PCI Express 9.3.3); the
//! limits are what the driver sets with `pci_sriov_set_totalvfs`.

/// One card's port.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// Vendor number, also of the VFs.
    pub vendor: u16,
    /// Device number of the PF.
    pub device: u16,
    /// Device number of the VFs (`sriov_vf_device`).
    pub vf_device: u16,
    /// 24-bit class code, also of the VFs.
    pub class: u32,
    /// The PF's usual driver.
    pub driver: &'static str,
    /// The VFs' usual driver; `None` where Linux has none.
    pub vf_driver: Option<&'static str>,
    /// `sriov_totalvfs`.
    pub total_vfs: u16,
    /// Routing id of VF 0, counted from the PF's (`sriov_offset`).
    pub offset: u16,
    /// Routing ids from one VF to the next (`sriov_stride`).
    pub stride: u16,
}

const NIC: Model = Model {
    vendor: 0x8086,
    device: 0,
    vf_device: 0,
    class: 0x02_0000,
    driver: "",
    vf_driver: None,
    total_vfs: 0,
    offset: 128,
    stride: 2,
};

/// Intel 82576, the card that QEMU emulates: 8 in the capability, 7 by the driver.
pub const IGB: Model = Model {
    device: 0x10c9,
    vf_device: 0x10ca,
    driver: "igb",
    vf_driver: Some("igbvf"),
    total_vfs: 7,
    ..NIC
};

/// Intel 82599ES: 64 in the capability, 63 by the driver (ixgbe: `IXGBE_MAX_VFS_DRV_LIMIT`).
pub const IXGBE: Model = Model {
    device: 0x10fb,
    vf_device: 0x10ed,
    driver: "ixgbe",
    vf_driver: Some("ixgbevf"),
    total_vfs: 63,
    ..NIC
};

/// Intel X710.
pub const I40E: Model = Model {
    device: 0x1572,
    vf_device: 0x154c,
    driver: "i40e",
    vf_driver: Some("iavf"),
    total_vfs: 32,
    offset: 16,
    stride: 1,
    ..NIC
};

/// Intel E810-C.
pub const ICE: Model = Model {
    device: 0x1593,
    vf_device: 0x1889,
    driver: "ice",
    vf_driver: Some("iavf"),
    total_vfs: 64,
    offset: 8,
    stride: 1,
    ..NIC
};

/// Broadcom BCM57414.
pub const BNXT: Model = Model {
    vendor: 0x14e4,
    device: 0x16d7,
    vf_device: 0x16dc,
    driver: "bnxt_en",
    vf_driver: Some("bnxt_en"),
    total_vfs: 16,
    offset: 16,
    stride: 1,
    ..NIC
};

/// Mellanox ConnectX-5 with `NUM_OF_VFS=8` in its firmware; one driver for PF and VFs.
pub const MLX5: Model = Model {
    vendor: 0x15b3,
    device: 0x1017,
    vf_device: 0x1018,
    driver: "mlx5_core",
    vf_driver: Some("mlx5_core"),
    total_vfs: 8,
    offset: 2,
    stride: 1,
    ..NIC
};

/// Mellanox ConnectX-3: two ports on one function, class 0x0280 (`num_vfs` is a module parameter).
pub const MLX4: Model = Model {
    vendor: 0x15b3,
    device: 0x1003,
    vf_device: 0x1004,
    class: 0x02_8000,
    driver: "mlx4_core",
    vf_driver: Some("mlx4_core"),
    total_vfs: 16,
    offset: 1,
    stride: 1,
};

/// Samsung PM173X, an `NVMe` disk with VFs.
pub const NVME: Model = Model {
    vendor: 0x144d,
    device: 0xa824,
    vf_device: 0xa824,
    class: 0x01_0802,
    driver: "nvme",
    vf_driver: None,
    total_vfs: 32,
    offset: 1,
    stride: 1,
};

/// Intel Alder Lake-P graphics.
pub const GPU: Model = Model {
    vendor: 0x8086,
    device: 0x46a6,
    vf_device: 0x46a6,
    class: 0x03_0000,
    driver: "i915",
    vf_driver: None,
    total_vfs: 7,
    offset: 1,
    stride: 1,
};

/// A NIC whose VFs fill more than one bus, as only ARI allows: function numbers up to 255.
pub const WIDE: Model = Model { total_vfs: 512, offset: 1, stride: 1, ..ICE };

/// An excerpt of the PCI id list, with the comments, sub-devices and classes that a reader must
/// step over. 10ca stands under another vendor too, who must not lend his name.
pub const PCI_IDS: &str = "\
#
#\tList of PCI ID's
#
#\tVersion: 2025.11.01
#

14e4  Broadcom Inc. and subsidiaries
\t16d7  BCM57414 NetXtreme-E 10Gb/25Gb RDMA Ethernet Controller
\t\t117c 00cc  FastFrame N422 Dual-port 25Gb Ethernet Adapter
\t16dc  NetXtreme-E Ethernet Virtual Function
15b3  Mellanox Technologies
\t1003  MT27500 Family [ConnectX-3]
\t1004  MT27500/MT27520 Family [ConnectX-3/ConnectX-3 Pro Virtual Function]
\t1017  MT27800 Family [ConnectX-5]
\t1018  MT27800 Family [ConnectX-5 Virtual Function]
4040  Another Vendor
\t10ca  Something else
8086  Intel Corporation
\t10c9  82576 Gigabit Network Connection
\t\t103c 31ef  NC362i Integrated Dual port Gigabit Server Adapter
\t\t8086 a03c  Gigabit ET Dual Port Server Adapter
\t10ca  82576 Virtual Function
\t10ed  82599 Ethernet Controller Virtual Function
\t10fb  82599ES 10-Gigabit SFI/SFP+ Network Connection
\t154c  Ethernet Virtual Function 700 Series
\t1572  Ethernet Controller X710 for 10GbE SFP+
\t1593  Ethernet Controller E810-C for SFP
\t1889  Ethernet Adaptive Virtual Function
\t46a6  Alder Lake-P GT2 [Iris Xe Graphics]

# List of known device classes, subclasses and programming interfaces

C 02  Network controller
\t00  Ethernet controller
\t80  Network controller
C 03  Display controller
\t00  VGA compatible controller
";
