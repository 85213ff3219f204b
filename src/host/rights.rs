//! What this process may do: nothing on behalf of a caller with fewer rights, and no more than the
//! door needs.

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use crate::error::{Error, Kind, Result};
use crate::model::rights::{Right, Rights};

/// Whether the kernel gave this process rights that its caller lacks: by setuid, setgid or file
/// capabilities (`AT_SECURE`, getauxval(3)). It was told at the start: nothing is asked or read.
#[allow(unsafe_code)]
pub fn are_borrowed() -> bool {
    use nix::libc::{AT_EGID, AT_EUID, AT_GID, AT_SECURE, AT_UID, getauxval};
    // SAFETY: it reads a number out of a table that the kernel wrote beside the stack.
    let told = |what| unsafe { getauxval(what) };
    told(AT_SECURE) != 0 || told(AT_UID) != told(AT_EUID) || told(AT_GID) != told(AT_EGID)
}

/// The refusal to work so.
pub fn borrowed() -> Error {
    Error::new(
        Kind::Permission,
        "this program was made setuid, setgid or given file capabilities; it would do for anybody \
         what only root may, and does nothing",
    )
    .hint("take that back: chmod ug-s FILE; setcap -r FILE")
}

/// Gives up all rights but these, for good.
///
/// Programs that are started (modprobe, IPAM plugins) have all of root's again: exec gives root the
/// whole bounding set, which stays as it is (capabilities(7)). Where `no_new_privs` keeps them from
/// that, a caller that starts programs must keep everything, and nothing is given up.
pub fn keep_only(rights: Rights, starts_programs: bool) -> Result<()> {
    if starts_programs && nix::sys::prctl::get_no_new_privs().unwrap_or(false) {
        return Ok(());
    }
    let wanted = set(rights);
    if put(wanted).is_ok() {
        return Ok(());
    }
    // Refused: some are not there. Without rights, as in lists for everybody, there is no more to do.
    let failed = |errno: rustix::io::Errno| {
        Error::os("giving up rights that are not needed", errno.raw_os_error())
    };
    let has = capabilities(None).map_err(failed)?.permitted;
    if wanted.contains(has) {
        return Ok(());
    }
    put(wanted & has).map_err(failed)
}

fn put(rights: CapabilitySet) -> rustix::io::Result<()> {
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: rights, permitted: rights, inheritable })
}

fn set(rights: Rights) -> CapabilitySet {
    let one = |right: &Right| match right {
        Right::NetAdmin => CapabilitySet::NET_ADMIN,
        Right::NetRaw => CapabilitySet::NET_RAW,
        Right::SysAdmin => CapabilitySet::SYS_ADMIN,
        Right::SysPtrace => CapabilitySet::SYS_PTRACE,
        Right::Syslog => CapabilitySet::SYSLOG,
        Right::DacReadSearch => CapabilitySet::DAC_READ_SEARCH,
        Right::DacOverride => CapabilitySet::DAC_OVERRIDE,
        Right::Chown => CapabilitySet::CHOWN,
        Right::Fowner => CapabilitySet::FOWNER,
        Right::Kill => CapabilitySet::KILL,
    };
    rights.iter().copied().flatten().map(one).collect()
}
