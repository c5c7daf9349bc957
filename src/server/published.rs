//! The state as readers see it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use crs_raft::Publish;
use crs_store::{Changes, State};
use tokio::time::Instant;

use crate::locks::LockDelays;
use crate::watch::WatchHub;

/// The last applied state and those who wait for the next one.
#[derive(Debug, Default)]
pub struct Published {
    state: ArcSwap<State>,
    hub: Arc<WatchHub>,
    lock_delays: LockDelays,
}

impl Published {
    /// A snapshot; no lock, no wait.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Where watchers subscribe.
    pub fn hub(&self) -> &Arc<WatchHub> {
        &self.hub
    }

    pub(crate) fn lock_delays(&self) -> &LockDelays {
        &self.lock_delays
    }
}

impl Publish for Published {
    /// Shows a newer state, then wakes those whose topics changed.
    fn publish(&self, state: &State, changes: Changes) {
        // Before the keys are seen to be free, so that nobody locks one in between.
        self.lock_delays.begin(Instant::now(), changes.delayed_locks());
        self.state.store(Arc::new(state.clone()));
        self.hub.wake(&changes);
    }

    /// Shows a state that replaces the old one as a whole, and wakes everybody.
    fn restored(&self, state: &State) {
        self.state.store(Arc::new(state.clone()));
        self.hub.wake_all();
    }
}
