//! The state as readers see it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use crs_store::{Changes, State};

use crate::watch::WatchHub;

/// The last applied state and those who wait for the next one.
#[derive(Debug, Default)]
pub struct Published {
    state: ArcSwap<State>,
    hub: Arc<WatchHub>,
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

    /// Shows a newer state, then wakes those whose topics changed.
    pub fn publish(&self, state: &State, changes: &Changes) {
        self.state.store(Arc::new(state.clone()));
        self.hub.wake(changes);
    }

    /// Shows a state that replaces the old one as a whole, and wakes everybody.
    pub fn replace(&self, state: &State) {
        self.state.store(Arc::new(state.clone()));
        self.hub.wake_all();
    }
}
