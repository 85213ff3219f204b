//! Sorting by one instance of the standard library's sort, which takes 4 KB for each type that is sorted with it: for
//! all of them in this program that was a thirtieth of the binary. Stable, as that is.

use std::cmp::Ordering;

/// Sorts what has an order of its own.
pub fn sort<T: Ord>(all: &mut [T]) {
    sort_by(all, T::cmp);
}

/// Sorts by what is compared.
pub fn sort_by<T>(all: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let order = order(all.len(), &|a, b| compare(&all[a], &all[b]));
    arrange(order, &mut |a, b| all.swap(a, b));
}

/// Sorts by a key, which is made once for each.
pub fn sort_by_key<T, K: Ord>(all: &mut [T], key: impl FnMut(&T) -> K) {
    let keys: Vec<K> = all.iter().map(key).collect();
    let order = order(keys.len(), &|a, b| keys[a].cmp(&keys[b]));
    arrange(order, &mut |a, b| all.swap(a, b));
}

/// The places of `count` things as they are now, in the order in which they shall be.
#[allow(clippy::disallowed_methods)] // the one
fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| compare(*a, *b));
    order
}

/// Brings each to its place; every swap has one arrive there.
fn arrange(order: Vec<usize>, swap: &mut dyn FnMut(usize, usize)) {
    let mut goal = vec![0; order.len()];
    for (place, from) in order.into_iter().enumerate() {
        goal[from] = place;
    }
    for place in 0..goal.len() {
        while goal[place] != place {
            let to = goal[place];
            swap(place, to);
            goal.swap(place, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_standard_sort(all: Vec<(u8, u8)>) {
            let (mut ours, mut std) = (all.clone(), all.clone());
            sort(&mut ours);
            std.sort_unstable();
            prop_assert_eq!(&ours, &std);

            // Stable: what is alike stays as it was.
            let (mut ours, mut std) = (all.clone(), all.clone());
            sort_by_key(&mut ours, |one| one.0);
            std.sort_by_key(|one| one.0);
            prop_assert_eq!(&ours, &std);

            let (mut ours, mut std) = (all.clone(), all);
            sort_by(&mut ours, |a, b| b.0.cmp(&a.0));
            std.sort_by_key(|one| std::cmp::Reverse(one.0));
            prop_assert_eq!(ours, std);
        }
    }
}
