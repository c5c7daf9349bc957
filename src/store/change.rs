//! What a command changed, in the terms of those who read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crs_types::{CheckStatus, NodeName, ServiceName, SessionId};

/// Something that can be read and watched. Names are folded (lower case).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    /// One key; also wakes whoever watches a prefix of it.
    Key(Arc<str>),
    /// All keys that begin so. Only watched, never reported: the reports are of keys.
    KeyPrefix(Arc<str>),
    /// The list of nodes.
    Nodes,
    /// The names of services and their tags.
    ServiceNames,
    /// Where instances of a service are (not their health).
    Service(ServiceName),
    /// Instances of a service with node, and all checks that count for them.
    ServiceHealth(ServiceName),
    /// Checks that belong to a service.
    ServiceChecks(ServiceName),
    /// A node and its services.
    Node(NodeName),
    /// All checks on a node.
    NodeChecks(NodeName),
    /// Checks in a state.
    ChecksInState(CheckStatus),
    /// All checks.
    Checks,
    /// The list of sessions.
    Sessions,
    /// One session.
    Session(SessionId),
    /// The sessions of a node.
    NodeSessions(NodeName),
}

/// What a command changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The topics whose answers changed, each once.
    topics: BTreeSet<Topic>,
    /// Keys that an invalidated session held: no one may lock them for this long. Time is the leader's business.
    delayed_locks: Vec<(Arc<str>, Duration)>,
}

impl Changes {
    /// Adds a topic.
    pub fn touch(&mut self, topic: Topic) {
        self.topics.insert(topic);
    }

    /// Joins the changes of several commands.
    pub fn merge(&mut self, mut other: Changes) {
        if self.topics.is_empty() {
            self.topics = other.topics;
        } else {
            // Not append, which builds the whole set anew for each few that come in.
            self.topics.extend(std::mem::take(&mut other.topics));
        }
        self.delayed_locks.append(&mut other.delayed_locks);
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// In the order of `Topic`.
    pub fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.topics.iter()
    }

    /// Forbids locking a key for a while.
    pub(crate) fn delay_lock(&mut self, key: Arc<str>, delay: Duration) {
        self.delayed_locks.push((key, delay));
    }

    /// Keys that may not be locked for so long from now on.
    pub fn delayed_locks(&self) -> &[(Arc<str>, Duration)] {
        &self.delayed_locks
    }
}
