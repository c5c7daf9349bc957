//! `Session`.

use std::time::Duration;

use crs_store::Stored;
use crs_types::{CheckId, Datacenter, NodeName, SessionBehavior, SessionId};

use crate::blocks::{Indexes, NodeRead, ReadOptions, ReplyMeta, WriteOptions};
use crate::codec::{Listed, record};
use crate::methods::methods;

record! {
    /// A session.
    pub struct Session {
        "ID" id: SessionId,
        "Name" name: String,
        "Node" node: NodeName,
        /// `release` or `delete`; empty: `release`.
        "Behavior" behavior: String,
        /// Go's duration as text; empty: none.
        "TTL" ttl: String,
        "LockDelay" lock_delay: Duration,
        "NodeChecks" node_checks: Option<Listed<CheckId>>,
        "ServiceChecks" service_checks: Option<Listed<ServiceCheck>>,
        /// The form before 1.7.
        "Checks" checks: Vec<CheckId>,
        ..indexes: Indexes,
    }

    /// A service's check that a session depends on.
    pub struct ServiceCheck {
        "ID" id: CheckId,
        "Namespace" namespace: String,
    }

    /// A write.
    pub struct ApplyRequest {
        "Datacenter" datacenter: Datacenter,
        /// `create` or `destroy`.
        "Op" op: String,
        "Session" session: Session,
        ..options: WriteOptions,
    }

    /// A read of one session. Both fields carry its id: servers before 1.7 read the second.
    pub struct SessionRead {
        "Datacenter" datacenter: Datacenter,
        "SessionID" session_id: SessionId,
        "Session" session: SessionId,
        ..options: ReadOptions,
    }

    /// Sessions.
    pub struct Sessions {
        "Sessions" sessions: Vec<Session>,
        ..meta: ReplyMeta,
    }
}

impl From<&Stored<crs_types::Session>> for Session {
    fn from(stored: &Stored<crs_types::Session>) -> Self {
        let session = &stored.value;
        let check = |id: &CheckId| ServiceCheck { id: id.clone(), namespace: String::new() };
        Session {
            id: session.id.clone(),
            name: session.name.clone(),
            node: session.node.clone(),
            behavior: match session.behavior {
                SessionBehavior::Release => "release".to_owned(),
                SessionBehavior::Delete => "delete".to_owned(),
            },
            ttl: session.ttl.clone(),
            lock_delay: session.lock_delay,
            node_checks: session.node_checks.clone().map(Listed),
            service_checks: session
                .service_checks
                .as_ref()
                .map(|checks| Listed(checks.iter().map(check).collect())),
            checks: Vec::new(),
            indexes: Indexes { create_index: stored.create_index, modify_index: stored.modify_index },
        }
    }
}

impl From<Session> for Stored<crs_types::Session> {
    /// Checks in the form before 1.7 are checks of the node.
    fn from(wire: Session) -> Self {
        let Session {
            id,
            name,
            node,
            behavior,
            ttl,
            lock_delay,
            node_checks,
            service_checks,
            checks,
            indexes,
        } = wire;
        let mut node_checks = node_checks.map(|list| list.0);
        if !checks.is_empty() {
            node_checks.get_or_insert_default().extend(checks);
        }
        let session = crs_types::Session {
            id,
            name,
            node,
            node_checks,
            service_checks: service_checks.map(|list| list.0.into_iter().map(|check| check.id).collect()),
            lock_delay,
            behavior: if behavior == "delete" { SessionBehavior::Delete } else { SessionBehavior::Release },
            ttl,
        };
        Stored::new(session, indexes.create_index, indexes.modify_index)
    }
}

methods! {
    /// Creates or destroys; the reply is the id, empty for a destroyed one.
    Apply = "Session.Apply", Write, ApplyRequest => SessionId;
    /// One session.
    Get = "Session.Get", Read, SessionRead => Sessions;
    /// All sessions. (An agent sends the form of a read of one, with the id empty.)
    List = "Session.List", Read, SessionRead => Sessions;
    /// Sessions of a node.
    NodeSessions = "Session.NodeSessions", Read, NodeRead => Sessions;
    /// Begins its time to live again.
    Renew = "Session.Renew", Write, SessionRead => Sessions;
}
