//! Bindings that are made again whenever their device appears: `/etc/sriovctl/bindings`, and udev
//! rules that call this program.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Host;
use crate::error::{Error, Kind, Result};
use crate::model::ids::DeviceId;
use crate::model::json;
use crate::model::persist::Persistent;
use crate::model::record::FORMAT;
use crate::model::step::Outcome;

impl Host {
    fn kept_path(&self, device: &DeviceId) -> PathBuf {
        self.root.join(format!("etc/sriovctl/bindings/{}.json", device.name()))
    }

    fn rules_path(&self, device: &DeviceId) -> PathBuf {
        self.root.join(format!("etc/udev/rules.d/70-sriovctl-{}.rules", device.name()))
    }

    pub(super) fn kept_binding(&self, device: &DeviceId) -> Result<Option<Persistent>> {
        let path = self.kept_path(device);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("reading", &path, &error)),
        };
        let unusable = |why: String| {
            Error::new(Kind::Failed, format!("{} cannot be used: {why}", path.display()))
                .hint("make it anew: sriovctl bind-dpdk --persist")
        };
        let kept: Persistent =
            serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
        if kept.format > FORMAT || kept.device != *device {
            return Err(unusable("it is of a newer sriovctl, or of another device".to_owned()));
        }
        Ok(Some(kept))
    }

    pub(super) fn keep_binding(
        &self,
        device: &DeviceId,
        kept: Option<&Persistent>,
    ) -> Result<Outcome> {
        self.must_be_live()?;
        let (path, rules) = (self.kept_path(device), self.rules_path(device));
        let Some(kept) = kept else {
            // The rule first: without it nothing reads the other.
            let gone = [remove(&rules)?, remove(&path)?];
            return Ok(if gone.contains(&true) { Outcome::Changed } else { Outcome::AlreadySo });
        };
        let program = std::env::current_exe()
            .map_err(|error| Error::io("finding the path of this program", &error))?;
        let text = json::text(kept)
            .map_err(|error| Error::new(Kind::Failed, format!("writing a binding: {error}")))?;
        let changed = [
            write_whole(&path, &text)?,
            write_whole(&rules, &kept.udev_rules(&program.display().to_string()))?,
        ];
        Ok(if changed.contains(&true) { Outcome::Changed } else { Outcome::AlreadySo })
    }
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::io(format_args!("{what} {}", path.display()), error)
}

fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("removing", path, &error)),
    }
}

/// Whole or not at all; untouched where it says so already.
pub(super) fn write_whole(path: &Path, text: &str) -> Result<bool> {
    if fs::read_to_string(path).is_ok_and(|has| has == text) {
        return Ok(false);
    }
    let new = path.with_extension("new");
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir)
        .and_then(|()| fs::write(&new, text))
        .and_then(|()| fs::File::open(&new)?.sync_all())
        .and_then(|()| fs::rename(&new, path))
        .and_then(|()| fs::File::open(dir)?.sync_all())
        .map_err(|error| failed("writing", path, &error))?;
    Ok(true)
}
