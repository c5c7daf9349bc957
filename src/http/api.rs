//! What every handler may use: the server, and the agent's settings as far as HTTP needs them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crs_acl::Authorizer;
use crs_agent::Agent;
use crs_server::Server;
use crs_types::{Datacenter, Error, NodeName, Secret};
use http::header::{HeaderName, HeaderValue};

/// Settings of the HTTP API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The agent's datacenter.
    pub datacenter: Datacenter,
    /// The agent's node, for `near=_agent`.
    pub node: NodeName,
    /// Dev mode: all JSON is pretty.
    pub pretty: bool,
    /// The web page is on: `/` leads there.
    pub ui: bool,
    /// `acl.enabled`.
    pub acl_enabled: bool,
    /// `acl.tokens.default`: the token of requests without one.
    pub default_token: Secret<String>,
    /// `limits.kv_max_value_size`.
    pub kv_max_value_size_bytes: usize,
    /// `limits.txn_max_req_len`.
    pub txn_max_req_len_bytes: usize,
    /// `discovery_max_stale`: default reads of catalog and health may be this old; zero: ask the leader.
    pub discovery_max_stale: Duration,
    /// `http_config.use_cache`.
    pub use_cache: bool,
    /// `http_config.response_headers`, and what else goes on every answer.
    pub response_headers: Vec<(HeaderName, HeaderValue)>,
    /// `http_config.block_endpoints`: path prefixes answered 403.
    pub block_endpoints: Vec<String>,
    /// `http_config.allow_write_http_from` as network and prefix length; empty: everyone.
    pub allow_write_from: Vec<(IpAddr, u8)>,
    /// `disable_http_unprintable_char_filter`.
    pub allow_unprintable_keys: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            datacenter: "dc1".into(),
            node: NodeName::default(),
            pretty: false,
            ui: false,
            acl_enabled: false,
            default_token: Secret::default(),
            kv_max_value_size_bytes: 512 * 1024,
            txn_max_req_len_bytes: 512 * 1024,
            discovery_max_stale: Duration::ZERO,
            use_cache: true,
            response_headers: Vec::new(),
            block_endpoints: Vec::new(),
            allow_write_from: Vec::new(),
            allow_unprintable_keys: false,
        }
    }
}

/// The context of all handlers. Shared by reference.
pub struct Api {
    settings: Settings,
    server: Arc<Server>,
    agent: Option<Arc<Agent>>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Api {
    /// The API of this server.
    pub fn new(settings: Settings, server: Arc<Server>) -> Api {
        Api { settings, server, agent: None }
    }

    /// With the agent that runs in this process.
    pub fn with_agent(self, agent: Arc<Agent>) -> Api {
        Api { agent: Some(agent), ..self }
    }

    /// The agent that runs in this process.
    pub fn agent(&self) -> Option<&Arc<Agent>> {
        self.agent.as_ref()
    }

    /// How it is configured.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The server that answers.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// What a token may do. With ACLs off, everything, whatever the token.
    ///
    /// # Errors
    /// `ACL not found` for a token that does not exist.
    pub fn authorizer(&self, _token: &Secret<String>) -> Result<Authorizer, Error> {
        Ok(Authorizer::allow_all())
    }
}
