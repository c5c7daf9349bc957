//! Finding the handler of a request: the table's index, and the duties that no handler should have to think of.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use axum::response::Response;
use crs_acl::{Access, Resource};
use http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_TYPE, HeaderValue, LOCATION};
use http::request::Parts;
use http::{Method, StatusCode};
use tracing::{Level, debug, enabled, error};

use crate::api::{Api, Settings};
use crate::call::{Call, Outcome, Peer};
use crate::error::Failure;
use crate::params::{Params, clean_path, escape_path, unescape_bytes};
use crate::reply::{Encoding, Reply, method_not_allowed};
use crate::table::ROUTES;

/// A running handler.
pub type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A handler: a plain function, so that the table is a constant.
pub type Handler = fn(Call) -> Running;

/// What a caller must be allowed to do, for the table of rights that the tests walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    /// Nothing.
    None,
    /// This, or the request fails.
    Required(Resource, Access),
    /// This for each record shown; the others are left out.
    Filtered(Resource, Access),
}

/// One row of the table.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path; one that ends in `/` stands for everything below it.
    pub path: &'static str,
    /// Who may.
    pub right: Right,
    /// Who does.
    pub handler: Handler,
}

/// The methods of one path.
struct Methods {
    handlers: Vec<(Method, Handler)>,
    allow: HeaderValue,
}

/// The table, indexed by path.
pub struct Router {
    paths: HashMap<&'static str, Methods>,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").field("paths", &self.paths.len()).finish_non_exhaustive()
    }
}

enum Found<'a> {
    /// The methods there, and where the rest of the path begins.
    Path(&'a Methods, usize),
    /// A subtree was named without its slash.
    NeedsSlash,
    Nothing,
}

impl Default for Router {
    fn default() -> Self {
        Router::new()
    }
}

impl Router {
    /// The table of this crate.
    pub fn new() -> Router {
        let mut paths: HashMap<&'static str, Vec<(Method, Handler)>> = HashMap::new();
        for route in ROUTES {
            paths.entry(route.path).or_default().push((route.method.clone(), route.handler));
        }
        let paths = paths.into_iter().map(|(path, handlers)| {
            let names = handlers.iter().map(|(method, _)| format!(",{method}")).collect::<String>();
            let allow = HeaderValue::try_from(format!("OPTIONS{names}")).expect("method names are tokens");
            (path, Methods { handlers, allow })
        });
        Router { paths: paths.collect() }
    }

    /// As Go's mux: the path itself, or else the longest subtree that holds it.
    fn find(&self, path: &str) -> Found<'_> {
        if let Some(methods) = self.paths.get(path) {
            return Found::Path(methods, path.len());
        }
        let mut end = path.len();
        while let Some(slash) = path[..end].rfind('/') {
            if slash == 0 {
                break;
            }
            if let Some(methods) = self.paths.get(&path[..=slash]) {
                return Found::Path(methods, slash + 1);
            }
            end = slash;
        }
        if !path.ends_with('/') && self.paths.contains_key(format!("{path}/").as_str()) {
            return Found::NeedsSlash;
        }
        Found::Nothing
    }

    /// Answers a request.
    pub async fn serve(&self, api: &Arc<Api>, peer: Peer, parts: Parts, body: Body) -> Response {
        let began = enabled!(target: "agent.http", Level::DEBUG).then(Instant::now);
        let log = LogLine { parts: began.map(|_| (parts.method.clone(), masked_url(&parts.uri))), peer };
        let Some(path) = decoded_path(parts.uri.path()) else {
            // Go refuses such a request before any handler sees it.
            let mut response = Response::new(Body::from("400 Bad Request"));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
            return response;
        };
        if let Some(clean) = clean_path(&path) {
            return moved(&parts, &clean);
        }
        if path == "/" {
            return index(&parts.method, api.settings().ui);
        }
        let (methods, rest_at) = match self.find(&path) {
            Found::Path(methods, rest_at) => (methods, rest_at),
            Found::NeedsSlash => return moved(&parts, &format!("{path}/")),
            Found::Nothing => return not_found(),
        };
        let encoding_wanted = accepts_gzip(&parts);
        let Parts { method, uri, headers, .. } = parts;
        let params = Params::parse(uri.query());
        let encoding =
            Encoding { pretty: api.settings().pretty || params.has("pretty"), gzip: encoding_wanted };
        let handler = methods.handlers.iter().find(|(allowed, _)| *allowed == method);
        let outcome = match (blocked(api.settings(), &method, &path, peer), handler) {
            (Some(failure), _) => Err(failure),
            (None, None) => Ok(method_not_allowed(&method, &methods.allow)),
            (None, Some((_, handler))) => {
                let call = Call {
                    api: api.clone(),
                    method,
                    path,
                    rest_at,
                    params,
                    headers,
                    body: body.into(),
                    peer,
                };
                caught(handler, call).await
            }
        };
        log.finish(began, outcome.as_ref().err());
        let reply = outcome.unwrap_or_else(Reply::from);
        reply.into_response(encoding, &api.settings().response_headers)
    }
}

/// Decodes the path. A key is text: what is not UTF-8 is kept apart by replacement characters, which no key of ours has.
fn decoded_path(path: &str) -> Option<String> {
    if !path.contains('%') {
        return Some(path.to_owned());
    }
    let bytes = unescape_bytes(path, false)?;
    Some(
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

fn accepts_gzip(parts: &Parts) -> bool {
    let Some(value) = parts.headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    value.split(',').any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = parameters.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// `block_endpoints` and `allow_write_http_from`.
fn blocked(settings: &Settings, method: &Method, path: &str, peer: Peer) -> Option<Failure> {
    if settings.block_endpoints.iter().any(|prefix| path.starts_with(prefix.as_str())) {
        return Some(Failure::new(StatusCode::FORBIDDEN, "Endpoint is blocked by agent configuration"));
    }
    let writes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if !writes || settings.allow_write_from.is_empty() {
        return None;
    }
    let allowed = match peer {
        Peer::Tcp(address) => {
            let ip = address.ip().to_canonical();
            settings.allow_write_from.iter().any(|(network, bits)| within(ip, *network, *bits))
        }
        Peer::Unix => false,
    };
    (!allowed).then(|| Failure::new(StatusCode::FORBIDDEN, "Access is restricted"))
}

fn within(ip: std::net::IpAddr, network: std::net::IpAddr, bits: u8) -> bool {
    use std::net::IpAddr::{V4, V6};
    match (ip, network) {
        (V4(ip), V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            (ip.to_bits() ^ network.to_bits()) & mask == 0
        }
        (V6(ip), V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            (ip.to_bits() ^ network.to_bits()) & mask == 0
        }
        _ => false,
    }
}

/// The root: the web page, or a word that tells what this is.
fn index(method: &Method, ui: bool) -> Response {
    if ui {
        return redirect(method, "/ui/");
    }
    let mut response = Response::new(Body::from("Consul Agent"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// 301 as Go's mux writes it: a page for GET, nothing else for the others.
fn moved(parts: &Parts, path: &str) -> Response {
    let mut location = escape_path(path);
    if let Some(query) = parts.uri.query() {
        location.push('?');
        location.push_str(query);
    }
    redirect(&parts.method, &location)
}

/// 301 to a URL.
pub(crate) fn redirect(method: &Method, location: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(value) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, value);
    }
    if *method == Method::GET || *method == Method::HEAD {
        let mut text = String::new();
        for c in location.chars() {
            match c {
                '&' => text.push_str("&amp;"),
                '<' => text.push_str("&lt;"),
                '>' => text.push_str("&gt;"),
                '"' => text.push_str("&#34;"),
                '\'' => text.push_str("&#39;"),
                c => text.push(c),
            }
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        *response.body_mut() = Body::from(format!("<a href=\"{text}\">Moved Permanently</a>.\n\n"));
    }
    response
}

/// Unknown paths answer nothing at all, not even `Vary`.
fn not_found() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// Runs a handler; a panic in it is this request's failure, not the agent's.
fn caught(handler: &Handler, call: Call) -> Caught {
    Caught(handler(call))
}

struct Caught(Running);

impl Future for Caught {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        // The future is not polled again after a panic: it ends here.
        match catch_unwind(AssertUnwindSafe(|| crs_agent::caught(|| self.0.as_mut().poll(cx)))) {
            Ok(poll) => poll,
            Err(_) => {
                error!(target: "agent.http", "A handler panicked; the request answers 500");
                Poll::Ready(Err(Failure::refused("Internal error: the request failed, the agent goes on")))
            }
        }
    }
}

/// What is logged of a request; nothing is prepared unless somebody reads it.
struct LogLine {
    parts: Option<(Method, String)>,
    peer: Peer,
}

impl LogLine {
    fn finish(self, began: Option<Instant>, failure: Option<&Failure>) {
        let (Some((method, url)), Some(began)) = (self.parts, began) else { return };
        let latency = began.elapsed();
        match failure {
            Some(failure) => {
                debug!(target: "agent.http", %method, %url, from = %self.peer, ?latency, error = %failure.text, "Request error");
            }
            None => {
                debug!(target: "agent.http", %method, %url, from = %self.peer, ?latency, "Request finished");
            }
        }
    }
}

/// The URL for the log: without the token, and without ids of tokens in the path.
fn masked_url(uri: &http::Uri) -> String {
    let mut url = String::from(uri.path());
    const TOKEN_PATHS: [&str; 4] = ["/v1/acl/create", "/v1/acl/clone/", "/v1/acl/info/", "/v1/acl/destroy/"];
    if let Some(path) = TOKEN_PATHS.iter().find(|path| url.starts_with(**path)) {
        url.truncate(path.len());
        url.push_str("<hidden>");
    }
    if let Some(query) = uri.query() {
        for (at, pair) in query.split('&').enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            let (name, _) = pair.split_once('=').unwrap_or((pair, ""));
            let is_token = unescape_bytes(name, true).is_some_and(|name| name.eq_ignore_ascii_case(b"token"));
            if is_token {
                url.push_str("token=<hidden>");
            } else {
                url.push_str(pair);
            }
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_do_not_reach_the_log() {
        let uri = |text: &str| masked_url(&text.parse().unwrap());
        assert_eq!(uri("/v1/kv/a?token=secret&raw"), "/v1/kv/a?token=<hidden>&raw");
        assert_eq!(uri("/v1/kv/a?raw&%74oken=secret"), "/v1/kv/a?raw&token=<hidden>");
        assert_eq!(uri("/v1/acl/info/secret"), "/v1/acl/info/<hidden>");
    }

    #[test]
    fn networks_hold_their_addresses() {
        let within =
            |ip: &str, network: &str, bits| within(ip.parse().unwrap(), network.parse().unwrap(), bits);
        assert!(within("10.1.2.3", "10.1.0.0", 16) && !within("10.2.2.3", "10.1.0.0", 16));
        assert!(within("10.1.2.3", "0.0.0.0", 0) && !within("::1", "0.0.0.0", 0));
        assert!(within("::1", "::1", 128) && !within("::2", "::1", 128));
    }

    #[test]
    fn every_route_has_one_row() {
        let mut rows: Vec<_> = ROUTES.iter().map(|route| (route.path, route.method.as_str())).collect();
        let count = rows.len();
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows.len(), count, "a method of a path is listed twice");
        for route in ROUTES {
            assert!(route.path.starts_with('/'), "{}", route.path);
        }
    }

    #[test]
    fn the_longest_subtree_wins() {
        let router = Router::new();
        let rest = |path: &'static str| match router.find(path) {
            Found::Path(_, at) => Some(&path[at..]),
            Found::NeedsSlash => Some("slash"),
            Found::Nothing => None,
        };
        assert_eq!(rest("/v1/kv/a/b"), Some("a/b"));
        assert_eq!(rest("/v1/kv/"), Some(""));
        assert_eq!(rest("/v1/kv"), Some("slash"));
        assert_eq!(rest("/v1/catalog/nodes"), Some(""));
        assert_eq!(rest("/v1/catalog/nodes/"), None);
        assert_eq!(rest("/nope"), None);
    }

    #[tokio::test]
    async fn a_panic_is_a_500() {
        let outcome = Caught(Box::pin(async { panic!("on purpose") })).await;
        assert_eq!(outcome.unwrap_err().status, StatusCode::INTERNAL_SERVER_ERROR);
    }
}
