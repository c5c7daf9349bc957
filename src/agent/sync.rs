//! Anti-entropy: makes the catalog say what this agent says.
//!
//! ```text
//!   local change ─▶ dirty sets ─▶ pass: node first, then everything else at once (the log joins what comes together)
//!   timer ─▶ read the catalog's view of this node ─▶ diff ─▶ dirty sets ─▶ pass
//! ```
//!
//! A pass ends before the next begins, so that two writes about one id are never under way together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crs_server::Deregistration;
use crs_store::Registration;
use crs_types::{CheckId, Error, ErrorKind, HealthCheck, Node, NodeService, Secret, ServiceId};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::local::{Difference, LocalCheck, LocalService, LocalState, SyncItem};
use crate::servers::{NodeRecords, Servers};

/// Time between full comparisons in a small cluster.
const FULL_SYNC_INTERVAL: Duration = Duration::from_secs(60);
/// Up to so many nodes the interval stays as it is; each doubling beyond adds one more (Consul's scale).
const SCALE_THRESHOLD: usize = 128;
/// Waits after a failure: doubled up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(15);
/// Writes of one pass under way together: enough for the log to join, few enough not to starve clients.
const IN_FLIGHT: usize = 64;
/// The service and the check that the leader keeps itself.
const LEADERS_SERVICE: &str = "consul";
const LEADERS_CHECK: &str = "serfHealth";

/// What the syncer works on.
pub(crate) struct Syncer {
    pub(crate) local: Arc<LocalState>,
    pub(crate) servers: Servers,
    /// The node as it is to be registered, and the token for it; asked anew for every pass.
    pub(crate) node: Arc<dyn Fn() -> (Node, Secret<String>) + Send + Sync>,
    /// Output of checks is not compared with the catalog's: it is sent later on purpose.
    pub(crate) output_deferred: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Syncer {
    /// Runs until cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        info!(target: "agent", "started state syncer");
        let syncer = Arc::new(self);
        let mut full_at = Instant::now();
        let mut failures = 0u32;
        loop {
            let now = Instant::now();
            let result = if now >= full_at { syncer.compare().await } else { Ok(()) };
            let result = match result {
                Ok(()) => syncer.send_pass().await,
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => {
                    failures = 0;
                    if now >= full_at {
                        full_at = Instant::now() + jittered(scaled(syncer.servers.cluster_size()));
                    }
                }
                Err(error) => {
                    failures += 1;
                    // A lone server without a leader yet is no news; the second time it is.
                    if failures == 2 {
                        warn!(target: "agent.anti_entropy", %error, "failed to sync, trying again");
                    }
                    let wait = RETRY_FIRST * 2u32.saturating_pow(failures.min(10) - 1);
                    let retry = tokio::time::sleep(jittered(wait.min(RETRY_LONGEST)));
                    tokio::select! {
                        () = retry => continue,
                        // What is refused for good must not hold up the rest.
                        () = syncer.local.to_sync.notified() => continue,
                        () = stop.cancelled() => return,
                    }
                }
            }
            let deferred = syncer.local.next_deferred().unwrap_or(full_at);
            tokio::select! {
                () = syncer.local.to_sync.notified() => {}
                () = tokio::time::sleep_until(full_at.min(deferred)) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Marks what differs from the catalog, and nothing else.
    async fn compare(&self) -> Result<(), Error> {
        let (node, _) = (self.node)();
        let theirs = self.servers.node_records(&node.node).await?;
        for service in &theirs.services {
            self.local.adopt_tags(&service.id, &service.tags);
        }
        let deferred = (self.output_deferred)();
        self.local.reconcile(|services, checks| difference(&node, services, checks, &theirs, deferred));
        Ok(())
    }

    /// Sends all that is marked. What fails is put back.
    async fn send_pass(self: &Arc<Self>) -> Result<(), Error> {
        let pass = self.local.take_pass(Instant::now());
        if pass.node
            && let Err(error) = self.send_node().await
        {
            self.local.put_back_node();
            pass.items.into_iter().for_each(|item| self.local.put_back(item));
            return Err(error);
        }
        let permits = Arc::new(Semaphore::new(IN_FLIGHT));
        let mut under_way = JoinSet::new();
        for item in pass.items {
            let (syncer, permits) = (self.clone(), permits.clone());
            under_way.spawn(async move {
                let _permit = permits.acquire_owned().await;
                syncer.send(item).await
            });
        }
        let mut result = Ok(());
        while let Some(sent) = under_way.join_next().await {
            // A panic aborts the process, so there is no join error but cancellation.
            if let Ok(Err(error)) = sent {
                result = Err(error);
            }
        }
        result
    }

    async fn send_node(&self) -> Result<(), Error> {
        let (node, token) = (self.node)();
        let registration = Registration { node, ..Registration::default() };
        match self.servers.register(registration, &token).await {
            Err(error) if is_denied(&error) => {
                warn!(target: "agent", "Node info update blocked by ACLs");
                Ok(())
            }
            Ok(()) => {
                info!(target: "agent", "Synced node info");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn send(&self, item: SyncItem) -> Result<(), Error> {
        let sent = match &item {
            SyncItem::Service { service, checks } => self.send_service(service, checks).await,
            SyncItem::Checks(checks) => self.send_checks(checks).await,
            SyncItem::GoneService { id, token } => self.send_gone_service(id, token).await,
            SyncItem::GoneCheck { id, token } => self.send_gone_check(id, token).await,
        };
        if sent.is_err() {
            self.local.put_back(item);
        }
        sent
    }

    fn registration(&self) -> (Registration, Secret<String>) {
        let (node, token) = (self.node)();
        (Registration { node, skip_node_update: true, ..Registration::default() }, token)
    }

    async fn send_service(&self, service: &LocalService, checks: &[LocalCheck]) -> Result<(), Error> {
        let (mut registration, default_token) = self.registration();
        registration.service = Some((*service.record).clone());
        registration.checks = checks.iter().map(|check| (*check.record).clone()).collect();
        let token = if service.token.is_empty() { &default_token } else { &service.token };
        let id = &service.record.id;
        match self.servers.register(registration, token).await {
            Ok(()) => {
                info!(target: "agent", service = %id, "Synced service");
                Ok(())
            }
            Err(error) if is_denied(&error) => {
                warn!(target: "agent", service = %id, "Service registration blocked by ACLs");
                Ok(())
            }
            Err(error) => Err(self.explain(error, "service", id.as_str())),
        }
    }

    async fn send_checks(&self, checks: &[LocalCheck]) -> Result<(), Error> {
        let (mut registration, default_token) = self.registration();
        registration.checks = checks.iter().map(|check| (*check.record).clone()).collect();
        let token = checks.first().map(|check| &check.token).filter(|token| !token.is_empty());
        let token = token.unwrap_or(&default_token);
        match self.servers.register(registration, token).await {
            Ok(()) => {
                for check in checks {
                    info!(target: "agent", check = %check.record.check_id, "Synced check");
                }
                Ok(())
            }
            Err(error) if is_denied(&error) => {
                for check in checks {
                    warn!(target: "agent", check = %check.record.check_id, "Check registration blocked by ACLs");
                }
                Ok(())
            }
            Err(error) if !error.is_retryable() => {
                // The catalog may have lost their services: send those again, with all that belongs to them.
                let services: Vec<ServiceId> =
                    checks.iter().map(|check| check.record.service_id.clone()).collect();
                let owned: Vec<ServiceId> = services.into_iter().filter(|id| !id.is_empty()).collect();
                self.local.mark(true, &owned, &[]);
                let first = checks.first().map_or("", |check| check.record.check_id.as_str());
                Err(self.explain(error, "check", first))
            }
            Err(error) => Err(error),
        }
    }

    async fn send_gone_service(&self, id: &ServiceId, token: &Secret<String>) -> Result<(), Error> {
        let (registration, default_token) = self.registration();
        let token = if token.is_empty() { &default_token } else { token };
        let what = Deregistration {
            node: registration.node.node,
            service_id: id.clone(),
            ..Deregistration::default()
        };
        match self.servers.deregister(what, token).await {
            Ok(()) => {
                info!(target: "agent", service = %id, "Deregistered service");
                Ok(())
            }
            Err(error) if is_denied(&error) => {
                warn!(target: "agent", service = %id, "Service deregistration blocked by ACLs");
                Ok(())
            }
            Err(error) => Err(self.explain(error, "service", id.as_str())),
        }
    }

    async fn send_gone_check(&self, id: &CheckId, token: &Secret<String>) -> Result<(), Error> {
        let (registration, default_token) = self.registration();
        let token = if token.is_empty() { &default_token } else { token };
        let what = Deregistration {
            node: registration.node.node,
            check_id: id.clone(),
            ..Deregistration::default()
        };
        match self.servers.deregister(what, token).await {
            Ok(()) => {
                info!(target: "agent", check = %id, "Deregistered check");
                Ok(())
            }
            Err(error) if is_denied(&error) => {
                warn!(target: "agent", check = %id, "Check deregistration blocked by ACLs");
                Ok(())
            }
            Err(error) => Err(self.explain(error, "check", id.as_str())),
        }
    }

    fn explain(&self, error: Error, kind: &'static str, id: &str) -> Error {
        if !error.is_retryable() {
            debug!(target: "agent.anti_entropy", kind, id, %error, "Refused by the servers");
        }
        error
    }
}

fn is_denied(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::PermissionDenied | ErrorKind::AclNotFound)
}

/// The interval between comparisons for a cluster of so many nodes.
fn scaled(nodes: usize) -> Duration {
    let doublings = nodes.max(1).div_ceil(SCALE_THRESHOLD).next_power_of_two().trailing_zeros();
    FULL_SYNC_INTERVAL * (doublings + 1)
}

/// Up to twice as long, so that agents that started together do not come together.
fn jittered(interval: Duration) -> Duration {
    interval + crate::jitter::part_of(interval)
}

/// Compares this agent's view with the catalog's.
fn difference(
    node: &Node,
    services: &[LocalService],
    checks: &[LocalCheck],
    theirs: &NodeRecords,
    output_deferred: bool,
) -> Difference {
    let mut found = Difference {
        node: theirs.node.as_ref().is_none_or(|known| {
            known.id != node.id
                || known.address != node.address
                || known.tagged_addresses != node.tagged_addresses
                || known.meta.clone().unwrap_or_default() != node.meta.clone().unwrap_or_default()
        }),
        ..Difference::default()
    };
    let mut their_services: BTreeMap<ServiceId, &NodeService> =
        theirs.services.iter().map(|service| (service.id.folded(), service)).collect();
    for service in services {
        let ours = &service.record;
        if their_services.remove(&ours.id.folded()).is_none_or(|known| !same_service(ours, known)) {
            found.services.push(ours.id.clone());
        }
    }
    let extra = their_services.into_values().filter(|service| service.id != LEADERS_SERVICE);
    found.services.extend(extra.map(|service| service.id.clone()));

    let mut their_checks: HashMap<&CheckId, &HealthCheck> =
        theirs.checks.iter().map(|check| (&check.check_id, check)).collect();
    for check in checks {
        let ours = &check.record;
        let known = their_checks.remove(&ours.check_id);
        if known.is_none_or(|known| !same_check(ours, known, output_deferred)) {
            found.checks.push(ours.check_id.clone());
        }
    }
    let extra = their_checks.into_values().filter(|check| {
        // What belongs to a service that goes, goes with it.
        let leaves = found.services.contains(&check.service_id)
            && !services.iter().any(|service| service.record.id == check.service_id);
        check.check_id != LEADERS_CHECK && !leaves
    });
    let mut extra: Vec<CheckId> = extra.map(|check| check.check_id.clone()).collect();
    extra.sort();
    found.checks.extend(extra);
    found
}

fn same_service(ours: &NodeService, known: &NodeService) -> bool {
    let meta = |service: &NodeService| service.meta.clone().unwrap_or_default();
    meta(ours) == meta(known)
        && NodeService { meta: None, ..ours.clone() } == NodeService { meta: None, ..known.clone() }
}

fn same_check(ours: &HealthCheck, known: &HealthCheck, output_deferred: bool) -> bool {
    ours.name == known.name
        && ours.status == known.status
        && ours.notes == known.notes
        && (output_deferred || ours.output == known.output)
        && ours.service_id == known.service_id
        && ours.service_name == known.service_name
        && ours.kind == known.kind
}

#[cfg(test)]
#[path = "sync_test.rs"]
mod tests;
