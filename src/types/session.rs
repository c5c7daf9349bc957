//! Sessions: who holds locks, and until when.

use std::time::Duration;

use crate::{CheckId, NodeName, SessionId};

/// What becomes of the keys that a session held when it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SessionBehavior {
    /// They are released.
    #[default]
    Release,
    /// They are deleted.
    Delete,
}

/// A holder of locks, bound to the life of a node and of checks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// For people.
    pub name: String,
    /// It ends with this node.
    pub node: NodeName,
    /// It ends when one of these checks of the node turns critical or goes; absent and empty are told apart by
    /// Consul's JSON.
    pub node_checks: Option<Vec<CheckId>>,
    /// The same for checks of services; absent and empty are told apart by Consul's JSON.
    pub service_checks: Option<Vec<CheckId>>,
    /// How long a key that it held cannot be locked after it was invalidated.
    pub lock_delay: Duration,
    /// What becomes of its keys.
    pub behavior: SessionBehavior,
    /// Text as given, such as `30s`; empty: it does not expire.
    pub ttl: String,
}
