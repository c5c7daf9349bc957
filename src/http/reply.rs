//! What a handler answers, and how it becomes bytes and headers.

use std::io::Write as _;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use crs_types::{Consistency, QueryMeta};
use http::header::{
    AGE, ALLOW, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};

use crate::error::Failure;
use crate::json;

const X_CONSUL_INDEX: HeaderName = HeaderName::from_static("x-consul-index");
const X_CONSUL_KNOWNLEADER: HeaderName = HeaderName::from_static("x-consul-knownleader");
const X_CONSUL_LASTCONTACT: HeaderName = HeaderName::from_static("x-consul-lastcontact");
const X_CONSUL_EFFECTIVE_CONSISTENCY: HeaderName = HeaderName::from_static("x-consul-effective-consistency");
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");
const ZERO: HeaderValue = HeaderValue::from_static("0");

/// Below this a compressed answer saves less than it costs.
const GZIP_FROM_BYTES: usize = 1024;

/// An answer before it is encoded for its client.
#[derive(Debug)]
pub struct Reply {
    /// As a rule 200; some answers with content have another.
    pub status: StatusCode,
    /// What comes after the headers.
    pub content: Content,
    /// How a read was made.
    pub meta: Option<Meta>,
    /// Whatever else this answer carries.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Content {
    /// Nothing.
    Empty,
    /// Compact JSON; pretty where the client or the agent's mode wants it so.
    Json(Vec<u8>),
    /// Plain text.
    Text(String),
    /// Bytes as they are, with a type, or none.
    Bytes(Bytes, Option<HeaderValue>),
    /// Bytes as they come.
    Stream(Body, Option<HeaderValue>),
}

/// How a read was made.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// Index, leader, age.
    pub query: QueryMeta,
    /// Endpoints of catalog and health tell it, KV does not.
    pub consistency: Option<Consistency>,
    /// The client asked for the agent's cache. The state is local and current: always a hit of age 0.
    pub cached: bool,
}

impl Reply {
    fn new(content: Content) -> Reply {
        Reply { status: StatusCode::OK, content, meta: None, headers: Vec::new() }
    }

    /// 200 without a body.
    pub fn empty() -> Reply {
        Reply::new(Content::Empty)
    }

    /// 200 with compact JSON.
    pub fn json(compact: Vec<u8>) -> Reply {
        Reply::new(Content::Json(compact))
    }

    /// 200 with `true` or `false`.
    pub fn bool(value: bool) -> Reply {
        Reply::json(if value { b"true".to_vec() } else { b"false".to_vec() })
    }

    /// 200 with text.
    pub fn text(text: impl Into<String>) -> Reply {
        Reply::new(Content::Text(text.into()))
    }

    /// 200 with bytes.
    pub fn bytes(bytes: Bytes, content_type: Option<HeaderValue>) -> Reply {
        Reply::new(Content::Bytes(bytes, content_type))
    }

    /// 200 with bytes as they come.
    pub fn stream(body: Body, content_type: Option<HeaderValue>) -> Reply {
        Reply::new(Content::Stream(body, content_type))
    }

    /// With another status.
    pub fn with_status(mut self, status: StatusCode) -> Reply {
        self.status = status;
        self
    }

    /// With the headers of a read.
    pub fn with_meta(mut self, meta: Meta) -> Reply {
        self.meta = Some(meta);
        self
    }

    /// With one more header.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Reply {
        self.headers.push((name, value));
        self
    }

    /// The headers of a read that has no index.
    pub(crate) fn showing_leader(self) -> Reply {
        self.with_header(X_CONSUL_KNOWNLEADER, HeaderValue::from_static("true"))
            .with_header(X_CONSUL_LASTCONTACT, ZERO)
    }

    /// The headers of an answer from the agent's cache.
    pub(crate) fn cache_hit(self) -> Reply {
        self.with_header(X_CACHE, HeaderValue::from_static("HIT")).with_header(AGE, ZERO)
    }

    /// The protections that Consul puts on raw values, so that a browser runs nothing of them.
    pub(crate) fn sandboxed(self) -> Reply {
        self.with_header(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
            .with_header(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"))
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        let content = match failure.text {
            text if text.is_empty() => Content::Empty,
            text => Content::Text(text.into_owned()),
        };
        let meta = failure.shows_index.then(|| Meta {
            query: QueryMeta::default(),
            consistency: None,
            cached: false,
        });
        Reply { status: failure.status, content, meta, headers: Vec::new() }
    }
}

/// What the client and the agent want of the encoding.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Encoding {
    pub(crate) pretty: bool,
    pub(crate) gzip: bool,
}

impl Reply {
    /// The answer as it leaves.
    pub(crate) fn into_response(self, encoding: Encoding, extra: &[(HeaderName, HeaderValue)]) -> Response {
        let mut headers = HeaderMap::with_capacity(8);
        let (mut bytes, content_type) = match self.content {
            Content::Empty => (Bytes::new(), None),
            Content::Json(compact) if encoding.pretty => (json::pretty(&compact).into(), Some(JSON)),
            Content::Json(compact) => (compact.into(), Some(JSON)),
            Content::Text(text) => (text.into(), Some(PLAIN)),
            Content::Bytes(bytes, content_type) => (bytes, content_type),
            Content::Stream(body, content_type) => {
                headers.insert(VARY, ACCEPT_ENCODING);
                headers.extend(content_type.map(|value| (CONTENT_TYPE, value)));
                headers.extend(extra.iter().cloned().chain(self.headers));
                return respond(self.status, headers, body);
            }
        };
        headers.insert(VARY, ACCEPT_ENCODING);
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, content_type);
        }
        if let Some(meta) = self.meta {
            meta.insert_into(&mut headers);
        }
        for (name, value) in extra.iter().cloned().chain(self.headers) {
            headers.insert(name, value);
        }
        if encoding.gzip && bytes.len() >= GZIP_FROM_BYTES {
            bytes = gzip(&bytes);
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let body = if bytes.is_empty() { Body::empty() } else { Body::from(bytes) };
        respond(self.status, headers, body)
    }
}

fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

impl Meta {
    fn insert_into(&self, headers: &mut HeaderMap) {
        let query = &self.query;
        headers.insert(X_CONSUL_INDEX, query.index.shown().into());
        let known_leader = if query.known_leader { "true" } else { "false" };
        headers.insert(X_CONSUL_KNOWNLEADER, HeaderValue::from_static(known_leader));
        let contact = match query.last_contact.as_millis() {
            0 => ZERO,
            ms => HeaderValue::from(u64::try_from(ms).unwrap_or(u64::MAX)),
        };
        headers.insert(X_CONSUL_LASTCONTACT, contact);
        if let Some(consistency) = self.consistency {
            let word = match consistency {
                Consistency::Default => "leader",
                Consistency::Consistent => "consistent",
                Consistency::Stale => "stale",
            };
            headers.insert(X_CONSUL_EFFECTIVE_CONSISTENCY, HeaderValue::from_static(word));
        }
        if self.cached {
            headers.insert(X_CACHE, HeaderValue::from_static("HIT"));
            headers.insert(AGE, ZERO);
        }
    }
}

/// At the level that costs least: the answers of the catalog repeat themselves so much that more gains little.
fn gzip(bytes: &[u8]) -> Bytes {
    let out = Vec::with_capacity(bytes.len() / 4);
    let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail").into()
}

/// 405 with what is allowed, or the answer to OPTIONS.
pub(crate) fn method_not_allowed(method: &http::Method, allow: &HeaderValue) -> Reply {
    let reply = if method == http::Method::OPTIONS {
        Reply::empty()
    } else {
        Reply::text(format!("method {method} not allowed")).with_status(StatusCode::METHOD_NOT_ALLOWED)
    };
    reply.with_header(ALLOW, allow.clone())
}
