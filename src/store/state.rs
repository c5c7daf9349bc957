//! The state and the one way it changes.

use std::sync::Arc;

use crs_types::{CheckStatus, Error, Index, NodeId, NodeName, ServiceName, Session, SessionId};
use imbl::OrdMap;

use crate::catalog::{NodeEntry, ServiceEntry};
use crate::change::Changes;
use crate::command::Command;
use crate::kv::KvRecord;
use crate::record::Stored;
use crate::txn::TxnOutcome;

/// Everything the servers agree on. A clone is a snapshot.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// One per command, the restored archive's plus one after a restore.
    pub(crate) index: Index,
    pub(crate) kv: OrdMap<Arc<str>, Arc<KvRecord>>,
    /// Deleted keys, so that a watched prefix knows when one of its keys went.
    pub(crate) tombstones: OrdMap<Arc<str>, Index>,
    pub(crate) kv_index: Index,
    /// By folded name.
    pub(crate) nodes: OrdMap<NodeName, Arc<NodeEntry>>,
    /// Folded name by id.
    pub(crate) node_ids: OrdMap<NodeId, NodeName>,
    /// By folded name; what is here has at least one instance.
    pub(crate) services: OrdMap<ServiceName, Arc<ServiceEntry>>,
    pub(crate) nodes_index: Index,
    pub(crate) services_index: Index,
    pub(crate) service_names_index: Index,
    pub(crate) checks_index: Index,
    /// When the set of checks in a state last changed, or one of them.
    pub(crate) check_states: OrdMap<CheckStatus, Index>,
    pub(crate) sessions: OrdMap<SessionId, Arc<Stored<Session>>>,
    /// By folded node name: what ends with the node.
    pub(crate) node_sessions: OrdMap<(NodeName, SessionId), Index>,
    /// Who holds which keys: what is released with the session.
    pub(crate) held_keys: OrdMap<(SessionId, Arc<str>), ()>,
    pub(crate) sessions_index: Index,
}

/// What the one who proposed a command learns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It was applied.
    Done,
    /// Whether its condition held; if not, nothing was changed.
    Held(bool),
    /// The outcome of a transaction; with errors, nothing was changed.
    Txn(TxnOutcome),
    /// It was refused, with Consul's text; nothing was changed.
    Refused(Error),
}

/// The outcome of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// For the proposer.
    pub reply: Reply,
    /// For the watchers.
    pub changes: Changes,
}

impl State {
    /// A datacenter with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// The index of the last command.
    pub fn index(&self) -> Index {
        self.index
    }

    /// After a restore: raises the index above `before`, the last one that clients saw, unless the archive's is higher.
    pub fn follow(&mut self, before: Index) {
        self.index = self.index.max(before).next();
    }

    /// Applies one command: a function of the state and the command alone.
    pub fn apply(&mut self, command: &Command) -> Applied {
        self.index = self.index.next();
        let mut changes = Changes::default();
        let reply = match command {
            Command::KvSet { key, flags, value, condition } => {
                self.kv_set(key, *flags, value, condition, &mut changes)
            }
            Command::KvDelete { key, condition } => self.kv_delete(key, condition, &mut changes),
            Command::KvDeleteTree { prefix } => self.kv_delete_tree(prefix, &mut changes),
            Command::ReapTombstones { up_to } => {
                self.reap_tombstones(*up_to);
                Reply::Done
            }
            Command::Register(registration) => match self.register(registration, &mut changes) {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Refused(error),
            },
            Command::Deregister { node, service_id, check_id } => {
                self.deregister(node, service_id, check_id, &mut changes);
                Reply::Done
            }
            Command::SessionCreate(session) => match self.create_session(session, &mut changes) {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Refused(error),
            },
            Command::SessionDestroy { id } => Reply::Held(self.end_session(id, &mut changes)),
            Command::Txn(ops) => Reply::Txn(self.txn(ops, &mut changes)),
        };
        Applied { reply, changes }
    }
}
