//! What is looked at, before anything is concluded from it.

use super::Area;
use super::Fix;
use super::cni_config::Config;
use super::traces::Trace;
use crate::model::text::shell_word;

/// Everything beside the devices themselves.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Whether this program runs as root, so that it sees what everybody does.
    pub is_root: bool,
    /// Boot parameters, memory, VFIO.
    pub machine: Machine,
    /// What a container runtime finds.
    pub cni: Cni,
    /// Directories of records, those that are there.
    pub state_dirs: Vec<StateDir>,
    /// The disk that they are, or would be, on.
    pub disk: Option<Disk>,
    /// What other programs keep that changes VFs.
    pub traces: Vec<Trace>,
    /// What the kernel has logged of devices, the oldest first.
    pub log: Vec<String>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// What it would have told of.
    pub area: Area,
    /// The file.
    pub what: String,
    /// Why not.
    pub why: String,
    /// Whether root could.
    pub lacks_rights: bool,
}

/// The machine and its kernel.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Groups of devices that the IOMMU tells apart; those that VFIO made up are left out.
    pub iommu_groups: usize,
    /// How many of them the host's own drivers use untranslated (`identity`).
    pub untranslated: usize,
    /// The firmware's tables that describe an IOMMU: `DMAR`, `IVRS`, `IORT`; `None`: the firmware
    /// shows no tables at all.
    pub tables: Option<Vec<String>>,
    /// What writes the kernel command line.
    pub loader: Loader,
    /// Whether `/dev/vfio/vfio` is there.
    pub has_vfio_node: bool,
    /// Whether a hugetlbfs is mounted.
    pub has_hugetlbfs: Option<bool>,
    /// Size in KiB of the hugepages that `vm.nr_hugepages` counts.
    pub hugepage_kib: Option<u64>,
    /// Memory in KiB.
    pub memory_kib: Option<u64>,
    /// Mappings that VFIO allows a process (`dma_entry_limit`).
    pub dma_entries: Option<u64>,
    /// Whether vfio-pci may create VFs (`enable_sriov`).
    pub vfio_creates_vfs: Option<bool>,
}

/// What writes the kernel command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Loader {
    /// grubby (Fedora, RHEL and their like).
    Grubby,
    /// `/etc/default/grub` and update-grub (Debian, Ubuntu).
    UpdateGrub,
    /// Something else.
    #[default]
    Other,
}

impl Loader {
    /// How to add words to the kernel command line.
    pub fn with(self, words: &str) -> Fix {
        match self {
            Self::Grubby => Fix::Run(format!("grubby --update-kernel=ALL --args='{words}'")),
            Self::UpdateGrub => Fix::Run(format!(
                "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&{words} /' /etc/default/grub && update-grub"
            )),
            Self::Other => Fix::Do(format!("put {words} on the kernel command line, then reboot")),
        }
    }
}

/// What a container runtime finds.
#[derive(Debug, Clone, Default)]
pub struct Cni {
    /// Where it looks for plugins.
    pub dirs: Vec<String>,
    /// Whether one of these is there, or a configuration: else there is no runtime.
    pub is_used: bool,
    /// The plugin sriov.
    pub plugin: Option<Plugin>,
    /// Names of the programs in these directories.
    pub programs: Vec<String>,
    /// Paths of plugins that a package put where the runtime does not look.
    pub elsewhere: Vec<String>,
    /// Its configurations.
    pub configs: Vec<Config>,
    /// Whether the daemon of the plugin dhcp listens.
    pub has_dhcp_daemon: bool,
}

/// The program called sriov.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// Where it is.
    pub path: String,
    /// What it is.
    pub what: PluginKind,
    /// Whether it is a symbolic link.
    pub is_link: bool,
}

/// Which program the plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginKind {
    /// This one.
    This,
    /// Another copy of it.
    OtherCopy,
    /// A link that leads nowhere.
    Broken,
    /// A file that may not be executed.
    NotExecutable,
    /// Another program, by whom it says that it is.
    Other(Option<&'static str>),
}

/// A directory of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    /// Where it is.
    pub path: String,
    /// Why it is not used.
    pub fault: Option<String>,
}

/// The disk with the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// A directory on it.
    pub path: String,
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// Bytes that root can still write.
    pub free: u64,
    /// Files that can still be made; `None` where the file system has no such limit.
    pub free_files: Option<u64>,
}

/// A command that comments lines of a file out. Files of packages stay as they are: one of the same
/// name in `override_dir` counts instead.
pub(super) fn comment_out(path: &str, lines: &[usize], override_dir: Option<&str>) -> String {
    let edits: Vec<String> = lines.iter().map(|line| format!("{line}s/^/# /")).collect();
    let (edits, quoted) = (edits.join("; "), shell_word(path));
    let is_packaged = path.starts_with("/usr/lib/") || path.starts_with("/lib/");
    match (override_dir, path.rsplit('/').next()) {
        (Some(dir), Some(name)) if is_packaged => {
            format!("sed '{edits}' {quoted} > {}", shell_word(&format!("{dir}/{name}")))
        }
        _ => format!("sed -i '{edits}' {quoted}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_changed_by_what_the_host_has() {
        let Fix::Run(grubby) = Loader::Grubby.with("iommu=pt") else { panic!() };
        assert_eq!(grubby, "grubby --update-kernel=ALL --args='iommu=pt'");
        let Fix::Run(grub) = Loader::UpdateGrub.with("iommu=pt") else { panic!() };
        assert!(grub.starts_with("sed -i") && grub.ends_with("&& update-grub"), "{grub}");
        assert!(matches!(Loader::Other.with("iommu=pt"), Fix::Do(_)));
    }

    #[test]
    fn a_file_of_a_package_is_not_edited() {
        let dir = Some("/etc/systemd/network");
        assert_eq!(
            comment_out("/etc/systemd/network/a b.link", &[3, 5], dir),
            "sed -i '3s/^/# /; 5s/^/# /' '/etc/systemd/network/a b.link'"
        );
        assert_eq!(
            comment_out("/usr/lib/systemd/network/x.link", &[3], dir),
            "sed '3s/^/# /' /usr/lib/systemd/network/x.link > /etc/systemd/network/x.link"
        );
    }
}
