//! What the page of `sriovctl cni` has beyond the command line.

/// Keys of the configuration.
pub const KEYS: [(&str, &str); 29] = [
    (
        "deviceID",
        "PCI address of the VF; normally put in by Multus. Beside master, if0 or pool it must be one of theirs.",
    ),
    ("master, if0", "The PF of which a free VF is taken, or VF of CNI_ARGS."),
    (
        "pool",
        "PFs and VFs of which a free one is taken, e.g. [\"eth0\", \"eth1#0-3\"]; not beside master or if0. VFs that ended containers left without a DEL come last.",
    ),
    ("pfOnly", "true: the PF itself."),
    (
        "if0name",
        "Name in the container, instead of CNI_IFNAME; not eth0, eth1 or lo. A second port of the same device gets that name with d1.",
    ),
    (
        "mac",
        "MAC; also runtimeConfig.mac, args.cni.mac and CNI_ARGS MAC, which come before it in this order.",
    ),
    ("mtu", "MTU in bytes, 68 to 65535."),
    ("vlan", "0 to 4094, 0: none; absent: left alone. Also CNI_ARGS VLAN."),
    ("vlanQoS", "0 to 7; needs vlan."),
    ("vlanProto", "802.1q or 802.1ad; needs vlan."),
    ("spoofchk, trust", "on or off."),
    ("link_state", "auto, enable or disable."),
    ("min_tx_rate, max_tx_rate", "Mbit/s, 0: none."),
    ("driver", "Driver for the time of the attachment, e.g. vfio-pci."),
    (
        "dpdk",
        "kernel_driver, dpdk_driver: as driver, and no addresses; dpdk_tool is accepted and never run.",
    ),
    (
        "ipam",
        "The IPAM plugin and what it needs; absent: no addresses. It is asked when the interface is in the container; one that does not answer within 60 s is ended. fixipam is built in.",
    ),
    ("l2enable", "true: no addresses."),
    (
        "cniDir, containerRecord",
        "Where records of Intel's and xftony's plugin are looked for; with either, one is written there for the container, below the inode of its namespace.",
    ),
    ("dns", "Passed on, unless the IPAM plugin gives some."),
    ("prevResult", "Passed through and extended."),
    ("logLevel", "error, warning, info or debug."),
    ("logFile", "Where lines go; without it errors and warnings go to standard error."),
    ("syslog", "true: lines go to the host's syslog or journal, beside the file."),
    (
        "cni.dev/valid-attachments",
        "For GC: what stays, and what cni.dev/attachments lists as well.",
    ),
    ("CNI_ARGS VF", "Number of the VF, with master or if0 and nothing else."),
    ("CNI_ARGS VLAN", "As vlan."),
    ("CNI_ARGS MAC", "As mac."),
    (
        "CNI_ARGS IP",
        "The address that fixipam gives out: of an interface in ipam.subnet, and not the gateway.",
    ),
    ("anything else", "Is warned about, with the nearest key that there is."),
];

/// Codes of errors.
pub const CODES: [(&str, &str); 17] = [
    ("1", "The version, or a command that it does not have."),
    ("3", "CHECK: the attachment is not known."),
    ("4", "The environment is incomplete or wrong."),
    ("5", "Reading the configuration failed."),
    ("6", "What came in is no JSON, or no result."),
    ("7", "The configuration asks for something that cannot be."),
    ("11", "No VF is free, or another call of the same attachment is running; try again later."),
    ("50", "STATUS: no ADD can succeed."),
    ("100", "Failed for a reason not listed here."),
    ("101", "A device is not there."),
    ("102", "A device is in use; \"pci address ADDRESS is already allocated\" names the holder."),
    ("103", "The kernel, the driver or the device cannot do it."),
    ("104", "Not everything could be undone; the record is kept, and DEL goes on."),
    ("105", "It did not come to an end in time."),
    ("106", "Not permitted."),
    ("107", "CHECK: something is not as ADD left it; each difference is in details."),
    ("108", "The IPAM plugin failed; its own words are in msg and details."),
];
