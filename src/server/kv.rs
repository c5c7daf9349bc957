//! Writes of the key/value store.

use std::sync::Arc;

use bytes::Bytes;
use crs_acl::{Access, Authorizer, Resource};
use crs_store::{Command, KvCondition, Reply};
use crs_types::{Error, ErrorKind};
use tokio::time::Instant;
use tracing::warn;

use crate::server::Server;
use crate::txn::check_lock_session;

impl Server {
    /// Writes a key; whether the condition held.
    ///
    /// # Errors
    /// A missing right, or those of [`Server::write`].
    pub async fn kv_set(
        &self,
        authorizer: &Authorizer,
        key: Arc<str>,
        flags: u64,
        value: Bytes,
        condition: KvCondition,
    ) -> Result<bool, Error> {
        authorizer.require(Resource::Key, &key, Access::Write)?;
        if let KvCondition::Acquire(session) = &condition {
            check_lock_session(Some(session.as_str())).map_err(Error::refused)?;
            if self.lock_delays().blocks(Instant::now(), &key) {
                warn!(target: "agent.server.kvs", %key, "Rejecting lock due to lock-delay");
                return Ok(false);
            }
        }
        self.write(Command::KvSet { key, flags, value, condition }).await.map(held)
    }

    /// Deletes a key; whether the condition held. A key that is not there is fine.
    ///
    /// # Errors
    /// A missing right, or those of [`Server::write`].
    pub async fn kv_delete(
        &self,
        authorizer: &Authorizer,
        key: Arc<str>,
        condition: KvCondition,
    ) -> Result<bool, Error> {
        authorizer.require(Resource::Key, &key, Access::Write)?;
        self.write(Command::KvDelete { key, condition }).await.map(held)
    }

    /// Deletes all keys that begin so.
    ///
    /// # Errors
    /// A missing right on the prefix, or those of [`Server::write`].
    pub async fn kv_delete_tree(&self, authorizer: &Authorizer, prefix: Arc<str>) -> Result<bool, Error> {
        if !authorizer.allows_writing_tree(Resource::Key, &prefix) {
            return Err(Error::new(ErrorKind::PermissionDenied, "Permission denied"));
        }
        self.write(Command::KvDeleteTree { prefix }).await.map(held)
    }
}

fn held(reply: Reply) -> bool {
    !matches!(reply, Reply::Held(false))
}
