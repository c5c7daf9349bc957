//! `/v1/agent/`: what this agent runs, how it is doing, and its life.

mod checks;
mod debug_config;
mod health;
mod host;
mod life;
mod metrics;
mod monitor;
mod services;
mod this;

use std::sync::Arc;

use crs_acl::{Access, Resource};
use crs_agent::Agent;
use crs_types::{HealthCheck, Index, NodeService};
use http::StatusCode;

use crate::call::Call;
use crate::error::Failure;
use crate::filter::{self, Filter, Record};
use crate::json;

pub(crate) use checks::{
    deregister as deregister_check, fail, list as checks, pass, register as register_check, update, warn,
};
pub(crate) use health::{by_id as health_by_id, by_name as health_by_name};
pub(crate) use host::host;
pub(crate) use life::{force_leave, join, leave, maintenance, reload};
pub(crate) use metrics::metrics;
pub(crate) use monitor::monitor;
pub(crate) use services::{
    deregister as deregister_service, list as services, maintenance as service_maintenance, one as service,
    register as register_service,
};
pub(crate) use this::{members, this};

impl Call {
    /// The agent that this process runs.
    ///
    /// # Errors
    /// 501 where this process serves a datacenter without being an agent.
    pub(crate) fn agent(&self) -> Result<&Arc<Agent>, Failure> {
        self.api
            .agent()
            .ok_or_else(|| Failure::new(StatusCode::NOT_IMPLEMENTED, "There is no agent in this process"))
    }

    /// The right on this agent's own node, or the request fails.
    fn require_on_own_node(&self, resource: Resource, access: Access) -> Result<(), Failure> {
        let name = self.agent()?.config().node_name.clone();
        self.authorizer()?.require(resource, name.as_str(), access)?;
        Ok(())
    }
}

/// `?filter=`. Here an error shows no index: nothing was read from the catalog.
fn compile_filter(call: &Call, sample: &dyn Record) -> Result<Option<Filter>, Failure> {
    let compiled = filter::compile(call.param("filter"), sample);
    compiled.map_err(|failure| Failure { shows_index: false, ..failure })
}

/// A service as the agent shows it: other order and other omissions than the catalog's.
fn push_agent_service(out: &mut Vec<u8>, service: &NodeService, content_hash: Option<&str>) {
    let mut text = |key: &str, value: &str| {
        out.extend_from_slice(key.as_bytes());
        json::push_string(out, value);
    };
    if service.kind.is_empty() {
        text("{\"ID\":", service.id.as_str());
    } else {
        text("{\"Kind\":", &service.kind);
        text(",\"ID\":", service.id.as_str());
    }
    text(",\"Service\":", service.service.as_str());
    out.extend_from_slice(b",\"Tags\":");
    json::push_list(out, &service.tags, |out, tag| json::push_string(out, tag));
    out.extend_from_slice(b",\"Meta\":");
    let meta = service.meta.iter().flatten().map(|(key, value)| (key.as_str(), value));
    json::push_map(out, meta, |out, value| json::push_string(out, value));
    out.extend_from_slice(b",\"Port\":");
    json::push_int(out, service.port);
    out.extend_from_slice(b",\"Address\":");
    json::push_string(out, &service.address);
    if !service.tagged_addresses.is_empty() {
        out.extend_from_slice(b",\"TaggedAddresses\":");
        let tagged = service.tagged_addresses.iter().map(|(tag, address)| (tag.as_str(), address));
        json::push_map(out, tagged, |out, address| {
            out.extend_from_slice(b"{\"Address\":");
            json::push_string(out, &address.address);
            out.extend_from_slice(b",\"Port\":");
            json::push_int(out, address.port);
            out.push(b'}');
        });
    }
    out.extend_from_slice(b",\"Weights\":{\"Passing\":");
    json::push_int(out, service.weights.passing);
    out.extend_from_slice(b",\"Warning\":");
    json::push_int(out, service.weights.warning);
    out.extend_from_slice(b"},\"EnableTagOverride\":");
    json::push_bool(out, service.enable_tag_override);
    if let Some(hash) = content_hash {
        out.extend_from_slice(b",\"ContentHash\":");
        json::push_string(out, hash);
    }
    for (key, value) in [(",\"Proxy\":", &service.proxy), (",\"Connect\":", &service.connect)] {
        if !value.is_empty() {
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(value.as_bytes());
        }
    }
    out.push(b'}');
}

/// A check as the agent lists it.
fn push_agent_check(out: &mut Vec<u8>, check: &HealthCheck) {
    json::push_check_value(out, check, Index::ZERO, Index::ZERO);
}
