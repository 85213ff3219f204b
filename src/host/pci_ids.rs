//! Names of devices from the host's own PCI id list, scanned for just the ids that are wanted.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::model::ids::PciId;

/// Where distributions keep the list.
const PLACES: [&str; 3] =
    ["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids", "usr/share/pci.ids"];

/// Bytes that are read at once. The list has more than a million: all of it would be hundreds of pages of memory, which take
/// longer than to read it.
const PIECE: usize = 256 << 10;

/// Names of some devices.
#[derive(Debug, Default)]
pub struct PciIds {
    names: HashMap<PciId, String>,
}

impl PciIds {
    /// Finds the names of `wanted`; none where the host has no list.
    pub fn load(root: &Path, wanted: &[PciId]) -> Self {
        if wanted.is_empty() {
            return Self::default();
        }
        PLACES
            .iter()
            .find_map(|place| {
                let file = File::open(root.join(place)).ok()?;
                let mut list = BufReader::with_capacity(PIECE, file);
                list.fill_buf().ok()?; // a directory, say
                Some(Self::parse(list, wanted))
            })
            .unwrap_or_default()
    }

    /// Reads the list's text: `VVVV  Vendor`, below it `<tab>DDDD  Device`, below that subsystems.
    pub fn parse(mut list: impl BufRead, wanted: &[PciId]) -> Self {
        let mut names = HashMap::new();
        let mut vendor: Option<(u16, Vec<u8>)> = None;
        let mut line = Vec::new();
        while list.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            match line.as_slice() {
                [b'#' | b'\n', ..] | [b'\t', b'\t', ..] => {}
                // Device classes follow the devices.
                [b'C', b' ', ..] => break,
                [b'\t', device @ ..] => {
                    if let Some((number, vendor_name)) = &vendor
                        && let Some((device, name)) = entry(device)
                        && let id = (PciId { vendor: *number, device })
                        && wanted.contains(&id)
                    {
                        let text = [vendor_name, b" ".as_slice(), name].concat();
                        // The first, whatever else is wanted and stands further down.
                        let name = || String::from_utf8_lossy(&text).into_owned();
                        names.entry(id).or_insert_with(name);
                        if wanted.iter().all(|id| names.contains_key(id)) {
                            break;
                        }
                    }
                }
                line => {
                    vendor = entry(line)
                        .filter(|(number, _)| wanted.iter().any(|id| id.vendor == *number))
                        .map(|(number, name)| (number, name.to_owned()));
                }
            }
            line.clear();
        }
        Self { names }
    }

    /// Vendor and device name, e.g. `Intel Corporation 82576 Gigabit Network Connection`.
    pub fn model(&self, id: PciId) -> Option<String> {
        self.names.get(&id).cloned()
    }
}

/// `8086  Intel Corporation` as number and name.
fn entry(line: &[u8]) -> Option<(u16, &[u8])> {
    let (number, name) = line.split_at_checked(4)?;
    let number = u16::from_str_radix(std::str::from_utf8(number).ok()?, 16).ok()?;
    Some((number, name.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = b"# comment\n8086  Intel Corporation\n\t10c9  82576 Gigabit\n\t\t8086 a01c  Subsystem\n\t10ca  82576 VF\n15b3  Mellanox\n\t1017  MT27800\n\tzzzz  rubbish\nC 02  Network\n\t10c9  not a device\n";

    #[test]
    fn only_the_wanted_are_found_each_under_its_vendor() {
        let id = |vendor, device| PciId { vendor, device };
        let ids = PciIds::parse(LIST, &[id(0x8086, 0x10c9), id(0x8086, 0x1017)]);
        assert_eq!(
            ids.model(id(0x8086, 0x10c9)).as_deref(),
            Some("Intel Corporation 82576 Gigabit")
        );
        assert_eq!(ids.model(id(0x8086, 0x10ca)), None, "not wanted");
        assert_eq!(ids.model(id(0x8086, 0x1017)), None, "another vendor's");
    }

    #[test]
    fn it_is_the_same_list_however_it_is_read() {
        let ids = [0x10c9, 0x10ca].map(|device| PciId { vendor: 0x8086, device });
        for piece in 1..LIST.len() {
            let found = PciIds::parse(BufReader::with_capacity(piece, LIST), &ids);
            let names = ids.map(|id| found.model(id));
            let expected = ["Intel Corporation 82576 Gigabit", "Intel Corporation 82576 VF"];
            assert_eq!(names.each_ref().map(Option::as_deref), expected.map(Some), "{piece}");
        }
    }

    #[test]
    fn of_two_names_it_is_the_first_whatever_else_is_wanted() {
        let list = b"0001  a\n\t0002  x\n\t0002  y\n\t0003  z\n";
        let [two, three] = [2, 3].map(|device| PciId { vendor: 1, device });
        for wanted in [&[two][..], &[two, three]] {
            assert_eq!(PciIds::parse(&list[..], wanted).model(two).as_deref(), Some("a x"));
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_for_the_next_place() {
        let root = tempfile::tempdir().unwrap();
        let [first, second, _] = PLACES.map(|place| root.path().join(place));
        std::fs::create_dir_all(&first).unwrap();
        std::fs::create_dir_all(second.parent().unwrap()).unwrap();
        std::fs::write(&second, LIST).unwrap();
        let id = PciId { vendor: 0x8086, device: 0x10ca };
        let found = PciIds::load(root.path(), &[id]);
        assert_eq!(found.model(id).as_deref(), Some("Intel Corporation 82576 VF"));
    }

    #[test]
    fn a_list_of_rubbish_names_nothing() {
        let id = PciId { vendor: 1, device: 2 };
        for list in [&b""[..], b"\t0002  x", b"0001", b"\xff\xff\n\t\xff", b"0001  a\n\t000"] {
            assert_eq!(PciIds::parse(list, &[id]).model(id), None);
        }
    }
}
