//! What can be asked of the state, and its form in the log.

use std::sync::Arc;

use bytes::Bytes;
use crs_types::{CheckId, HealthCheck, Index, Node, NodeName, NodeService, ServiceId, Session, SessionId};

use crate::codec::{DecodeError, Reader, Writer};
use crate::records_codec::{
    get_check, get_node, get_service, get_session, put_check, put_node, put_service, put_session,
};
use crate::txn::TxnOp;
use crate::txn_codec::{get_op, put_op};

/// The condition under which a key is written or deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KvCondition {
    /// Always.
    None,
    /// Only if the key's modify index is this; 0: only if the key does not exist.
    Cas(Index),
    /// Locks it for the session: only if nobody else holds it.
    Acquire(SessionId),
    /// Releases it: only if the session holds it.
    Release(SessionId),
}

/// A node with whatever of its services and checks is to be registered along.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registration {
    /// The node; with `skip_node_update` only its name counts.
    pub node: Node,
    /// Leave an existing node as it is.
    pub skip_node_update: bool,
    /// A service of the node.
    pub service: Option<NodeService>,
    /// Checks of the node, or of one of its services.
    pub checks: Vec<HealthCheck>,
}

/// A change of the state. Whatever is undetermined was decided before it was proposed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Writes a key. Replies whether the condition held.
    KvSet {
        /// Full key.
        key: Arc<str>,
        /// Free number of the client.
        flags: u64,
        /// The value.
        value: Bytes,
        /// When.
        condition: KvCondition,
    },
    /// Deletes a key. Replies whether the condition held; a key that is not there is fine.
    KvDelete {
        /// Full key.
        key: Arc<str>,
        /// When.
        condition: KvCondition,
    },
    /// Deletes all keys that begin so.
    KvDeleteTree {
        /// Plain text prefix.
        prefix: Arc<str>,
    },
    /// Forgets that keys were deleted, up to and including this index.
    ReapTombstones {
        /// The last index to forget.
        up_to: Index,
    },
    /// Adds or updates a node, a service, checks.
    Register(Box<Registration>),
    /// Removes a service, or a check, or, with neither given, the node with all it has.
    Deregister {
        /// On which node.
        node: NodeName,
        /// Empty: not a service.
        service_id: ServiceId,
        /// Empty: not a check.
        check_id: CheckId,
    },
    /// Makes a session; refused if its node or checks are not well.
    SessionCreate(Box<Session>),
    /// Ends a session. Replies whether there was one.
    SessionDestroy {
        /// Which.
        id: SessionId,
    },
    /// Several operations, all or nothing.
    Txn(Vec<TxnOp>),
}

const KV_SET: u8 = 1;
const KV_DELETE: u8 = 2;
const KV_DELETE_TREE: u8 = 3;
const REAP_TOMBSTONES: u8 = 4;
const REGISTER: u8 = 5;
const DEREGISTER: u8 = 6;
const SESSION_CREATE: u8 = 7;
const SESSION_DESTROY: u8 = 8;
const TXN: u8 = 9;

/// A condition takes three numbers: compare-and-set is kept as index + 1, so that 0, "only if absent", is told apart
/// from no condition.
fn put_condition(w: &mut Writer<'_>, first: u64, condition: &KvCondition) {
    match condition {
        KvCondition::None => {}
        KvCondition::Cas(index) => w.uint(first, index.0.saturating_add(1)),
        KvCondition::Acquire(session) => w.text(first + 1, session.as_str()),
        KvCondition::Release(session) => w.text(first + 2, session.as_str()),
    }
}

fn cas(n: u64) -> KvCondition {
    n.checked_sub(1).map_or(KvCondition::None, |index| KvCondition::Cas(Index(index)))
}

impl Command {
    /// Appends the command's disk form: one byte for its kind, then numbered fields.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let kind = match self {
            Command::KvSet { .. } => KV_SET,
            Command::KvDelete { .. } => KV_DELETE,
            Command::KvDeleteTree { .. } => KV_DELETE_TREE,
            Command::ReapTombstones { .. } => REAP_TOMBSTONES,
            Command::Register(_) => REGISTER,
            Command::Deregister { .. } => DEREGISTER,
            Command::SessionCreate(_) => SESSION_CREATE,
            Command::SessionDestroy { .. } => SESSION_DESTROY,
            Command::Txn(_) => TXN,
        };
        out.push(kind);
        let w = &mut Writer(out);
        match self {
            Command::KvSet { key, flags, value, condition } => {
                w.text(1, key);
                w.uint(2, *flags);
                w.bytes(3, value);
                put_condition(w, 4, condition);
            }
            Command::KvDelete { key, condition } => {
                w.text(1, key);
                put_condition(w, 2, condition);
            }
            Command::KvDeleteTree { prefix } => w.text(1, prefix),
            Command::ReapTombstones { up_to } => w.uint(1, up_to.0),
            Command::Register(registration) => {
                w.record(1, |w| put_node(w, &registration.node));
                w.flag(2, registration.skip_node_update);
                if let Some(service) = &registration.service {
                    w.record(3, |w| put_service(w, service));
                }
                for check in &registration.checks {
                    w.record(4, |w| put_check(w, check));
                }
            }
            Command::Deregister { node, service_id, check_id } => {
                w.text(1, node.as_str());
                w.text(2, service_id.as_str());
                w.text(3, check_id.as_str());
            }
            Command::SessionCreate(session) => w.record(1, |w| put_session(w, session)),
            Command::SessionDestroy { id } => w.text(1, id.as_str()),
            Command::Txn(ops) => {
                for op in ops {
                    w.record(1, |w| put_op(w, op));
                }
            }
        }
    }

    /// Reads a command back.
    ///
    /// # Errors
    /// When the bytes are damaged, or were written by a newer version: such a command must stop the node, since the
    /// others apply it.
    pub fn decode(bytes: &[u8]) -> Result<Command, DecodeError> {
        let (&kind, fields) = bytes.split_first().ok_or(DecodeError::Truncated("command"))?;
        let r = &mut Reader::new(fields, "command");
        let command = match kind {
            KV_SET => {
                let (mut key, mut flags, mut value, mut when) =
                    (Arc::from(""), 0, Bytes::new(), KvCondition::None);
                while let Some((number, field)) = r.next()? {
                    match number {
                        1 => key = r.text(field)?.into(),
                        2 => flags = r.uint(field)?,
                        3 => value = r.bytes(field)?,
                        4 => when = cas(r.uint(field)?),
                        5 => when = KvCondition::Acquire(r.text(field)?.into()),
                        6 => when = KvCondition::Release(r.text(field)?.into()),
                        n => return r.unknown(n),
                    }
                }
                Command::KvSet { key, flags, value, condition: when }
            }
            KV_DELETE => {
                let (mut key, mut when) = (Arc::from(""), KvCondition::None);
                while let Some((number, field)) = r.next()? {
                    match number {
                        1 => key = r.text(field)?.into(),
                        2 => when = cas(r.uint(field)?),
                        n => return r.unknown(n),
                    }
                }
                Command::KvDelete { key, condition: when }
            }
            KV_DELETE_TREE => {
                let mut prefix = Arc::from("");
                while let Some((number, field)) = r.next()? {
                    match number {
                        1 => prefix = r.text(field)?.into(),
                        n => return r.unknown(n),
                    }
                }
                Command::KvDeleteTree { prefix }
            }
            REAP_TOMBSTONES => {
                let mut up_to = Index::ZERO;
                while let Some((number, field)) = r.next()? {
                    match number {
                        1 => up_to = Index(r.uint(field)?),
                        n => return r.unknown(n),
                    }
                }
                Command::ReapTombstones { up_to }
            }
            REGISTER => {
                let mut registration = Registration::default();
                while let Some((number, field)) = r.next()? {
                    match number {
                        1 => registration.node = get_node(r.slice(field)?)?,
                        2 => registration.skip_node_update = r.flag(field)?,
                        3 => registration.service = Some(get_service(r.slice(field)?)?),
                        4 => registration.checks.push(get_check(r.slice(field)?)?),
                        n => return r.unknown(n),
                    }
                }
                Command::Register(Box::new(registration))
            }
            DEREGISTER => {
                let (mut node, mut service_id, mut check_id) = Default::default();
                while let Some((number, field)) = r.next()? {
                    match number {
                        1 => node = NodeName::from(r.text(field)?),
                        2 => service_id = ServiceId::from(r.text(field)?),
                        3 => check_id = CheckId::from(r.text(field)?),
                        n => return r.unknown(n),
                    }
                }
                Command::Deregister { node, service_id, check_id }
            }
            SESSION_CREATE => {
                let mut session = Session::default();
                while let Some((number, field)) = r.next()? {
                    match number {
                        1 => session = get_session(r.slice(field)?)?,
                        n => return r.unknown(n),
                    }
                }
                Command::SessionCreate(Box::new(session))
            }
            SESSION_DESTROY => {
                let mut id = SessionId::default();
                while let Some((number, field)) = r.next()? {
                    match number {
                        1 => id = r.text(field)?.into(),
                        n => return r.unknown(n),
                    }
                }
                Command::SessionDestroy { id }
            }
            TXN => {
                let mut ops = Vec::new();
                while let Some((number, field)) = r.next()? {
                    match number {
                        1 => ops.push(get_op(r.slice(field)?)?),
                        n => return r.unknown(n),
                    }
                }
                Command::Txn(ops)
            }
            kind => return Err(DecodeError::UnknownKind { record: "command", kind }),
        };
        Ok(command)
    }
}
