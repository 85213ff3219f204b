//! Counters as OpenMetrics (<https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>),
//! which Prometheus' textfile collector reads as well.

use std::fmt::Write;

use crate::engine::top::Look;
use crate::model::link::VfStats;
use crate::model::traffic::Reading;

/// A counter: its name, unit, meaning, and where it is.
type Metric = (&'static str, &'static str, &'static str, fn(&VfStats) -> Option<u64>);

const METRICS: [Metric; 6] = [
    ("sriov_vf_receive_bytes", "bytes", "Received by the VF.", |stats| stats.rx_bytes),
    ("sriov_vf_transmit_bytes", "bytes", "Sent by the VF.", |stats| stats.tx_bytes),
    ("sriov_vf_receive_packets", "packets", "Received by the VF.", |stats| stats.rx_packets),
    ("sriov_vf_transmit_packets", "packets", "Sent by the VF.", |stats| stats.tx_packets),
    ("sriov_vf_receive_dropped", "dropped", "Dropped on the way to the VF.", |s| s.rx_dropped),
    ("sriov_vf_transmit_dropped", "dropped", "Dropped on the way from the VF.", |s| s.tx_dropped),
];

/// The whole exposition.
pub fn text(look: &Look, in_use: bool) -> String {
    let mut text = String::new();
    let wanted = |reading: &&Reading| !in_use || !reading.used_by.is_empty();
    // Writing to a String does not fail.
    for (name, unit, help, value) in METRICS {
        let _ = writeln!(text, "# TYPE {name} counter\n# UNIT {name} {unit}\n# HELP {name} {help}");
        for reading in look.readings.iter().filter(wanted) {
            let Some((stats, source)) = &reading.counters else { continue };
            let Some(count) = value(stats) else { continue };
            let labels = labels(reading);
            let _ = writeln!(text, "{name}_total{{{labels},source=\"{}\"}} {count}", source.word());
        }
    }
    let name = "sriov_vf_in_use";
    let help = "Whether somebody uses the VF, and who.";
    let _ = writeln!(text, "# TYPE {name} gauge\n# HELP {name} {help}");
    for reading in look.readings.iter().filter(wanted) {
        let (labels, by) = (labels(reading), escaped(&reading.used_by.join(", ")));
        let used = u8::from(!reading.used_by.is_empty());
        let _ = writeln!(text, "{name}{{{labels},used_by=\"{by}\"}} {used}");
    }
    for (name, help, count) in [
        ("sriov_pf_vfs", "VFs that the PF has.", 0),
        ("sriov_pf_vfs_in_use", "VFs of the PF that somebody uses.", 1),
        ("sriov_pf_vfs_possible", "VFs that the PF can have.", 2),
    ] {
        let _ = writeln!(text, "# TYPE {name} gauge\n# HELP {name} {help}");
        for pf in &look.pfs {
            let value = match count {
                0 => Some(pf.vfs.len() as u64),
                1 => Some(pf.vfs_in_use() as u64),
                _ => pf.facts.total_vfs.map(u64::from),
            };
            let Some(value) = value else { continue };
            let (pf_name, device) = (escaped(&pf.name()), &pf.facts.device);
            let _ = writeln!(text, "{name}{{pf=\"{pf_name}\",pf_device=\"{device}\"}} {value}");
        }
    }
    text + "# EOF\n"
}

fn labels(reading: &Reading) -> String {
    let device = reading.device.as_ref().map(ToString::to_string).unwrap_or_default();
    format!(
        "pf=\"{}\",pf_device=\"{}\",vf=\"{}\",device=\"{device}\"",
        escaped(&reading.pf),
        reading.pf_device,
        reading.index
    )
}

/// A label's value: names may have anything in them.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_label_cannot_be_left() {
        assert_eq!(super::escaped("a\"} 1\n\\b"), "a\\\"} 1\\n\\\\b");
    }
}
