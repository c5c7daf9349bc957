//! Requests and answers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;

use crate::Error;
use crate::config::ClientConfig;
use crate::connect::{ConnectError, Connector};

/// Largest answer that is collected. A list of a large catalog has tens of megabytes.
const MAX_BODY_BYTES: usize = 512 << 20;
/// How long an answer may take beyond what the request itself asks to wait.
const PATIENCE: Duration = Duration::from_secs(60);
/// Redirects followed, as in Go's client.
const MAX_REDIRECTS: usize = 10;

/// Speaks to one agent. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    config: ClientConfig,
    pool: Pool<Connector, Full<Bytes>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("address", &self.config.address).finish_non_exhaustive()
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Response {
    /// `X-Consul-Index`; 0 where there is none.
    pub fn index(&self) -> u64 {
        self.header("x-consul-index").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// A header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    /// When it is not of that shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| Error::Decode(error.to_string()))
    }

    /// This answer, if its status is 200.
    ///
    /// # Errors
    /// [`Error::Status`] with Consul's text.
    pub fn ok(self) -> Result<Response, Error> {
        if self.status == 200 {
            Ok(self)
        } else {
            Err(Error::Status { code: self.status, body: self.text() })
        }
    }
}

/// An answer whose body comes piece by piece.
#[derive(Debug)]
pub struct Streamed {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    body: Incoming,
    what: (String, String),
}

impl Streamed {
    /// The next piece; `None` at the end. Cancelling loses nothing.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => return Err(transport(&self.what, error.to_string())),
            }
        }
    }

    /// Everything that is left.
    ///
    /// # Errors
    /// When the connection breaks, or the body is larger than what is collected.
    pub async fn collect(mut self) -> Result<Response, Error> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.chunk().await? {
            if body.len() + piece.len() > MAX_BODY_BYTES {
                return Err(transport(
                    &self.what,
                    format!("the answer has more than {MAX_BODY_BYTES} bytes"),
                ));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Response { status: self.status, headers: self.headers, body: body.freeze() })
    }
}

fn transport((method, url): &(String, String), why: String) -> Error {
    Error::Transport { method: method.clone(), url: url.clone(), why }
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// When certificates cannot be read.
    pub fn new(config: ClientConfig) -> Result<Client, Error> {
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(Connector::new(&config)?);
        Ok(Client { config, pool })
    }

    /// How it was set up.
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// GET. `path` is not encoded yet; see [`Client::send`].
    ///
    /// # Errors
    /// No answer. Any status is an answer: see [`Response::ok`].
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Response, Error> {
        self.send(Method::GET, path, query, Bytes::new()).await
    }

    /// PUT.
    ///
    /// # Errors
    /// No answer.
    pub async fn put(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Response, Error> {
        self.send(Method::PUT, path, query, body.into()).await
    }

    /// DELETE.
    ///
    /// # Errors
    /// No answer.
    pub async fn delete(&self, path: &str, query: &[(&str, &str)]) -> Result<Response, Error> {
        self.send(Method::DELETE, path, query, Bytes::new()).await
    }

    /// Sends a request and collects the answer. The path is percent-encoded here, slashes stay; so are names and values of
    /// the query. A pair with an empty value stands as a bare name.
    ///
    /// # Errors
    /// No answer within the time the request asks to wait (`wait`, 5 minutes where `index` stands alone) and a minute.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response, Error> {
        let patience = patience(query);
        let what = (shown(&method), self.url(path, query));
        let work = async { self.stream(method, path, query, body).await?.collect().await };
        match tokio::time::timeout(patience, work).await {
            Ok(result) => result,
            Err(_) => Err(transport(&what, format!("no answer within {} s", patience.as_secs()))),
        }
    }

    /// Sends a request and returns as soon as the answer begins. No time limit beyond that of the connection.
    ///
    /// # Errors
    /// No answer.
    pub async fn stream(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Streamed, Error> {
        let what = (shown(&method), self.url(path, query));
        let mut target = self.target(path, query);
        for _ in 0..=MAX_REDIRECTS {
            let request = self.request(method.clone(), &target, body.clone())?;
            let response =
                self.pool.request(request).await.map_err(|error| transport(&what, reason(&error)))?;
            let (parts, incoming) = response.into_parts();
            let elsewhere = parts.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
            match elsewhere {
                Some(to) if parts.status.is_redirection() && method == Method::GET && to.starts_with('/') => {
                    target = to.to_owned();
                }
                _ => {
                    return Ok(Streamed {
                        status: parts.status.as_u16(),
                        headers: parts.headers,
                        body: incoming,
                        what,
                    });
                }
            }
        }
        Err(transport(&what, format!("stopped after {MAX_REDIRECTS} redirects")))
    }

    fn request(&self, method: Method, target: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Error> {
        let uri = format!("http://{}{target}", self.config.address.authority());
        let mut request = Request::builder().method(method).uri(uri);
        let bad = |what: &str| Error::Setup(format!("{what} holds characters that no HTTP header can carry"));
        if !self.config.token.is_empty() {
            let mut value =
                HeaderValue::from_str(self.config.token.reveal()).map_err(|_| bad("the token"))?;
            value.set_sensitive(true);
            request = request.header("x-consul-token", value);
        }
        if !self.config.basic_auth.is_empty() {
            let value = format!("Basic {}", STANDARD.encode(self.config.basic_auth.reveal()));
            let mut value = HeaderValue::from_str(&value).map_err(|_| bad("the authentication"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(Full::new(body)).map_err(|error| Error::Setup(format!("{target}: {error}")))
    }

    fn target(&self, path: &str, query: &[(&str, &str)]) -> String {
        let mut pairs = query.to_vec();
        for (name, value) in [("dc", &self.config.datacenter), ("ns", &self.config.namespace)] {
            if !value.is_empty() && !pairs.iter().any(|(known, _)| *known == name) {
                pairs.push((name, value));
            }
        }
        // Go sorts the names.
        pairs.sort_by(|a, b| a.0.cmp(b.0));
        let mut out = String::new();
        encode(path, b"-._~$&+,/:;=@", &mut out);
        for (n, (name, value)) in pairs.iter().enumerate() {
            out.push(if n == 0 { '?' } else { '&' });
            encode(name, b"-._~", &mut out);
            out.push('=');
            encode(value, b"-._~", &mut out);
        }
        out
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> String {
        self.config.address.base() + &self.target(path, query)
    }
}

fn shown(method: &Method) -> String {
    let name = method.as_str().to_ascii_lowercase();
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

/// Percent-encodes everything but letters, digits and `plain`.
fn encode(text: &str, plain: &[u8], out: &mut String) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn patience(query: &[(&str, &str)]) -> Duration {
    let find = |name: &str| query.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let wait = match (find("wait"), find("index")) {
        (Some(wait), _) => crs_types::parse_duration(wait).unwrap_or_default(),
        (None, Some(_)) => Duration::from_secs(300),
        (None, None) => Duration::ZERO,
    };
    // Agents add up to a sixteenth so that watchers do not all return at once.
    wait + wait / 16 + PATIENCE
}

/// The innermost reason of a failed request.
fn reason(error: &hyper_util::client::legacy::Error) -> String {
    let mut source: &dyn std::error::Error = error;
    loop {
        if let Some(connect) = source.downcast_ref::<ConnectError>() {
            return connect.0.clone();
        }
        match source.source() {
            Some(inner) => source = inner,
            None => {
                return match source.downcast_ref::<std::io::Error>() {
                    Some(error) => crate::error::system_text(error),
                    // What Go says when the connection ends before the answer.
                    None if source.to_string().contains("before message completed") => "EOF".into(),
                    None => source.to_string(),
                };
            }
        }
    }
}
