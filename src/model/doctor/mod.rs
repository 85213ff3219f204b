//! Whether a host is ready for SR-IOV and DPDK, and what stands in the way: facts in, findings out.

pub mod cni;
pub mod cni_config;
pub mod conflicts;
pub mod dpdk;
pub mod facts;
mod ids;
pub mod iommu;
pub mod sriov;
pub mod state;
pub mod traces;

pub use ids::Id;

use super::ids::DeviceId;
use facts::Unseen;

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// PFs and VFs.
    Sriov,
    /// What keeps a device to its own memory.
    Iommu,
    /// What a DPDK program needs.
    Dpdk,
    /// What a container runtime needs.
    Cni,
    /// What was written down.
    State,
    /// Other programs that change VFs.
    Conflicts,
}

impl Area {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 6] =
        [Self::Sriov, Self::Iommu, Self::Dpdk, Self::Cni, Self::State, Self::Conflicts];

    /// A stable word for scripts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sriov => "sriov",
            Self::Iommu => "iommu",
            Self::Dpdk => "dpdk",
            Self::Cni => "cni",
            Self::State => "state",
            Self::Conflicts => "conflicts",
        }
    }

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Sriov => "SR-IOV",
            Self::Iommu => "IOMMU",
            Self::Dpdk => "DPDK",
            Self::Cni => "CNI",
            Self::State => "state",
            Self::Conflicts => "conflicts",
        }
    }
}

/// How bad it is; the worst comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Good to know; it may be meant so.
    Note,
    /// Something will not work, or not as expected.
    Warning,
    /// The host cannot do what the area is about.
    Error,
}

impl Severity {
    /// A stable word for scripts and people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fix {
    /// A shell command, to be typed as it is.
    Run(String),
    /// Something that no command does.
    Do(String),
}

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is, for scripts and the man page.
    pub id: Id,
    /// What it is about.
    pub area: Area,
    /// How bad it is.
    pub severity: Severity,
    /// The device or file.
    pub subject: String,
    /// The device, where it is one.
    pub device: Option<DeviceId>,
    /// Why, as one sentence that goes on from the subject, without a full stop.
    pub text: String,
    /// What to do.
    pub fix: Option<Fix>,
}

impl Finding {
    /// A finding that nothing is to be done about.
    pub fn new(
        id: Id,
        severity: Severity,
        subject: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        let (subject, text) = (subject.into(), text.into());
        Self { id, area: id.area(), severity, subject, device: None, text, fix: None }
    }

    /// With the command that puts it right.
    #[must_use]
    pub fn run(self, command: impl Into<String>) -> Self {
        self.fix(Fix::Run(command.into()))
    }

    /// With what to do, where no command does it.
    #[must_use]
    pub fn advise(self, what: impl Into<String>) -> Self {
        self.fix(Fix::Do(what.into()))
    }

    /// With either.
    #[must_use]
    pub fn fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }

    /// About a device.
    #[must_use]
    pub fn of(mut self, device: &DeviceId) -> Self {
        self.device = Some(device.clone());
        self
    }
}

/// What could not be looked at, as one finding an area: "nothing found" would be a lie.
pub fn unseen(area: Area, unseen: &[Unseen]) -> Option<Finding> {
    let of_area: Vec<&Unseen> = unseen.iter().filter(|unseen| unseen.area == area).collect();
    let first = of_area.first()?;
    let more = match of_area.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    let text = format!("could not be looked at: {}{more}", first.why);
    let mut finding = Finding::new(Id::NotSeen, Severity::Note, &first.what, text);
    finding.area = area;
    // Only where rights were missing does it help to have them.
    let lacks_rights = of_area.iter().any(|unseen| unseen.lacks_rights);
    Some(if lacks_rights { finding.run("sudo sriovctl doctor") } else { finding })
}

/// One of them, or several: `1 PF`, `2 PFs`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// How bad the worst is.
pub fn worst<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Severity {
    findings.into_iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok)
}

/// The only finding, which is this one, with a fix that has this in it.
#[cfg(test)]
#[track_caller]
fn only<'a>(found: &'a [Finding], id: Id, severity: Severity, fix: &str) -> &'a Finding {
    let [finding] = found else { panic!("{found:?}") };
    assert_eq!((finding.id, finding.severity), (id, severity));
    let Some(Fix::Run(said) | Fix::Do(said)) = &finding.fix else { panic!("no fix") };
    assert!(said.contains(fix), "{said}");
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unseen_at(what: &str, lacks_rights: bool) -> Unseen {
        let why = "Permission denied".to_owned();
        Unseen { area: Area::State, what: what.to_owned(), why, lacks_rights }
    }

    #[test]
    fn what_could_not_be_looked_at_is_said_once_an_area() {
        let all = [unseen_at("/a", true), unseen_at("/b", false)];
        let said = unseen(Area::State, &all).unwrap();
        assert_eq!((said.area, said.subject.as_str()), (Area::State, "/a"));
        assert_eq!(said.text, "could not be looked at: Permission denied (and 1 more)");
        assert_eq!(said.fix, Some(Fix::Run("sudo sriovctl doctor".to_owned())));
        assert_eq!(unseen(Area::Cni, &all), None);
        assert_eq!(unseen(Area::State, &[unseen_at("/b", false)]).unwrap().fix, None);
    }

    #[test]
    fn ids_are_unlike_each_other_and_explained() {
        let mut texts: Vec<&str> = Id::ALL.iter().map(|id| id.text()).collect();
        assert!(Id::ALL.iter().all(|id| id.meaning().ends_with('.')));
        let is_kebab = |text: &&str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        assert!(texts.iter().all(is_kebab), "{texts:?}");
        let all = texts.len();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), all);
    }
}
