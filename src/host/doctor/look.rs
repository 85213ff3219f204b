//! Reading files of a host or of a copy of one, and writing down what could not be read.

use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use crate::model::doctor::Area;
use crate::model::doctor::facts::Unseen;
use crate::order;

/// No configuration is nearly so long.
const LONGEST: u64 = 1 << 20;

/// As many links in a row as the kernel follows (path_resolution(7)).
const LINKS: usize = 40;

/// Reads below a root, and writes down what could not be read.
pub(super) struct Look<'a> {
    pub root: &'a Path,
    pub area: Area,
    pub unseen: Vec<Unseen>,
}

impl Look<'_> {
    /// A path of the host as one below the root, with its links followed below the root too: those of
    /// a copied tree must not lead to this host's files.
    pub fn place(&self, path: &str) -> PathBuf {
        let (mut place, mut left) = (PathBuf::new(), LINKS);
        let mut parts = parts(Path::new(path));
        while let Some(part) = parts.pop() {
            if part == ".." {
                place.pop();
                continue;
            }
            let next = place.join(part);
            match fs::read_link(self.root.join(&next)) {
                Ok(target) if left > 0 => {
                    left -= 1;
                    if target.is_absolute() {
                        place.clear();
                    }
                    parts.extend(self::parts(&target));
                }
                _ => place = next,
            }
        }
        self.root.join(place)
    }

    /// Whether something is there.
    pub fn exists(&self, path: &str) -> bool {
        self.place(path).exists()
    }

    /// Tells that something could not be looked at, unless it is not there.
    pub fn missed(&mut self, path: &str, error: &std::io::Error) {
        if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
            return;
        }
        let why = crate::error::errno_text(error.raw_os_error().unwrap_or_default());
        let lacks_rights = error.kind() == ErrorKind::PermissionDenied;
        self.unseen.push(Unseen { area: self.area, what: path.to_owned(), why, lacks_rights });
    }

    /// The text of a file; `None`: there is none, or it is told as not seen. What is no plain file is
    /// not opened: a FIFO would be waited for.
    pub fn text(&mut self, path: &str) -> Option<String> {
        let place = self.place(path);
        let read = || {
            if !fs::metadata(&place)?.is_file() {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            fs::File::open(&place)?.take(LONGEST).read_to_end(&mut bytes)?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        };
        read().unwrap_or_else(|error| {
            self.missed(path, &error);
            None
        })
    }

    /// Paths of what is in a directory, sorted.
    pub fn paths(&mut self, dir: &str) -> Vec<String> {
        let entries = match fs::read_dir(self.place(dir)) {
            Ok(entries) => entries,
            Err(error) => {
                self.missed(dir, &error);
                return Vec::new();
            }
        };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut paths: Vec<String> = names.map(|name| format!("{dir}/{name}")).collect();
        order::sort(&mut paths);
        paths
    }
}

/// Names on the way, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    parts.collect()
}

/// The last part of a path.
pub(super) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_a_tree_stay_in_it_and_what_is_no_file_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("etc/x")).unwrap();
        fs::write(at("etc/passwd"), "inside").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at("etc/x/absolute")).unwrap();
        std::os::unix::fs::symlink("../passwd", at("etc/x/relative")).unwrap();
        std::os::unix::fs::symlink("loop", at("etc/x/loop")).unwrap();
        std::os::unix::fs::symlink("/etc", at("elsewhere")).unwrap();
        std::os::unix::fs::symlink("../../../../../../etc/passwd", at("etc/x/up")).unwrap();
        nix::unistd::mkfifo(&at("etc/x/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut look = Look { root: root.path(), area: Area::Cni, unseen: Vec::new() };
        for (path, text) in [
            ("/etc/x/absolute", Some("inside")),
            ("/etc/x/relative", Some("inside")),
            ("/etc/x/up", Some("inside")),
            ("/elsewhere/x/absolute", Some("inside")),
            ("/etc/x/fifo", None),
            ("/etc/x", None),
            ("/etc/nothing", None),
            ("/etc/passwd/below", None),
        ] {
            assert_eq!(look.text(path).as_deref(), text, "{path}");
        }
        assert_eq!(look.paths("/etc/x").len(), 5);
        assert!(look.paths("/nothing").is_empty() && look.unseen.is_empty());
        // Not as root, who may read everything, but a loop cannot be followed by anybody.
        assert_eq!(look.text("/etc/x/loop"), None);
        assert_eq!(look.unseen.len(), 1);
        assert_eq!(look.unseen[0].what, "/etc/x/loop");
    }
}
