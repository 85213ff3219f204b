//! What goes on: traffic and events.

use clap::Args;

use crate::model::selector::Selector;

/// `top`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Counters are those of the PF's driver, whoever drives the VF, or else of the VF's own interface, in whichever \
namespace it is. Rates are of what the VF receives (RX) and sends (TX).

Keys: n name, r received, t sent, p packets, d drops: sort by it (again: the other way round); u only VFs in use; / filter by what is \
typed, Esc ends that; up, down, PageUp, PageDown; + and - longer and shorter intervals; q or Ctrl-C ends it.

Examples:
  sriovctl top
  sriovctl top eth0 --interval 5
  sriovctl top --once --json
  sriovctl top --openmetrics > /var/lib/node_exporter/sriov.prom.new"
)]
pub struct Top {
    /// Only these VFs, or the VFs of these PFs
    #[arg(value_name = "PF|VF")]
    pub vfs: Vec<Selector>,
    /// Seconds between two looks
    #[arg(short, long, value_name = "SECONDS", default_value_t = 2.0, value_parser = interval)]
    pub interval: f64,
    /// Only VFs that somebody uses
    #[arg(long)]
    pub in_use: bool,
    /// Print what passes in one interval, and end
    #[arg(long)]
    pub once: bool,
    /// As JSON; without --once a document a line
    #[arg(long, conflicts_with = "openmetrics")]
    pub json: bool,
    /// Print the counters for Prometheus' textfile collector, and end
    #[arg(long, conflicts_with = "once")]
    pub openmetrics: bool,
}

fn interval(text: &str) -> Result<f64, String> {
    let seconds: Option<f64> = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "want seconds, 0.1 to 3600".to_owned())
}

/// `watch`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "It looks anew whenever the kernel tells of an interface or a device, and says what is other than before: PFs and \
VFs that come and go, drivers, interfaces and the namespaces they are in, who uses a VF, and what it is set to. What the kernel tells \
nobody (who has a device node open) is seen within a second.

Examples:
  sriovctl watch
  sriovctl watch eth0 --json
  sriovctl watch --json --for 60 | jq 'select(.attribute == \"used_by\")'"
)]
pub struct Watch {
    /// Only these VFs, or these PFs and their VFs
    #[arg(value_name = "PF|VF")]
    pub only: Vec<Selector>,
    /// End after so long
    #[arg(long = "for", value_name = "SECONDS", value_parser = interval)]
    pub for_seconds: Option<f64>,
    /// A JSON object a line
    #[arg(long)]
    pub json: bool,
}
