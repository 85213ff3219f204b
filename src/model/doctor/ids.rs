//! Every finding there is, with what the man page says of it.

use super::Area;

/// The stable names, each with its area and its line of the man page.
macro_rules! ids {
    ($($area:ident { $($name:ident $text:literal $meaning:literal)* })*) => {
        /// What a finding is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Id {
            $($(#[doc = $meaning] $name,)*)*
        }

        impl Id {
            /// All of them, by area.
            pub const ALL: &'static [Self] = &[$($(Self::$name,)*)*];

            /// The stable name, in kebab case.
            pub fn text(self) -> &'static str {
                match self { $($(Self::$name => $text,)*)* }
            }

            /// What it means, as a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $($(Self::$name => $meaning,)*)* }
            }

            /// Whether it sums up its area, which then has nothing that must be put right.
            pub fn is_summary(self) -> bool {
                use Id::{CniReady, DpdkReady, IommuOn, NoConflicts, SriovReady, StateOk};
                matches!(self, SriovReady | IommuOn | DpdkReady | CniReady | StateOk | NoConflicts)
            }

            /// What it is about.
            pub fn area(self) -> Area {
                match self { $($(Self::$name => Area::$area,)*)* }
            }
        }
    };
}

ids! {
    Sriov {
        NoPf "no-pf" "No network device can have VFs."
        PfNoDriver "pf-no-driver" "A PF has no driver, which is what creates VFs."
        PfTotalvfsZero "pf-totalvfs-zero" "A PF can have no VFs: its firmware or the machine's has them switched off."
        PfDown "pf-down" "A PF is down, so that its driver creates no VFs, or its VFs have no carrier."
        PfElsewhere "pf-elsewhere" "A PF's interface is in another network namespace, so that its VFs cannot be set up."
        PfNoVfs "pf-no-vfs" "A PF has no VFs."
        PfVfioNoVfs "pf-vfio-no-vfs" "A PF is on vfio-pci, which was not allowed to create VFs."
        VfMissing "vf-missing" "The kernel counts more VFs than there are devices: some were taken off the bus."
        VfNoDriver "vf-no-driver" "VFs have no driver."
        VfNoNetdev "vf-no-netdev" "VFs have a network driver, but no interface in any namespace."
        VfNoMmio "vf-no-mmio" "The kernel logged that the device has too little memory space (MMIO) for VFs."
        VfNoBus "vf-no-bus" "The kernel logged that VFs would lie on bus numbers that their bridge does not have."
        PfReady "pf-ready" "A PF is as it should be."
        SriovReady "sriov-ready" "How many PFs and VFs there are."
    }
    Iommu {
        IommuOff "iommu-off" "No IOMMU is in use: vfio-pci cannot bind, nor can guests have VFs."
        IommuNoPt "iommu-no-pt" "The host's own traffic goes through the IOMMU too, which costs time; iommu=pt spares it."
        IommuGroupMissing "iommu-group-missing" "The IOMMU is on, but does not cover a PF's VFs."
        IommuGroupShared "iommu-group-shared" "VFs share an IOMMU group: user space gets all of a group or none of it."
        NoiommuOn "noiommu-on" "VFIO hands out devices without an IOMMU: nothing protects the memory of the host."
        IommuOn "iommu-on" "The IOMMU is in use."
    }
    Dpdk {
        VfioMissing "vfio-missing" "The kernel has no vfio-pci, neither built in nor as a module."
        VfioNodeMissing "vfio-node-missing" "vfio-pci is loaded, but /dev/vfio/vfio is not there."
        NoHugepages "no-hugepages" "There are no hugepages, which DPDK needs."
        HugepagesUsedUp "hugepages-used-up" "There are hugepages, and none of them is free."
        NoHugetlbfs "no-hugetlbfs" "Hugepages cannot be had as files: no hugetlbfs is mounted."
        Lockdown "lockdown" "The kernel is locked down (Secure Boot): drivers other than vfio-pci are refused to user space."
        DmaEntryLimit "dma-entry-limit" "VFIO allows a process fewer mappings than the kernel's 65535."
        MemlockLow "memlock-low" "Processes of this user may lock too little memory for a DPDK program."
        VfioReady "vfio-ready" "vfio-pci is loaded, or is when it is asked for."
        HugepagesReady "hugepages-ready" "How many hugepages there are."
        HugetlbfsReady "hugetlbfs-ready" "A hugetlbfs is mounted."
        DpdkReady "dpdk-ready" "What DPDK needs is there."
    }
    Cni {
        CniLinkMissing "cni-link-missing" "The container runtime finds no plugin sriov: an error where a configuration names it."
        CniLinkBroken "cni-link-broken" "The plugin sriov is a link that leads nowhere."
        CniNotExecutable "cni-not-executable" "The plugin sriov may not be executed."
        CniOtherCopy "cni-other-copy" "The plugin sriov is another copy of sriovctl than the one that runs."
        CniOtherProgram "cni-other-program" "The plugin sriov is another program."
        CniConfigBroken "cni-config-broken" "A network configuration is no JSON, or not of the right shape."
        CniConfigNoDevice "cni-config-no-device" "A configuration names no VF and nothing to take one from: it works only through Multus with a device plugin."
        CniConfigUnknownDevice "cni-config-unknown-device" "A configuration names a device that is not there."
        IpamMissing "ipam-missing" "A configuration names an IPAM plugin that the runtime does not find."
        DhcpDaemonMissing "dhcp-daemon-missing" "A configuration asks for addresses by DHCP, and the daemon of that plugin does not run."
        CniLinkReady "cni-link-ready" "The plugin sriov is this program."
        IpamReady "ipam-ready" "An IPAM plugin that a configuration names is there."
        CniReady "cni-ready" "What a container runtime needs is there, or no runtime is."
    }
    State {
        RecordStale "record-stale" "A VF is recorded for an owner that is gone."
        RecordUnfinished "record-unfinished" "A change was begun and not ended: whoever began it died."
        RecordDrift "record-drift" "A VF is not as it was recorded."
        RecordCorrupt "record-corrupt" "What is kept of a VF is no record."
        VfForeign "vf-foreign" "A VF is in another network namespace without a record."
        StateDirOpen "state-dir-open" "Others than root may change the records, so that they are not used."
        StateDiskFull "state-disk-full" "The disk with the records is full: nothing can be attached or bound."
        StateDiskReadOnly "state-disk-read-only" "The disk with the records is mounted read-only: nothing can be attached or bound."
        StateOk "state-ok" "All records are true."
        NotSeen "not-seen" "Something could not be looked at; the sentence says why. It may be of any area."
    }
    Conflicts {
        ConflictSystemd "conflict-systemd" "A file of systemd-udevd or systemd-networkd sets VFs ([SR-IOV], SR-IOVVirtualFunctions=)."
        ConflictNetworkManager "conflict-network-manager" "NetworkManager sets VFs, and destroys them when a connection goes down."
        ConflictNetplan "conflict-netplan" "netplan sets the number of VFs (virtual-function-count)."
        ConflictDriverctl "conflict-driverctl" "driverctl gives a device to a driver whenever it appears."
        ConflictOperator "conflict-operator" "sriov-network-operator manages this node, or left its service behind."
        ConflictLibvirt "conflict-libvirt" "A network of libvirt gives VFs to guests."
        ConflictUdev "conflict-udev" "A udev rule writes sriov_numvfs."
        ConflictUnit "conflict-unit" "An enabled service of systemd, or a script that it starts, writes sriov_numvfs."
        ConflictBootScript "conflict-boot-script" "A script or table that is run at boot writes sriov_numvfs."
        ConflictModuleOption "conflict-module-option" "A driver is told to create VFs when it is loaded (max_vfs, num_vfs)."
        NoConflicts "no-conflicts" "Nothing was found that changes VFs by itself."
    }
}
