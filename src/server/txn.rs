//! Transactions.

use crs_acl::{Access, Authorizer, Resource};
use crs_store::{Command, KvVerb, Reply, State, TxnError, TxnOp, TxnOutcome};
use crs_types::{Consistency, Error};
use tokio::time::Instant;

use crate::catalog::{complete_check, complete_service};
use crate::server::Server;

impl Server {
    /// Runs operations, all or nothing. Those that only read take a snapshot of the asked consistency; the others go
    /// through the log.
    ///
    /// # Errors
    /// Those of [`Server::write`]; what is wrong with single operations is in the outcome.
    pub async fn txn(
        &self,
        authorizer: &Authorizer,
        mut ops: Vec<TxnOp>,
        consistency: Consistency,
    ) -> Result<TxnOutcome, Error> {
        let state = self.published().state();
        let mut errors = Vec::new();
        for (i, op) in ops.iter_mut().enumerate() {
            if let Err(what) = self.check_op(authorizer, &state, op) {
                errors.push(TxnError { op: i, what });
            }
        }
        if !errors.is_empty() {
            return Ok(Err(errors));
        }
        if ops.iter().all(TxnOp::is_read) {
            self.await_consistency(consistency).await?;
            return Ok(self.published().state().read_txn(&ops));
        }
        match self.write(Command::Txn(ops)).await? {
            Reply::Txn(outcome) => Ok(outcome),
            other => Err(Error::internal(format!("a transaction was answered with {other:?}"))),
        }
    }

    /// What Consul checks of an operation before any of them is proposed.
    fn check_op(&self, authorizer: &Authorizer, state: &State, op: &mut TxnOp) -> Result<(), String> {
        let access = if op.is_read() { Access::Read } else { Access::Write };
        let denied = || "Permission denied".to_owned();
        let allowed = |resource, name: &str| authorizer.allows(resource, name, access);
        match op {
            TxnOp::Kv { verb, key, session, .. } => {
                if key.is_empty() && !matches!(verb, KvVerb::DeleteTree | KvVerb::GetTree) {
                    return Err("Must provide key".to_owned());
                }
                let granted = match verb {
                    KvVerb::GetTree => authorizer.allows(Resource::Key, key, Access::List),
                    _ => allowed(Resource::Key, key),
                };
                if !granted {
                    return Err(denied());
                }
                if *verb == KvVerb::Lock {
                    check_lock_session(session.as_ref().map(|id| id.as_str()))?;
                    if self.lock_delays().blocks(Instant::now(), key) {
                        return Err(format!("failed to lock key {key:?} due to lock delay"));
                    }
                }
            }
            TxnOp::Node { node, .. } => {
                if node.node.is_empty() {
                    return Err("Must provide node".to_owned());
                }
                node.datacenter = self.settings().datacenter.clone();
                if !allowed(Resource::Node, node.node.as_str()) {
                    return Err(denied());
                }
            }
            TxnOp::Service { node, service, .. } => {
                if access == Access::Write {
                    complete_service(service).map_err(|error| error.text)?;
                }
                let known = state.node_service(node, &service.id).map(|known| known.value.service.clone());
                let named = std::iter::once(service.service.clone()).chain(known);
                if !named
                    .filter(|name| !name.is_empty())
                    .all(|name| allowed(Resource::Service, name.as_str()))
                {
                    return Err(denied());
                }
            }
            TxnOp::Check { check, .. } => {
                let node = check.node.clone();
                complete_check(check, &node);
                let of_service = state.node_service(&node, &check.service_id);
                let granted = match of_service {
                    Some(service) => allowed(Resource::Service, service.value.service.as_str()),
                    None => allowed(Resource::Node, node.as_str()),
                };
                if !granted {
                    return Err(denied());
                }
            }
        }
        Ok(())
    }
}

/// Consul's words for a lock that names no session, or none that could exist.
pub(crate) fn check_lock_session(session: Option<&str>) -> Result<(), String> {
    match session {
        None | Some("") => Err("missing session".to_owned()),
        Some(id) if id.len() != 36 => {
            Err("failed session lookup: index error: UUID must be 36 characters".to_owned())
        }
        Some(_) => Ok(()),
    }
}
