//! One request on its way to its handler.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use crs_acl::Authorizer;
use crs_types::{Error, ErrorKind, Secret};
use http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::api::{Api, Settings};
use crate::error::Failure;
use crate::options::{ReadOptions, datacenter, read_options};
use crate::params::Params;
use crate::reply::{Meta, Reply};

const X_CONSUL_TOKEN: HeaderName = HeaderName::from_static("x-consul-token");

/// Consul has no limit on the JSON bodies of registrations; ours is far above any that makes sense.
pub const MAX_JSON_BODY_BYTES: usize = 8 * 1024 * 1024;

/// A body that takes longer holds memory and a connection for nothing.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Who sent a request, as far as the socket tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An IP socket.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Unix => f.write_str("@"),
        }
    }
}

/// A request with what the router found out about it.
#[derive(Debug)]
pub struct Call {
    /// The context.
    pub api: Arc<Api>,
    /// Its method.
    pub method: Method,
    /// The decoded path.
    pub path: String,
    /// Where in the path the part after the route begins.
    pub(crate) rest_at: usize,
    /// The query string.
    pub(crate) params: Params,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, unread. The lock is never taken: it only makes a call shareable.
    pub(crate) body: Mutex<Body>,
    /// Who sent it.
    pub peer: Peer,
}

impl Call {
    /// The part of the path after the route: a key, a name, an id.
    pub fn rest(&self) -> &str {
        self.path.get(self.rest_at..).unwrap_or("")
    }

    /// The first value of a query parameter; empty where it is not there.
    pub fn param(&self, name: &str) -> &str {
        self.params.get(name)
    }

    /// Whether a query parameter is there.
    pub fn has_param(&self, name: &str) -> bool {
        self.params.has(name)
    }

    /// All values of a query parameter.
    pub fn params<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.params.all(name)
    }

    /// The agent's settings.
    pub fn settings(&self) -> &Settings {
        self.api.settings()
    }

    /// The token: of the query, of `X-Consul-Token`, of `Authorization: Bearer`, or the agent's default.
    pub fn token(&self) -> Secret<String> {
        let header = |name: HeaderName| self.headers.get(name).and_then(|value| value.to_str().ok());
        let query = self.params.get("token");
        if !query.is_empty() {
            return query.into();
        }
        if let Some(token) = header(X_CONSUL_TOKEN).filter(|token| !token.is_empty()) {
            return token.into();
        }
        let bearer = header(AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        match bearer.filter(|token| !token.is_empty()) {
            Some(token) => token.into(),
            None => self.settings().default_token.clone(),
        }
    }

    /// What the caller may do.
    ///
    /// # Errors
    /// An unknown token.
    pub fn authorizer(&self) -> Result<Authorizer, Failure> {
        if !self.settings().acl_enabled {
            return Ok(Authorizer::allow_all());
        }
        Ok(self.api.authorizer(&self.token())?)
    }

    /// The options of a read of KV, sessions and the like.
    ///
    /// # Errors
    /// Consul's texts, 400.
    pub(crate) fn read_options(&self) -> Result<ReadOptions, Failure> {
        let mut options = read_options(&self.params, &self.headers, self.settings(), false)?;
        options.query.token = self.token();
        Ok(options)
    }

    /// The options of a read of catalog and health.
    ///
    /// # Errors
    /// Consul's texts, 400.
    pub(crate) fn discovery_options(&self) -> Result<ReadOptions, Failure> {
        let mut options = read_options(&self.params, &self.headers, self.settings(), true)?;
        options.query.token = self.token();
        Ok(options)
    }

    /// Whether the request is about another datacenter than the agent's.
    ///
    /// # Errors
    /// Consul's text for a datacenter that cannot be reached: all that are not the agent's own, until there is WAN.
    pub fn require_own_datacenter(&self) -> Result<(), Failure> {
        match datacenter(&self.params) {
            Some(dc) => self.require_datacenter(dc.as_str()),
            None => Ok(()),
        }
    }

    /// As [`Call::require_own_datacenter`], for one named in a body.
    ///
    /// # Errors
    /// `No path to datacenter`.
    pub fn require_datacenter(&self, dc: &str) -> Result<(), Failure> {
        if dc.is_empty() || self.settings().datacenter == *dc {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NoPathToDatacenter, "No path to datacenter").into())
    }

    /// Namespaces are not a thing of the open edition; where Consul refuses the parameter, so do we.
    ///
    /// # Errors
    /// Consul's text, 400.
    pub fn refuse_namespace(&self) -> Result<(), Failure> {
        if self.params.get("ns").is_empty() && !self.headers.contains_key("x-consul-namespace") {
            return Ok(());
        }
        Err(Failure::bad_request(
            "Bad request: Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature",
        ))
    }

    /// The body, of at most so many bytes.
    ///
    /// # Errors
    /// 413 with Consul's text, naming `setting`; 400 where the client broke off or took too long.
    pub(crate) async fn read_body(&mut self, max_bytes: usize, setting: &str) -> Result<Bytes, Failure> {
        let too_large = |bytes: &dyn std::fmt::Display| {
            Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "Request body({bytes} bytes) too large, max size: {max_bytes} bytes. See \
                     https://www.consul.io/docs/agent/options.html#{setting}."
                ),
            )
        };
        let declared = self.headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if let Some(bytes) = declared.and_then(|text| text.parse::<u64>().ok())
            && bytes > max_bytes as u64
        {
            return Err(too_large(&bytes));
        }
        let body = std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner));
        let body = Limited::new(body, max_bytes);
        match tokio::time::timeout(BODY_TIMEOUT, body.collect()).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(&"more")),
            Ok(Err(_)) => Err(Failure::bad_request("Request body ended early")),
            Err(_) => Err(Failure::bad_request(format!(
                "Request body took longer than {} seconds",
                BODY_TIMEOUT.as_secs()
            ))),
        }
    }

    /// The body of a request that carries JSON.
    ///
    /// # Errors
    /// As for any body.
    pub async fn read_json_body(&mut self) -> Result<Bytes, Failure> {
        self.read_body(MAX_JSON_BODY_BYTES, "limits").await
    }
}

impl ReadOptions {
    /// The headers of a read of KV, sessions and the like.
    pub(crate) fn meta(&self, query: crs_types::QueryMeta) -> Meta {
        Meta { query, consistency: None, cached: false }
    }

    /// The headers of a read of catalog and health.
    pub(crate) fn discovery_meta(&self, query: crs_types::QueryMeta) -> Meta {
        Meta { query, consistency: Some(self.query.consistency), cached: false }
    }

    /// The same for endpoints that the agent's cache serves.
    pub(crate) fn cacheable_meta(&self, query: crs_types::QueryMeta, settings: &Settings) -> Meta {
        Meta { cached: self.cached && settings.use_cache, ..self.discovery_meta(query) }
    }
}

/// What a handler yields.
pub type Outcome = Result<Reply, Failure>;
