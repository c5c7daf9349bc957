//! What this agent runs: its services and checks, and what of it the catalog does not know yet.
//!
//! Passive: a lock around maps. Runners report results into it, anti-entropy takes out what must be sent.
//!
//! Invariants:
//! - Whatever differs from the catalog, as far as known, stands in `dirty` or `gone`; an id never in both.
//! - An item taken for sending leaves the set at once, so that a change meanwhile puts it back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crs_types::{
    CheckId, CheckKind, CheckSpec, CheckStatus, HealthCheck, NodeName, NodeService, Secret, ServiceAddress,
    ServiceId, ServiceSpec,
};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::checks::decision;

/// Where a definition comes from. Files win over the API when the agent starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A configuration file.
    File,
    /// The HTTP API.
    Api,
}

/// Id of the check that puts the node in maintenance.
pub(crate) const NODE_MAINTENANCE: &str = "_node_maintenance";

/// Id of the check that puts a service in maintenance.
pub(crate) fn service_maintenance_id(service: &ServiceId) -> CheckId {
    format!("_service_maintenance:{service}").into()
}

/// A service of this agent.
#[derive(Clone, Debug)]
pub struct LocalService {
    /// As the catalog is to see it.
    pub record: Arc<NodeService>,
    /// For its registration; empty: the agent's default.
    pub token: Secret<String>,
    /// Where it was defined.
    pub source: Source,
}

/// A check of this agent.
#[derive(Clone, Debug)]
pub struct LocalCheck {
    /// As the catalog is to see it.
    pub record: Arc<HealthCheck>,
    /// How it is run; `None` for maintenance.
    pub spec: Option<Arc<CheckSpec>>,
    /// For its registration; empty: the agent's default.
    pub token: Secret<String>,
    /// Where it was defined.
    pub source: Source,
    /// Since when it is critical without a break.
    pub critical_since: Option<Instant>,
    /// Tells this definition of the check from earlier ones under the same id.
    pub generation: u64,
}

/// What the catalog must be told.
#[derive(Clone, Debug)]
pub(crate) enum SyncItem {
    /// A service, with those of its checks that need it and use the same token.
    Service { service: LocalService, checks: Vec<LocalCheck> },
    /// Checks that share a token.
    Checks(Vec<LocalCheck>),
    /// A service that is no longer here.
    GoneService { id: ServiceId, token: Secret<String> },
    /// A check that is no longer here.
    GoneCheck { id: CheckId, token: Secret<String> },
}

/// One round of sending.
#[derive(Debug, Default)]
pub(crate) struct SyncPass {
    /// The node itself, before all else.
    pub(crate) node: bool,
    /// The rest, in any order.
    pub(crate) items: Vec<SyncItem>,
}

/// What of this agent the catalog has not, has differently, or has too much.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) node: bool,
    pub(crate) services: Vec<ServiceId>,
    pub(crate) checks: Vec<CheckId>,
}

/// Checks joined into one registration.
const CHECKS_PER_ITEM: usize = 64;

#[derive(Default)]
struct Inner {
    node: NodeName,
    services: BTreeMap<ServiceId, LocalService>,
    checks: BTreeMap<CheckId, LocalCheck>,
    checks_of: HashMap<ServiceId, BTreeSet<CheckId>>,
    node_dirty: bool,
    dirty_services: BTreeSet<ServiceId>,
    dirty_checks: BTreeSet<CheckId>,
    gone_services: BTreeMap<ServiceId, Secret<String>>,
    gone_checks: BTreeMap<CheckId, Secret<String>>,
    /// Checks whose output alone changed, by when it is to be sent.
    deferred: BTreeSet<(Instant, CheckId)>,
    deferred_at: HashMap<CheckId, Instant>,
    generation: u64,
}

/// Shared by reference. Locks are held for look-ups and insertions only.
pub struct LocalState {
    inner: Mutex<Inner>,
    /// There is something to send.
    pub(crate) to_sync: Notify,
    /// A check's state or set changed, which aliases look at.
    pub(crate) checks_changed: Notify,
    /// Counts changes of services, for those who wait for one.
    services_version: watch::Sender<u64>,
}

/// What became of a result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Updated {
    /// There is no such check any more.
    Unknown,
    /// Nothing changed.
    Same,
    /// The output changed.
    Output,
    /// The status changed.
    Status,
}

impl LocalState {
    /// Nothing yet; the node itself is still to be sent.
    pub fn new(node: NodeName) -> Self {
        let inner = Inner { node, node_dirty: true, ..Inner::default() };
        LocalState {
            inner: Mutex::new(inner),
            to_sync: Notify::new(),
            checks_changed: Notify::new(),
            services_version: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds or replaces a service (not its checks).
    pub fn add_service(&self, spec: &ServiceSpec, source: Source) {
        let record = Arc::new(record_of(spec));
        let mut inner = self.lock();
        let ids = inner.checks_of.get(&record.id).cloned().unwrap_or_default();
        for id in ids {
            if let Some(check) = inner.checks.get_mut(&id) {
                let updated = Arc::make_mut(&mut check.record);
                updated.service_name = record.service.clone();
                updated.service_tags.clone_from(&record.tags);
            }
        }
        inner.gone_services.remove(&record.id);
        inner.dirty_services.insert(record.id.clone());
        inner.services.insert(record.id.clone(), LocalService { record, token: spec.token.clone(), source });
        drop(inner);
        self.services_version.send_modify(|version| *version += 1);
        self.to_sync.notify_one();
    }

    /// Removes a service with its checks; yields the checks' ids, or `None` if there is no such service.
    pub fn remove_service(&self, id: &ServiceId) -> Option<Vec<CheckId>> {
        let mut inner = self.lock();
        let service = inner.services.remove(id)?;
        inner.dirty_services.remove(id);
        inner.gone_services.insert(id.clone(), service.token);
        let checks: Vec<CheckId> = inner.checks_of.get(id).into_iter().flatten().cloned().collect();
        for check in &checks {
            // The catalog removes them with the service.
            inner.forget_check(check);
        }
        drop(inner);
        self.services_version.send_modify(|version| *version += 1);
        self.checks_changed.notify_one();
        self.to_sync.notify_one();
        Some(checks)
    }

    /// Adds or replaces a check. A check that was there under this id keeps status and output, unless the definition
    /// names a status. Yields the generation under which results are to be reported; `None` if its service is missing.
    pub fn add_check(&self, spec: CheckSpec, source: Source, now: Instant) -> Option<u64> {
        let mut inner = self.lock();
        let mut record = HealthCheck {
            node: inner.node.clone(),
            check_id: spec.id.clone(),
            name: spec.name.clone(),
            status: spec.status.clone().unwrap_or_default(),
            notes: spec.notes.clone(),
            service_id: spec.service_id.clone(),
            kind: spec.kind.type_name().to_owned(),
            ..HealthCheck::default()
        };
        let mut since = None;
        if let Some(old) = inner.checks.get(&spec.id).filter(|_| spec.status.is_none()) {
            record.status = old.record.status.clone();
            record.output.clone_from(&old.record.output);
            since = old.critical_since;
        }
        let since = decision::critical_since(since, &record.status, now);
        let token = spec.token.clone();
        let generation = inner.put_check(record, Some(Arc::new(spec)), token, source, since)?;
        drop(inner);
        self.checks_changed.notify_one();
        self.to_sync.notify_one();
        Some(generation)
    }

    /// Puts the node (no service) or a service in maintenance. False if there is no such service.
    pub fn add_maintenance(&self, service: Option<&ServiceId>, reason: &str, token: Secret<String>) -> bool {
        let mut inner = self.lock();
        let (id, name) = match service {
            None => (CheckId::from(NODE_MAINTENANCE), "Node Maintenance Mode"),
            Some(service) => (service_maintenance_id(service), "Service Maintenance Mode"),
        };
        let record = HealthCheck {
            node: inner.node.clone(),
            check_id: id,
            name: name.to_owned(),
            notes: reason.to_owned(),
            service_id: service.cloned().unwrap_or_default(),
            kind: "maintenance".to_owned(),
            ..HealthCheck::default()
        };
        let added = inner.put_check(record, None, token, Source::Api, None).is_some();
        drop(inner);
        self.checks_changed.notify_one();
        self.to_sync.notify_one();
        added
    }

    /// Removes a check; false if there is none.
    pub fn remove_check(&self, id: &CheckId) -> bool {
        let mut inner = self.lock();
        let Some(check) = inner.checks.get(id) else { return false };
        let token = inner.token_of_check(check);
        inner.forget_check(id);
        inner.gone_checks.insert(id.clone(), token);
        drop(inner);
        self.checks_changed.notify_one();
        self.to_sync.notify_one();
        true
    }

    /// Takes a result. `generation`: only if the check is still this one. An output that alone changed is sent after
    /// `defer`, at once if that is zero.
    pub fn update_check(
        &self,
        id: &CheckId,
        generation: Option<u64>,
        status: CheckStatus,
        output: String,
        now: Instant,
        defer: Duration,
    ) -> Updated {
        let mut inner = self.lock();
        let Some(check) = inner.checks.get_mut(id) else { return Updated::Unknown };
        if generation.is_some_and(|generation| generation != check.generation) {
            return Updated::Unknown;
        }
        check.critical_since = decision::critical_since(check.critical_since, &status, now);
        let updated = if check.record.status != status {
            Updated::Status
        } else if check.record.output != output {
            Updated::Output
        } else {
            return Updated::Same;
        };
        let record = Arc::make_mut(&mut check.record);
        record.status = status;
        record.output = output;
        if updated == Updated::Output && !defer.is_zero() {
            if !inner.deferred_at.contains_key(id) && !inner.dirty_checks.contains(id) {
                inner.deferred.insert((now + defer, id.clone()));
                inner.deferred_at.insert(id.clone(), now + defer);
                drop(inner);
                self.to_sync.notify_one();
            }
            return updated;
        }
        inner.mark_check(id);
        drop(inner);
        self.checks_changed.notify_one();
        self.to_sync.notify_one();
        updated
    }

    /// The services, by id.
    pub fn services(&self) -> Vec<LocalService> {
        self.lock().services.values().cloned().collect()
    }

    /// One service.
    pub fn service(&self, id: &ServiceId) -> Option<LocalService> {
        self.lock().services.get(id).cloned()
    }

    /// The checks, by id.
    pub fn checks(&self) -> Vec<LocalCheck> {
        self.lock().checks.values().cloned().collect()
    }

    /// One check.
    pub fn check(&self, id: &CheckId) -> Option<LocalCheck> {
        self.lock().checks.get(id).cloned()
    }

    /// The checks of a service, and those of the node, which count for it too.
    pub fn checks_for(&self, service: &ServiceId) -> Vec<Arc<HealthCheck>> {
        let inner = self.lock();
        let none = BTreeSet::new();
        let of = |id: &ServiceId| inner.checks_of.get(id).unwrap_or(&none).clone();
        let ids = of(service).into_iter().chain(of(&ServiceId::default()));
        let found = ids.filter_map(|id| inner.checks.get(&id).map(|check| check.record.clone()));
        found.collect()
    }

    /// Ids of the checks of a service (not the node's).
    pub fn check_ids_of(&self, service: &ServiceId) -> Vec<CheckId> {
        self.lock().checks_of.get(service).into_iter().flatten().cloned().collect()
    }

    /// How many services and checks there are.
    pub fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.services.len(), inner.checks.len())
    }

    /// Changes whenever a service is added, replaced or removed.
    pub fn services_version(&self) -> watch::Receiver<u64> {
        self.services_version.subscribe()
    }

    /// The node itself must be sent again.
    pub fn touch_node(&self) {
        self.lock().node_dirty = true;
        self.to_sync.notify_one();
    }

    /// Marks what differs from the catalog. Everything named here is sent again if it is still here, or removed from
    /// the catalog if it is not.
    pub(crate) fn mark(&self, node: bool, services: &[ServiceId], checks: &[CheckId]) {
        let mut inner = self.lock();
        inner.node_dirty |= node;
        for id in services {
            if inner.services.contains_key(id) {
                inner.dirty_services.insert(id.clone());
            } else {
                inner.gone_services.entry(id.clone()).or_default();
            }
        }
        for id in checks {
            if inner.checks.contains_key(id) {
                inner.mark_check(id);
            } else {
                inner.gone_checks.entry(id.clone()).or_default();
            }
        }
    }

    /// Replaces what is believed about the catalog by what a comparison with it found. `compare` gets what is here now, so
    /// that no change falls in between; it must be called while nothing is on its way to the catalog.
    pub(crate) fn reconcile(&self, compare: impl FnOnce(&[LocalService], &[LocalCheck]) -> Difference) {
        let mut inner = self.lock();
        let services: Vec<LocalService> = inner.services.values().cloned().collect();
        let checks: Vec<LocalCheck> = inner.checks.values().cloned().collect();
        let found = compare(&services, &checks);
        inner.node_dirty = found.node;
        inner.dirty_services.clear();
        inner.dirty_checks.clear();
        let mut gone_services = std::mem::take(&mut inner.gone_services);
        let mut gone_checks = std::mem::take(&mut inner.gone_checks);
        for id in found.services {
            if inner.services.contains_key(&id) {
                inner.dirty_services.insert(id);
            } else {
                let token = gone_services.remove(&id).unwrap_or_default();
                inner.gone_services.insert(id, token);
            }
        }
        for id in found.checks {
            if inner.checks.contains_key(&id) {
                inner.mark_check(&id);
            } else {
                let token = gone_checks.remove(&id).unwrap_or_default();
                inner.gone_checks.insert(id, token);
            }
        }
    }

    /// Takes over tags that were edited in the catalog, where the service allows it. What was sent once is not sent again.
    pub(crate) fn adopt_tags(&self, id: &ServiceId, tags: &[String]) {
        let mut inner = self.lock();
        if let Some(service) = inner.services.get_mut(id)
            && service.record.enable_tag_override
            && service.record.tags != tags
        {
            Arc::make_mut(&mut service.record).tags = tags.to_vec();
        }
    }

    /// Puts an item back that could not be sent.
    pub(crate) fn put_back(&self, item: SyncItem) {
        match item {
            SyncItem::Service { service, checks } => {
                let checks: Vec<_> = checks.into_iter().map(|check| check.record.check_id.clone()).collect();
                let mut inner = self.lock();
                // What was removed meanwhile stands in the other set already.
                if inner.services.contains_key(&service.record.id) {
                    inner.dirty_services.insert(service.record.id.clone());
                }
                inner.mark_checks(&checks);
            }
            SyncItem::Checks(checks) => {
                let checks: Vec<_> = checks.into_iter().map(|check| check.record.check_id.clone()).collect();
                self.lock().mark_checks(&checks);
            }
            SyncItem::GoneService { id, token } => {
                let mut inner = self.lock();
                if !inner.services.contains_key(&id) {
                    inner.gone_services.entry(id).or_insert(token);
                }
            }
            SyncItem::GoneCheck { id, token } => {
                let mut inner = self.lock();
                if !inner.checks.contains_key(&id) {
                    inner.gone_checks.entry(id).or_insert(token);
                }
            }
        }
    }

    /// The node could not be sent.
    pub(crate) fn put_back_node(&self) {
        self.lock().node_dirty = true;
    }

    /// Takes out everything that must be sent now.
    pub(crate) fn take_pass(&self, now: Instant) -> SyncPass {
        let mut inner = self.lock();
        while let Some((at, _)) = inner.deferred.first()
            && *at <= now
            && let Some((_, id)) = inner.deferred.pop_first()
        {
            inner.deferred_at.remove(&id);
            inner.dirty_checks.insert(id);
        }
        let mut pass = SyncPass { node: std::mem::take(&mut inner.node_dirty), items: Vec::new() };
        for id in std::mem::take(&mut inner.dirty_services) {
            let Some(service) = inner.services.get(&id).cloned() else { continue };
            let mut checks = Vec::new();
            for check in inner.checks_of.get(&id).cloned().unwrap_or_default() {
                let Some(check) = inner.checks.get(&check) else { continue };
                let same = check.token == service.token || check.token.is_empty();
                if same && inner.dirty_checks.contains(&check.record.check_id) {
                    checks.push(check.clone());
                }
            }
            for check in &checks {
                inner.unmark_check(&check.record.check_id);
            }
            pass.items.push(SyncItem::Service { service, checks });
        }
        let mut by_token: BTreeMap<String, Vec<LocalCheck>> = BTreeMap::new();
        for id in std::mem::take(&mut inner.dirty_checks) {
            let Some(check) = inner.checks.get(&id).cloned() else { continue };
            let token = inner.token_of_check(&check);
            inner.unmark_check(&id);
            by_token.entry(token.reveal().clone()).or_default().push(LocalCheck { token, ..check });
        }
        for checks in by_token.into_values() {
            pass.items.extend(checks.chunks(CHECKS_PER_ITEM).map(|chunk| SyncItem::Checks(chunk.to_vec())));
        }
        let services = std::mem::take(&mut inner.gone_services);
        pass.items.extend(services.into_iter().map(|(id, token)| SyncItem::GoneService { id, token }));
        let checks = std::mem::take(&mut inner.gone_checks);
        pass.items.extend(checks.into_iter().map(|(id, token)| SyncItem::GoneCheck { id, token }));
        pass
    }

    /// When the next deferred output is due.
    pub(crate) fn next_deferred(&self) -> Option<Instant> {
        self.lock().deferred.first().map(|(at, _)| *at)
    }

    /// The checks that have been critical for longer than they may, with their services.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<(ServiceId, CheckId)> {
        let inner = self.lock();
        let overdue = inner.checks.values().filter(|check| {
            let after = check.spec.as_ref().map_or(Duration::ZERO, |s| s.deregister_critical_service_after);
            decision::is_overdue(check.critical_since, after, now)
        });
        let records = overdue.map(|check| &check.record).filter(|record| !record.service_id.is_empty());
        records.map(|record| (record.service_id.clone(), record.check_id.clone())).collect()
    }
}

impl Inner {
    fn put_check(
        &mut self,
        mut record: HealthCheck,
        spec: Option<Arc<CheckSpec>>,
        token: Secret<String>,
        source: Source,
        critical_since: Option<Instant>,
    ) -> Option<u64> {
        if !record.service_id.is_empty() {
            let service = self.services.get(&record.service_id)?;
            record.service_name = service.record.service.clone();
            record.service_tags.clone_from(&service.record.tags);
        }
        let id = record.check_id.clone();
        self.forget_check(&id);
        self.gone_checks.remove(&id);
        self.generation += 1;
        self.checks_of.entry(record.service_id.clone()).or_default().insert(id.clone());
        let record = Arc::new(record);
        let generation = self.generation;
        self.checks
            .insert(id.clone(), LocalCheck { record, spec, token, source, critical_since, generation });
        self.dirty_checks.insert(id);
        Some(generation)
    }

    /// Takes a check out of every map but `gone`.
    fn forget_check(&mut self, id: &CheckId) {
        self.unmark_check(id);
        if let Some(check) = self.checks.remove(id)
            && let Some(ids) = self.checks_of.get_mut(&check.record.service_id)
        {
            ids.remove(id);
            if ids.is_empty() {
                self.checks_of.remove(&check.record.service_id);
            }
        }
    }

    fn mark_check(&mut self, id: &CheckId) {
        self.unmark_check(id);
        self.dirty_checks.insert(id.clone());
    }

    fn mark_checks(&mut self, ids: &[CheckId]) {
        for id in ids {
            if self.checks.contains_key(id) {
                self.mark_check(id);
            }
        }
    }

    fn unmark_check(&mut self, id: &CheckId) {
        self.dirty_checks.remove(id);
        if let Some(at) = self.deferred_at.remove(id) {
            self.deferred.remove(&(at, id.clone()));
        }
    }

    /// A check without a token uses its service's.
    fn token_of_check(&self, check: &LocalCheck) -> Secret<String> {
        if check.token.is_empty()
            && let Some(service) = self.services.get(&check.record.service_id)
        {
            return service.token.clone();
        }
        check.token.clone()
    }
}

/// The catalog's record of a service. A literal IP address also stands under the tags of its family (Consul's rule).
fn record_of(spec: &ServiceSpec) -> NodeService {
    let mut tagged_addresses = spec.tagged_addresses.clone();
    if let Ok(ip) = spec.address.parse::<std::net::IpAddr>() {
        let family = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
        for side in ["lan", "wan"] {
            let own = ServiceAddress { address: spec.address.clone(), port: spec.port };
            tagged_addresses.entry(format!("{side}_{family}")).or_insert(own);
        }
    }
    NodeService {
        kind: spec.kind.clone(),
        id: if spec.id.is_empty() { spec.name.as_str().into() } else { spec.id.clone() },
        service: spec.name.clone(),
        tags: spec.tags.clone(),
        address: spec.address.clone(),
        tagged_addresses,
        meta: spec.meta.clone(),
        port: spec.port,
        weights: spec.weights,
        enable_tag_override: spec.enable_tag_override,
        proxy: spec.proxy.clone(),
        connect: spec.connect.clone(),
    }
}

/// Whether a check is of the kind that clients report to.
pub(crate) fn ttl_of(check: &LocalCheck) -> Option<Duration> {
    match check.spec.as_ref().map(|spec| &spec.kind) {
        Some(CheckKind::Ttl(ttl)) => Some(*ttl),
        _ => None,
    }
}

#[cfg(test)]
#[path = "local_test.rs"]
mod tests;
