//! What `bind-dpdk` says of each device, as JSON and as text.

use std::io::Write;

use serde::Serialize;

use super::say::{self, line};
use super::{StepView, step_views};
use crate::cli::BindDpdk;
use crate::engine::bind::Bound;
use crate::error::Error;
use crate::model::binding::Node;
use crate::model::selector::together;

/// The JSON document, see `schemas/bind-dpdk.schema.json`.
#[derive(Serialize)]
pub struct View {
    schema_version: u32,
    changed: bool,
    dry_run: bool,
    devices: Vec<DeviceView>,
}

/// A device.
#[derive(Serialize)]
pub struct DeviceView {
    vf: String,
    device: String,
    pub result: &'static str,
    driver_before: Option<String>,
    driver: Option<String>,
    netdev: Option<String>,
    admin_mac: Option<String>,
    iommu_group: Option<u32>,
    device_nodes: Vec<NodeView>,
    pub notes: Vec<String>,
    pub message: Option<String>,
    details: Vec<String>,
    hint: Option<String>,
    steps: Vec<StepView>,
}

/// A device node.
#[derive(Serialize)]
pub struct NodeView {
    path: String,
    uid: u32,
    gid: u32,
    mode: String,
}

impl NodeView {
    pub fn new(node: &Node) -> Self {
        let mode = format!("{:04o}", node.mode);
        Self { path: node.path.clone(), uid: node.uid, gid: node.gid, mode }
    }
}

impl View {
    /// The document.
    pub fn new(devices: Vec<DeviceView>, dry_run: bool) -> Self {
        let changed = devices.iter().any(|view| !["unchanged", "failed"].contains(&view.result));
        Self { schema_version: 1, changed, dry_run, devices }
    }
}

impl DeviceView {
    /// What became of a device, or would.
    pub fn new(bound: &Bound, result: &'static str) -> Self {
        let seen = &bound.seen;
        let pf = seen.pf_netdev.clone().unwrap_or_default();
        let dry = result.starts_with("would");
        Self {
            result,
            driver: seen.driver.clone(),
            netdev: seen.host_link().map(|link| link.name.clone()),
            admin_mac: seen.settings.as_ref().and_then(|has| has.mac).map(|mac| mac.to_string()),
            iommu_group: bound.ground.group.as_ref().map(|group| group.number),
            device_nodes: bound.ground.nodes.iter().map(NodeView::new).collect(),
            notes: bound.notes.clone(),
            steps: if dry { step_views(&bound.steps, &bound.name, &pf) } else { Vec::new() },
            ..Self::blank(bound, result)
        }
    }

    /// What could not be done, and which driver the device has.
    pub fn failed(before: &Bound, driver: Option<String>, error: &Error) -> Self {
        Self {
            driver,
            message: Some(error.message().to_owned()),
            details: error.detail_lines().to_vec(),
            hint: error.next_step().map(str::to_owned),
            ..Self::blank(before, "failed")
        }
    }

    fn blank(bound: &Bound, result: &'static str) -> Self {
        Self {
            vf: bound.name.clone(),
            device: bound.device.to_string(),
            result,
            driver_before: bound.before.clone(),
            driver: None,
            netdev: None,
            admin_mac: None,
            iommu_group: None,
            device_nodes: Vec::new(),
            notes: Vec::new(),
            message: None,
            details: Vec::new(),
            hint: None,
            steps: Vec::new(),
        }
    }
}

/// A line a device, and how to get it back.
pub fn write_text(
    out: &mut dyn Write,
    views: &[DeviceView],
    args: &BindDpdk,
) -> std::io::Result<()> {
    let wide = views.iter().map(|view| view.vf.len()).max().unwrap_or(0);
    for view in views {
        let driver = view.driver.as_deref().unwrap_or("no driver");
        let before = view.driver_before.as_deref().unwrap_or("no driver");
        let name = format!("{:<wide$}  {}", view.vf, view.device);
        match view.result {
            "would_bind" | "would_restore" => {
                line!(out, "# {name}; nothing was changed")?;
                for step in &view.steps {
                    line!(out, "{}", step.shell)?;
                }
                if args.persist {
                    let what = if args.restore { "removes" } else { "writes" };
                    let device = &view.device;
                    line!(out, "# {what} /etc/sriovctl/bindings/{device}.json and a udev rule")?;
                }
            }
            "unchanged" => line!(out, "{name}  has {driver} already; nothing was changed")?,
            "restored" if before == driver => {
                line!(out, "{name}  {driver}; no longer bound when it appears")?;
            }
            "failed" => line!(out, "{name}  failed")?,
            _ if before == driver => line!(out, "{name}  {driver}, set up{}", tail(view))?,
            _ => line!(out, "{name}  {before} -> {driver}{}", tail(view))?,
        }
    }
    // A PF is called otherwise once its interface is gone.
    let call = |view: &'_ DeviceView| -> String {
        if view.vf.contains('#') { view.vf.clone() } else { view.device.clone() }
    };
    let bound: Vec<String> = views.iter().filter(|view| view.result == "bound").map(call).collect();
    let bound = bound.iter().map(String::as_str);
    let names = together(bound);
    if !names.is_empty() && !args.restore {
        line!(out, "  give back: sriovctl bind-dpdk --restore {}", names.join(" "))?;
    }
    out.flush()?;
    let mut notes: Vec<&String> = Vec::new();
    for note in views.iter().flat_map(|view| &view.notes) {
        if !notes.contains(&note) {
            notes.push(note);
            say::warning(note);
        }
    }
    Ok(())
}

/// The interface, or the node and who may open it.
fn tail(view: &DeviceView) -> String {
    if let Some(netdev) = &view.netdev {
        return format!("  {netdev}");
    }
    let node = view.device_nodes.first();
    node.map(|node| format!("  {} {}:{} {}", node.path, node.uid, node.gid, node.mode))
        .unwrap_or_default()
}
