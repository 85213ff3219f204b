//! Decisions: a request and what the host looks like give steps or a refusal.

pub mod attach;
pub mod bind;
pub mod mac;
pub mod numvfs;
pub mod replay;
pub mod restore;
pub mod set_vf;
