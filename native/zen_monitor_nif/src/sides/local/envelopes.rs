//! The sets whose members a run of the Dispatcher delivers.

use crate::sides::local::Local;
use crate::sides::local::kind::Kind;
use crate::sides::local::set::Set;
use rustler::{Env, Term};
use std::sync::Arc;
use zen_monitor_core::monitors::slot::Reference;

/// Looks up the sets that messages are sent for, and remembers the last one.
pub struct Envelopes<'a, 'b> {
    env: Env<'a>,
    local: &'b Local,
    recent: Option<(u64, Option<Opened<'a>>)>,
    /// How many members of that set are claimed while their message is not sent yet.
    telling: usize,
}

/// A set with the term that its messages begin with.
pub struct Opened<'a> {
    /// The set.
    pub set: Arc<Set>,
    /// The term.
    pub tag: Term<'a>,
}

impl Drop for Envelopes<'_, '_> {
    /// If a panic has kept messages from being sent, their members stay members.
    fn drop(&mut self) {
        if let (1.., Some((_, Some(opened)))) = (self.telling, &self.recent) {
            self.local.sets.add(&opened.set, self.telling);
        }
    }
}

impl<'a, 'b> Envelopes<'a, 'b> {
    /// Begins without a set.
    pub fn new(env: Env<'a>, local: &'b Local) -> Self {
        Envelopes {
            env,
            local,
            recent: None,
            telling: 0,
        }
    }

    /// The set that has this word as a subscriber. `None` when it has ended: nothing is sent for it then.
    #[inline]
    pub fn of(&mut self, word: u64) -> Option<&Opened<'a>> {
        if self
            .recent
            .as_ref()
            .is_none_or(|(recent, _)| *recent != word)
        {
            let set = self.local.sets.by_word(word);
            let opened = set.map(|set| Opened {
                tag: set.host.tag.to_term(self.env),
                set,
            });
            self.recent = Some((word, opened));
        }
        self.recent.as_ref().and_then(|(_, opened)| opened.as_ref())
    }

    /// What a message for a member needs: the receiver, the tag and the reference. `None` when the subscriber is no
    /// set, or a set that has ended. The word of a set is not that of a process, so nothing is sent to it.
    #[inline]
    pub fn address(&mut self, word: u64) -> Option<(u64, Term<'a>, Reference)> {
        if !Kind::of(word).is_set() {
            return None;
        }
        let opened = self.of(word)?;
        Some((opened.set.owner, opened.tag, opened.set.reference))
    }

    /// Called when a monitor has been claimed, before its message is sent: a member leaves its set now.
    #[inline]
    pub fn consumed(&mut self, word: u64) {
        if !Kind::of(word).is_set() {
            return;
        }
        let local = self.local;
        let Some(opened) = self.of(word) else {
            return;
        };
        local.sets.subtract(&opened.set, 1);
        self.telling += 1;
    }

    /// Called when the message of what was claimed has been sent.
    #[inline]
    pub fn told(&mut self) {
        self.telling = 0;
    }
}
