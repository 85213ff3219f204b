//! Many small reads at once: they wait for the kernel, not for each other.

use std::num::NonZero;
use std::thread::{Builder, ScopedJoinHandle, available_parallelism, scope};

/// Fewer items than this are done before a thread has started.
const WORTH_A_THREAD: usize = 128;
/// More threads than this only wait for the same locks in the kernel.
const MOST_THREADS: usize = 8;

/// `work` on each item, in the items' order.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    in_parts(items, |part| part.iter().map(&work).collect())
}

/// `work` on parts of the items, one for each thread; what it makes of them, in the items' order.
pub fn in_parts<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> Vec<R> + Sync) -> Vec<R> {
    // How many processors there are is asked for only where it matters: that reads files.
    let worth = items.len() / WORTH_A_THREAD;
    let processors = || available_parallelism().map_or(1, NonZero::get);
    let threads = if worth < 2 { 1 } else { worth.min(MOST_THREADS).min(processors()) };
    if threads == 1 {
        return work(items);
    }
    let work = &work;
    scope(|scope| {
        let chunks = items.chunks(items.len().div_ceil(threads));
        let running: Vec<_> = chunks
            .map(|chunk| {
                let all = move || work(chunk);
                // Where no more threads are allowed this one does it.
                Builder::new().spawn_scoped(scope, all).map_err(|_| all())
            })
            .collect();
        // A panic is a bug, and goes on as one.
        let join = |thread: ScopedJoinHandle<'_, Vec<R>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().flat_map(|part| part.map_or_else(|done| done, join)).collect()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn parts_may_make_more_and_less_than_they_are_given() {
        for count in [0, 127, 1000, 5000] {
            let items: Vec<usize> = (0..count).collect();
            let each = |n: &usize| std::iter::repeat_n(*n, *n % 3);
            let made = super::in_parts(&items, |part| part.iter().flat_map(each).collect());
            assert_eq!(made, items.iter().flat_map(each).collect::<Vec<_>>());
        }
    }

    #[test]
    fn results_stand_in_the_order_of_the_items() {
        for count in [0, 1, 127, 128, 1000, 1001] {
            let items: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = (0..count).map(|n| n * 2).collect();
            assert_eq!(super::map(&items, |n| n * 2), doubled);
        }
    }
}
