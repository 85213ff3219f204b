//! Which of root's rights (capabilities(7)) each door needs, and for what.

/// A capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Interfaces, VFs, addresses and routes by netlink; devlink and ethtool.
    NetAdmin,
    /// Frames that announce an address.
    NetRaw,
    /// Entering a namespace (setns(2)).
    SysAdmin,
    /// `/proc/PID/ns/net` and `/proc/PID/fd` of processes with other rights or another owner.
    SysPtrace,
    /// The kernel's reason for a refusal, in `/dev/kmsg`.
    Syslog,
    /// `/proc/PID/fd` of other users, and namespaces in their directories.
    DacReadSearch,
    /// Files in directories that belong to others: `cniDir`, `logFile`, `cni --install`.
    DacOverride,
    /// The owner of device nodes.
    Chown,
    /// The mode of device nodes with another owner, and files in sticky directories.
    Fowner,
    /// An IPAM plugin that became another user and does not answer.
    Kill,
}

/// Lists: where each VF is, and who uses it.
pub const LIST: &[Right] =
    &[Right::NetAdmin, Right::SysAdmin, Right::SysPtrace, Right::DacReadSearch];

/// `bind-dpdk`, and `set-numvfs`, which makes the bindings that persist.
pub const BIND: &[Right] = &[
    Right::NetAdmin,
    Right::SysAdmin,
    Right::SysPtrace,
    Right::DacReadSearch,
    Right::Syslog,
    Right::Chown,
    Right::Fowner,
];

/// `attach` and `detach`.
pub const ATTACH: &[Right] = &[
    Right::NetAdmin,
    Right::NetRaw,
    Right::SysAdmin,
    Right::SysPtrace,
    Right::DacReadSearch,
    Right::Syslog,
    Right::DacOverride,
    Right::Fowner,
];

/// `inspect-state`, which also finishes what `attach` and `bind-dpdk` began.
pub const STATE: &[Right] = &[
    Right::NetAdmin,
    Right::NetRaw,
    Right::SysAdmin,
    Right::SysPtrace,
    Right::DacReadSearch,
    Right::Syslog,
    Right::DacOverride,
    Right::Fowner,
    Right::Chown,
];

/// The plugin of container runtimes.
pub const CNI: &[Right] = &[
    Right::NetAdmin,
    Right::NetRaw,
    Right::SysAdmin,
    Right::SysPtrace,
    Right::DacReadSearch,
    Right::Syslog,
    Right::DacOverride,
    Right::Fowner,
    Right::Kill,
];

/// `cni --install`.
pub const INSTALL: &[Right] = &[Right::DacOverride, Right::Fowner];
