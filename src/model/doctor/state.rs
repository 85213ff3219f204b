//! What was written down: whether it is still true, and whether more can be.

use super::facts::Facts;
use super::{Finding, Id, Severity, count};
use crate::model::ids::DeviceId;
use crate::model::text::shell_word;

/// Less is soon nothing: a record is some kilobytes, and is written beside its place.
const LITTLE: u64 = 1 << 20;

/// One record beside the truth.
#[derive(Debug, Clone)]
pub struct Known {
    /// What the device is called.
    pub name: String,
    /// The device.
    pub device: DeviceId,
    /// The verdict of `inspect-state`, in its word.
    pub word: &'static str,
    /// What there is to say beyond the word.
    pub details: Vec<String>,
}

/// All that there is to say.
///
/// `None`: the records could not be read.
pub fn judge(records: Option<&[Known]>, facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<Finding> = facts.state_dirs.iter().filter_map(open).collect();
    found.extend(disk(facts));
    let Some(records) = records else { return found };
    found.extend(records.iter().filter_map(record));
    if !found.is_empty() {
        return found;
    }
    let text = match records.len() {
        0 => "nothing is attached or bound".to_owned(),
        n => format!("{}, all true", count(n, "record", "records")),
    };
    found.push(Finding::new(Id::StateOk, Severity::Ok, "records", text));
    found
}

fn record(known: &Known) -> Option<Finding> {
    let repair = "sriovctl inspect-state --repair";
    let (id, severity, fix) = match known.word {
        "stale" => (Id::RecordStale, Severity::Warning, repair.to_owned()),
        "unfinished" => (Id::RecordUnfinished, Severity::Warning, repair.to_owned()),
        "drift" => (Id::RecordDrift, Severity::Warning, repair.to_owned()),
        "corrupt" => (Id::RecordCorrupt, Severity::Warning, repair.to_owned()),
        // Somebody may have moved it on purpose.
        "foreign" => {
            (Id::VfForeign, Severity::Note, format!("{repair} {}", shell_word(&known.name)))
        }
        _ => return None,
    };
    let text = format!("its record is {}: {}", known.word, known.details.join("; "));
    let text = if known.word == "foreign" {
        format!("has no record: {}", known.details.join("; "))
    } else {
        text
    };
    Some(Finding::new(id, severity, &known.name, text).of(&known.device).run(fix))
}

fn open(dir: &super::facts::StateDir) -> Option<Finding> {
    let fault = dir.fault.as_ref()?;
    let path = shell_word(&dir.path);
    let text = format!("is not used: {fault}");
    let finding = Finding::new(Id::StateDirOpen, Severity::Error, &dir.path, text);
    Some(finding.run(format!("chown root: {path} && chmod go-w {path}")))
}

fn disk(facts: &Facts) -> Option<Finding> {
    let disk = facts.disk.as_ref()?;
    let path = shell_word(&disk.path);
    if disk.read_only {
        let text = "is mounted read-only: nothing can be attached or bound";
        let finding = Finding::new(Id::StateDiskReadOnly, Severity::Error, &disk.path, text);
        return Some(finding.run(format!("mount -o remount,rw \"$(stat -c %m {path})\"")));
    }
    let is_full = disk.free == 0 || disk.free_files == Some(0);
    if !is_full && disk.free >= LITTLE {
        return None;
    }
    let (severity, text) = match (is_full, disk.free) {
        (true, 0) => {
            (Severity::Error, "the disk is full: nothing can be attached or bound".to_owned())
        }
        (true, _) => (
            Severity::Error,
            "the disk takes no more files: nothing can be attached or bound".to_owned(),
        ),
        (false, free) => (Severity::Warning, format!("the disk has only {} KiB left", free >> 10)),
    };
    let finding = Finding::new(Id::StateDiskFull, severity, &disk.path, text);
    Some(finding.run(format!("df -h {path}; df -i {path}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::doctor::Fix;
    use crate::model::doctor::facts::{Disk, StateDir};

    fn known(word: &'static str) -> Known {
        let device = "0000:01:10.0".parse().unwrap();
        let details = vec!["/run/netns/blue is gone".to_owned()];
        Known { name: "eth0#0".to_owned(), device, word, details }
    }

    #[test]
    fn each_verdict_has_its_id_and_its_command() {
        let repair = "sriovctl inspect-state --repair";
        for (word, id, severity, fix) in [
            ("stale", Id::RecordStale, Severity::Warning, repair),
            ("unfinished", Id::RecordUnfinished, Severity::Warning, repair),
            ("drift", Id::RecordDrift, Severity::Warning, repair),
            ("corrupt", Id::RecordCorrupt, Severity::Warning, repair),
            ("foreign", Id::VfForeign, Severity::Note, "sriovctl inspect-state --repair 'eth0#0'"),
        ] {
            let found = judge(Some(&[known(word)]), &Facts::default());
            assert_eq!((found[0].id, found[0].severity), (id, severity), "{word}");
            assert_eq!(found[0].fix, Some(Fix::Run(fix.to_owned())));
            assert!(found[0].text.contains("/run/netns/blue is gone"));
        }
        let found = judge(Some(&[known("ok")]), &Facts::default());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].text, "1 record, all true");
    }

    #[test]
    fn a_directory_and_its_disk_are_looked_at() {
        let path = "/var/lib/cni/sriov".to_owned();
        let disk =
            |read_only, free, free_files| Disk { path: path.clone(), read_only, free, free_files };
        for (disk, id, severity) in [
            (disk(true, 1 << 30, None), Id::StateDiskReadOnly, Severity::Error),
            (disk(false, 0, None), Id::StateDiskFull, Severity::Error),
            (disk(false, 1 << 30, Some(0)), Id::StateDiskFull, Severity::Error),
            (disk(false, 4096, Some(9)), Id::StateDiskFull, Severity::Warning),
            (disk(false, 1 << 30, Some(9)), Id::StateOk, Severity::Ok),
        ] {
            let facts = Facts { disk: Some(disk.clone()), ..Facts::default() };
            let found = judge(Some(&[]), &facts);
            assert_eq!((found[0].id, found[0].severity), (id, severity), "{disk:?}");
        }
        let dir = StateDir { path, fault: Some("others may write it".to_owned()) };
        let found = judge(Some(&[]), &Facts { state_dirs: vec![dir], ..Facts::default() });
        assert_eq!((found[0].id, found[0].severity), (Id::StateDirOpen, Severity::Error));
        let Some(Fix::Run(fix)) = &found[0].fix else { panic!() };
        assert_eq!(fix, "chown root: /var/lib/cni/sriov && chmod go-w /var/lib/cni/sriov");
    }
}
