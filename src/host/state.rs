//! Records on disk, below `/var/lib/cni/sriov/sriovctl`: `journal/` while an attachment is made,
//! `attached/` from then on; `binding/` and `bound/` likewise of drivers; a file a device.
//!
//! A file is written beside its place, synced and renamed, and its directory synced: it is there
//! whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Host, sysfs};
use crate::engine::store::{Shelf, Store, Stored};
use crate::error::{Error, Kind, Result};
use crate::model::ids::{DeviceId, PciAddress};
use crate::model::plan::attach::Moment;
use crate::model::record::{FORMAT, Record, Resize};

/// No record is nearly so long; whatever is, is none.
const LONGEST: u64 = 1 << 20;

impl Host {
    fn state_dir(&self, kind: &str) -> PathBuf {
        self.root.join("var/lib/cni/sriov/sriovctl").join(kind)
    }

    fn record_path(&self, kind: &str, device: &DeviceId) -> PathBuf {
        self.state_dir(kind).join(file_name(device))
    }

    fn remove_record(&self, kind: &str, device: &DeviceId) -> Result<()> {
        let path = self.record_path(kind, device);
        match fs::remove_file(&path) {
            Ok(()) => sync_dir(&self.state_dir(kind)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("removing the record", &path, &error)),
        }
    }

    /// Whom each recorded device belongs to, for lists; what cannot be read is left to
    /// `inspect-state`, which says so.
    pub(super) fn owners(&self) -> Vec<(DeviceId, String)> {
        let all = self.all_stored(Shelf::Attachments).unwrap_or_default();
        let owner = |stored: &Stored| {
            let record = stored.record()?;
            Some((record.device.clone(), record.owner.to_string()))
        };
        // What another plugin allocated, which shows nowhere else if user space drives it.
        let pci = sysfs::names(&self.root.join("var/lib/cni/sriov/pci"));
        let devices = pci.iter().filter_map(|name| name.parse::<PciAddress>().ok());
        let theirs = devices.map(DeviceId::from).filter_map(|device| {
            let netns = self.allocated_to(&device)?;
            let is_there = self.root.join(netns.trim_start_matches('/')).exists();
            is_there.then(|| (device, format!("allocated to {netns}")))
        });
        // Ours come last, and so count.
        theirs.chain(all.iter().filter_map(owner)).collect()
    }
}

impl Store for Host {
    fn stored(&self, shelf: Shelf, device: &DeviceId) -> Result<Option<Stored>> {
        let [journal, record] = dirs(shelf);
        let journal = read(&self.record_path(journal, device), device)?;
        if let Some(found) = journal {
            return Ok(Some(found.map_or_else(|corrupt| corrupt, Stored::Unfinished)));
        }
        let attached = read(&self.record_path(record, device), device)?;
        Ok(attached.map(|found| found.map_or_else(|corrupt| corrupt, Stored::Attached)))
    }

    fn all_stored(&self, shelf: Shelf) -> Result<Vec<Stored>> {
        let mut names = Vec::new();
        for dir in dirs(shelf) {
            names.extend(sysfs::names_or_error(&self.state_dir(dir))?);
        }
        names.sort_unstable();
        names.dedup();
        let devices = names.iter().filter_map(|name| device_of(name));
        let mut found = Vec::new();
        for device in devices {
            found.extend(self.stored(shelf, &device)?);
        }
        Ok(found)
    }

    fn begin(&self, shelf: Shelf, record: &Record) -> Result<()> {
        self.must_be_live()?;
        let [journal, complete] = dirs(shelf);
        let dir = self.state_dir(journal);
        make_dir(&dir)?;
        make_dir(&self.state_dir(complete))?;
        let text = serde_json::to_vec_pretty(record)
            .map_err(|error| Error::new(Kind::Failed, format!("writing a record: {error}")))?;
        write_whole(&dir, &file_name(&record.device), &text)
    }

    fn commit(&self, shelf: Shelf, device: &DeviceId) -> Result<()> {
        let [journal, complete] = dirs(shelf);
        let (from, to) = (self.record_path(journal, device), self.record_path(complete, device));
        fs::rename(&from, &to).map_err(|error| failed("completing the record", &to, &error))?;
        sync_dir(&self.state_dir(complete))?;
        sync_dir(&self.state_dir(journal))
    }

    fn abandon(&self, shelf: Shelf, device: &DeviceId) -> Result<()> {
        let [journal, _] = dirs(shelf);
        self.remove_record(journal, device)
    }

    /// The record first: should this be cut off between the two, the journal finishes it.
    fn forget(&self, shelf: Shelf, device: &DeviceId) -> Result<()> {
        let [journal, complete] = dirs(shelf);
        self.remove_record(complete, device)?;
        self.remove_record(journal, device)
    }

    fn allocated(&self, device: &DeviceId) -> Option<String> {
        self.allocated_to(device)
    }

    fn untell(&self, path: &str, device: &DeviceId, netns: Option<&str>) -> Result<()> {
        self.remove_neighbour(path, device, netns)
    }

    fn set_aside(&self, shelf: Shelf, device: &DeviceId) -> Result<String> {
        let mut kept = String::new();
        for kind in dirs(shelf) {
            let path = self.record_path(kind, device);
            if !matches!(read(&path, device), Ok(Some(Err(_)))) {
                continue;
            }
            // Its name no longer ends as a record's does, so that nobody takes it for one.
            let aside = path.with_extension("corrupt");
            fs::rename(&path, &aside)
                .map_err(|error| failed("putting aside the record", &path, &error))?;
            kept = aside.display().to_string();
        }
        Ok(kept)
    }

    fn begin_resize(&self, resize: &Resize) -> Result<()> {
        self.must_be_live()?;
        let dir = self.state_dir("resize");
        make_dir(&dir)?;
        let text = serde_json::to_vec_pretty(resize)
            .map_err(|error| Error::new(Kind::Failed, format!("writing a record: {error}")))?;
        write_whole(&dir, &file_name(&resize.pf), &text)
    }

    fn resizes(&self) -> Result<Vec<Resize>> {
        let dir = self.state_dir("resize");
        let names = sysfs::names_or_error(&dir)?;
        let names = names.iter().filter(|name| device_of(name).is_some());
        // What cannot be read any more tells of nothing that could come back.
        let read = |name: &String| serde_json::from_slice(&fs::read(dir.join(name)).ok()?).ok();
        Ok(names.filter_map(read).collect())
    }

    fn end_resize(&self, pf: &DeviceId) -> Result<()> {
        self.remove_record("resize", pf)
    }

    fn moment(&self) -> Result<Moment> {
        let path = self.root.join("proc/sys/kernel/random/boot_id");
        let boot_id = fs::read_to_string(&path)
            .map_err(|error| failed("reading the boot id", &path, &error))?;
        // Of a clock before 1970 nothing depends but what is shown.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(Moment { boot_id: boot_id.trim().to_owned(), time })
    }
}

/// Directories of a shelf: of journals, and of complete records.
fn dirs(shelf: Shelf) -> [&'static str; 2] {
    match shelf {
        Shelf::Attachments => ["journal", "attached"],
        Shelf::Bindings => ["binding", "bound"],
    }
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::io(format_args!("{what} {}", path.display()), error)
}

fn file_name(device: &DeviceId) -> String {
    let port = Some(device.port()).filter(|port| *port > 0);
    let port = port.map(|port| format!("+{port}")).unwrap_or_default();
    format!("{}-{}{port}.json", device.bus(), device.name())
}

fn device_of(file_name: &str) -> Option<DeviceId> {
    let (bus, name) = file_name.strip_suffix(".json")?.split_once('-')?;
    DeviceId::new(bus, name)
}

/// The record in a file, or why it is none; `None`: there is no file.
fn read(path: &Path, device: &DeviceId) -> Result<Option<std::result::Result<Record, Stored>>> {
    let corrupt = |why: String| {
        Some(Err(Stored::Corrupt { device: device.clone(), path: path.display().to_string(), why }))
    };
    let open = OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(path);
    let file = match open {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => {
            return Ok(corrupt("it is a symbolic link".to_owned()));
        }
        Err(error) => return Err(failed("reading the record", path, &error)),
    };
    let mut text = Vec::new();
    if let Err(error) = file.take(LONGEST + 1).read_to_end(&mut text) {
        return Ok(corrupt(format!("it cannot be read: {error}")));
    }
    if text.len() as u64 > LONGEST {
        return Ok(corrupt("it is longer than any record".to_owned()));
    }
    Ok(match parse(&text, device) {
        Ok(record) => Some(Ok(record)),
        Err(why) => corrupt(why),
    })
}

fn parse(text: &[u8], device: &DeviceId) -> std::result::Result<Record, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let record: Record = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if record.format > FORMAT {
        return Err(format!("format {} is of a newer sriovctl", record.format));
    }
    if record.device != *device {
        return Err(format!("it speaks of {}", record.device));
    }
    Ok(record)
}

/// The directory, for root only; those above it as others have them.
fn make_dir(dir: &Path) -> Result<()> {
    let failed = |error: std::io::Error| failed("making the directory", dir, &error);
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(above) = dir.parent().and_then(Path::parent) {
        fs::create_dir_all(above).map_err(failed)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)
}

fn write_whole(dir: &Path, name: &str, text: &[u8]) -> Result<()> {
    let (temporary, place) = (dir.join(format!(".{name}.new")), dir.join(name));
    let write = || -> std::io::Result<()> {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {} // left by one that died; the device's lock is ours
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&temporary)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&temporary, &place)
    };
    let written = write().map_err(|error| failed("writing the record", &place, &error));
    if written.is_err() {
        let _ = fs::remove_file(&temporary); // what is said is why it could not be written
    }
    written.and_then(|()| sync_dir(dir))
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| failed("syncing the directory", dir, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{NetnsId, Original, Owner, Wanted};

    fn record(device: &str) -> Record {
        Record {
            format: FORMAT,
            boot_id: "b".into(),
            since: 1,
            device: device.parse().unwrap(),
            incarnation: None,
            vf_of: None,
            owner: Owner::manual(),
            netns: NetnsId { path: "/run/netns/blue".into(), device: 4, inode: 7 },
            ifname: "net1".into(),
            original: Original {
                name: Some("eth3".into()),
                altnames: vec!["three".into()],
                mtu: Some(1500),
                mac: None,
                up: false,
                settings: None,
                driver: Some("igbvf".into()),
                driver_override: None,
            },
            ports: Vec::new(),
            told: Vec::new(),
            first: None,
            wanted: Wanted::default(),
        }
    }

    #[test]
    fn what_is_written_is_what_is_read_and_nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("lib/state/journal");
        make_dir(&inner).unwrap();
        let record = record("0000:01:10.0");
        let text = serde_json::to_vec(&record).unwrap();
        write_whole(&inner, "pci-0000:01:10.0.json", &text).unwrap();
        let path = inner.join("pci-0000:01:10.0.json");
        assert_eq!(read(&path, &record.device).unwrap().unwrap().unwrap(), record);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&inner)), (0o600, 0o700));
        assert_eq!(sysfs::names(&inner), ["pci-0000:01:10.0.json"], "nothing else is left");
    }

    #[test]
    fn what_is_no_record_is_told_apart_and_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pci-0000:01:10.0.json");
        let device: DeviceId = "0000:01:10.0".parse().unwrap();
        assert!(read(&path, &device).unwrap().is_none());
        let whole = serde_json::to_vec(&record("0000:01:10.0")).unwrap();
        let other = serde_json::to_vec(&record("0000:01:10.2")).unwrap();
        let mut newer = record("0000:01:10.0");
        newer.format = FORMAT + 1;
        let newer = serde_json::to_vec(&newer).unwrap();
        let long = vec![b' '; (1 << 20) + 1];
        for (text, why) in [
            (&b""[..], "empty"),
            (&whole[..whole.len() / 2], "EOF"),
            (&other, "speaks of 0000:01:10.2"),
            (&newer, "newer"),
            (&long, "longer"),
            (b"[]", "invalid"),
        ] {
            fs::write(&path, text).unwrap();
            let Some(Err(Stored::Corrupt { why: said, .. })) = read(&path, &device).unwrap() else {
                panic!("{why}: taken for a record");
            };
            assert!(said.contains(why), "{said}");
        }
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(matches!(read(&path, &device), Ok(Some(Err(_)))), "a link is not followed");
    }

    #[test]
    fn files_are_named_after_devices() {
        for device in ["0000:01:10.0", "10000:e1:00.0", "netdevsim/netdevsim7"] {
            let device: DeviceId = device.parse().unwrap();
            assert_eq!(device_of(&file_name(&device)), Some(device));
        }
        for name in ["x", "pci-.json", "pci-..json", ".pci-0000:01:10.0.json.new", "pci-a.corrupt"]
        {
            assert_eq!(device_of(name), None, "{name}");
        }
    }
}
