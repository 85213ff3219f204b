//! Files that say what a host shall be, and the unit that applies them at every boot (systemd.unit(5)).

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::persist::write_whole;
use super::sysfs;
use crate::error::{Error, Kind, Result};
use crate::model::spec::KEPT_IN;
use crate::order;

/// More is no such file.
const LARGEST: u64 = 4 << 20;
const UNIT: &str = "sriovctl.service";
const UNIT_TEXT: &str = include_str!("../../contrib/systemd/sriovctl.service");
/// Where the text says that the program is.
const PROGRAM: &str = "/usr/sbin/sriovctl";
/// Where units are looked for, those of the administrator first.
const UNIT_DIRS: [&str; 4] = [
    "etc/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// The text of a file, or those of a directory's files.
pub fn texts(root: &Path, path: &str) -> Result<Vec<(String, String)>> {
    // What a tree has instead of this host's is looked for in the tree.
    let is_kept = Path::new(path) == Path::new(KEPT_IN);
    let place = if is_kept { kept_in(root) } else { PathBuf::from(path) };
    let failed = |error: &std::io::Error| {
        let error = Error::io(format_args!("reading {path}"), error);
        if is_kept && error.kind() == Kind::NotFound { nothing_kept(path) } else { error }
    };
    let meta = fs::metadata(&place).map_err(|error| failed(&error))?;
    if !meta.is_dir() {
        return Ok(vec![(path.to_owned(), text(&place).map_err(|error| failed(&error))?)]);
    }
    let is_ours = |name: &String| {
        let ending = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty());
        ending.is_some_and(|(_, ending)| ["yaml", "yml", "json"].contains(&ending))
            && place.join(name).is_file()
    };
    let mut names: Vec<String> = sysfs::names(&place).into_iter().filter(is_ours).collect();
    order::sort(&mut names);
    if names.is_empty() {
        return Err(nothing_kept(path));
    }
    let one = |name: &String| {
        let path = format!("{}/{name}", path.trim_end_matches('/'));
        let text = text(&place.join(name));
        let text = text.map_err(|error| Error::io(format_args!("reading {path}"), &error))?;
        Ok((path, text))
    };
    names.iter().map(one).collect()
}

fn kept_in(root: &Path) -> PathBuf {
    root.join(KEPT_IN.trim_start_matches('/'))
}

fn nothing_kept(path: &str) -> Error {
    Error::new(Kind::NotFound, format!("{path} has no file to apply (*.yaml, *.yml, *.json)"))
        .hint("make one from this host as it is: sriovctl export > host.yaml")
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if read as u64 > LARGEST {
        return Err(std::io::Error::new(ErrorKind::InvalidData, "it is larger than 4 MiB"));
    }
    Ok(text)
}

/// Keeps a file, and has what is kept applied at every boot.
pub fn at_boot(root: &Path, name: &str, text: &str) -> Result<Vec<String>> {
    let mut made = Vec::new();
    let mut keep = |place: PathBuf, text: &str| -> Result<()> {
        if write_whole(&place, text)? {
            made.push(place.display().to_string());
        }
        Ok(())
    };
    let enabled = root.join("etc/systemd/system/multi-user.target.wants").join(UNIT);
    let mut all = UNIT_DIRS.iter().map(|dir| root.join(dir).join(UNIT));
    let unit = if let Some(unit) = all.find(|unit| unit.exists()) {
        unit
    } else {
        let program = std::env::current_exe()
            .map_err(|error| Error::io("finding the path of this program", &error))?;
        let unit = root.join(UNIT_DIRS[0]).join(UNIT);
        keep(unit.clone(), &UNIT_TEXT.replace(PROGRAM, &program.display().to_string()))?;
        unit
    };
    if fs::canonicalize(&unit).is_ok_and(|target| target == Path::new("/dev/null")) {
        return Err(Error::new(Kind::Busy, format!("{UNIT} is masked: it would never be started"))
            .hint(format!("systemctl unmask {UNIT}")));
    }
    keep(kept_in(root).join(name), text)?;
    // As `systemctl enable` makes it, also where systemd does not run now.
    if !enabled.is_symlink() {
        let failed =
            |error: &std::io::Error| Error::io(format_args!("making {}", enabled.display()), error);
        fs::create_dir_all(enabled.parent().unwrap_or(root)).map_err(|error| failed(&error))?;
        let target = Path::new("/").join(unit.strip_prefix(root).unwrap_or(&unit));
        symlink(target, &enabled).map_err(|error| failed(&error))?;
        made.push(enabled.display().to_string());
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_applied_at_boot_by_one_unit() {
        let root = tempfile::tempdir().unwrap();
        let made = at_boot(root.path(), "host.yaml", "version: 1\n").unwrap();
        assert_eq!(made.len(), 3, "{made:?}");
        let enabled =
            root.path().join("etc/systemd/system/multi-user.target.wants/sriovctl.service");
        assert_eq!(
            fs::read_link(enabled).unwrap(),
            Path::new("/etc/systemd/system/sriovctl.service")
        );
        let unit = root.path().join("etc/systemd/system/sriovctl.service");
        let unit = fs::read_to_string(unit).unwrap();
        let program = std::env::current_exe().unwrap();
        let starts = format!("ExecStart={} apply --keep-going --wait 60", program.display());
        assert!(unit.contains(&starts), "{unit}");
        assert!(at_boot(root.path(), "host.yaml", "version: 1\n").unwrap().is_empty());

        let kept = texts(root.path(), "/etc/sriovctl").unwrap();
        assert_eq!(kept, [("/etc/sriovctl/host.yaml".to_owned(), "version: 1\n".to_owned())]);
    }

    #[test]
    fn a_package_s_unit_is_enabled_and_not_replaced() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("usr/lib/systemd/system");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(UNIT), "the package's").unwrap();
        let made = at_boot(root.path(), "a.json", "{}").unwrap();
        assert_eq!(made.len(), 2, "{made:?}");
        assert!(!root.path().join("etc/systemd/system").join(UNIT).exists());
    }

    #[test]
    fn of_a_directory_the_files_that_are_meant_are_read_in_order() {
        let root = tempfile::tempdir().unwrap();
        for name in ["20.yml", "10.yaml", "30.json", "note.txt", ".yaml", "old.yaml~"] {
            fs::write(root.path().join(name), name).unwrap();
        }
        fs::create_dir(root.path().join("bindings.json")).unwrap();
        let dir = root.path().display().to_string();
        let found = texts(Path::new("/"), &dir).unwrap();
        let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["10.yaml", "20.yml", "30.json"]);
        assert_eq!(found[0].0, format!("{dir}/10.yaml"));
    }

    #[test]
    fn nothing_to_apply_says_how_to_begin() {
        let root = tempfile::tempdir().unwrap();
        let error = texts(root.path(), "/etc/sriovctl").unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.next_step().unwrap().contains("sriovctl export"));
    }
}
