//! gRPC checks: the standard health service, asked over HTTP/2. Its two messages are small enough to write by hand:
//! `HealthCheckRequest { string service = 1; }` and `HealthCheckResponse { ServingStatus status = 1; }`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::checks::{Outcome, TlsTrust, tcp};

const METHOD: &str = "/grpc.health.v1.Health/Check";
const SERVING: u64 = 1;
/// The answer is a dozen bytes.
const REPLY_MAX_BYTES: usize = 64 << 10;

/// Asks `host:port[/service]`.
pub(super) async fn run(
    target: &str,
    use_tls: bool,
    skip_verify: bool,
    trust: &TlsTrust,
    timeout: Duration,
) -> Outcome {
    let (address, service) = target.split_once('/').unwrap_or((target, ""));
    let asked = tokio::time::timeout(timeout, ask(address, service, use_tls, skip_verify, trust, timeout));
    match asked.await {
        Err(_) => Outcome::critical("rpc error: code = DeadlineExceeded desc = context deadline exceeded"),
        Ok(Err(text)) => Outcome::critical(text),
        Ok(Ok(SERVING)) => Outcome::passing(format!("gRPC check {target}: success")),
        Ok(Ok(_)) => Outcome::critical("gRPC application didn't report service healthy"),
    }
}

fn unavailable(text: impl std::fmt::Display) -> String {
    format!("rpc error: code = Unavailable desc = {text}")
}

async fn ask(
    address: &str,
    service: &str,
    use_tls: bool,
    skip_verify: bool,
    trust: &TlsTrust,
    timeout: Duration,
) -> Result<u64, String> {
    let dialing = |text: String| {
        let text = format!("transport: Error while dialing {text}");
        unavailable(format!("connection error: desc = {text:?}"))
    };
    let stream = tcp::connect(address, timeout).await.map_err(dialing)?;
    if use_tls {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let stream = trust.connect(host, stream, skip_verify, Some(b"h2")).await.map_err(unavailable)?;
        over(stream, "https", address, service).await
    } else {
        over(stream, "http", address, service).await
    }
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    scheme: &str,
    address: &str,
    service: &str,
) -> Result<u64, String> {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|_| unavailable("connection closed"))?;
    let driver = tokio::spawn(async move { _ = connection.await });
    let request = Request::post(format!("{scheme}://{address}{METHOD}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "crs-health-check")
        .body(Full::new(question(service)))
        .map_err(unavailable)?;
    let result = async {
        let response = sender.send_request(request).await.map_err(|_| unavailable("connection closed"))?;
        let (head, body) = response.into_parts();
        if !head.status.is_success() {
            return Err(unavailable(format!(
                "unexpected HTTP status code received from server: {}",
                head.status
            )));
        }
        status_of(&head.headers)?;
        let body = Limited::new(body, REPLY_MAX_BYTES).collect().await.map_err(unavailable)?;
        if let Some(trailers) = body.trailers() {
            status_of(trailers)?;
        }
        serving_status(&body.to_bytes())
            .ok_or_else(|| "rpc error: code = Internal desc = malformed health check response".to_owned())
    };
    let result = result.await;
    driver.abort();
    result
}

/// An error if the headers or trailers carry a status that is not 0.
fn status_of(headers: &HeaderMap) -> Result<(), String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        None | Some("0") => Ok(()),
        Some(code) => {
            let message = text("grpc-message").unwrap_or_default();
            Err(format!("rpc error: code = {} desc = {message}", code_name(code)))
        }
    }
}

fn code_name(code: &str) -> &str {
    match code {
        "1" => "Canceled",
        "2" => "Unknown",
        "3" => "InvalidArgument",
        "4" => "DeadlineExceeded",
        "5" => "NotFound",
        "7" => "PermissionDenied",
        "8" => "ResourceExhausted",
        "12" => "Unimplemented",
        "13" => "Internal",
        "14" => "Unavailable",
        "16" => "Unauthenticated",
        other => other,
    }
}

/// One uncompressed gRPC message with the question.
fn question(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        put_varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0];
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(&message);
    frame.into()
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The status in an answer; absent means 0 (unknown), as protobuf leaves out zeros.
fn serving_status(frame: &[u8]) -> Option<u64> {
    let (head, message) = frame.split_at_checked(5)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if head[0] != 0 {
        return None;
    }
    let mut message = message.get(..length)?;
    let mut status = 0;
    while !message.is_empty() {
        let tag = take_varint(&mut message)?;
        match (tag >> 3, tag & 7) {
            (1, 0) => status = take_varint(&mut message)?,
            (_, 0) => _ = take_varint(&mut message)?,
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_a_framed_protobuf() {
        assert_eq!(&question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&question("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(question(&"x".repeat(200))[5..8], [0x0a, 200, 1]);
    }

    #[test]
    fn the_answer_is_read_and_junk_is_refused() {
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(
            serving_status(&[0, 0, 0, 0, 5, 0x12, 1, b'x', 8, 2]),
            Some(2),
            "unknown fields are skipped"
        );
        for junk in [
            &[0, 0, 0][..],
            &[1, 0, 0, 0, 0],
            &[0, 0, 0, 0, 9, 8, 1],
            &[0, 0, 0, 0, 1, 8],
            &[0, 255, 255, 255, 255, 8, 1],
        ] {
            assert_eq!(serving_status(junk), None, "{junk:?}");
        }
        let mut endless = vec![0, 0, 0, 0, 12];
        endless.extend([0xff; 12]);
        assert_eq!(serving_status(&endless), None);
    }

    /// A health service that knows `good`, has `bad` not serving, and nothing else.
    async fn server() -> std::net::SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async {
                    assert_eq!(request.uri().path(), METHOD);
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let (status, code) = match &body[5..] {
                        b"" | b"\x0a\x04good" => (1u8, "0"),
                        b"\x0a\x03bad" => (2, "0"),
                        _ => (0, "5"),
                    };
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", code.parse().unwrap());
                    trailers.insert("grpc-message", "unknown service".parse().unwrap());
                    let body = Full::new(Bytes::from(vec![0, 0, 0, 0, 2, 8, status]))
                        .with_trailers(async move { Some(Ok(trailers)) });
                    Ok::<_, std::convert::Infallible>(http::Response::new(body))
                });
                tokio::spawn(
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        address
    }

    async fn check(target: &str) -> Outcome {
        run(target, false, false, &TlsTrust::default(), Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn a_health_service_is_asked() {
        let address = server().await;
        assert_eq!(
            check(&address.to_string()).await,
            Outcome::passing(format!("gRPC check {address}: success"))
        );
        assert_eq!(check(&format!("{address}/good")).await.status, crs_types::CheckStatus::Passing);
        let unhealthy = "gRPC application didn't report service healthy";
        assert_eq!(check(&format!("{address}/bad")).await, Outcome::critical(unhealthy));
        let unknown = "rpc error: code = NotFound desc = unknown service";
        assert_eq!(check(&format!("{address}/none")).await, Outcome::critical(unknown));
        let closed = "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing dial tcp 127.0.0.1:1: connect: connection refused\"";
        assert_eq!(check("127.0.0.1:1").await, Outcome::critical(closed));
    }
}
