//! Which term each entry is of, as runs: a log has few leaders and many entries.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::types::{LogId, log_id, term_of};

/// Runs of entries of one term, oldest first: the first index and the term.
#[derive(Debug, Default, Clone)]
pub(crate) struct Terms(VecDeque<(u64, u64)>);

impl Terms {
    pub(crate) fn push(&mut self, id: &LogId) {
        if self.0.back().is_none_or(|(_, term)| *term != term_of(id)) {
            self.0.push_back((id.index(), term_of(id)));
        }
    }

    /// The log begins behind `last`, which is kept as its base.
    pub(crate) fn restart(&mut self, last: &LogId) {
        self.0.clear();
        self.push(last);
    }

    /// Entries from `from` on are gone.
    pub(crate) fn truncate(&mut self, from: u64) {
        while self.0.back().is_some_and(|(first, _)| *first >= from) {
            self.0.pop_back();
        }
    }

    /// Entries up to `upto` are gone; its own term is kept.
    pub(crate) fn purge(&mut self, upto: u64) {
        while self.0.get(1).is_some_and(|(first, _)| *first <= upto) {
            self.0.pop_front();
        }
        if let Some(front) = self.0.front_mut() {
            front.0 = front.0.max(upto);
        }
    }

    /// The first index that is known of.
    pub(crate) fn first(&self) -> Option<u64> {
        self.0.front().map(|(first, _)| *first)
    }

    /// The last entry of each term in the range (what openraft keeps; the comment on its trait says otherwise, its own
    /// search and its suite say this).
    pub(crate) fn key_ids(&self, range: RangeInclusive<LogId>) -> Vec<LogId> {
        let end = range.end().index();
        let next_firsts = self.0.iter().skip(1).map(|(first, _)| first - 1).chain([u64::MAX]);
        let runs = self.0.iter().zip(next_firsts);
        let in_range = runs.filter(|((first, _), last)| *first <= end && *last >= range.start().index());
        in_range.map(|((_, term), last)| log_id(*term, last.min(end))).collect()
    }
}
