//! Who leads, published for readers who must not wait: no lock, no message to openraft's core.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::machine::Progress;
use crate::types::{ServerId, ServerNode};

/// Until when this server may answer from its own state as leader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Until {
    /// It does not lead.
    Never,
    /// A majority heard of it: none of them helps another to lead before then.
    Instant(Instant),
    /// It is alone.
    Always,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lease {
    pub(crate) leader: Option<(ServerId, ServerNode)>,
    pub(crate) term: u64,
    pub(crate) until: Until,
}

/// Who leads, as of now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leadership {
    /// The leader, if one is known.
    pub leader: Option<(ServerId, ServerNode)>,
    /// The term.
    pub term: u64,
    /// Whether it is this server.
    pub is_leader: bool,
    /// Whether this server may answer a default read from its own state: it leads, its lease has not run out, and it has
    /// applied everything that was committed before its term.
    pub may_answer: bool,
}

pub(crate) struct LeaseCell {
    id: ServerId,
    lease: ArcSwap<Lease>,
    /// While leadership is being handed over, nothing is answered from the lease.
    suspended: AtomicBool,
    progress: Arc<Progress>,
    clock: Arc<dyn Clock>,
    changed: Notify,
}

impl LeaseCell {
    pub(crate) fn new(id: ServerId, progress: Arc<Progress>, clock: Arc<dyn Clock>) -> Self {
        let lease = ArcSwap::from_pointee(Lease { leader: None, term: 0, until: Until::Never });
        LeaseCell { id, lease, suspended: AtomicBool::new(false), progress, clock, changed: Notify::new() }
    }

    pub(crate) fn publish(&self, lease: Lease) {
        let before = self.lease.load();
        if **before != lease {
            if before.term != lease.term {
                self.suspended.store(false, Release);
            }
            let news = before.term != lease.term || before.leader != lease.leader;
            self.lease.store(Arc::new(lease));
            if news {
                self.changed.notify_waiters();
            }
        }
    }

    /// Nothing is answered from the lease until `false`, or until another term.
    pub(crate) fn suspend(&self, suspended: bool) {
        self.suspended.store(suspended, Release);
    }

    pub(crate) fn leadership(&self) -> Leadership {
        let lease = self.lease.load();
        let is_leader = lease.leader.as_ref().is_some_and(|(id, _)| *id == self.id);
        Leadership {
            leader: lease.leader.clone(),
            term: lease.term,
            is_leader,
            may_answer: is_leader && self.holds(&lease),
        }
    }

    pub(crate) fn may_answer(&self) -> bool {
        let lease = self.lease.load();
        lease.leader.as_ref().is_some_and(|(id, _)| *id == self.id) && self.holds(&lease)
    }

    /// Waits for another leader or term; right after an election, also for the moment when this server can answer.
    /// Counts from the call, not from the first poll.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> + Send + '_ {
        let changed = self.changed.notified();
        async move {
            let leadership = self.leadership();
            if leadership.is_leader && !leadership.may_answer {
                // It has yet to apply what was committed before its term.
                drop(tokio::time::timeout(Duration::from_millis(5), changed).await);
            } else {
                changed.await;
            }
        }
    }

    pub(crate) fn knows_leader(&self) -> bool {
        self.lease.load().leader.is_some()
    }

    fn holds(&self, lease: &Lease) -> bool {
        let in_time = match lease.until {
            Until::Never => false,
            Until::Instant(until) => self.clock.now() < until,
            Until::Always => true,
        };
        in_time && !self.suspended.load(Acquire) && self.progress.applied_term.load(Relaxed) >= lease.term
    }
}
