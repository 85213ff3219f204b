//! What VFs send and receive: counters, whose they are, and rates between two looks.

use std::time::Duration;

use super::ids::{DeviceId, VfIndex};
use super::inventory::{Inventory, Pf, Vf};
use super::link::VfStats;

/// Who counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The PF's driver (`ndo_get_vf_stats`), whoever drives the VF.
    Pf,
    /// The VF's own interface (`rtnl_link_stats64`).
    Interface,
}

impl Source {
    /// A stable word for scripts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pf => "pf",
            Self::Interface => "interface",
        }
    }
}

/// Counters of a VF.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// `PF#index`.
    pub vf: String,
    /// What its PF is called.
    pub pf: String,
    /// Its PF's device.
    pub pf_device: DeviceId,
    /// Its number.
    pub index: VfIndex,
    /// Its device.
    pub device: Option<DeviceId>,
    /// Who uses it, in words; empty: nobody.
    pub used_by: Vec<String>,
    /// Its counters, where anybody keeps them.
    pub counters: Option<(VfStats, Source)>,
}

/// What passes in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Bits received by the VF.
    pub rx_bits: f64,
    /// Bits sent.
    pub tx_bits: f64,
    /// Packets received.
    pub rx_packets: f64,
    /// Packets sent.
    pub tx_packets: f64,
    /// Packets dropped either way.
    pub dropped: f64,
}

impl std::ops::Add for Rates {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            rx_bits: self.rx_bits + other.rx_bits,
            tx_bits: self.tx_bits + other.tx_bits,
            rx_packets: self.rx_packets + other.rx_packets,
            tx_packets: self.tx_packets + other.tx_packets,
            dropped: self.dropped + other.dropped,
        }
    }
}

/// The counters of all VFs that `is_wanted` names, in the inventory's order: by PF, then by number.
pub fn readings(inventory: &Inventory, is_wanted: &dyn Fn(&Pf, &Vf) -> bool) -> Vec<Reading> {
    let mut all = Vec::new();
    for pf in &inventory.pfs {
        // The kernel reports zeros for a driver that keeps none (net/core/rtnetlink.c,
        // `rtnl_fill_vfinfo`).
        let keeps = pf.vfs.iter().any(|vf| vf.stats.is_some_and(|stats| !is_zero(&stats)));
        for vf in pf.vfs.iter().filter(|vf| is_wanted(pf, vf)) {
            let by_pf = vf.stats.filter(|_| keeps).map(|stats| (stats, Source::Pf));
            let by_interface =
                || vf.netdev().and_then(|link| link.stats).map(|stats| (stats, Source::Interface));
            all.push(Reading {
                vf: pf.vf_name(vf.index()),
                pf: pf.name(),
                pf_device: pf.facts.device.clone(),
                index: vf.index(),
                device: vf.facts.device.clone(),
                used_by: vf.users.iter().map(ToString::to_string).collect(),
                counters: by_pf.or_else(by_interface),
            });
        }
    }
    all
}

fn is_zero(stats: &VfStats) -> bool {
    let VfStats { rx_packets, tx_packets, rx_bytes, tx_bytes, .. } = *stats;
    [rx_packets, tx_packets, rx_bytes, tx_bytes].iter().all(|count| count.unwrap_or(0) == 0)
}

/// The rates of a VF between two looks, the earlier in the order of [`readings`]; `None` where they cannot be told: it was not there before,
/// another one counts, or what counts began anew.
pub fn rates(before: &[Reading], now: &Reading, elapsed: Duration) -> Option<Rates> {
    let order = |old: &Reading| (&old.pf_device, old.index).cmp(&(&now.pf_device, now.index));
    let nth = before.binary_search_by(order).ok()?;
    let (old, was) = before[nth].counters?;
    let (new, is) = now.counters?;
    let seconds = elapsed.as_secs_f64();
    if was != is || seconds <= 0.0 {
        return None;
    }
    let grown = |old: Option<u64>, new: Option<u64>| -> Option<f64> {
        // A counter that nobody keeps stands still.
        let grown = new.unwrap_or(0).checked_sub(old.or(new).unwrap_or(0))?;
        #[allow(clippy::cast_precision_loss)] // a rate is shown with three digits
        Some(grown as f64 / seconds)
    };
    Some(Rates {
        rx_bits: grown(old.rx_bytes, new.rx_bytes)? * 8.0,
        tx_bits: grown(old.tx_bytes, new.tx_bytes)? * 8.0,
        rx_packets: grown(old.rx_packets, new.rx_packets)?,
        tx_packets: grown(old.tx_packets, new.tx_packets)?,
        dropped: grown(old.rx_dropped, new.rx_dropped)? + grown(old.tx_dropped, new.tx_dropped)?,
    })
}

/// A number with a unit, three digits: `0`, `12.3k`, `1.20G`.
pub fn short(value: f64) -> String {
    if value < 999.5 {
        return format!("{value:.0}");
    }
    let mut value = value;
    for unit in ["k", "M", "G", "T", "P"] {
        value /= 1000.0;
        let digits = usize::from(value < 9.995) + usize::from(value < 99.95);
        if value < 999.5 || unit == "P" {
            return format!("{value:.digits$}{unit}");
        }
    }
    String::new() // not reached: the last unit takes everything
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(rx_bytes: u64, dropped: u64, source: Source) -> Reading {
        let stats = VfStats {
            rx_bytes: Some(rx_bytes),
            rx_packets: Some(rx_bytes / 100),
            rx_dropped: Some(dropped),
            ..VfStats::default()
        };
        Reading {
            vf: "eth0#1".into(),
            pf: "eth0".into(),
            pf_device: "0000:01:00.0".parse().unwrap(),
            index: VfIndex(1),
            device: None,
            used_by: Vec::new(),
            counters: Some((stats, source)),
        }
    }

    #[test]
    fn a_rate_is_what_grew_in_the_time() {
        let (old, new) = (reading(1000, 1, Source::Pf), reading(3000, 5, Source::Pf));
        let rates = rates(&[old], &new, Duration::from_secs(2)).unwrap();
        assert_eq!((rates.rx_bits, rates.rx_packets, rates.dropped), (8000.0, 10.0, 2.0));
        assert_eq!((rates.tx_bits, rates.tx_packets), (0.0, 0.0));
    }

    #[test]
    fn what_began_anew_or_is_counted_by_another_has_no_rate() {
        let second = Duration::from_secs(1);
        let (old, new) = (reading(1000, 0, Source::Pf), reading(500, 0, Source::Pf));
        assert_eq!(rates(std::slice::from_ref(&old), &new, second), None);
        assert_eq!(rates(&[], &new, second), None);
        assert_eq!(rates(&[old], &reading(2000, 0, Source::Interface), second), None);
        assert_eq!(rates(std::slice::from_ref(&new), &new, Duration::ZERO), None);
    }

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        for (value, text) in [
            (0.0, "0"),
            (999.4, "999"),
            (999.6, "1.00k"),
            (12_340.0, "12.3k"),
            (123_400.0, "123k"),
            (999_600.0, "1.00M"),
            (1.2e9, "1.20G"),
            (5e18, "5000P"),
        ] {
            assert_eq!(short(value), text, "{value}");
        }
    }
}
