//! WHAT: typed identifiers, what a host looks like, and what is to be done about it.
//!
//! Pure: nothing here touches a file, a socket, the environment or a clock, or prints.

pub mod assemble;
pub mod binding;
pub mod changes;
pub mod doctor;
pub mod explain;
pub mod facts;
pub mod ids;
pub mod inventory;
pub mod json;
pub mod link;
pub mod neighbour;
pub mod persist;
pub mod phrase;
pub mod plan;
pub mod record;
pub mod rights;
pub mod seen;
pub mod selector;
pub mod spec;
pub mod step;
pub mod stock;
pub mod text;
pub mod time;
pub mod traffic;
pub mod usage;
