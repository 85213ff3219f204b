//! `watch`.

use std::io::Write;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::say::line;
use super::{table, writing};
use crate::cli::Watch;
use crate::engine::Kernel;
use crate::engine::watch::{Listen, watch};
use crate::error::Result;
use crate::model::changes::Event;
use crate::model::time::utc;

/// A line of JSON, see `schemas/watch.schema.json`.
#[derive(Serialize)]
struct View {
    schema_version: u32,
    time: String,
    event: &'static str,
    pf: String,
    vf: Option<String>,
    device: Option<String>,
    attribute: Option<&'static str>,
    from: Option<String>,
    to: Option<String>,
}

/// Tells events until somebody wants it to end, or the time is over.
pub fn run<K: Kernel + Listen>(args: &Watch, kernel: &K, out: &mut dyn Write) -> Result<()> {
    let end = args.for_seconds.map(Duration::from_secs_f64);
    let is_over = |passed: Duration| end.is_some_and(|end| passed >= end);
    watch(kernel, &args.only, &is_over, &mut |events| {
        let time = utc(SystemTime::now());
        if args.json {
            let views: Vec<View> = events.iter().map(|event| View::new(event, &time)).collect();
            table::write_jsonl(out, &views)?;
        } else {
            for event in events {
                write(out, event, &time).map_err(|error| writing(&error))?;
            }
        }
        // Whoever reads it reads it now.
        out.flush().map_err(|error| writing(&error))
    })
}

fn write(out: &mut dyn Write, event: &Event, time: &str) -> std::io::Result<()> {
    let name = event.vf.as_ref().unwrap_or(&event.pf);
    // The time of day in UTC, as logs have it.
    let time = format!("{}Z", time.get(11..19).unwrap_or(time));
    let Some(attribute) = event.attribute else {
        let device = event.device.as_ref().map(|device| format!("  {device}")).unwrap_or_default();
        return line!(out, "{time}  {name:<10}  {}{device}", event.kind.word());
    };
    let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    line!(
        out,
        "{time}  {name:<10}  {attribute:<11} {} -> {}",
        or_none(&event.from),
        or_none(&event.to)
    )
}

impl View {
    fn new(event: &Event, time: &str) -> Self {
        Self {
            schema_version: 1,
            time: time.to_owned(),
            event: event.kind.word(),
            pf: event.pf.clone(),
            vf: event.vf.clone(),
            device: event.device.as_ref().map(ToString::to_string),
            attribute: event.attribute,
            from: event.from.clone(),
            to: event.to.clone(),
        }
    }
}
