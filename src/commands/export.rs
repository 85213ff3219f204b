//! `export`.

use std::io::Write;

use super::say::{self, line};
use super::{write_json, writing};
use crate::cli::{Export, ExportForm};
use crate::engine::Kernel;
use crate::engine::export as engine;
use crate::engine::store::Store;
use crate::error::{Error, Kind, Result};
use crate::model::plan::{export, pools};

/// Writes it; what is missing in it comes back as an error that was not yet said.
pub fn run<K: Kernel + Store>(
    args: &Export,
    kernel: &K,
    out: &mut dyn Write,
) -> Result<Option<Error>> {
    let pfs = engine::pfs(kernel, &args.pfs)?;
    match args.format {
        ExportForm::Yaml => {
            let yaml = export::spec(&pfs, &engine::kept(kernel, &pfs)?).to_yaml();
            let mut lines = yaml.lines();
            lines.try_for_each(|text| line!(out, "{text}")).map_err(|error| writing(&error))?;
        }
        ExportForm::Json => write_json(out, &export::spec(&pfs, &engine::kept(kernel, &pfs)?))?,
        ExportForm::DevicePlugin | ExportForm::Nad => {
            let pools = pools::pools(&pfs, &engine::kept(kernel, &pfs)?);
            if pools.is_empty() {
                return Err(Error::new(
                    Kind::NotFound,
                    "no VF has a driver, so there are no pools",
                )
                .hint("create some with: sriovctl set-numvfs PF N"));
            }
            must_be_a_prefix(&args.prefix)?;
            if args.format == ExportForm::Nad {
                write_json(out, &pools::networks(&pools, &args.prefix, &args.namespace))?;
            } else {
                write_json(out, &pools::device_plugin(&pools, &args.prefix))?;
            }
        }
    }
    if pfs.is_empty() {
        say::remark(
            "no device of this host can have VFs",
            "see all kinds: sriovctl list-pfs --all-classes",
        );
    }
    Ok(None)
}

/// A domain (RFC 1123), as Kubernetes wants in front of a resource's name.
fn must_be_a_prefix(prefix: &str) -> Result<()> {
    let label = |label: &str| {
        let letters = label
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        !label.is_empty() && letters && !label.starts_with('-') && !label.ends_with('-')
    };
    if prefix.split('.').all(label) {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, format!("\"{prefix}\" is no prefix of a resource"))
        .hint("give a domain, such as --prefix intel.com"))
}
