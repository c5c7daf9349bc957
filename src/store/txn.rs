//! Transactions: several operations, all or nothing.
//!
//! They run on a clone of the state, which replaces it only if every one of them succeeded.

use std::sync::Arc;

use bytes::Bytes;
use crs_types::{CheckId, HealthCheck, Index, KvEntry, Node, NodeName, NodeService, SessionId};

use crate::change::Changes;
use crate::command::{KvCondition, Registration};
use crate::record::Stored;
use crate::state::{Reply, State};

/// What an operation on a key does. Verbs are Consul's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KvVerb {
    /// `set`
    Set,
    /// `cas`
    Cas,
    /// `lock`
    Lock,
    /// `unlock`
    Unlock,
    /// `get`
    Get,
    /// `get-tree`
    GetTree,
    /// `check-index`
    CheckIndex,
    /// `check-session`
    CheckSession,
    /// `check-not-exists`
    CheckNotExists,
    /// `delete`
    Delete,
    /// `delete-tree`
    DeleteTree,
    /// `delete-cas`
    DeleteCas,
    /// Anything else: an error of this operation, so that all errors are told at once.
    Unknown(String),
}

/// What an operation on a record of the catalog does. Verbs are Consul's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CatalogVerb {
    /// `get`
    Get,
    /// `set`
    Set,
    /// `cas`
    Cas,
    /// `delete`
    Delete,
    /// `delete-cas`
    DeleteCas,
    /// Anything else: an error of this operation, so that all errors are told at once.
    Unknown(String),
}

/// One operation of a transaction. `index` is what `cas`, `delete-cas` and `check-index` compare with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TxnOp {
    /// On a key.
    Kv {
        /// What.
        verb: KvVerb,
        /// Full key, or prefix for the tree verbs.
        key: Arc<str>,
        /// For the writing verbs.
        value: Bytes,
        /// For the writing verbs.
        flags: u64,
        /// To compare.
        index: Index,
        /// For `lock`, `unlock` and `check-session`.
        session: Option<SessionId>,
    },
    /// On a node.
    Node {
        /// What.
        verb: CatalogVerb,
        /// The record; its name is enough to get or delete it.
        node: Box<Node>,
        /// To compare.
        index: Index,
    },
    /// On a service.
    Service {
        /// What.
        verb: CatalogVerb,
        /// Its node.
        node: NodeName,
        /// The record; its id is enough to get or delete it.
        service: Box<NodeService>,
        /// To compare.
        index: Index,
    },
    /// On a check.
    Check {
        /// What.
        verb: CatalogVerb,
        /// The record; node and id are enough to get or delete it.
        check: Box<HealthCheck>,
        /// To compare.
        index: Index,
    },
}

/// What an operation yields; deletions and `check-not-exists` yield nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TxnResult {
    /// A key; its value is empty except for `get` and `get-tree`.
    Kv(KvEntry),
    /// A node.
    Node(Arc<Stored<Node>>),
    /// A service.
    Service(Arc<Stored<NodeService>>),
    /// A check.
    Check(Arc<Stored<HealthCheck>>),
}

/// Why an operation failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TxnError {
    /// Which, from 0.
    pub op: usize,
    /// Consul's text, which clients parse.
    pub what: String,
}

/// All results, or all errors.
pub type TxnOutcome = Result<Vec<TxnResult>, Vec<TxnError>>;

impl TxnOp {
    /// Whether it changes nothing, so that a transaction of such needs no log.
    pub fn is_read(&self) -> bool {
        match self {
            TxnOp::Kv { verb, .. } => matches!(
                verb,
                KvVerb::Get
                    | KvVerb::GetTree
                    | KvVerb::CheckIndex
                    | KvVerb::CheckSession
                    | KvVerb::CheckNotExists
            ),
            TxnOp::Node { verb, .. } | TxnOp::Service { verb, .. } | TxnOp::Check { verb, .. } => {
                *verb == CatalogVerb::Get
            }
        }
    }
}

impl State {
    /// Runs operations that change nothing. A writing one is refused.
    pub fn read_txn(&self, ops: &[TxnOp]) -> TxnOutcome {
        let mut scratch = self.clone();
        let mut changes = Changes::default();
        run(&mut scratch, ops, &mut changes, |op| {
            if op.is_read() { Ok(()) } else { Err("cannot write in a read-only transaction".to_owned()) }
        })
    }

    pub(crate) fn txn(&mut self, ops: &[TxnOp], changes: &mut Changes) -> TxnOutcome {
        let mut next = self.clone();
        let mut made = Changes::default();
        let results = run(&mut next, ops, &mut made, |_| Ok(()))?;
        *self = next;
        changes.merge(made);
        Ok(results)
    }
}

fn run(
    state: &mut State,
    ops: &[TxnOp],
    changes: &mut Changes,
    allowed: impl Fn(&TxnOp) -> Result<(), String>,
) -> TxnOutcome {
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for (i, op) in ops.iter().enumerate() {
        if let Err(what) = allowed(op).and_then(|()| state.run_op(op, changes, &mut results)) {
            errors.push(TxnError { op: i, what });
        }
    }
    if errors.is_empty() { Ok(results) } else { Err(errors) }
}

impl State {
    fn run_op(
        &mut self,
        op: &TxnOp,
        changes: &mut Changes,
        results: &mut Vec<TxnResult>,
    ) -> Result<(), String> {
        match op {
            TxnOp::Kv { verb, key, value, flags, index, session } => {
                let entry = (key, *flags, value);
                self.run_kv(verb, entry, *index, session.as_ref(), changes, results)
            }
            TxnOp::Node { verb, node, index } => self.run_node(verb, node, *index, changes, results),
            TxnOp::Service { verb, node, service, index } => {
                self.run_service(verb, node, service, *index, changes, results)
            }
            TxnOp::Check { verb, check, index } => self.run_check(verb, check, *index, changes, results),
        }
    }

    fn run_kv(
        &mut self,
        verb: &KvVerb,
        (key, flags, value): (&Arc<str>, u64, &Bytes),
        index: Index,
        session: Option<&SessionId>,
        changes: &mut Changes,
        results: &mut Vec<TxnResult>,
    ) -> Result<(), String> {
        let without_value = |entry: &KvEntry| TxnResult::Kv(KvEntry { value: Bytes::new(), ..entry.clone() });
        let need_session = || session.cloned().ok_or_else(|| "missing session".to_owned());
        let (condition, refusal) = match verb {
            KvVerb::Set => (KvCondition::None, String::new()),
            KvVerb::Cas => (KvCondition::Cas(index), format!("failed to set key {key:?}, index is stale")),
            KvVerb::Lock => (
                KvCondition::Acquire(need_session()?),
                format!("failed to lock key {key:?}, lock is already held"),
            ),
            KvVerb::Unlock => (
                KvCondition::Release(need_session()?),
                format!("failed to unlock key {key:?}, lock isn't held, or is held by another session"),
            ),
            KvVerb::Get => {
                let record = self.kv.get(&**key).ok_or_else(|| format!("key {key:?} doesn't exist"))?;
                results.push(TxnResult::Kv(record.entry.clone()));
                return Ok(());
            }
            KvVerb::GetTree => {
                results.extend(self.kv_prefix(key).map(|record| TxnResult::Kv(record.entry.clone())));
                return Ok(());
            }
            KvVerb::CheckIndex => {
                let missing = || format!("failed to check index, key {key:?} doesn't exist");
                let entry = &self.kv.get(&**key).ok_or_else(missing)?.entry;
                if entry.modify_index != index {
                    let current = entry.modify_index;
                    return Err(format!(
                        "failed index check for key {key:?}, current modify index {current} != {index}"
                    ));
                }
                results.push(without_value(entry));
                return Ok(());
            }
            KvVerb::CheckSession => {
                let missing = || format!("failed to check session, key {key:?} doesn't exist");
                let entry = &self.kv.get(&**key).ok_or_else(missing)?.entry;
                if entry.session.as_ref() != session {
                    let text = |id: Option<&SessionId>| id.map_or(String::new(), ToString::to_string);
                    return Err(format!(
                        "failed session check for key {key:?}, current session {:?} != {:?}",
                        text(entry.session.as_ref()),
                        text(session)
                    ));
                }
                results.push(without_value(entry));
                return Ok(());
            }
            KvVerb::CheckNotExists => {
                return if self.kv.contains_key(&**key) {
                    Err(format!("key {key:?} exists"))
                } else {
                    Ok(())
                };
            }
            KvVerb::Delete => {
                self.kv_delete(key, &KvCondition::None, changes);
                return Ok(());
            }
            KvVerb::DeleteTree => {
                self.kv_delete_tree(key, changes);
                return Ok(());
            }
            KvVerb::DeleteCas => {
                return match self.kv_delete(key, &KvCondition::Cas(index), changes) {
                    Reply::Held(false) => Err(format!("failed to delete key {key:?}, index is stale")),
                    _ => Ok(()),
                };
            }
            KvVerb::Unknown(verb) => return Err(format!("unknown KV verb {verb:?}")),
        };
        match self.kv_set(key, flags, value, &condition, changes) {
            Reply::Refused(error) => Err(error.text),
            Reply::Held(false) => Err(refusal),
            _ => {
                if let Some(record) = self.kv.get(&**key) {
                    results.push(without_value(&record.entry));
                }
                Ok(())
            }
        }
    }

    fn run_node(
        &mut self,
        verb: &CatalogVerb,
        node: &Node,
        index: Index,
        changes: &mut Changes,
        results: &mut Vec<TxnResult>,
    ) -> Result<(), String> {
        let name = &node.node;
        let current = self.node_record(name).map(|record| record.modify_index);
        let stale = |what| Err(format!("failed to {what} node {:?}, index is stale", name.as_str()));
        match verb {
            CatalogVerb::Get => {}
            CatalogVerb::Cas if !matches(current, index) => return stale("set"),
            CatalogVerb::Set | CatalogVerb::Cas => {
                let registration = Registration { node: node.clone(), ..Registration::default() };
                self.register(&registration, changes).map_err(|error| error.text)?;
            }
            CatalogVerb::DeleteCas if current != Some(index) => return stale("delete"),
            CatalogVerb::Delete | CatalogVerb::DeleteCas => {
                self.deregister(name, &Default::default(), &Default::default(), changes);
                return Ok(());
            }
            CatalogVerb::Unknown(verb) => return Err(format!("unknown Node verb {verb:?}")),
        }
        let missing = || format!("node {:?} doesn't exist", name.as_str());
        results.push(TxnResult::Node(self.node_record(name).ok_or_else(missing)?.clone()));
        Ok(())
    }

    fn run_service(
        &mut self,
        verb: &CatalogVerb,
        node: &NodeName,
        service: &NodeService,
        index: Index,
        changes: &mut Changes,
        results: &mut Vec<TxnResult>,
    ) -> Result<(), String> {
        let id = &service.id;
        let current = self.node_service(node, id).map(|record| record.modify_index);
        let place = || format!("service {:?} on node {:?}", id.as_str(), node.as_str());
        let stale = |what| Err(format!("failed to {what} {}, index is stale", place()));
        match verb {
            CatalogVerb::Get => {}
            CatalogVerb::Cas if !matches(current, index) => return stale("set"),
            CatalogVerb::Set | CatalogVerb::Cas => {
                self.need_node(node)?;
                self.put_service(&node.folded(), service, changes);
            }
            CatalogVerb::DeleteCas if current != Some(index) => return stale("delete"),
            CatalogVerb::Delete | CatalogVerb::DeleteCas => {
                self.deregister(node, id, &CheckId::default(), changes);
                return Ok(());
            }
            CatalogVerb::Unknown(verb) => return Err(format!("unknown Service verb {verb:?}")),
        }
        let missing = || format!("{} doesn't exist", place());
        results.push(TxnResult::Service(self.node_service(node, id).ok_or_else(missing)?.clone()));
        Ok(())
    }

    fn run_check(
        &mut self,
        verb: &CatalogVerb,
        check: &HealthCheck,
        index: Index,
        changes: &mut Changes,
        results: &mut Vec<TxnResult>,
    ) -> Result<(), String> {
        let (node, id) = (&check.node, &check.check_id);
        let current = self.node_check(node, id).map(|record| record.modify_index);
        let place = || format!("check {:?} on node {:?}", id.as_str(), node.as_str());
        let stale = |what| Err(format!("failed to {what} {}, index is stale", place()));
        match verb {
            CatalogVerb::Get => {}
            CatalogVerb::Cas if !matches(current, index) => return stale("set"),
            CatalogVerb::Set | CatalogVerb::Cas => {
                self.need_node(node)?;
                let service = &check.service_id;
                if !service.is_empty() && self.node_service(node, service).is_none() {
                    return Err("Missing service registration".to_owned());
                }
                self.put_check(&node.folded(), check, changes);
            }
            CatalogVerb::DeleteCas if current != Some(index) => return stale("delete"),
            CatalogVerb::Delete | CatalogVerb::DeleteCas => {
                self.deregister(node, &Default::default(), id, changes);
                return Ok(());
            }
            CatalogVerb::Unknown(verb) => return Err(format!("unknown Check verb {verb:?}")),
        }
        let missing = || format!("{} doesn't exist", place());
        results.push(TxnResult::Check(self.node_check(node, id).ok_or_else(missing)?.clone()));
        Ok(())
    }

    fn need_node(&self, node: &NodeName) -> Result<(), String> {
        self.node_record(node).map(drop).ok_or_else(|| "Missing node registration".to_owned())
    }
}

/// Compare-and-set: index 0 wants absence.
fn matches(current: Option<Index>, index: Index) -> bool {
    current.unwrap_or(Index::ZERO) == index
}
