//! What the tests and benchmarks share: made-up hosts that `sriovctl --root` reads.
//!
//! - [`tree`] builds a sysfs tree as the kernel lays it out,
//! - [`models`] are the cards that stand in it,
//! - [`named`] are whole hosts, each with one thing that is hard to read right.

pub mod models;
pub mod named;
pub mod tree;
