//! What the kernel's modules say of themselves: `modules.dep`, `modules.builtin` and
//! `modules.alias`, which depmod writes (depmod(8)).

use std::fs;
use std::path::Path;

use super::drivers::modules_dir;
use super::sysfs;

/// The file name (without `.ko`) of the module that a driver would be loaded from: modules are
/// found with - and _ alike.
pub fn named(root: &Path, driver: &str) -> Option<String> {
    let dir = modules_dir(root);
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let files = ["modules.dep", "modules.builtin"];
    files.iter().find_map(|file| {
        let text = fs::read_to_string(dir.join(file)).ok()?;
        let names = text.lines().map(|line| line.split(':').next().unwrap_or(line));
        let mut names = names.filter_map(|path| path.rsplit('/').next()?.split(".ko").next());
        names.find(|name| plain(name) == plain(driver)).map(str::to_owned)
    })
}

/// Whether the file of the module is spelled as its driver is: true of all that matter here but
/// those with a `_` in the driver and a `-` in the file, and the other way round.
pub fn spells_its_driver(file: &str) -> bool {
    ["vfio-pci", "uio_pci_generic", "igb_uio", "pci-stub"].contains(&file)
}

/// What modules say that they know of PCI devices.
pub fn aliases(root: &Path) -> String {
    let text = fs::read_to_string(modules_dir(root).join("modules.alias")).unwrap_or_default();
    let of_pci = |line: &&str| line.starts_with("alias pci:") || line.starts_with("alias vfio_");
    text.lines().filter(of_pci).collect::<Vec<_>>().join("\n")
}

/// Drivers whose modules know the device by its `modalias`: first the kernel's own, then VFIO's
/// variants, as names of drivers where the module is loaded, else of modules.
pub fn knowing(root: &Path, aliases: &str, modalias: &str) -> (Vec<String>, Vec<String>) {
    let (mut native, mut variants) = (Vec::new(), Vec::new());
    for line in aliases.lines() {
        let Some(rest) = line.strip_prefix("alias ") else { continue };
        let Some((pattern, module)) = rest.split_once(' ') else { continue };
        let (pattern, into) = match pattern.strip_prefix("vfio_") {
            Some(plain) => (plain, &mut variants),
            None => (pattern, &mut native),
        };
        if pattern.starts_with("pci:") && fits(pattern.as_bytes(), modalias.as_bytes()) {
            let driver = driver_of(root, module);
            if !into.contains(&driver) {
                into.push(driver);
            }
        }
    }
    // vfio-pci itself says that it takes everything.
    variants.retain(|driver| driver != "vfio-pci" && driver != "vfio_pci");
    (native, variants)
}

/// The driver that a module brings: as the kernel links it, else by the module's name.
fn driver_of(root: &Path, module: &str) -> String {
    let drivers = sysfs::names(&root.join("sys/module").join(module).join("drivers"));
    let of_pci = drivers.iter().find_map(|name| name.strip_prefix("pci:"));
    of_pci.unwrap_or(module).to_owned()
}

/// Shell patterns as depmod writes them: `*`, and `[...]` for a set of characters.
pub(super) fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Where to go on when what follows the last `*` does not fit: an earlier one need not give way,
    // and trying each would take forever on a dozen of them.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            (retry, pattern) = (Some((rest, text)), rest);
        } else if let Some(rest) = one_fits(pattern, text) {
            (pattern, text) = (rest, &text[1..]);
        } else if pattern.is_empty() && text.is_empty() {
            return true;
        } else {
            let Some((rest, [_, more @ ..])) = retry else { return false };
            (retry, pattern, text) = (Some((rest, more)), rest, more);
        }
    }
}

/// What is left of a pattern that does not begin with `*` after the text's first character, if that fits.
fn one_fits<'a>(pattern: &'a [u8], text: &[u8]) -> Option<&'a [u8]> {
    let one = *text.first()?;
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|byte| *byte == b']')?;
            in_set(&rest[..end], one).then(|| &rest[end + 1..])
        }
        [first, rest @ ..] => (*first == one).then_some(rest),
        [] => None,
    }
}

fn in_set(set: &[u8], one: u8) -> bool {
    match set {
        [from, b'-', to, rest @ ..] => (*from..=*to).contains(&one) || in_set(rest, one),
        [first, rest @ ..] => *first == one || in_set(rest, one),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VF: &str = "pci:v00008086d000010CAsv00001AF4sd00001100bc02sc00i00";

    #[test]
    fn patterns_fit_as_the_shells_do() {
        for (pattern, is_fit) in [
            ("pci:v00008086d000010CAsv*sd*bc*sc*i*", true),
            ("pci:v00008086d000010CBsv*sd*bc*sc*i*", false),
            ("pci:v*d*sv*sd*bc02sc*i*", true),
            ("pci:v*d*sv*sd*bc0[1-2]sc*i*", true),
            ("pci:v*d*sv*sd*bc0[!x]sc*i*", false),
            ("pci:v*d*sv*sd*bc01sc*i*", false),
            ("pci:", false),
            ("*", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), VF.as_bytes()), is_fit, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_is_not_tried_for_ever() {
        let (pattern, text) = ("*a".repeat(20) + "b", "a".repeat(60));
        assert!(!fits(pattern.as_bytes(), text.as_bytes()));
        assert!(fits((pattern + "*").as_bytes(), (text + "b").as_bytes()));
        for (pattern, is_fit) in [("a*", true), ("*b*c", true), ("*bc*d", false), ("a*?", true)] {
            assert_eq!(fits(pattern.as_bytes(), b"abxbc"), is_fit, "{pattern}");
        }
    }

    #[test]
    fn modules_are_found_by_what_they_say() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/sys/kernel/osrelease", "6.12.1\n");
        write(
            "lib/modules/6.12.1/modules.alias",
            "# comment\nalias pci:v00008086d000010CAsv*sd*bc*sc*i* igbvf\n\
             alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n\
             alias vfio_pci:v00008086d000010CAsv*sd*bc*sc*i* some_vfio_pci\n\
             alias pci:v00008086d000010C9sv*sd*bc*sc*i* igb\nalias usb:x y\n",
        );
        write(
            "lib/modules/6.12.1/modules.dep",
            "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz\n",
        );
        write("lib/modules/6.12.1/modules.builtin", "kernel/drivers/uio/uio_pci_generic.ko\n");
        assert_eq!(
            knowing(root.path(), &aliases(root.path()), VF),
            (vec!["igbvf".to_owned()], vec!["some_vfio_pci".to_owned()])
        );
        assert_eq!(named(root.path(), "vfio_pci").as_deref(), Some("vfio-pci"));
        assert_eq!(named(root.path(), "uio_pci_generic").as_deref(), Some("uio_pci_generic"));
        assert_eq!(named(root.path(), "vfio"), None);
    }
}
