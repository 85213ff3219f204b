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

/// What a door needs.
pub type Rights = &'static [&'static [Right]];

/// Where each VF is, and who uses it: what all have in common.
const LOOK: &[Right] = &[Right::NetAdmin, Right::SysAdmin, Right::SysPtrace, Right::DacReadSearch];

/// A VF into a namespace and back, with a driver of its own.
const MOVE: &[Right] = &[Right::NetRaw, Right::Syslog, Right::DacOverride, Right::Fowner];

/// Lists.
pub const LIST: Rights = &[LOOK];

/// `bind-dpdk`, `set-vf`, which finishes what that began, and `set-numvfs`, which makes the bindings that
/// persist.
pub const BIND: Rights = &[LOOK, &[Right::Syslog, Right::Chown, Right::Fowner]];

/// `attach` and `detach`.
pub const ATTACH: Rights = &[LOOK, MOVE];

/// `inspect-state`, which also finishes what `attach` and `bind-dpdk` began.
pub const STATE: Rights = &[LOOK, MOVE, &[Right::Chown]];

/// `doctor`, which also reads the kernel's log.
pub const DOCTOR: Rights = &[LOOK, &[Right::Syslog]];

/// The plugin of container runtimes.
pub const CNI: Rights = &[LOOK, MOVE, &[Right::Kill]];

/// `cni --install`.
pub const INSTALL: Rights = &[&[Right::DacOverride, Right::Fowner]];

/// An IPAM plugin that only calculates.
pub const NONE: Rights = &[];
