//! Decisions: a request and what the host looks like give steps or a refusal.

pub mod apply;
pub mod attach;
pub mod bind;
pub mod export;
pub mod mac;
pub mod numvfs;
pub mod pools;
pub mod replay;
pub mod restore;
pub mod set_vf;
