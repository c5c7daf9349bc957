//! The log as openraft wants it: a thin shell.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds, RangeInclusive};

use futures::Stream;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};

use crate::log::Log;
use crate::log::writer::{Done, lock};
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// What is read at once for a stream: bounds the memory of a follower that catches up and of a restart.
const CHUNK_BYTES: usize = 1 << 20;

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let (from, to) = bounds(&range);
        self.read(from, to, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, CHUNK_BYTES)
    }

    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        let log = self.clone();
        let chunks = futures::stream::try_unfold(from, move |from| {
            let log = log.clone();
            async move {
                let entries = if from < to { log.read(from, to, CHUNK_BYTES)? } else { Vec::new() };
                let next = entries.last().map(|entry| entry.log_id.index() + 1);
                Ok::<_, io::Error>(
                    next.map(|next| (futures::stream::iter(entries.into_iter().map(Ok)), next)),
                )
            }
        });
        futures::TryStreamExt::try_flatten(chunks)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(lock(&self.view).facts.vote)
    }

    async fn get_key_log_ids(&mut self, range: RangeInclusive<LogId>) -> io::Result<Vec<LogId>> {
        Ok(lock(&self.view).terms.key_ids(range))
    }

    async fn leader_bounded_stream<RB>(
        &mut self,
        leader: openraft::alias::LeaderIdOf<TypeConfig>,
        range: RB,
    ) -> impl Stream<Item = openraft::storage::LeaderBoundedStreamResult<TypeConfig>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        use openraft::storage::LeaderBoundedStreamError as Refusal;
        let (from, to) = bounds(&range);
        let log = self.clone();
        let chunks = futures::stream::try_unfold(from, move |from| {
            let log = log.clone();
            async move {
                let entries = if from < to { log.read(from, to, CHUNK_BYTES)? } else { Vec::new() };
                let vote = lock(&log.view).facts.vote;
                if vote.is_none_or(|vote| vote.leader_id() != &leader || !vote.is_committed()) {
                    return Err(Refusal::LeaderChanged(openraft::errors::LeaderChanged::new(leader, vote)));
                }
                let next = entries.last().map(|entry| entry.log_id.index() + 1);
                Ok(next.map(|next| (futures::stream::iter(entries.into_iter().map(Ok)), next)))
            }
        });
        Box::pin(futures::TryStreamExt::try_flatten(chunks))
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let facts = self.facts();
        Ok(LogState { last_purged_log_id: facts.purged, last_log_id: facts.last })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (sender, durable) = tokio::sync::oneshot::channel();
        self.vote(*vote, Done::Signal(sender))?;
        durable.await.map_err(|_| io::Error::other("the log is closed"))?
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.set_committed(committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.facts().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        Log::append(self, entries, Done::Flushed(callback))
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        self.truncate(last_log_id)
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        Log::purge(self, log_id)
    }
}
