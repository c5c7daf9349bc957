//! HTTP checks: a request whose status code is the result.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::checks::decision::Tail;
use crate::checks::{Outcome, TlsTrust, tcp};

/// Redirects followed, as Go's client does.
const REDIRECTS: usize = 10;
/// Of a body, more than this is not even read.
const BODY_MAX_BYTES: u64 = 1 << 20;

/// What is asked.
pub(super) struct Probe<'a> {
    pub(super) url: &'a str,
    pub(super) method: &'a str,
    pub(super) header: &'a BTreeMap<String, Vec<String>>,
    pub(super) body: &'a str,
    pub(super) tls_skip_verify: bool,
}

pub(super) async fn run(probe: Probe<'_>, trust: &TlsTrust, timeout: Duration, output_max: usize) -> Outcome {
    let method = if probe.method.is_empty() { "GET" } else { probe.method };
    let failed = |text: String| Outcome::critical(format!("{} {:?}: {text}", title(method), probe.url));
    match tokio::time::timeout(timeout, exchange(&probe, method, trust, timeout, output_max)).await {
        Err(_) => failed("context deadline exceeded (Client.Timeout exceeded while awaiting headers)".into()),
        Ok(Err(text)) => failed(text),
        Ok(Ok((status, reason, tail))) => {
            let line = format!("{} {reason}", status.as_str());
            let output = format!("HTTP {method} {}: {} Output: {}", probe.url, line.trim_end(), tail.text());
            match status {
                StatusCode::TOO_MANY_REQUESTS => Outcome::warning(output),
                status if status.is_success() => Outcome::passing(output),
                _ => Outcome::critical(output),
            }
        }
    }
}

/// `GET` becomes `Get`: so Go names a method in front of an error.
fn title(method: &str) -> String {
    let mut letters = method.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters.flat_map(char::to_lowercase)).collect()
    })
}

async fn exchange(
    probe: &Probe<'_>,
    method: &str,
    trust: &TlsTrust,
    timeout: Duration,
    output_max: usize,
) -> Result<(StatusCode, String, Tail), String> {
    let mut method: Method = method.parse().map_err(|_| format!("net/http: invalid method {method:?}"))?;
    let mut uri: Uri = probe.url.parse().map_err(|error| format!("parse {:?}: {error}", probe.url))?;
    let mut body = Bytes::from(probe.body.to_owned());
    for _ in 0..=REDIRECTS {
        let request = build(probe, &method, &uri, body.clone())?;
        let (response, driver) = send(probe, trust, &uri, request, timeout).await?;
        let target = redirect(&response).and_then(|location| resolve(&uri, location));
        if let Some(target) = target {
            let status = response.status();
            if !matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT)
                && method != Method::HEAD
            {
                method = Method::GET;
                body = Bytes::new();
            }
            uri = target;
            continue;
        }
        let status = response.status();
        let reason = reason(&response);
        let tail = read_body(response.into_body(), output_max).await;
        drop(driver);
        return Ok((status, reason, tail));
    }
    Err(format!("stopped after {REDIRECTS} redirects"))
}

/// The words behind the status, as the server put them.
fn reason(response: &Response<Incoming>) -> String {
    match response.extensions().get::<hyper::ext::ReasonPhrase>() {
        Some(phrase) => String::from_utf8_lossy(phrase.as_bytes()).into_owned(),
        None => response.status().canonical_reason().unwrap_or_default().to_owned(),
    }
}

fn build(probe: &Probe<'_>, method: &Method, uri: &Uri, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
    let authority = uri.authority().ok_or("http: no Host in request URL")?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(method.clone()).uri(path);
    let headers = request.headers_mut().ok_or("invalid request")?;
    for (name, values) in probe.header {
        let name: HeaderName =
            name.parse().map_err(|_| format!("net/http: invalid header field name {name:?}"))?;
        for value in values {
            let value = HeaderValue::from_str(value)
                .map_err(|_| format!("net/http: invalid header field value for key {:?}", name.as_str()))?;
            headers.append(name.clone(), value);
        }
    }
    let host = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
    let host = HeaderValue::from_str(host).map_err(|error| error.to_string())?;
    headers.entry(HOST).or_insert(host);
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static("Consul Health Check"));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("text/plain, text/*, */*"));
    request.body(Full::new(body)).map_err(|error| error.to_string())
}

/// Ends the connection when dropped.
struct Driver(tokio::task::AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn send(
    probe: &Probe<'_>,
    trust: &TlsTrust,
    uri: &Uri,
    request: Request<Full<Bytes>>,
    timeout: Duration,
) -> Result<(Response<Incoming>, Driver), String> {
    let host = uri.host().ok_or("http: no Host in request URL")?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        scheme => return Err(format!("unsupported protocol scheme {:?}", scheme.unwrap_or_default())),
    };
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let stream = tcp::connect(&format!("{host}:{port}"), timeout).await?;
    if tls {
        let stream = trust.connect(host, stream, probe.tls_skip_verify, None).await?;
        over(stream, request).await
    } else {
        over(stream, request).await
    }
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(Response<Incoming>, Driver), String> {
    let (mut sender, connection) =
        // names of headers as Consul writes them: what is behind an old probe may know no other
        hyper::client::conn::http1::Builder::new()
            .title_case_headers(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(explain)?;
    // Ends with the connection; its error shows in the request as well.
    let driver = Driver(tokio::spawn(async move { _ = connection.await }).abort_handle());
    let response = sender.send_request(request).await.map_err(explain)?;
    Ok((response, driver))
}

fn explain(error: hyper::Error) -> String {
    use std::error::Error as _;
    if error.is_incomplete_message() {
        return "EOF".to_owned();
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn redirect(response: &Response<Incoming>) -> Option<&str> {
    matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
        .then(|| response.headers().get(LOCATION)?.to_str().ok())
        .flatten()
}

/// Where a redirect leads: absolute, from the root, or beside the present path.
fn resolve(from: &Uri, location: &str) -> Option<Uri> {
    if location.contains("://") {
        return location.parse().ok();
    }
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{scheme}://{rest}").parse().ok();
    }
    if location.starts_with('/') {
        return format!("{scheme}://{authority}{location}").parse().ok();
    }
    let directory = from.path().rsplit_once('/').map_or("", |(directory, _)| directory);
    format!("{scheme}://{authority}{directory}/{location}").parse().ok()
}

async fn read_body(mut body: Incoming, output_max: usize) -> Tail {
    let mut tail = Tail::new(output_max);
    while tail.total() < BODY_MAX_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Some(data) = frame.data_ref() {
            tail.push(data);
        }
    }
    tail
}

#[cfg(test)]
#[path = "http_test.rs"]
mod tests;
