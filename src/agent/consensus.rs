//! Joins the server to what orders its commands.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use crs_server::{Consensus, Leadership, Pending, Published};
use crs_store::{Command, State};

/// A server alone, its state in memory: what `-dev` runs on.
pub(crate) struct Alone {
    state: Mutex<State>,
    published: Arc<Published>,
    address: String,
}

impl Alone {
    pub(crate) fn new(published: Arc<Published>, address: String) -> Self {
        Alone { state: Mutex::new(State::new()), published, address }
    }
}

impl Consensus for Alone {
    fn propose(&self, command: Command) -> Pending<'_, crs_store::Reply> {
        let applied = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let applied = state.apply(&command);
            self.published.publish(&state, &applied.changes);
            applied
        };
        Box::pin(async move { Ok(applied.reply) })
    }

    fn read_barrier(&self) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn leadership(&self) -> Leadership {
        Leadership { known: true, leads: true }
    }

    fn leader(&self) -> Option<String> {
        Some(self.address.clone())
    }

    fn leadership_changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    fn peers(&self) -> Vec<String> {
        vec![self.address.clone()]
    }
}
