//! STATUS: whether an ADD could succeed now.

use super::dialect::{Origin, Source, Wish, not_there};
use super::failure::{Code, Failure};
use super::ipam::Ipam;
use super::{Command, Job};
use crate::engine::attach::{has_free, is_left_over};
use crate::engine::neighbours::Neighbours;
use crate::engine::store::Store;
use crate::engine::{Kernel, Surroundings};
use crate::error::Error;
use crate::model::facts::Scope;

/// Looks at what every ADD needs.
pub fn status<K: Kernel + Store + Surroundings + Neighbours>(
    job: &Job<'_, K>,
) -> Result<(), Failure> {
    let unavailable = |failure: Failure| Failure { code: Code::Unavailable, ..failure };
    if let Some(origin) = Wish::source_of(job.config, job.call)? {
        // Mostly one look at one VF tells.
        let has_one = matches!(&origin.source, Source::AnyOf(pool) if has_free(job.kernel, pool));
        if !has_one {
            look_at_all(job, &origin)?;
        }
    }
    match Ipam::of(job.config, job.call, job.input).map_err(unavailable)? {
        Some(ipam) => job.pass_on(&ipam, Command::Status).map_err(unavailable),
        None => Ok(()),
    }
}

/// Whether what is wanted is there and, of several, one is free.
fn look_at_all<K: Kernel + Store>(job: &Job<'_, K>, origin: &Origin) -> Result<(), Failure> {
    let inventory = job.kernel.observe(Scope { all_classes: true, ..Scope::default() })?;
    let missing = |error| {
        let failure = not_there(&origin.key, Failure::from(Error::from(error)));
        Failure { code: Code::Unavailable, ..failure }
    };
    match &origin.source {
        Source::Pf(pf) => drop(pf.pf(&inventory).map_err(missing)?),
        Source::Vf(vf) => drop(vf.vfs(&inventory).map_err(missing)?),
        Source::Device(_) => {}
        Source::AnyOf(pool) => {
            let mut has_one = false;
            for selector in pool {
                for (_, vf) in selector.vfs(&inventory).map_err(missing)? {
                    has_one = has_one || vf.users.is_empty() || is_left_over(job.kernel, vf)?;
                }
            }
            if !has_one {
                let of: Vec<String> = pool.iter().map(ToString::to_string).collect();
                let text = format!("no VF of {} is free", of.join(", "));
                return Err(Failure::new(Code::Unavailable, text)
                    .details("try: sriovctl list-vfs --in-use"));
            }
        }
    }
    Ok(())
}
