//! `list-vfs`.

use std::io::Write;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::console::Console;
use super::table::{self, Column, Text, Tone};
use super::view::VfRow;
use super::{must_know_usage, say, write_json};
use crate::cli::{Form, ListVfs};
use crate::engine::Kernel;
use crate::error::Result;
use crate::model::facts::Scope;
use crate::model::inventory::{Inventory, Pf, Vf};
use crate::model::selector::Selector;

const COLUMNS: &[Column<VfRow>] = &[
    Column::table(0, "vf", "VF", |vf: &VfRow| Text::plain(vf.vf.clone())),
    Column::table(1, "pci_address", "PCI", |vf: &VfRow| Text::of(vf.pci_address.as_ref())),
    Column::table(2, "driver", "DRIVER", |vf: &VfRow| Text::of(vf.driver.as_ref())),
    Column::table(1, "netdev", "NETDEV", |vf: &VfRow| Text::plain(vf.netdevs.join(","))),
    Column::table(2, "netns", "NETNS", netns).value(|vf: &VfRow| Value::from(netns(vf).0)),
    Column::table(0, "used_by", "USED-BY", used_by).value(|vf: &VfRow| {
        vf.used_by.iter().map(|user| user.text.clone()).collect::<Vec<_>>().join("; ").into()
    }),
    Column::table(3, "admin_mac", "ADMIN-MAC", admin_mac),
    Column::table(4, "mac", "MAC", |vf: &VfRow| Text::of(vf.mac.as_ref())),
    Column::table(3, "vlan", "VLAN", vlan).right(),
    Column::table(5, "trust", "TRUST", |vf: &VfRow| on_off(vf.trust)),
    Column::table(5, "spoofchk", "SPOOF", |vf: &VfRow| on_off(vf.spoofchk)),
    Column::table(6, "link_state", "STATE", |vf: &VfRow| Text::of(vf.link_state)),
    Column::table(7, "rate", "RATE", |vf: &VfRow| Text::plain(rate(vf)))
        .value(|vf: &VfRow| rate(vf).into()),
    Column::table(8, "iommu_group", "IOMMU", |vf: &VfRow| Text::of(vf.iommu_group)).right(),
    Column::table(8, "device_node", "NODE", |vf: &VfRow| Text::of(vf.device_node.as_ref())),
    Column::wide("altnames", "ALTNAMES", |vf: &VfRow| Text::plain(vf.altnames.join(","))),
    Column::wide("mtu", "MTU", |vf: &VfRow| Text::of(vf.mtu)).right(),
    Column::wide("vlan_qos", "QOS", |vf: &VfRow| Text::of(vf.vlan_qos)).right(),
    Column::wide("vlan_proto", "PROTO", |vf: &VfRow| Text::of(vf.vlan_proto.as_ref())),
    Column::wide("query_rss", "QUERY-RSS", |vf: &VfRow| on_off(vf.query_rss)),
    Column::wide("numa_node", "NUMA", |vf: &VfRow| Text::of(vf.numa_node)).right(),
    Column::wide("model", "MODEL", |vf: &VfRow| Text::of(vf.model.as_ref())),
    Column::csv("pf"),
    Column::csv("pf_device"),
    Column::csv("index"),
    Column::csv("up"),
    Column::csv("operstate"),
    Column::csv("min_tx_rate"),
    Column::csv("max_tx_rate"),
    Column::csv("node_guid"),
    Column::csv("port_guid"),
    Column::csv("in_use"),
];

/// A counter's column.
macro_rules! counter {
    ($key:ident, $header:literal) => {
        Column::table(0, stringify!($key), $header, |vf: &VfRow| {
            Text::of(vf.stats.as_ref().and_then(|stats| stats.$key))
        })
        .right()
        .value(|vf: &VfRow| json!(vf.stats.as_ref().and_then(|stats| stats.$key)))
    };
}

const REPRESENTOR: Column<VfRow> =
    Column::table(4, "representor", "REPR", |vf: &VfRow| Text::of(vf.representor.as_ref()));

const COUNTERS: &[Column<VfRow>] = &[
    counter!(rx_packets, "RX-PKTS"),
    counter!(tx_packets, "TX-PKTS"),
    counter!(rx_bytes, "RX-BYTES"),
    counter!(tx_bytes, "TX-BYTES"),
    counter!(rx_dropped, "RX-DROP"),
    counter!(tx_dropped, "TX-DROP"),
];

/// The JSON document, see `schemas/`.
#[derive(Serialize)]
struct Document<T> {
    schema_version: u32,
    vfs: T,
}

/// Rows that are made one by one: of thousands each is needed once, where they are not sorted.
struct Rows<'a> {
    vfs: &'a [(&'a Pf, &'a Vf)],
    knows_usage: bool,
}

impl Rows<'_> {
    fn each(&self) -> impl Iterator<Item = VfRow> {
        self.vfs.iter().map(|(pf, vf)| VfRow::new(pf, vf, self.knows_usage))
    }
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.each())
    }
}

/// Prints the list.
pub fn run<K: Kernel>(
    args: &ListVfs,
    kernel: &K,
    console: &Console,
    out: &mut dyn Write,
) -> Result<()> {
    let all_classes = args.all_classes || !args.vfs.is_empty();
    let scope = Scope { stats: args.stats, models: true, all_classes, ..Scope::default() };
    let inventory = kernel.observe(scope)?;
    inventory.warnings.iter().for_each(|warning| say::warning(warning));
    if args.free {
        must_know_usage(&inventory)?;
    }

    let selected = select(&inventory, args)?;
    let how_many = selected.len();
    let is_wanted = |(_, vf): &(&Pf, &Vf)| {
        args.driver.as_ref().is_none_or(|driver| vf.facts.driver.as_ref() == Some(driver))
            && (!args.free || vf.users.is_empty())
            && (!args.in_use || !vf.users.is_empty())
    };
    let wanted: Vec<(&Pf, &Vf)> = selected.into_iter().filter(is_wanted).collect();
    let vfs = Rows { vfs: &wanted, knows_usage: inventory.knows_usage };
    let (form, headers) = (args.list.form(), !args.list.no_headers);
    if form == Form::Json && args.list.sort.is_none() {
        return write_json(out, &Document { schema_version: 1, vfs });
    }
    let mut rows: Vec<VfRow> = vfs.each().collect();
    let columns = columns(&rows, args);
    if let Some(by) = &args.list.sort {
        table::sort(&mut rows, &columns, by)?;
    }
    match form {
        Form::Json => write_json(out, &Document { schema_version: 1, vfs: &rows }),
        Form::Jsonl => table::write_jsonl(out, &rows),
        Form::Csv => table::write_csv(out, console, &rows, &columns, headers),
        Form::Name => table::write_names(out, console, rows.iter().map(|row| row.vf.as_str())),
        Form::Table | Form::Wide if rows.is_empty() => {
            nothing_to_show(&inventory, how_many, args);
            Ok(())
        }
        Form::Table | Form::Wide => {
            table::write_table(out, console, &rows, &columns, form == Form::Wide, headers)
        }
    }
}

/// The VFs that are named, each once, in the order of the operands.
fn select<'a>(inventory: &'a Inventory, args: &ListVfs) -> Result<Vec<(&'a Pf, &'a Vf)>> {
    if args.vfs.is_empty() {
        return Ok(inventory.vfs().collect());
    }
    let mut seen = std::collections::HashSet::new();
    let mut found = Vec::new();
    for selector in &args.vfs {
        for (pf, vf) in selector.vfs(inventory)? {
            if seen.insert((&pf.facts.device, vf.index())) {
                found.push((pf, vf));
            }
        }
    }
    Ok(found)
}

/// The columns that say something here: representors only where there are any, counters only
/// where they were asked for.
fn columns(rows: &[VfRow], args: &ListVfs) -> Vec<&'static Column<VfRow>> {
    let representors =
        args.list.form() == Form::Csv || rows.iter().any(|vf| vf.representor.is_some());
    let counters: &[Column<VfRow>] = if args.stats { COUNTERS } else { &[] };
    COLUMNS.iter().chain(representors.then_some(&REPRESENTOR)).chain(counters).collect()
}

fn nothing_to_show(inventory: &Inventory, found: usize, args: &ListVfs) {
    if found > 0 {
        let what = if found == 1 {
            "the VF is not".to_owned()
        } else {
            format!("none of the {found} VFs is")
        };
        return say::remark(&format!("{what} like that"), "sriovctl list-vfs");
    }
    let (what, next) = no_vfs(inventory, &args.vfs);
    say::remark(&what, &next);
}

/// That there are no VFs, and how to get some. PFs are named as they are called, not as they were
/// selected: set-numvfs does not take a `vendor:device` that fits several.
pub fn no_vfs(inventory: &Inventory, operands: &[Selector]) -> (String, String) {
    let asked = operands.iter().filter_map(|operand| operand.pfs(inventory).ok()).flatten();
    let mut names: Vec<String> = Vec::new();
    for name in asked.map(Pf::name) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let create = |pf: &str| format!("sriovctl set-numvfs {pf} N");
    match (names.as_slice(), inventory.pfs.first()) {
        ([one], _) => (format!("{one} has no VFs"), create(one)),
        ([first, ..], _) => (format!("{} have no VFs", names.join(", ")), create(first)),
        ([], Some(pf)) => ("there are no VFs here".to_owned(), create(&pf.name())),
        ([], None) => (
            "no network device here can have VFs".to_owned(),
            "sriovctl list-pfs --all-classes".to_owned(),
        ),
    }
}

fn netns(vf: &VfRow) -> Text {
    match &vf.netns {
        None => Text::plain(""),
        Some(netns) if netns.host => Text("host".to_owned(), Tone::Dim),
        Some(netns) => {
            let label = netns.name.clone().or_else(|| netns.path.clone());
            Text(label.unwrap_or_default(), Tone::Warn)
        }
    }
}

/// The two weightiest reasons, and how many more there are.
fn used_by(vf: &VfRow) -> Text {
    let texts: Vec<&str> = vf.used_by.iter().map(|user| user.text.as_str()).collect();
    match texts.as_slice() {
        [] if vf.in_use.is_none() => Text::plain(""),
        [] => Text("free".to_owned(), Tone::Good),
        [one] => Text((*one).to_owned(), Tone::Warn),
        [one, two] => Text(format!("{one}, {two}"), Tone::Warn),
        [one, two, rest @ ..] => Text(format!("{one}, {two} +{}", rest.len()), Tone::Warn),
    }
}

fn admin_mac(vf: &VfRow) -> Text {
    match vf.admin_mac.as_deref() {
        // Never set by the host; the VF has one of its own making.
        Some("00:00:00:00:00:00") => Text("unset".to_owned(), Tone::Dim),
        mac => Text::of(mac),
    }
}

fn vlan(vf: &VfRow) -> Text {
    let Some(id) = vf.vlan else { return Text::plain("") };
    if id == 0 {
        return Text("none".to_owned(), Tone::Dim);
    }
    let qos = vf.vlan_qos.filter(|qos| *qos != 0).map(|qos| format!("/{qos}")).unwrap_or_default();
    let service = if vf.vlan_proto.as_deref() == Some("802.1ad") { " ad" } else { "" };
    Text::plain(format!("{id}{qos}{service}"))
}

/// Lowest and highest in Mbit/s, each only where it is set.
fn rate(vf: &VfRow) -> String {
    match (vf.min_tx_rate.unwrap_or(0), vf.max_tx_rate.unwrap_or(0)) {
        (0, 0) => String::new(),
        (0, max) => format!("<={max}M"),
        (min, 0) => format!(">={min}M"),
        (min, max) => format!("{min}-{max}M"),
    }
}

fn on_off(value: Option<bool>) -> Text {
    match value {
        Some(true) => Text::plain("on"),
        Some(false) => Text("off".to_owned(), Tone::Dim),
        None => Text::plain(""),
    }
}
