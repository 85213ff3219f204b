//! `bind-dpdk --status`: what a DPDK user must know of every VF, and of the hugepages.

use std::io::Write;

use serde::Serialize;

use super::bind_view::NodeView;
use super::console::Console;
use super::list_vfs::no_vfs;
use super::say::{self, line};
use super::table::{self, Column, Text, Tone};
use super::view::UserView;
use super::{write_json, writing};
use crate::cli::BindDpdk;
use crate::engine::{Kernel, Surroundings};
use crate::error::Result;
use crate::model::binding::{DriverState, Ground, HugePages};
use crate::model::facts::Scope;
use crate::model::inventory::{Inventory, Pf, Vf};

/// The JSON document, see `schemas/bind-dpdk-status.schema.json`.
#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    vfs: &'a [Row],
    hugepages: Vec<HugePagesView>,
}

#[derive(Serialize)]
struct Row {
    vf: String,
    pci_address: Option<String>,
    driver: Option<String>,
    available_drivers: Vec<String>,
    iommu_group: Option<u32>,
    noiommu: bool,
    group_members: Vec<MemberView>,
    viable: Option<bool>,
    device_nodes: Vec<NodeView>,
    numa_node: Option<u32>,
    in_use: Option<bool>,
    used_by: Vec<UserView>,
    #[serde(skip)]
    first_node: String,
}

#[derive(Serialize)]
struct MemberView {
    device: String,
    driver: Option<String>,
    viable: bool,
}

#[derive(Serialize)]
struct HugePagesView {
    size_kib: u64,
    numa_node: Option<u32>,
    total: u64,
    free: u64,
}

const COLUMNS: &[Column<Row>] = &[
    Column::table(0, "vf", "VF", |row: &Row| Text::plain(row.vf.clone())),
    Column::table(1, "pci_address", "PCI", |row: &Row| Text::of(row.pci_address.as_ref())),
    Column::table(0, "driver", "DRIVER", |row: &Row| match &row.driver {
        Some(driver) => Text::plain(driver.clone()),
        None => Text("none".to_owned(), Tone::Dim),
    }),
    Column::table(0, "used_by", "USED-BY", |row: &Row| {
        let users: Vec<&str> = row.used_by.iter().map(|user| user.text.as_str()).collect();
        match (users.as_slice(), row.in_use) {
            ([], Some(_)) => Text("free".to_owned(), Tone::Good),
            ([], None) => Text::plain(""),
            (users, _) => Text(users.join(", "), Tone::Warn),
        }
    }),
    Column::table(2, "device_nodes", "NODE", |row: &Row| Text::plain(row.first_node.clone())),
    Column::table(3, "iommu_group", "IOMMU", |row: &Row| match row.iommu_group {
        Some(group) if row.noiommu => Text(format!("{group} (none)"), Tone::Warn),
        Some(group) => Text::plain(group.to_string()),
        None => Text("none".to_owned(), Tone::Warn),
    })
    .right(),
    Column::table(3, "group_members", "GROUP", |row: &Row| {
        let others = row.group_members.len().saturating_sub(1);
        match (row.viable, others) {
            (None, _) => Text::plain(""),
            (Some(true), 0) => Text("alone".to_owned(), Tone::Good),
            (Some(true), n) => Text(format!("viable, +{n}"), Tone::Good),
            (Some(false), n) => Text(format!("NOT viable, +{n}"), Tone::Warn),
        }
    }),
    Column::table(4, "available_drivers", "AVAILABLE", |row: &Row| {
        Text::plain(row.available_drivers.join(","))
    }),
    Column::table(5, "numa_node", "NUMA", |row: &Row| Text::of(row.numa_node)).right(),
];

const PAGES: &[Column<HugePagesView>] = &[
    Column::table(0, "size_kib", "HUGEPAGES", |pages: &HugePagesView| {
        Text::plain(size(pages.size_kib))
    })
    .right(),
    Column::table(0, "numa_node", "NUMA", |pages: &HugePagesView| Text::of(pages.numa_node))
        .right(),
    Column::table(0, "total", "TOTAL", |pages: &HugePagesView| {
        Text::plain(pages.total.to_string())
    })
    .right(),
    Column::table(0, "free", "FREE", |pages: &HugePagesView| {
        let tone = if pages.free > 0 { Tone::Good } else { Tone::Dim };
        Text(pages.free.to_string(), tone)
    })
    .right(),
];

/// Prints it.
pub fn run<K: Kernel + Surroundings>(
    args: &BindDpdk,
    kernel: &K,
    console: &Console,
    out: &mut dyn Write,
) -> Result<()> {
    let all_classes = !args.vfs.is_empty();
    let inventory = kernel.observe(Scope { all_classes, ..Scope::default() })?;
    let found = select(&inventory, args)?;
    let loadable = for_user_space(kernel)?;
    let row = |(pf, vf): &(&Pf, &Vf)| row(kernel, pf, vf, &loadable, inventory.knows_usage);
    let rows = found.iter().map(row).collect::<Result<Vec<Row>>>()?;
    let pages: Vec<HugePagesView> = kernel.hugepages()?.iter().map(HugePagesView::new).collect();
    if args.json {
        return write_json(out, &Document { schema_version: 1, vfs: &rows, hugepages: pages });
    }
    if rows.is_empty() {
        let (what, next) = no_vfs(&inventory, &args.vfs);
        out.flush().map_err(|error| writing(&error))?;
        say::remark(&what, &next);
    } else {
        let columns: Vec<&Column<Row>> = COLUMNS.iter().collect();
        table::write_table(out, console, &rows, &columns, false, true)?;
        members(out, &rows)?;
    }
    let columns: Vec<&Column<HugePagesView>> = PAGES.iter().collect();
    line!(out, "").map_err(|error| writing(&error))?;
    table::write_table(out, console, &pages, &columns, false, true)?;
    if pages.iter().all(|pages| pages.total == 0) {
        out.flush().map_err(|error| writing(&error))?;
        say::remark("there are no hugepages, which DPDK needs", "sysctl -w vm.nr_hugepages=1024");
    }
    Ok(())
}

/// Who keeps user space from a group, a line a group.
fn members(out: &mut dyn Write, rows: &[Row]) -> Result<()> {
    let mut told = Vec::new();
    for row in rows.iter().filter(|row| row.viable == Some(false)) {
        if told.contains(&row.iommu_group) {
            continue;
        }
        told.push(row.iommu_group);
        let own = |member: &&MemberView| Some(&member.device) != row.pci_address.as_ref();
        let bad = row.group_members.iter().filter(|member| !member.viable).filter(own);
        let list: Vec<String> = bad
            .map(|m| format!("{} {}", m.device, m.driver.as_deref().unwrap_or_default()))
            .collect();
        let group = row.iommu_group.unwrap_or_default();
        line!(out, "IOMMU group {group} also has: {}", list.join(", "))
            .map_err(|error| writing(&error))?;
    }
    Ok(())
}

fn select<'a>(inventory: &'a Inventory, args: &BindDpdk) -> Result<Vec<(&'a Pf, &'a Vf)>> {
    if args.vfs.is_empty() {
        return Ok(inventory.vfs().collect());
    }
    let mut found = Vec::new();
    for selector in &args.vfs {
        found.extend(selector.vfs(inventory)?);
    }
    Ok(found)
}

fn row<K: Kernel + Surroundings>(
    kernel: &K,
    pf: &Pf,
    vf: &Vf,
    loadable: &[String],
    knows_usage: bool,
) -> Result<Row> {
    let ground = match &vf.facts.device {
        Some(device) => kernel.ground(device)?,
        None => Ground::default(),
    };
    let group = ground.group.as_ref();
    let device = vf.facts.device.as_ref();
    let viable = group.zip(device).map(|(group, device)| group.in_the_way_of(device).is_empty());
    let nodes: Vec<NodeView> = ground.nodes.iter().map(NodeView::new).collect();
    Ok(Row {
        vf: pf.vf_name(vf.index()),
        pci_address: vf.pci().map(|pci| pci.to_string()),
        driver: vf.facts.driver.clone(),
        available_drivers: if device.is_some() { available(loadable, &ground) } else { Vec::new() },
        iommu_group: group.map(|group| group.number),
        noiommu: group.is_some_and(|group| group.noiommu),
        group_members: group.map(members_of).unwrap_or_default(),
        viable,
        first_node: ground.nodes.first().map(ToString::to_string).unwrap_or_default(),
        device_nodes: nodes,
        numa_node: pf.facts.numa_node,
        in_use: (knows_usage || !vf.users.is_empty()).then_some(!vf.users.is_empty()),
        used_by: vf.users.iter().map(UserView::new).collect(),
    })
}

fn members_of(group: &crate::model::binding::Group) -> Vec<MemberView> {
    let view = |member: &crate::model::binding::Member| MemberView {
        device: member.device.to_string(),
        driver: member.driver.clone(),
        viable: member.is_viable(),
    };
    group.members.iter().map(view).collect()
}

/// Drivers for user space that are loaded or could be.
pub(super) fn for_user_space<K: Surroundings>(kernel: &K) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for driver in ["vfio-pci", "uio_pci_generic", "igb_uio"] {
        if !matches!(kernel.driver_state(driver)?, DriverState::Unknown(_)) {
            found.push(driver.to_owned());
        }
    }
    Ok(found)
}

/// Drivers that the device could be bound to: those for user space that there are, VFIO's own for
/// it, and the kernel's that know it.
pub(super) fn available(loadable: &[String], ground: &Ground) -> Vec<String> {
    let mut found: Vec<String> = loadable.to_vec();
    for driver in ground.variants.iter().chain(&ground.native) {
        if !found.contains(driver) {
            found.push(driver.clone());
        }
    }
    found
}

impl HugePagesView {
    fn new(pages: &HugePages) -> Self {
        let HugePages { size_kib, node, total, free } = *pages;
        Self { size_kib, numa_node: node, total, free }
    }
}

fn size(kib: u64) -> String {
    match kib {
        kib if kib % (1 << 20) == 0 => format!("{} GiB", kib >> 20),
        kib if kib % (1 << 10) == 0 => format!("{} MiB", kib >> 10),
        kib => format!("{kib} KiB"),
    }
}
