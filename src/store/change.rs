//! What a command changed, in the terms of those who read.

use std::collections::BTreeSet;
use std::sync::Arc;

use crs_types::{CheckStatus, NodeName, ServiceName};

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
}

/// The topics whose answers changed, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(BTreeSet<Topic>);

impl Changes {
    /// Adds a topic.
    pub fn touch(&mut self, topic: Topic) {
        self.0.insert(topic);
    }

    /// Joins the changes of several commands.
    pub fn merge(&mut self, mut other: Changes) {
        if self.0.is_empty() {
            *self = other;
        } else {
            self.0.append(&mut other.0);
        }
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of `Topic`.
    pub fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.0.iter()
    }
}
