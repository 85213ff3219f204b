//! What must hold of every result that a plugin gives (see [`crate::fuzzing`]).

use serde_json::{Value, json};

use super::reply::Reply;
use super::version::Version;

/// What is read of a result can be said in every version, and says the same from then on; in the
/// newest nothing is lost.
pub fn reply(text: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(text) else { return };
    for value in [Some(&value), value.get("prevResult")].into_iter().flatten() {
        let Ok(reply) = Reply::parse(value) else { continue };
        for version in Version::ALL {
            let again = |reply: &Reply| {
                Reply::parse(&reply.render(version)).expect("what is said is a result")
            };
            let once = again(&reply);
            assert_eq!(again(&once), once, "{version}");
            if version == Version::V110 {
                let dns = if reply.dns.is_object() { reply.dns.clone() } else { json!({}) };
                assert_eq!(once, Reply { dns, ..reply.clone() });
            }
        }
    }
}
