//! Interrupt vectors (MSI-X) of a VF: their number stands in its configuration space (PCI Local Bus
//! Specification 3.0, 6.8.2), the way to change it in sysfs (kernel: drivers/pci/iov.c,
//! `sriov_vf_msix_count`, which cannot be read).

use std::fs;
use std::time::Duration;

use super::{Host, sysfs, write};
use crate::error::Result;
use crate::model::facts::Vectors;
use crate::model::ids::DeviceId;
use crate::model::step::{Outcome, Step, VfRef};

const FILE: &str = "sriov_vf_msix_count";
/// Reading the PF's total waits for whoever changes its number of VFs.
const READ_WITHIN: Duration = Duration::from_secs(5);

const PCI_CAPABILITY_LIST: usize = 0x34;
const PCI_CAP_ID_MSIX: u8 = 0x11;

impl Host {
    pub(super) fn vectors_of(&self, device: &DeviceId) -> Vectors {
        let dir = self.device_dir(device);
        let config = fs::read(dir.join("config")).unwrap_or_default();
        // Every VF has the file; that the driver knows nothing of it shows in a total of 0.
        let total = dir.join("physfn/sriov_vf_total_msix");
        let total = || {
            if !self.is_live() {
                return sysfs::number(&total);
            }
            write::read_within(&total, READ_WITHIN).ok()?.parse().ok()
        };
        let can_change = dir.join(FILE).exists() && total().is_some_and(|total: u32| total > 0);
        Vectors { count: count(&config), can_change }
    }

    pub(super) fn set_vectors(
        &self,
        step: &Step,
        vf: &VfRef,
        count: u32,
        timeout: Duration,
    ) -> Result<Outcome> {
        self.write_slowly(step, &self.vf_dir(vf).join(FILE), &count.to_string(), timeout)
            .map(|()| Outcome::Changed)
    }
}

/// Table size in the MSI-X capability. What is read by others than root ends before it.
fn count(config: &[u8]) -> Option<u32> {
    let mut at = usize::from(*config.get(PCI_CAPABILITY_LIST)? & !3);
    // A device that lies could make the list a ring.
    for _ in 0..48 {
        if at < 0x40 {
            return None;
        }
        let [id, next, low, high] = *config.get(at..)?.first_chunk()?;
        if id == PCI_CAP_ID_MSIX {
            return Some(u32::from(u16::from_le_bytes([low, high]) & 0x7ff) + 1);
        }
        at = usize::from(next & !3);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(list: &[(usize, [u8; 4])]) -> Vec<u8> {
        let mut config = vec![0; 256];
        config[PCI_CAPABILITY_LIST] = u8::try_from(list[0].0).unwrap();
        for (at, bytes) in list {
            config[*at..*at + 4].copy_from_slice(bytes);
        }
        config
    }

    #[test]
    fn the_table_size_is_one_less_than_there_are() {
        let config = space(&[(0x70, [0x10, 0xa0, 0, 0]), (0xa0, [0x11, 0, 0x09, 0x80])]);
        assert_eq!(count(&config), Some(10));
    }

    #[test]
    fn what_ends_early_or_goes_round_has_none() {
        let ring = space(&[(0x70, [0x10, 0x80, 0, 0]), (0x80, [0x05, 0x70, 0, 0])]);
        assert_eq!(count(&ring), None);
        assert_eq!(count(&space(&[(0x40, [0x10, 0, 0, 0])])), None);
        assert_eq!(count(&ring[..64]), None);
        assert_eq!(count(&[]), None);
    }
}
