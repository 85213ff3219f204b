//! From text to a [`Spec`]: YAML, and so JSON.

use super::{Spec, VERSION};

/// Why a text is none, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// Reads it, and looks whether it can be meant so, as far as the file alone tells.
pub fn read(text: &str) -> Result<Spec, Unreadable> {
    // JSON is read as what it is, so that an error of it is one of JSON.
    let spec: Spec = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| Unreadable(error.to_string()))?
    } else if text.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
        return Err(Unreadable("it is empty: it should begin with \"version: 1\"".to_owned()));
    } else {
        yaml_serde::from_str(text).map_err(|error| Unreadable(error.to_string()))?
    };
    if spec.version != VERSION {
        let text = format!("it is of version {}, and this sriovctl reads {VERSION}", spec.version);
        return Err(Unreadable(text));
    }
    match spec.faults().as_slice() {
        [] => Ok(spec),
        faults => Err(Unreadable(faults.join("; "))),
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
