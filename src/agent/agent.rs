//! The agent as others use it: its registrations, its checks, its settings.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use crs_config::Config;
use crs_types::{
    CheckId, CheckKind, CheckSpec, CheckStatus, Error, HealthCheck, Node, NodeId, Secret, ServiceId,
    ServiceSpec,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::checks::{CheckSettings, Checks};
use crate::journal::{Flushed, Journal, JournalError, Kind, Record};
use crate::local::{
    LocalCheck, LocalService, LocalState, NODE_MAINTENANCE, Source, service_maintenance_id, ttl_of,
};
use crate::log::LogHandle;
use crate::metrics::Metrics;
use crate::reload::Reloader;
use crate::servers::Servers;
use crate::stored::{self, TtlState};

/// Consul keeps the network segment, empty in the open edition, among the node's meta.
const SEGMENT_META: &str = "consul-network-segment";
/// What stands in a maintenance check that names no reason.
const NODE_REASON: &str =
    "Maintenance mode is enabled for this node, but no reason was provided. This is a default message.";
const SERVICE_REASON: &str =
    "Maintenance mode is enabled for this service, but no reason was provided. This is a default message.";

/// A running agent. Shared by reference.
pub struct Agent {
    parts: Parts,
    started: Instant,
    /// Registrations go into the journal and into the local state in one order.
    order: Mutex<()>,
}

/// What an agent is made of.
pub(crate) struct Parts {
    pub(crate) config: Arc<ArcSwap<Config>>,
    /// Counts reloads.
    pub(crate) config_version: tokio::sync::watch::Sender<u64>,
    pub(crate) node_id: NodeId,
    pub(crate) local: Arc<LocalState>,
    pub(crate) checks: Arc<Checks>,
    pub(crate) servers: Servers,
    pub(crate) journal: Option<Journal>,
    pub(crate) log: LogHandle,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) reloader: Reloader,
    pub(crate) leave: CancellationToken,
}

/// The node as the catalog is to see it, and the token for it.
pub(crate) fn node_of(config: &Config, id: &NodeId) -> (Node, Secret<String>) {
    let mut meta = config.node_meta.clone();
    meta.insert(SEGMENT_META.to_owned(), String::new());
    let node = Node {
        id: id.clone(),
        node: config.node_name.clone(),
        address: config.network.advertise_lan.to_string(),
        datacenter: config.datacenter.clone(),
        tagged_addresses: Some(config.network.tagged_addresses.clone()),
        meta: Some(meta),
    };
    let tokens = &config.acl.tokens;
    let token = if tokens.agent.is_empty() { &tokens.default } else { &tokens.agent };
    (node, token.clone())
}

/// What applies to all checks.
pub(crate) fn check_settings(config: &Config) -> CheckSettings {
    CheckSettings {
        update_interval: config.checks_config.update_interval,
        output_max_size_bytes: config.checks_config.output_max_size_bytes,
        discard_output: config.checks_config.discard_output,
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn kept(error: &JournalError) -> Error {
    Error::internal(format!("Failed to keep the registration: {error}"))
}

fn removal(kind: Kind, id: &str) -> Record {
    Record { kind, id: id.to_owned(), value: serde_json::Value::Null }
}

impl Agent {
    pub(crate) fn new(parts: Parts) -> Self {
        Agent { parts, started: Instant::now(), order: Mutex::default() }
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The configuration as of now.
    pub fn config(&self) -> Arc<Config> {
        self.parts.config.load_full()
    }

    /// Changes after every reload.
    pub fn config_changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.parts.config_version.subscribe()
    }

    /// This node's id.
    pub fn node_id(&self) -> &NodeId {
        &self.parts.node_id
    }

    /// The node as it is registered.
    pub fn node(&self) -> Node {
        node_of(&self.config(), &self.parts.node_id).0
    }

    /// Services and checks of this agent.
    pub fn local(&self) -> &Arc<LocalState> {
        &self.parts.local
    }

    /// The way to the servers.
    pub fn servers(&self) -> &Servers {
        &self.parts.servers
    }

    /// The log, to follow it.
    pub fn log(&self) -> &LogHandle {
        &self.parts.log
    }

    /// What is measured.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    /// Checks that are run, and TTL checks.
    pub fn check_counts(&self) -> (usize, usize) {
        self.parts.checks.counts()
    }

    /// How long it runs.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Leaves the cluster and ends. Returns at once; the process ends when all is done.
    pub fn leave(&self) {
        self.parts.leave.cancel();
    }

    /// Reads the configuration again and applies what can be applied.
    ///
    /// # Errors
    /// What is wrong with the new configuration; the old one stays.
    pub async fn reload(&self) -> Result<(), String> {
        self.parts.reloader.reload(self).await
    }

    /// Registers a service over the API. Returns when it is on disk; the catalog follows at once.
    ///
    /// # Errors
    /// Consul's refusal of scripts where they are not enabled, or a disk that fails.
    pub async fn register_service(
        &self,
        mut spec: ServiceSpec,
        replace_existing_checks: bool,
    ) -> Result<(), Error> {
        let checks = std::mem::take(&mut spec.checks);
        for check in &checks {
            self.require_scripts(check)?;
        }
        let id = spec.id.clone();
        let mut removed = Vec::new();
        let flushed = {
            let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            if replace_existing_checks {
                removed = self.parts.local.check_ids_of(&id);
                removed.retain(|old| !checks.iter().any(|check| check.id == *old));
            }
            let mut records = vec![Record {
                kind: Kind::Service,
                id: id.as_str().to_owned(),
                value: stored::service_to_json(&spec),
            }];
            records.extend(checks.iter().map(check_record));
            records.extend(removed.iter().flat_map(check_removals));
            let flushed = self.append(&records)?;
            self.parts.local.add_service(&spec, Source::Api);
            let now = Instant::now();
            for check in checks {
                self.add_check(check, Source::Api, None, now);
            }
            for check in &removed {
                self.parts.local.remove_check(check);
            }
            self.parts.checks.stop(&removed);
            flushed
        };
        if let Err(error) = settled(flushed).await {
            self.forget_service(&id);
            return Err(error);
        }
        Ok(())
    }

    /// Removes a service and its checks; false if there is none.
    ///
    /// # Errors
    /// A disk that fails; the service is gone until the next start then.
    pub async fn deregister_service(&self, id: &ServiceId) -> Result<bool, Error> {
        let flushed = {
            let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(checks) = self.forget_service(id) else {
                warn!(
                    target: "agent", service = %id,
                    "Failed to deregister service: there is no such service on this agent"
                );
                return Ok(false);
            };
            let mut records = vec![removal(Kind::Service, id.as_str())];
            records.extend(checks.iter().flat_map(check_removals));
            self.append(&records)?
        };
        settled(flushed).await.map(|()| true)
    }

    /// Registers a check over the API.
    ///
    /// # Errors
    /// A service that is not there, scripts that are not enabled, or a disk that fails.
    pub async fn register_check(&self, spec: CheckSpec) -> Result<(), Error> {
        self.require_scripts(&spec)?;
        let id = spec.id.clone();
        let flushed = {
            let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            if !spec.service_id.is_empty() && self.parts.local.service(&spec.service_id).is_none() {
                return Err(Error::refused(format!(
                    "ServiceID {:?} does not exist",
                    spec.service_id.as_str()
                )));
            }
            let flushed = self.append(&[check_record(&spec)])?;
            self.add_check(spec, Source::Api, None, Instant::now());
            flushed
        };
        if let Err(error) = settled(flushed).await {
            self.parts.local.remove_check(&id);
            self.parts.checks.stop(&[id]);
            return Err(error);
        }
        Ok(())
    }

    /// Removes a check; false if there is none.
    ///
    /// # Errors
    /// A disk that fails; the check is gone until the next start then.
    pub async fn deregister_check(&self, id: &CheckId) -> Result<bool, Error> {
        let flushed = {
            let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            if !self.parts.local.remove_check(id) {
                return Ok(false);
            }
            self.parts.checks.stop(std::slice::from_ref(id));
            self.append(&check_removals(id))?
        };
        settled(flushed).await.map(|()| true)
    }

    /// Takes the report on a TTL check.
    ///
    /// # Errors
    /// Consul's text for a check that takes no reports.
    pub fn report_ttl(&self, id: &CheckId, status: CheckStatus, output: String) -> Result<(), Error> {
        let refused = || Error::refused(format!("CheckID {:?} does not have associated TTL", id.as_str()));
        let check = self.parts.local.check(id).ok_or_else(refused)?;
        let ttl = ttl_of(&check).ok_or_else(refused)?;
        let own_max = check.spec.as_ref().map_or(0, |spec| spec.output_max_size_bytes);
        self.parts.checks.report(id, ttl, status.clone(), output.clone(), own_max).ok_or_else(refused)?;
        if let Some(journal) = &self.parts.journal {
            let state = TtlState { status, output, expires_unix: unix_now().saturating_add(ttl.as_secs()) };
            let value = stored::state_to_json(&state);
            let record = Record { kind: Kind::State, id: id.as_str().to_owned(), value };
            if let Err(error) = journal.append_unacknowledged(&[record]) {
                warn!(target: "agent", check = %id, %error, "Failed to keep the state of a check");
            }
        }
        Ok(())
    }

    /// Puts the node in maintenance, or takes it out.
    ///
    /// # Errors
    /// A disk that fails.
    pub async fn set_node_maintenance(
        &self,
        enable: bool,
        reason: &str,
        token: Secret<String>,
    ) -> Result<(), Error> {
        self.set_maintenance(None, enable, if reason.is_empty() { NODE_REASON } else { reason }, token).await
    }

    /// Puts a service in maintenance, or takes it out.
    ///
    /// # Errors
    /// Consul's text for a service that is not there, or a disk that fails.
    pub async fn set_service_maintenance(
        &self,
        service: &ServiceId,
        enable: bool,
        reason: &str,
        token: Secret<String>,
    ) -> Result<(), Error> {
        if self.parts.local.service(service).is_none() {
            let text = format!("No service registered with ID {:?}", service.as_str());
            return Err(Error::not_found(text));
        }
        let reason = if reason.is_empty() { SERVICE_REASON } else { reason };
        self.set_maintenance(Some(service), enable, reason, token).await
    }

    async fn set_maintenance(
        &self,
        service: Option<&ServiceId>,
        enable: bool,
        reason: &str,
        token: Secret<String>,
    ) -> Result<(), Error> {
        let id = service.map_or_else(|| NODE_MAINTENANCE.into(), service_maintenance_id);
        let flushed = {
            let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            if self.parts.local.check(&id).is_some() == enable {
                return Ok(());
            }
            let record = if enable {
                let value = stored::maintenance_to_json(service, reason, &token);
                Record { kind: Kind::Maintenance, id: id.as_str().to_owned(), value }
            } else {
                removal(Kind::Maintenance, id.as_str())
            };
            let flushed = self.append(&[record])?;
            if enable {
                self.parts.local.add_maintenance(service, reason, token);
            } else {
                self.parts.local.remove_check(&id);
            }
            flushed
        };
        match (service, enable) {
            (None, true) => info!(target: "agent", "Node entered maintenance mode"),
            (None, false) => info!(target: "agent", "Node left maintenance mode"),
            (Some(service), true) => info!(target: "agent", %service, "Service entered maintenance mode"),
            (Some(service), false) => info!(target: "agent", %service, "Service left maintenance mode"),
        }
        settled(flushed).await
    }

    /// Removes services whose checks have been critical for too long.
    pub(crate) async fn reap_overdue(&self) {
        for (service, check) in self.parts.local.overdue(Instant::now()) {
            match self.deregister_service(&service).await {
                Ok(true) => info!(
                    target: "agent", %service, %check,
                    "Check for service has been critical for too long; deregistered service"
                ),
                Ok(false) => {}
                Err(error) => {
                    warn!(target: "agent", %service, %error, "Failed to deregister a service for good")
                }
            }
        }
    }

    /// Makes services and checks of the files what the configuration says.
    pub(crate) fn apply_definitions(&self, old: &Config, new: &Config) {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let local = &self.parts.local;
        let from_file = |service: LocalService| service.source == Source::File;
        let checks_of = |config: &'_ Config| -> HashMap<CheckId, CheckSpec> {
            let checks =
                config.checks.iter().chain(config.services.iter().flat_map(|service| &service.checks));
            checks.map(|check| (check.id.clone(), check.clone())).collect()
        };
        let old_services: HashMap<&ServiceId, &ServiceSpec> =
            old.services.iter().map(|service| (&service.id, service)).collect();
        let kept: HashSet<&ServiceId> = new.services.iter().map(|service| &service.id).collect();
        for service in old.services.iter().filter(|service| !kept.contains(&service.id)) {
            if local.service(&service.id).is_some_and(from_file) {
                self.forget_service(&service.id);
            }
        }
        let now = Instant::now();
        let mut purge = Vec::new();
        for service in &new.services {
            let unchanged = old_services.get(&service.id).is_some_and(|old| *old == service)
                && local.service(&service.id).is_some_and(from_file);
            if !unchanged {
                local.add_service(service, Source::File);
                purge.push(removal(Kind::Service, service.id.as_str()));
            }
        }
        let mut old_checks = checks_of(old);
        for (id, check) in checks_of(new) {
            let unchanged = old_checks.remove(&id).is_some_and(|old| old == check)
                && local.check(&id).is_some_and(|known| known.source == Source::File);
            if !unchanged {
                self.add_check(check, Source::File, None, now);
                purge.push(removal(Kind::Check, id.as_str()));
            }
        }
        for id in old_checks.into_keys() {
            if local.check(&id).is_some_and(|known| known.source == Source::File) {
                local.remove_check(&id);
                self.parts.checks.stop(std::slice::from_ref(&id));
            }
        }
        self.purge(&purge);
    }

    /// Takes back what was registered over the API before the last stop. Files win where both define an id.
    pub(crate) fn restore(&self, records: Vec<Record>) {
        let mut kinds = crate::journal::by_kind(records);
        let (now, unix) = (Instant::now(), unix_now());
        let mut purge = Vec::new();
        let mut bad = |kind: Kind, id: &str, why: &str| {
            warn!(target: "agent", ?kind, id, error = why, "A kept registration is dropped");
            purge.push(removal(kind, id));
        };
        for (id, value) in kinds.remove(&Kind::Service).unwrap_or_default() {
            match stored::service_from_json(value) {
                Ok(spec) if self.parts.local.service(&spec.id).is_none() => {
                    self.parts.local.add_service(&spec, Source::Api);
                }
                Ok(_) => bad(Kind::Service, &id, "a configuration file defines it"),
                Err(error) => bad(Kind::Service, &id, &error),
            }
        }
        let states: HashMap<String, TtlState> = kinds
            .remove(&Kind::State)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(id, value)| Some((id, stored::state_from_json(value).ok()?)))
            .collect();
        for (id, value) in kinds.remove(&Kind::Check).unwrap_or_default() {
            match stored::check_from_json(value) {
                Ok(spec) if self.parts.local.check(&spec.id).is_some() => {
                    bad(Kind::Check, &id, "a configuration file defines it");
                }
                Ok(spec) => {
                    if let Err(error) = self.require_scripts(&spec) {
                        bad(Kind::Check, &id, &error.text);
                        continue;
                    }
                    if !self.add_check(spec, Source::Api, states.get(&id), now) {
                        bad(Kind::Check, &id, "its service is gone");
                    }
                }
                Err(error) => bad(Kind::Check, &id, &error),
            }
        }
        // TTL checks of files keep their state as well.
        for (id, state) in &states {
            let Some(check) = self.parts.local.check(&id.as_str().into()) else { continue };
            if check.source == Source::File && ttl_of(&check).is_some() && state.expires_unix > unix {
                self.restore_ttl(&check, state, now, unix);
            }
        }
        for (id, value) in kinds.remove(&Kind::Maintenance).unwrap_or_default() {
            match stored::maintenance_from_json(value) {
                Ok((service, reason, token)) => {
                    if !self.parts.local.add_maintenance(service.as_ref(), &reason, token) {
                        bad(Kind::Maintenance, &id, "its service is gone");
                    }
                }
                Err(error) => bad(Kind::Maintenance, &id, &error),
            }
        }
        self.purge(&purge);
    }

    fn restore_ttl(&self, check: &LocalCheck, state: &TtlState, now: Instant, unix: u64) {
        let Some(spec) = &check.spec else { return };
        let expires = now + Duration::from_secs(state.expires_unix - unix);
        self.parts.checks.start(spec, check.generation, Some(expires), now);
        self.parts.local.update_check(
            &spec.id,
            None,
            state.status.clone(),
            state.output.clone(),
            now,
            Duration::ZERO,
        );
    }

    /// Adds a check and begins to run it; false if its service is missing.
    fn add_check(&self, spec: CheckSpec, source: Source, state: Option<&TtlState>, now: Instant) -> bool {
        let Some(generation) = self.parts.local.add_check(spec.clone(), source, now) else {
            warn!(
                target: "agent", check = %spec.id, service = %spec.service_id,
                "Check is not run: its service does not exist"
            );
            return false;
        };
        let unix = unix_now();
        let alive = state.filter(|state| state.expires_unix > unix);
        match (alive, self.parts.local.check(&spec.id)) {
            (Some(state), Some(check)) if ttl_of(&check).is_some() => {
                self.restore_ttl(&check, state, now, unix)
            }
            _ => self.parts.checks.start(&spec, generation, None, now),
        }
        true
    }

    fn forget_service(&self, id: &ServiceId) -> Option<Vec<CheckId>> {
        let checks = self.parts.local.remove_service(id)?;
        self.parts.checks.stop(&checks);
        Some(checks)
    }

    fn require_scripts(&self, spec: &CheckSpec) -> Result<(), Error> {
        let config = self.config();
        let is_script = matches!(spec.kind, CheckKind::Script(_) | CheckKind::Docker { .. });
        if is_script && !config.checks_config.enable_remote_scripts {
            return Err(Error::refused(
                "Scripts are disabled on this agent from remote calls; to enable, configure \
                 'enable_script_checks' to true",
            ));
        }
        Ok(())
    }

    fn append(&self, records: &[Record]) -> Result<Option<Flushed>, Error> {
        let journal = self.parts.journal.as_ref();
        journal.map(|journal| journal.append(records)).transpose().map_err(|error| kept(&error))
    }

    fn purge(&self, records: &[Record]) {
        if let Some(journal) = self.parts.journal.as_ref().filter(|_| !records.is_empty())
            && let Err(error) = journal.append_unacknowledged(records)
        {
            warn!(target: "agent", %error, "Failed to drop kept registrations");
        }
    }
}

fn check_record(spec: &CheckSpec) -> Record {
    Record { kind: Kind::Check, id: spec.id.as_str().to_owned(), value: stored::check_to_json(spec) }
}

fn check_removals(id: &CheckId) -> [Record; 3] {
    [Kind::Check, Kind::State, Kind::Maintenance].map(|kind| removal(kind, id.as_str()))
}

/// Waits for the disk. In dev mode there is none.
async fn settled(flushed: Option<Flushed>) -> Result<(), Error> {
    match flushed {
        None => Ok(()),
        Some(flushed) => match flushed.await {
            Ok(result) => result.map_err(|error| kept(&error)),
            Err(_) => Err(kept(&JournalError::Closed)),
        },
    }
}

/// The status of a service as a whole, in Consul's words, from the checks that count for it.
pub fn aggregated_status<'a>(checks: impl IntoIterator<Item = &'a HealthCheck>) -> &'static str {
    let (mut warning, mut critical) = (false, false);
    for check in checks {
        if check.check_id == NODE_MAINTENANCE || check.check_id.as_str().starts_with("_service_maintenance:")
        {
            return "maintenance";
        }
        match check.status {
            CheckStatus::Passing => {}
            CheckStatus::Warning => warning = true,
            CheckStatus::Critical | CheckStatus::Other(_) => critical = true,
        }
    }
    match (critical, warning) {
        (true, _) => "critical",
        (false, true) => "warning",
        (false, false) => "passing",
    }
}
