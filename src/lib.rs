//! The engine behind the `sriovctl` binary. The rooms and what each may touch:
//!
//! | room | what | may touch |
//! |---|---|---|
//! | [`model`] | WHAT: ids, inventory, plans | nothing but its arguments |
//! | [`host`] | TOUCH: sysfs, netlink, namespaces | the operating system, below a root |
//! | [`engine`] | DO: verbs on a [`engine::Kernel`] | model, and host through that trait |
//! | [`commands`] | DOOR for people | engine, the terminal |
//! | [`cni`] | DOOR for container runtimes | engine, IPAM plugins |
//!
//! `main → {commands, cni} → engine → host → model`, never upward. All of them sort by `order`.

// See clippy.toml.
#![cfg_attr(not(any(test, fuzzing)), deny(clippy::disallowed_methods))]

pub mod cli;
pub mod cni;
pub mod commands;
pub mod engine;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod host;
pub mod model;
mod order;

/// Files of `tests/` that are included here call the library by its name.
#[cfg(any(test, fuzzing))]
extern crate self as sriovctl;

pub use error::{Error, Kind, Result};
