//! Circular lists whose links lie inside the listed things.
//!
//! The links of two neighbours may lie under different owners, so they are atomics; all access is
//! relaxed, because every list has one lock that all its readers and writers hold.

use std::sync::atomic::{AtomicU32, Ordering};

/// The end of a list. Ids stay below 2^30, so there is room for other marks beside it.
pub const NIL: u32 = u32::MAX;

/// The two links of one member.
pub struct Links {
    prev: AtomicU32,
    next: AtomicU32,
}

impl Default for Links {
    fn default() -> Self {
        Links {
            prev: AtomicU32::new(NIL),
            next: AtomicU32::new(NIL),
        }
    }
}

impl Links {
    /// The member before. While the member is in no list, a mark that its owner has set.
    #[inline]
    pub fn prev(&self) -> u32 {
        self.prev.load(Ordering::Relaxed)
    }

    /// The member after.
    #[inline]
    pub fn next(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }

    /// Sets the link to the member before.
    #[inline]
    pub fn set_prev(&self, id: u32) {
        self.prev.store(id, Ordering::Relaxed);
    }

    /// Sets the link to the member after.
    #[inline]
    pub fn set_next(&self, id: u32) {
        self.next.store(id, Ordering::Relaxed);
    }
}

/// Adds `id` at the end of the list that begins at `head`.
#[inline]
pub fn push_back<'a>(head: &mut u32, id: u32, links: impl Fn(u32) -> &'a Links) {
    let own = links(id);
    if *head == NIL {
        own.set_prev(id);
        own.set_next(id);
        *head = id;
        return;
    }
    let first = links(*head);
    let last = first.prev();
    own.set_prev(last);
    own.set_next(*head);
    links(last).set_next(id);
    first.set_prev(id);
}

/// Takes `id` out of the list that begins at `head`, and leaves both its links [`NIL`].
#[inline]
pub fn unlink<'a>(head: &mut u32, id: u32, links: impl Fn(u32) -> &'a Links) {
    let own = links(id);
    let (prev, next) = (own.prev(), own.next());
    if next == id {
        *head = NIL;
    } else {
        links(prev).set_next(next);
        links(next).set_prev(prev);
        if *head == id {
            *head = next;
        }
    }
    own.set_prev(NIL);
    own.set_next(NIL);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keeps_the_order_of_a_vector(ops in prop::collection::vec((any::<bool>(), 0..20u32), 0..200)) {
            let members: Vec<Links> = (0..20).map(|_| Links::default()).collect();
            let links = |id: u32| &members[id as usize];
            let (mut head, mut model) = (NIL, Vec::new());
            for (add, id) in ops {
                let listed = model.contains(&id);
                if add && !listed {
                    push_back(&mut head, id, links);
                    model.push(id);
                } else if !add && listed {
                    unlink(&mut head, id, links);
                    model.retain(|&member| member != id);
                }
                let mut found = Vec::new();
                let mut at = head;
                while at != NIL && found.len() < model.len() {
                    found.push(at);
                    at = links(at).next();
                }
                prop_assert_eq!(&found, &model);
                prop_assert_eq!(at, head);
            }
        }
    }
}
