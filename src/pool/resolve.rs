//! What a user writes to join: `[name/]host[:port]`, and how it becomes addresses.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Names take this long to resolve at most.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 32;

/// A host and a port, as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// An address or a name.
    pub host: String,
    /// The port, or the default one.
    pub port: u16,
}

/// Takes apart what a user wrote; the name before a slash is only a remark.
pub fn parse_host(text: &str, default_port: u16) -> Host {
    let text = text.rsplit_once('/').map_or(text, |(_, host)| host);
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Host { host: addr.ip().to_string(), port: addr.port() };
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Host { host: ip.to_string(), port: default_port };
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => match port.parse() {
            Ok(port) => Host { host: host.to_owned(), port },
            Err(_) => Host { host: text.to_owned(), port: default_port },
        },
        _ => Host { host: text.to_owned(), port: default_port },
    }
}

/// The addresses of what a user wrote.
///
/// # Errors
/// The text that follows `Failed to resolve`, as Go's resolver words it.
pub(crate) async fn resolve(text: &str, default_port: u16) -> Result<Vec<SocketAddr>, String> {
    let Host { host, port } = parse_host(text, default_port);
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if host.is_empty() || host.contains(':') {
        return Err(format!("lookup {host}: no such host"));
    }
    match tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((host.as_str(), port))).await {
        Ok(Ok(found)) => {
            let found: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
            if found.is_empty() { Err(format!("lookup {host}: no such host")) } else { Ok(found) }
        }
        Ok(Err(_)) => Err(format!("lookup {host}: no such host")),
        Err(_) => Err(format!("lookup {host}: i/o timeout")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_in_every_form() {
        for (text, host, port) in [
            ("127.0.0.1", "127.0.0.1", 8301),
            ("127.0.0.1:99", "127.0.0.1", 99),
            ("[::1]", "::1", 8301),
            ("[::1]:99", "::1", 99),
            ("::1", "::1", 8301),
            ("a.example:99", "a.example", 99),
            ("a.example", "a.example", 8301),
            ("node.dc1/127.0.0.1:8302", "127.0.0.1", 8302),
            ("a:b:c", "a:b:c", 8301),
            ("a:b", "a:b", 8301),
            ("", "", 8301),
        ] {
            assert_eq!(parse_host(text, 8301), Host { host: host.into(), port }, "{text}");
        }
    }
}
