//! What must hold of whatever comes in, however odd it is: for `cargo fuzz` (`fuzz/`), which looks
//! for what breaks it, and for the tests here, which go through what it has found.
//!
//! This is not part of the library: it is there only for tests and for builds of cargo-fuzz.

mod cni;
mod selectors;
mod state;

pub use self::cni::check as cni;
pub use self::selectors::check as selectors;
pub use self::state::check as state;
pub use crate::host::fuzzing::{netlink, pci_ids, sysfs};

/// Panics where the input breaks it.
pub type Property = fn(&[u8]);

/// Each target's name, as in `fuzz/fuzz_targets` and `fuzz/corpus`, and its property.
pub const TARGETS: [(&str, Property); 6] = [
    ("netlink", netlink),
    ("cni", cni),
    ("state", state),
    ("sysfs", sysfs),
    ("selectors", selectors),
    ("pci_ids", pci_ids),
];

/// What is parsed prints as something that is parsed to the same again.
pub(crate) fn prints_back<T>(text: &str) -> Option<T>
where
    T: std::str::FromStr + std::fmt::Display + PartialEq + std::fmt::Debug,
{
    let parsed: T = text.parse().ok()?;
    let printed = parsed.to_string();
    assert_eq!(printed.parse().ok(), Some(parsed), "{text:?} prints as {printed:?}");
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::{Path, PathBuf};

    use super::TARGETS;

    fn fuzz_dir() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries =
            fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> =
            entries.map(|entry| name(entry).into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn every_input_that_was_kept_does_no_harm() {
        let mut broken = Vec::new();
        for (target, property) in TARGETS {
            let dir = fuzz_dir().join("corpus").join(target);
            let inputs = names(&dir);
            assert!(inputs.len() >= 12, "{target}: only {} inputs", inputs.len());
            for name in inputs {
                let input = fs::read(dir.join(&name)).unwrap();
                assert!(input.len() <= 4096, "{target}/{name} is too large to be kept");
                if catch_unwind(|| property(&input)).is_err() {
                    broken.push(format!("{target}/{name}"));
                }
            }
        }
        assert!(broken.is_empty(), "{broken:?}");
    }

    #[test]
    fn each_target_has_a_program_and_a_corpus() {
        let mut known = TARGETS.map(|(name, _)| name.to_owned()).to_vec();
        known.sort();
        assert_eq!(names(&fuzz_dir().join("corpus")), known);
        let programs: Vec<String> = known.iter().map(|name| format!("{name}.rs")).collect();
        assert_eq!(names(&fuzz_dir().join("fuzz_targets")), programs);
        let manifest = fs::read_to_string(fuzz_dir().join("Cargo.toml")).unwrap();
        for name in known {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "Cargo.toml lacks {name}");
        }
    }
}
