//! The real binary on made-up trees: what it prints, how it refuses, how it exits. No root needed.
//!
//! A tree says nothing that only netlink knows: VLANs, trust, altnames, eswitch modes and the
//! namespaces of interfaces are "unknown" in all of these tests.

#[allow(dead_code, reason = "every test binary uses another part of it")]
#[path = "../support/mod.rs"]
mod support;

mod apply;
mod bind_dpdk;
mod complete;
mod doctor;
mod list_pfs;
mod list_vfs;
mod output;
mod run;
mod schema;
mod selectors;
mod set_numvfs;
mod set_vf;
