//! `list-pfs`.

use std::io::Write;

use serde::Serialize;
use serde_json::Value;

use super::console::Console;
use super::table::{self, Column, Text, Tone};
use super::view::PfRow;
use super::{must_know_usage, say, write_json};
use crate::cli::{Form, ListPfs};
use crate::engine::Kernel;
use crate::error::Result;
use crate::model::facts::Scope;
use crate::model::inventory::Pf;

const COLUMNS: &[Column<PfRow>] = &[
    Column::table(0, "name", "PF", |pf: &PfRow| Text::plain(names(pf))),
    Column::table(1, "pci_address", "PCI", |pf: &PfRow| Text::of(pf.pci_address.as_ref())),
    Column::table(0, "vfs", "VFS", vfs).value(|pf: &PfRow| Value::from(vfs(pf).0)),
    Column::table(2, "operstate", "LINK", link),
    Column::table(3, "driver", "DRIVER", |pf: &PfRow| Text::of(pf.driver.as_ref())),
    Column::table(6, "numa_node", "NUMA", |pf: &PfRow| Text::of(pf.numa_node)).right(),
    Column::table(7, "eswitch_mode", "ESWITCH", |pf: &PfRow| Text::of(pf.eswitch_mode.as_ref())),
    Column::table(8, "autoprobe", "AUTOPROBE", |pf: &PfRow| on_off(pf.autoprobe)),
    Column::table(5, "mtu", "MTU", |pf: &PfRow| Text::of(pf.mtu)).right(),
    Column::table(4, "mac", "MAC", |pf: &PfRow| Text::of(pf.mac.as_ref())),
    Column::table(9, "model", "MODEL", |pf: &PfRow| Text::plain(model(pf))),
    Column::wide("altnames", "ALTNAMES", |pf: &PfRow| Text::plain(altnames(pf)))
        .value(|pf: &PfRow| Value::from(altnames(pf))),
    Column::wide("id", "ID", |pf: &PfRow| Text::plain(id(pf)))
        .value(|pf: &PfRow| Value::from(id(pf))),
    Column::wide("class", "CLASS", |pf: &PfRow| Text::of(pf.class.as_ref())),
    Column::wide("firmware", "FIRMWARE", |pf: &PfRow| Text::of(pf.firmware.as_ref())),
    Column::wide("iommu_group", "IOMMU", |pf: &PfRow| Text::of(pf.iommu_group)).right(),
    Column::wide("rdma_devices", "RDMA", |pf: &PfRow| Text::plain(pf.rdma_devices.join(","))),
    Column::wide("managed_by", "MANAGED-BY", |pf: &PfRow| {
        Text::plain(pf.managed_by.as_ref().map(|by| by.join(",")).unwrap_or_default())
    }),
    Column::csv("device"),
    Column::csv("vfs_in_use"),
    Column::csv("vfs_enabled"),
    Column::csv("vfs_total"),
    Column::csv("speed_mbps"),
];

/// The JSON document, see `schemas/`.
#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    pfs: &'a [PfRow],
}

/// Prints the list.
pub fn run<K: Kernel>(
    args: &ListPfs,
    kernel: &K,
    console: &Console,
    out: &mut dyn Write,
) -> Result<()> {
    let form = args.list.form();
    // Tables without these columns need not wait for the firmware's answer.
    let wide = matches!(form, Form::Wide | Form::Json | Form::Jsonl | Form::Csv);
    // A device that was named is wanted whatever its class is.
    let all_classes = args.all_classes || !args.pfs.is_empty();
    let scope = Scope { wide, models: true, all_classes, ..Scope::default() };
    let inventory = kernel.observe(scope)?;
    inventory.warnings.iter().for_each(|warning| say::warning(warning));
    if args.free {
        must_know_usage(&inventory)?;
    }

    let mut pfs: Vec<&Pf> = Vec::new();
    for selector in &args.pfs {
        for pf in selector.pfs(&inventory)? {
            if !pfs.iter().any(|known| known.facts.device == pf.facts.device) {
                pfs.push(pf);
            }
        }
    }
    if args.pfs.is_empty() {
        pfs = inventory.pfs.iter().collect();
    }
    let found = pfs.len();
    let is_wanted = |pf: &&Pf| {
        args.driver.as_ref().is_none_or(|driver| pf.facts.driver.as_ref() == Some(driver))
            && (!args.free || pf.vfs_in_use() < pf.vfs.len())
            && (!args.in_use || pf.vfs_in_use() > 0)
    };
    let mut rows: Vec<PfRow> = pfs
        .into_iter()
        .filter(is_wanted)
        .map(|pf| PfRow::new(pf, wide, inventory.knows_usage))
        .collect();
    let columns: Vec<&Column<PfRow>> = COLUMNS.iter().collect();
    if let Some(by) = &args.list.sort {
        table::sort(&mut rows, &columns, by)?;
    }
    let headers = !args.list.no_headers;
    match form {
        Form::Json => write_json(out, &Document { schema_version: 1, pfs: &rows }),
        Form::Jsonl => table::write_jsonl(out, &rows),
        Form::Csv => table::write_csv(out, console, &rows, &columns, headers),
        Form::Name => table::write_names(out, console, rows.iter().map(|row| row.name.as_str())),
        Form::Table | Form::Wide if rows.is_empty() => {
            nothing_to_show(found, args);
            Ok(())
        }
        Form::Table | Form::Wide => {
            table::write_table(out, console, &rows, &columns, form == Form::Wide, headers)
        }
    }
}

fn nothing_to_show(found: usize, args: &ListPfs) {
    if found > 0 {
        say::remark(&format!("none of the {found} PFs is like that"), "sriovctl list-pfs");
    } else if args.all_classes {
        say::remark(
            "no device here can have VFs",
            "enable SR-IOV (and VT-d or AMD-Vi) in the firmware setup of this machine",
        );
    } else {
        say::remark(
            "no network device here can have VFs",
            "sriovctl list-pfs --all-classes, or enable SR-IOV in the firmware setup",
        );
    }
}

fn names(pf: &PfRow) -> String {
    if pf.netdevs.len() < 2 {
        return pf.name.clone();
    }
    pf.netdevs.iter().map(|netdev| netdev.name.as_str()).collect::<Vec<_>>().join(",")
}

/// In use, enabled, possible.
fn vfs(pf: &PfRow) -> Text {
    let total = pf.vfs_total.map_or_else(|| "-".to_owned(), |total| total.to_string());
    let used = pf.vfs_in_use.map_or_else(|| "-".to_owned(), |used| used.to_string());
    let tone = match (pf.vfs_in_use, pf.vfs_enabled) {
        (None, _) | (_, 0) => Tone::Plain,
        (Some(0), _) => Tone::Good,
        _ => Tone::Warn,
    };
    Text(format!("{used}/{}/{total}", pf.vfs_enabled), tone)
}

fn link(pf: &PfRow) -> Text {
    let Some(first) = pf.netdevs.first() else { return Text::plain("") };
    let state = match (&pf.operstate, first.up) {
        (_, Some(false)) => "down",
        (Some(state), _) => state,
        (None, _) => return Text::plain(""),
    };
    match pf.speed_mbps {
        Some(speed) if state == "up" => Text(format!("up {}", speed_text(speed)), Tone::Good),
        _ if state == "up" => Text("up".to_owned(), Tone::Good),
        // Administratively up, but nothing at the other end of the cable.
        _ if first.up == Some(true) && state == "down" => Text("no-carrier".to_owned(), Tone::Warn),
        _ => Text(state.to_owned(), Tone::Dim),
    }
}

fn speed_text(mbps: u32) -> String {
    match mbps {
        m if m >= 1000 && m % 1000 == 0 => format!("{}G", m / 1000),
        m if m >= 1000 && m % 100 == 0 => format!("{}.{}G", m / 1000, m % 1000 / 100),
        m => format!("{m}M"),
    }
}

fn on_off(value: Option<bool>) -> Text {
    match value {
        Some(true) => Text::plain("on"),
        Some(false) => Text("off".to_owned(), Tone::Dim),
        None => Text::plain(""),
    }
}

fn id(pf: &PfRow) -> String {
    match (&pf.vendor_id, &pf.device_id) {
        (Some(vendor), Some(device)) => format!("{vendor}:{device}"),
        _ => String::new(),
    }
}

/// The model without the words that every vendor adds; its numbers where it has no name.
fn model(pf: &PfRow) -> String {
    let Some(model) = &pf.model else { return id(pf) };
    [" Corporation", " Inc.", " Technologies", " Limited", ", Inc.", " Network Connection"]
        .iter()
        .fold(model.clone(), |model, word| model.replace(word, ""))
}

fn altnames(pf: &PfRow) -> String {
    let all = pf.netdevs.iter().flat_map(|netdev| &netdev.altnames);
    all.map(String::as_str).collect::<Vec<_>>().join(",")
}
