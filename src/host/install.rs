//! Links under which this program is called by others.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::error::{Error, Kind, Result};

/// Makes links to this program in a directory, each in one go: whoever calls it meanwhile finds the
/// old one or the new one. What is no link is not replaced: it may be another plugin.
pub fn links(root: &Path, dir: &str, names: &[&str]) -> Result<Vec<String>> {
    let program = std::env::current_exe()
        .map_err(|error| Error::io("finding the path of this program", &error))?;
    let dir = root.join(dir.trim_start_matches('/'));
    let failed = |what: &str, path: &Path, error: &std::io::Error| {
        Error::io(format_args!("{what} {}", path.display()), error)
    };
    fs::create_dir_all(&dir).map_err(|error| failed("making", &dir, &error))?;
    for name in names {
        let place = dir.join(name);
        if place.symlink_metadata().is_ok_and(|meta| !meta.is_symlink()) {
            let text = format!("{} is there already, and is no link", place.display());
            return Err(Error::new(Kind::Busy, text)
                .hint(format!("look what it is, and move it: mv {0} {0}.old", place.display())));
        }
    }
    let mut made = Vec::new();
    for name in names {
        let (place, new) = (dir.join(name), dir.join(format!(".{name}.new")));
        if fs::read_link(&place).is_ok_and(|target| target == program) {
            continue;
        }
        let _ = fs::remove_file(&new); // left by one that died
        symlink(&program, &new).map_err(|error| failed("making", &new, &error))?;
        fs::rename(&new, &place).map_err(|error| failed("making", &place, &error))?;
        made.push(place.display().to_string());
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_made_once_and_replace_no_file() {
        let root = tempfile::tempdir().unwrap();
        let made = links(root.path(), "/opt/cni/bin", &["sriov", "fixipam"]).unwrap();
        assert_eq!(made.len(), 2);
        let link = root.path().join("opt/cni/bin/sriov");
        assert_eq!(fs::read_link(&link).unwrap(), std::env::current_exe().unwrap());
        assert!(links(root.path(), "/opt/cni/bin", &["sriov", "fixipam"]).unwrap().is_empty());

        fs::remove_file(&link).unwrap();
        fs::write(&link, "another plugin").unwrap();
        let error = links(root.path(), "/opt/cni/bin", &["sriov"]).unwrap_err();
        assert_eq!(error.kind(), Kind::Busy);
        assert_eq!(fs::read_to_string(&link).unwrap(), "another plugin");
    }
}
