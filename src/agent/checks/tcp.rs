//! TCP checks: passing if a connection can be made.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::checks::Outcome;

pub(super) async fn run(address: &str, timeout: Duration) -> Outcome {
    match connect(address, timeout).await {
        Ok(_) => Outcome::passing(format!("TCP connect {address}: Success")),
        Err(text) => Outcome::critical(text),
    }
}

/// Connects to `host:port`; the error reads as Go prints it, which dashboards show.
pub(super) async fn connect(address: &str, timeout: Duration) -> Result<TcpStream, String> {
    let deadline = tokio::time::Instant::now() + timeout;
    let resolved = tokio::time::timeout_at(deadline, tokio::net::lookup_host(address)).await;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let targets: Vec<_> = match resolved {
        Err(_) => return Err(format!("dial tcp: lookup {host}: i/o timeout")),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidInput => {
            return Err(format!("dial tcp: address {address}: missing port in address"));
        }
        Ok(Err(_)) => return Err(format!("dial tcp: lookup {host}: no such host")),
        Ok(Ok(targets)) => targets.collect(),
    };
    let mut last = format!("dial tcp: lookup {host}: no such host");
    for target in targets {
        match tokio::time::timeout_at(deadline, TcpStream::connect(target)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = format!("dial tcp {target}: connect: {}", reason(&error)),
            Err(_) => return Err(format!("dial tcp {target}: i/o timeout")),
        }
    }
    Err(last)
}

/// The system's word for an error, without Rust's number behind it.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}
