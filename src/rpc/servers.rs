//! The servers that are known, in the order in which they are asked.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::dial::Target;

/// A server as gossip tells of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Its node's name, for logs.
    pub name: String,
    /// Where it is.
    pub target: Target,
}

/// A list of servers. The first one is asked until it fails; then it goes to the end.
#[derive(Debug)]
pub struct Servers {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    list: Vec<Server>,
    dice: SmallRng,
}

impl Servers {
    /// Nobody is known yet. `seed` decides the order.
    pub fn new(seed: u64) -> Self {
        Servers { state: Mutex::new(State { list: Vec::new(), dice: SmallRng::seed_from_u64(seed) }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a server at a random place, or updates the one at that address.
    pub fn add(&self, server: Server) {
        let mut state = self.lock();
        match state.list.iter_mut().find(|known| known.target == server.target) {
            Some(known) => *known = server,
            None => {
                let len = state.list.len();
                let place = state.dice.random_range(0..=len);
                state.list.insert(place, server);
            }
        }
    }

    /// Forgets a server.
    pub fn remove(&self, target: &Target) {
        self.lock().list.retain(|known| known.target != *target);
    }

    /// The one to ask.
    pub fn first(&self) -> Option<Server> {
        self.lock().list.first().cloned()
    }

    /// All of them, in order.
    pub fn all(&self) -> Vec<Server> {
        self.lock().list.clone()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.lock().list.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.lock().list.is_empty()
    }

    /// It did not answer: ask another one next. Nothing happens if another one is asked already.
    pub fn failed(&self, target: &Target) {
        let mut state = self.lock();
        if state.list.first().is_some_and(|first| first.target == *target) {
            state.list.rotate_left(1);
        }
    }

    /// Another order, so that the load spreads over time.
    pub fn shuffle(&self) {
        let state = &mut *self.lock();
        state.list.shuffle(&mut state.dice);
    }

    /// A number below `bound` for jitter.
    pub(crate) fn chance(&self, bound: u64) -> u64 {
        self.lock().dice.random_range(0..bound.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(n: u8) -> Server {
        let target = Target { address: ([127, 0, 0, n], 8300).into(), datacenter: "dc1".into() };
        Server { name: format!("s{n}"), target }
    }

    #[test]
    fn a_failed_server_is_asked_last() {
        let servers = Servers::new(1);
        (1..=3).for_each(|n| servers.add(server(n)));
        let order = servers.all();
        servers.failed(&order[1].target);
        assert_eq!(servers.all(), order, "it was not the one that is asked");
        servers.failed(&order[0].target);
        assert_eq!(servers.all(), [order[1].clone(), order[2].clone(), order[0].clone()]);
        servers.remove(&order[1].target);
        assert_eq!(servers.first(), Some(order[2].clone()));
        servers.add(Server { name: "new".to_owned(), ..order[2].clone() });
        assert_eq!((servers.len(), servers.first().unwrap().name), (2, "new".to_owned()));
    }
}
