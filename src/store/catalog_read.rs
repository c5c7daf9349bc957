//! Reads of the catalog. Each yields the records and the index of that answer; topics to watch have the same names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crs_types::{
    CheckId, CheckStatus, HealthCheck, Index, Node, NodeName, NodeService, ServiceId, ServiceName,
};

use crate::record::Stored;
use crate::state::State;

/// An answer with its index.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// Rises whenever the answer changes.
    pub index: Index,
    /// The answer.
    pub value: T,
}

/// An instance of a service with all that decides on its health.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Where it runs.
    pub node: Arc<Stored<Node>>,
    /// The instance.
    pub service: Arc<Stored<NodeService>>,
    /// The node's checks, then the instance's own.
    pub checks: Arc<[Arc<Stored<HealthCheck>>]>,
}

/// A node with its services, in the order of their ids.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// The node.
    pub node: Arc<Stored<Node>>,
    /// Its services.
    pub services: Vec<Arc<Stored<NodeService>>>,
}

impl State {
    /// The youngest index of any catalog table: what an answer about something missing carries.
    fn catalog_index(&self) -> Index {
        self.nodes_index.max(self.services_index).max(self.checks_index)
    }

    /// All nodes, by folded name.
    pub fn nodes(&self) -> Found<impl Iterator<Item = &Arc<Stored<Node>>>> {
        Found { index: self.nodes_index, value: self.nodes.values().map(|entry| &entry.node) }
    }

    /// The index of [`State::service_names`].
    pub fn service_names_index(&self) -> Index {
        self.service_names_index
    }

    /// Names of all services as first written, with the union of their instances' tags.
    /// `keep` decides which nodes count.
    pub fn service_names(
        &self,
        keep: impl Fn(&Node) -> bool,
    ) -> Found<BTreeMap<ServiceName, BTreeSet<&str>>> {
        let mut names = BTreeMap::new();
        for entry in self.services.values() {
            let mut kept = false;
            let mut tags = BTreeSet::new();
            for ((node, _), service) in &entry.instances {
                if self.nodes.get(node).is_some_and(|entry| keep(&entry.node.value)) {
                    kept = true;
                    tags.extend(service.value.tags.iter().map(String::as_str));
                }
            }
            if kept {
                names.insert(entry.name.clone(), tags);
            }
        }
        Found { index: self.service_names_index, value: names }
    }

    /// Instances of a service, by folded node name and service id, with node and checks. Gathered once per change of
    /// the service. The index is that of [`crate::Topic::ServiceHealth`].
    pub fn service_health(&self, name: &ServiceName) -> Found<Arc<[Instance]>> {
        let Some(entry) = self.services.get(&name.folded()) else {
            return Found { index: self.catalog_index(), value: Arc::from([]) };
        };
        let view = entry.view.get_or_init(|| {
            let mut node_checks: Option<(&NodeName, Vec<Arc<Stored<HealthCheck>>>)> = None;
            let mut view = Vec::with_capacity(entry.instances.len());
            for ((name, id), service) in &entry.instances {
                let Some(node) = self.nodes.get(name) else { continue };
                if node_checks.as_ref().is_none_or(|(of, _)| *of != name) {
                    node_checks = Some((name, node.checks_of(&ServiceId::default()).cloned().collect()));
                }
                let of_node = node_checks.iter().flat_map(|(_, checks)| checks).cloned();
                let checks = of_node.chain(node.checks_of(id).cloned()).collect();
                view.push(Instance { node: node.node.clone(), service: service.clone(), checks });
            }
            view.into()
        });
        Found { index: entry.health_index, value: view.clone() }
    }

    /// The same instances for readers that do not look at checks. The index is that of [`crate::Topic::Service`].
    pub fn service(&self, name: &ServiceName) -> Found<Arc<[Instance]>> {
        let found = self.service_health(name);
        let index = self.services.get(&name.folded()).map_or(found.index, |entry| entry.index);
        Found { index, ..found }
    }

    /// A node and its services.
    pub fn node(&self, name: &NodeName) -> Found<Option<NodeView>> {
        match self.nodes.get(&name.folded()) {
            Some(entry) => Found {
                index: entry.index,
                value: Some(NodeView {
                    node: entry.node.clone(),
                    services: entry.services.values().cloned().collect(),
                }),
            },
            None => Found { index: self.nodes_index, value: None },
        }
    }

    /// A node by its name, without its services.
    pub fn node_record(&self, name: &NodeName) -> Option<&Arc<Stored<Node>>> {
        self.nodes.get(&name.folded()).map(|entry| &entry.node)
    }

    /// One service of a node.
    pub fn node_service(&self, node: &NodeName, id: &ServiceId) -> Option<&Arc<Stored<NodeService>>> {
        self.nodes.get(&node.folded())?.services.get(&id.folded())
    }

    /// One check of a node.
    pub fn node_check(&self, node: &NodeName, id: &CheckId) -> Option<&Arc<Stored<HealthCheck>>> {
        self.nodes.get(&node.folded())?.checks.get(id)
    }

    /// All checks on a node, by id.
    pub fn node_checks(&self, name: &NodeName) -> Found<Vec<Arc<Stored<HealthCheck>>>> {
        match self.nodes.get(&name.folded()) {
            Some(entry) => {
                Found { index: entry.checks_index, value: entry.checks.values().cloned().collect() }
            }
            None => Found { index: self.catalog_index(), value: Vec::new() },
        }
    }

    /// Checks that belong to a service itself, by node and check id.
    pub fn service_checks(&self, name: &ServiceName) -> Found<Vec<Arc<Stored<HealthCheck>>>> {
        let Some(entry) = self.services.get(&name.folded()) else {
            return Found { index: self.catalog_index(), value: Vec::new() };
        };
        let mut checks = Vec::new();
        for (node, id) in entry.instances.keys() {
            if let Some(node) = self.nodes.get(node) {
                checks.extend(node.checks_of(id).cloned());
            }
        }
        Found { index: entry.checks_index, value: checks }
    }

    /// All checks in a state; `None` means any. By node and check id.
    pub fn checks_in_state(&self, status: Option<&CheckStatus>) -> Found<Vec<Arc<Stored<HealthCheck>>>> {
        let wanted = |check: &&Arc<Stored<HealthCheck>>| status.is_none_or(|s| check.value.status == *s);
        let checks = self.nodes.values().flat_map(|entry| entry.checks.values()).filter(wanted);
        let index = match status {
            None => self.checks_index,
            Some(status) => self.check_states.get(status).copied().unwrap_or(self.checks_index),
        };
        Found { index, value: checks.cloned().collect() }
    }
}
