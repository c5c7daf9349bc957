//! The catalog: how registrations change it.
//!
//! Services and checks live under their node; a second view by service name holds the instances and the indexes that
//! watchers of a service wait on. Names are folded in keys, as Consul finds them without regard to case.

use std::sync::{Arc, OnceLock};

use crs_types::{
    CheckId, CheckStatus, Error, HealthCheck, Index, Node, NodeName, NodeService, ServiceId, ServiceName,
};
use imbl::OrdMap;

use crate::catalog_read::Instance;
use crate::change::{Changes, Topic};
use crate::command::Registration;
use crate::record::Stored;
use crate::state::State;

/// The check that gossip keeps for every member; while it passes, the node's name is taken.
const SERF_HEALTH: &str = "serfHealth";

/// A node and what it has.
#[derive(Clone, Debug)]
pub(crate) struct NodeEntry {
    pub(crate) node: Arc<Stored<Node>>,
    /// By folded id.
    pub(crate) services: OrdMap<ServiceId, Arc<Stored<NodeService>>>,
    /// By id.
    pub(crate) checks: OrdMap<CheckId, Arc<Stored<HealthCheck>>>,
    /// The same checks by folded service id (empty: the node's own), to find those of one service among thousands.
    pub(crate) checks_by_service: OrdMap<(ServiceId, CheckId), Arc<Stored<HealthCheck>>>,
    /// The youngest change of the node or its services.
    pub(crate) index: Index,
    /// The youngest change of its checks.
    pub(crate) checks_index: Index,
}

impl NodeEntry {
    pub(crate) fn checks_of<'a>(
        &'a self,
        service: &ServiceId,
    ) -> impl Iterator<Item = &'a Arc<Stored<HealthCheck>>> + use<'a> {
        let service = service.clone();
        let from = (service.clone(), CheckId::default());
        self.checks_by_service
            .range(from..)
            .take_while(move |((id, _), _)| *id == service)
            .map(|(_, check)| check)
    }
}

/// A service name and where it runs.
#[derive(Debug)]
pub(crate) struct ServiceEntry {
    /// As it was written first.
    pub(crate) name: ServiceName,
    /// By folded node name and folded service id.
    pub(crate) instances: OrdMap<(NodeName, ServiceId), Arc<Stored<NodeService>>>,
    /// The youngest change of an instance or of its node.
    pub(crate) index: Index,
    /// The youngest change of an instance, its node, or a check that counts for it.
    pub(crate) health_index: Index,
    /// The youngest change of a check of the service itself.
    pub(crate) checks_index: Index,
    /// Instances with node and checks, gathered at first need after each change.
    pub(crate) view: OnceLock<Arc<[Instance]>>,
}

impl ServiceEntry {
    /// Whether the union of all tags changes when one instance's go from `old` to `new`.
    fn tags_change(&self, instance: &(NodeName, ServiceId), old: &[String], new: &[String]) -> bool {
        let elsewhere = |tag: &String| {
            self.instances.iter().any(|(key, other)| key != instance && other.value.tags.contains(tag))
        };
        let moved =
            |from: &[String], to: &[String]| from.iter().any(|tag| !to.contains(tag) && !elsewhere(tag));
        moved(old, new) || moved(new, old)
    }
}

impl Clone for ServiceEntry {
    /// A clone is about to change: it starts without a view.
    fn clone(&self) -> Self {
        ServiceEntry {
            name: self.name.clone(),
            instances: self.instances.clone(),
            index: self.index,
            health_index: self.health_index,
            checks_index: self.checks_index,
            view: OnceLock::new(),
        }
    }
}

impl State {
    pub(crate) fn register(
        &mut self,
        registration: &Registration,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        self.check_registration(registration)?;
        let node = registration.node.node.folded();
        if !registration.skip_node_update || !self.nodes.contains_key(&node) {
            self.put_node(&registration.node, changes);
        }
        if let Some(service) = &registration.service {
            self.put_service(&node, service, changes);
        }
        for check in &registration.checks {
            self.put_check(&node, check, changes);
        }
        Ok(())
    }

    /// Everything that can refuse a registration, before anything of it is applied.
    fn check_registration(&self, registration: &Registration) -> Result<(), Error> {
        let name = registration.node.node.folded();
        let existing = self.nodes.get(&name);
        if !(registration.skip_node_update && existing.is_some()) {
            self.check_node_name(&registration.node, existing)?;
        }
        for check in &registration.checks {
            if check.service_id.is_empty() {
                continue;
            }
            let id = check.service_id.folded();
            let comes_along = registration.service.as_ref().is_some_and(|service| service.id.folded() == id);
            if !comes_along && !existing.is_some_and(|entry| entry.services.contains_key(&id)) {
                return Err(Error::refused(format!(
                    "failed inserting check: Missing service registration on node \"{}\"",
                    registration.node.node
                )));
            }
        }
        Ok(())
    }

    /// A node with an id may take a name only from itself, from a node without id, or from one that is down.
    fn check_node_name(&self, node: &Node, existing: Option<&Arc<NodeEntry>>) -> Result<(), Error> {
        let Some(holder) = existing else { return Ok(()) };
        let held = &holder.node.value;
        if node.id.is_empty() || held.id == node.id {
            return Ok(());
        }
        let renamed = self.node_ids.contains_key(&node.id);
        if held.id.is_empty() && !renamed {
            return Ok(());
        }
        match holder.checks.get(SERF_HEALTH) {
            Some(check) if check.value.status == CheckStatus::Critical => Ok(()),
            Some(_) => Err(Error::refused(format!(
                "failed inserting node: Error while renaming Node ID: {:?} ({}): Node name {} is reserved by node {} \
                 with name {} ({})",
                node.id.as_str(),
                node.address,
                node.node,
                held.id,
                held.node,
                held.address
            ))),
            None => Err(Error::refused(format!(
                "failed inserting node: Error while renaming Node ID: {:?} ({}): Cannot rename node {}: Serf health \
                 check not found for existing node",
                node.id.as_str(),
                node.address,
                held.node
            ))),
        }
    }

    fn put_node(&mut self, node: &Node, changes: &mut Changes) {
        let name = node.node.folded();
        let mut created = None;
        // A known id under a new name is a rename: what the node had goes with the old name, as in Consul.
        if !node.id.is_empty()
            && let Some(old_name) = self.node_ids.get(&node.id).cloned()
            && old_name != name
        {
            created = self.nodes.get(&old_name).map(|entry| entry.node.create_index);
            self.remove_node(&old_name, changes);
        }
        let (index, existing) = (self.index, self.nodes.get(&name).cloned());
        if existing.as_ref().is_some_and(|entry| entry.node.value == *node) {
            return;
        }
        let created = created.or(existing.as_ref().map(|entry| entry.node.create_index)).unwrap_or(index);
        let stored = Arc::new(Stored::new(node.clone(), created, index));
        let entry = match existing {
            Some(old) => {
                if !old.node.value.id.is_empty() {
                    self.node_ids.remove(&old.node.value.id);
                }
                NodeEntry { node: stored, index, ..(*old).clone() }
            }
            None => NodeEntry {
                node: stored,
                services: OrdMap::new(),
                checks: OrdMap::new(),
                checks_by_service: OrdMap::new(),
                index,
                checks_index: index,
            },
        };
        if !node.id.is_empty() {
            self.node_ids.insert(node.id.clone(), name.clone());
        }
        let services: Vec<ServiceName> =
            entry.services.values().map(|service| service.value.service.folded()).collect();
        self.nodes.insert(name.clone(), Arc::new(entry));
        for service in services {
            self.touch_service(&service, changes);
        }
        self.nodes_index = index;
        changes.touch(Topic::Nodes);
        changes.touch(Topic::Node(name));
    }

    pub(crate) fn put_service(&mut self, node: &NodeName, service: &NodeService, changes: &mut Changes) {
        let index = self.index;
        let Some(entry) = self.nodes.get(node) else { return };
        let id = service.id.folded();
        let existing = entry.services.get(&id).cloned();
        if existing.as_ref().is_some_and(|old| old.value == *service) {
            return;
        }
        let created = existing.as_ref().map_or(index, |old| old.create_index);
        let stored = Arc::new(Stored::new(service.clone(), created, index));
        let mut entry = (**entry).clone();
        entry.services.insert(id.clone(), stored.clone());
        entry.index = index;
        self.nodes.insert(node.clone(), Arc::new(entry));

        let name = service.service.folded();
        if let Some(old) = &existing {
            let old_name = old.value.service.folded();
            if old_name != name {
                self.remove_instance(&old_name, node, &id, changes);
            }
        }
        let mut by_name = match self.services.get(&name) {
            Some(entry) => (**entry).clone(),
            None => ServiceEntry {
                name: service.service.clone(),
                instances: OrdMap::new(),
                index,
                health_index: index,
                checks_index: index,
                view: OnceLock::new(),
            },
        };
        let key = (node.clone(), id);
        let before = by_name.instances.insert(key.clone(), stored);
        let old_tags = before.as_ref().map_or(&[][..], |old| &old.value.tags);
        let names_change = by_name.instances.len() == 1 && before.is_none()
            || by_name.tags_change(&key, old_tags, &service.tags);
        self.services.insert(name.clone(), Arc::new(by_name));
        if names_change {
            self.service_names_index = index;
            changes.touch(Topic::ServiceNames);
        }
        self.touch_service(&name, changes);
        self.services_index = index;
        changes.touch(Topic::Node(node.clone()));
        self.refresh_checks_of(node, &key.1, changes);
    }

    /// Checks show name and tags of their service: when it changes, so do they.
    fn refresh_checks_of(&mut self, node: &NodeName, id: &ServiceId, changes: &mut Changes) {
        let Some(entry) = self.nodes.get(node) else { return };
        let checks: Vec<_> = entry.checks_of(id).cloned().collect();
        for check in checks {
            self.put_check(node, &check.value, changes);
        }
    }

    pub(crate) fn put_check(&mut self, node: &NodeName, check: &HealthCheck, changes: &mut Changes) {
        let index = self.index;
        let Some(entry) = self.nodes.get(node) else { return };
        let mut check = check.clone();
        check.node = entry.node.value.node.clone();
        let service_id = check.service_id.folded();
        let mut service_name = None;
        if !service_id.is_empty() {
            let Some(service) = entry.services.get(&service_id) else { return };
            check.service_name = service.value.service.clone();
            check.service_tags.clone_from(&service.value.tags);
            service_name = Some(service.value.service.folded());
        }
        let existing = entry.checks.get(&check.check_id).cloned();
        if existing.as_ref().is_some_and(|old| old.value == check) {
            return;
        }
        let mut entry = (**entry).clone();
        let mut left_service = None;
        if let Some(old) = &existing {
            self.touch_check_state(&old.value.status, changes);
            let old_service = old.value.service_id.folded();
            if old_service != service_id {
                entry.checks_by_service.remove(&(old_service, check.check_id.clone()));
            }
            let old_name = old.value.service_name.folded();
            if Some(&old_name) != service_name.as_ref() {
                left_service = Some(old_name);
            }
        }
        self.touch_check_state(&check.status, changes);
        let created = existing.as_ref().map_or(index, |old| old.create_index);
        let id = check.check_id.clone();
        let critical = check.status == CheckStatus::Critical;
        let stored = Arc::new(Stored::new(check, created, index));
        entry.checks.insert(id.clone(), stored.clone());
        entry.checks_by_service.insert((service_id, id.clone()), stored);
        entry.checks_index = index;
        self.nodes.insert(node.clone(), Arc::new(entry));
        for name in left_service.into_iter().chain([service_name.unwrap_or_default()]) {
            self.touch_checks(node, &name, changes);
        }
        if critical {
            self.end_sessions_of_check(node, &id, changes);
        }
    }

    pub(crate) fn deregister(
        &mut self,
        node: &NodeName,
        service_id: &ServiceId,
        check_id: &CheckId,
        changes: &mut Changes,
    ) {
        let node = node.folded();
        if !service_id.is_empty() {
            self.remove_service(&node, &service_id.folded(), changes);
        } else if !check_id.is_empty() {
            self.remove_check(&node, check_id, changes);
        } else {
            self.remove_node(&node, changes);
        }
    }

    fn remove_node(&mut self, node: &NodeName, changes: &mut Changes) {
        let Some(entry) = self.nodes.get(node).cloned() else { return };
        for service in entry.services.keys() {
            self.remove_service(node, service, changes);
        }
        let checks: Vec<CheckId> =
            self.nodes.get(node).map(|entry| entry.checks.keys().cloned().collect()).unwrap_or_default();
        for check in &checks {
            self.remove_check(node, check, changes);
        }
        self.end_sessions_of_node(node, changes);
        self.nodes.remove(node);
        self.node_ids.remove(&entry.node.value.id);
        self.nodes_index = self.index;
        changes.touch(Topic::Nodes);
        changes.touch(Topic::Node(node.clone()));
        changes.touch(Topic::NodeChecks(node.clone()));
    }

    fn remove_service(&mut self, node: &NodeName, id: &ServiceId, changes: &mut Changes) {
        let Some(entry) = self.nodes.get(node) else { return };
        let Some(service) = entry.services.get(id).cloned() else { return };
        let checks: Vec<CheckId> = entry.checks_of(id).map(|check| check.value.check_id.clone()).collect();
        for check in &checks {
            self.remove_check(node, check, changes);
        }
        let Some(entry) = self.nodes.get(node) else { return };
        let mut entry = (**entry).clone();
        entry.services.remove(id);
        entry.index = self.index;
        self.nodes.insert(node.clone(), Arc::new(entry));
        self.remove_instance(&service.value.service.folded(), node, id, changes);
        changes.touch(Topic::Node(node.clone()));
    }

    fn remove_instance(
        &mut self,
        name: &ServiceName,
        node: &NodeName,
        id: &ServiceId,
        changes: &mut Changes,
    ) {
        let Some(entry) = self.services.get(name) else { return };
        let mut entry = (**entry).clone();
        let Some(gone) = entry.instances.remove(&(node.clone(), id.clone())) else { return };
        let names_change = entry.instances.is_empty()
            || entry.tags_change(&(node.clone(), id.clone()), &gone.value.tags, &[]);
        if entry.instances.is_empty() {
            self.services.remove(name);
            changes.touch(Topic::Service(name.clone()));
            changes.touch(Topic::ServiceHealth(name.clone()));
            changes.touch(Topic::ServiceChecks(name.clone()));
        } else {
            self.services.insert(name.clone(), Arc::new(entry));
            self.touch_service(name, changes);
        }
        self.services_index = self.index;
        if names_change {
            self.service_names_index = self.index;
            changes.touch(Topic::ServiceNames);
        }
    }

    fn remove_check(&mut self, node: &NodeName, id: &CheckId, changes: &mut Changes) {
        let Some(entry) = self.nodes.get(node) else { return };
        let Some(check) = entry.checks.get(id).cloned() else { return };
        let mut entry = (**entry).clone();
        entry.checks.remove(id);
        entry.checks_by_service.remove(&(check.value.service_id.folded(), id.clone()));
        entry.checks_index = self.index;
        self.nodes.insert(node.clone(), Arc::new(entry));
        self.touch_check_state(&check.value.status, changes);
        self.touch_checks(node, &check.value.service_name.folded(), changes);
        self.end_sessions_of_check(node, id, changes);
    }

    /// A service's instances, or their nodes, changed.
    fn touch_service(&mut self, name: &ServiceName, changes: &mut Changes) {
        if let Some(entry) = self.services.get(name) {
            let mut entry = (**entry).clone();
            entry.index = self.index;
            entry.health_index = self.index;
            self.services.insert(name.clone(), Arc::new(entry));
        }
        changes.touch(Topic::Service(name.clone()));
        changes.touch(Topic::ServiceHealth(name.clone()));
    }

    /// A check of a service (or, with an empty name, of the node and so of all its services) changed.
    fn touch_checks(&mut self, node: &NodeName, name: &ServiceName, changes: &mut Changes) {
        let services: Vec<ServiceName> = if !name.is_empty() {
            vec![name.clone()]
        } else {
            let entry = self.nodes.get(node);
            entry.map(|e| e.services.values().map(|s| s.value.service.folded()).collect()).unwrap_or_default()
        };
        for service in services {
            if let Some(entry) = self.services.get(&service) {
                let mut entry = (**entry).clone();
                entry.health_index = self.index;
                if !name.is_empty() {
                    entry.checks_index = self.index;
                }
                self.services.insert(service.clone(), Arc::new(entry));
            }
            if !name.is_empty() {
                changes.touch(Topic::ServiceChecks(service.clone()));
            }
            changes.touch(Topic::ServiceHealth(service));
        }
        self.checks_index = self.index;
        changes.touch(Topic::Checks);
        changes.touch(Topic::NodeChecks(node.clone()));
    }

    fn touch_check_state(&mut self, status: &CheckStatus, changes: &mut Changes) {
        self.check_states.insert(status.clone(), self.index);
        changes.touch(Topic::ChecksInState(status.clone()));
    }
}
