//! `Session`.

use std::time::Duration;

use crs_types::{CheckId, Datacenter, NodeName, SessionId};

use crate::blocks::{Indexes, NodeRead, ReadOptions, ReplyMeta, WriteOptions};
use crate::codec::record;
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
        "NodeChecks" node_checks: Vec<String>,
        "ServiceChecks" service_checks: Vec<ServiceCheck>,
        /// The form before 1.7.
        "Checks" checks: Vec<CheckId>,
        ..indexes: Indexes,
    }

    /// A service's check that a session depends on.
    pub struct ServiceCheck {
        "ID" id: String,
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
