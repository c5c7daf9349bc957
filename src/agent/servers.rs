//! The way to the servers: this process itself, or (for a client agent) one over the network.

use std::sync::Arc;

use crs_acl::Authorizer;
use crs_server::{Deregistration, Server};
use crs_store::{Found, Registration, Topic};
use crs_types::{Error, HealthCheck, Index, Node, NodeName, NodeService, QueryOptions, Secret};

/// Where requests of the agent itself go. One method per question, so that a way over the network has little to carry.
#[derive(Clone, Debug)]
pub enum Servers {
    /// This agent is a server.
    Local(Arc<Server>),
}

/// A node with all that the catalog has on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeRecords {
    pub(crate) node: Option<Node>,
    pub(crate) services: Vec<NodeService>,
    pub(crate) checks: Vec<HealthCheck>,
}

impl Servers {
    /// Registers with a token's rights.
    pub(crate) async fn register(
        &self,
        registration: Registration,
        token: &Secret<String>,
    ) -> Result<(), Error> {
        match self {
            Servers::Local(server) => server.register(&authorizer(token), registration).await,
        }
    }

    /// Deregisters with a token's rights.
    pub(crate) async fn deregister(&self, what: Deregistration, token: &Secret<String>) -> Result<(), Error> {
        match self {
            Servers::Local(server) => server.deregister(&authorizer(token), what).await,
        }
    }

    /// A node as the leader sees it.
    pub(crate) async fn node_records(&self, name: &NodeName) -> Result<NodeRecords, Error> {
        match self {
            Servers::Local(server) => {
                let topic = Topic::Node(name.folded());
                let answer = server.query(&QueryOptions::default(), topic, |state| state.node(name)).await?;
                let Some(view) = answer.value else { return Ok(NodeRecords::default()) };
                let checks = answer.state.node_checks(name).value;
                Ok(NodeRecords {
                    node: Some(view.node.value.clone()),
                    services: view.services.iter().map(|service| service.value.clone()).collect(),
                    checks: checks.iter().map(|check| check.value.clone()).collect(),
                })
            }
        }
    }

    /// The checks of a node; with a minimum index, waits until they changed.
    pub(crate) async fn node_checks(
        &self,
        name: &NodeName,
        min_index: Index,
    ) -> Result<Found<Vec<HealthCheck>>, Error> {
        match self {
            Servers::Local(server) => {
                let options = QueryOptions { min_index, ..QueryOptions::default() };
                let topic = Topic::NodeChecks(name.folded());
                let answer = server.query(&options, topic, |state| state.node_checks(name)).await?;
                let checks = answer.value.iter().map(|check| check.value.clone()).collect();
                Ok(Found { index: answer.meta.index, value: checks })
            }
        }
    }

    /// How many nodes the catalog has, as far as known here.
    pub(crate) fn cluster_size(&self) -> usize {
        match self {
            Servers::Local(server) => server.published().state().nodes().value.count(),
        }
    }

    /// This process as a server, if it is one.
    pub fn local(&self) -> Option<&Arc<Server>> {
        match self {
            Servers::Local(server) => Some(server),
        }
    }
}

/// The rights of a token. ACLs are not built yet: everything is allowed, as Consul does with ACLs off.
fn authorizer(_token: &Secret<String>) -> Authorizer {
    Authorizer::allow_all()
}
