//! Where the agent is and how to speak to it.

use std::path::PathBuf;

use crs_types::Secret;

use crate::Error;

/// Where to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// `host:port`, in the clear.
    Http(String),
    /// `host:port`, over TLS.
    Https(String),
    /// A socket file.
    Unix(PathBuf),
}

impl Default for Address {
    fn default() -> Self {
        Address::Http("127.0.0.1:8500".into())
    }
}

impl Address {
    /// Reads `host:port`, `http://host:port`, `https://host:port`, `unix:///path`.
    ///
    /// # Errors
    /// A scheme of another kind.
    pub fn parse(text: &str) -> Result<Address, Error> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Address::Http(with_port(text, 80)));
        };
        let host = rest.split('/').next().unwrap_or_default();
        Ok(match scheme {
            "http" | "tcp" => Address::Http(with_port(host, 80)),
            "https" => Address::Https(with_port(host, 443)),
            "unix" => Address::Unix(rest.into()),
            other => return Err(Error::Setup(format!("Unknown protocol scheme: {other}"))),
        })
    }

    /// What stands before the path in messages.
    pub(crate) fn base(&self) -> String {
        match self {
            Address::Http(host) => format!("http://{}", shown(host, 80)),
            Address::Https(host) => format!("https://{}", shown(host, 443)),
            // Go's client puts the path where the host belongs.
            Address::Unix(path) => format!("http://{}", path.display().to_string().replace('/', "%2F")),
        }
    }

    /// The `Host` header.
    pub(crate) fn authority(&self) -> &str {
        match self {
            Address::Http(host) | Address::Https(host) => host,
            Address::Unix(_) => "localhost",
        }
    }
}

fn shown(host: &str, port: u16) -> &str {
    host.strip_suffix(&format!(":{port}")).unwrap_or(host)
}

fn with_port(host: &str, port: u16) -> String {
    let has_port = match host.rfind(':') {
        // A bare IPv6 address in brackets ends with the bracket.
        Some(at) => !host[at..].contains(']') && host[at + 1..].bytes().all(|byte| byte.is_ascii_digit()),
        None => false,
    };
    if has_port { host.to_owned() } else { format!("{host}:{port}") }
}

/// Certificates and names for TLS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsOptions {
    /// File with the certificates that are trusted; neither this nor `ca_path`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Directory with such files.
    pub ca_path: Option<PathBuf>,
    /// The client's certificate.
    pub cert_file: Option<PathBuf>,
    /// The client's key.
    pub key_file: Option<PathBuf>,
    /// Name the server's certificate must carry; empty: the host's.
    pub server_name: String,
    /// Whether the server's certificate is looked at.
    pub verify: bool,
}

impl Default for TlsOptions {
    fn default() -> Self {
        TlsOptions {
            ca_file: None,
            ca_path: None,
            cert_file: None,
            key_file: None,
            server_name: String::new(),
            verify: true,
        }
    }
}

/// Everything a [`crate::Client`] needs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClientConfig {
    /// Where the agent is.
    pub address: Address,
    /// Sent with every request; empty: none.
    pub token: Secret<String>,
    /// `user:password` for basic authentication; empty: none.
    pub basic_auth: Secret<String>,
    /// `dc` of every request; empty: the agent's own.
    pub datacenter: String,
    /// `ns` of every request; empty: none.
    pub namespace: String,
    /// Certificates.
    pub tls: TlsOptions,
}

impl ClientConfig {
    /// What the environment says: `CRS_*` first, then `CONSUL_*`. `var` looks a variable up; an empty one counts as unset.
    ///
    /// # Errors
    /// An address or a switch that cannot be read, a token file that cannot be read.
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Result<ClientConfig, Error> {
        let var = |name: &str| {
            let set = |prefix: &str| var(&format!("{prefix}_{name}")).filter(|value| !value.is_empty());
            set("CRS").or_else(|| set("CONSUL"))
        };
        let switch = |name: &str, default: bool| match var(name) {
            None => Ok(default),
            Some(text) => {
                parse_bool(&text).ok_or_else(|| Error::Setup(format!("could not parse {name}: {text:?}")))
            }
        };
        let mut config = ClientConfig::default();
        if let Some(address) = var("HTTP_ADDR") {
            config.address = Address::parse(&address)?;
        }
        if switch("HTTP_SSL", false)?
            && let Address::Http(host) = &config.address
        {
            config.address = Address::Https(host.clone());
        }
        if let Some(file) = var("HTTP_TOKEN_FILE") {
            config.token = read_token(&file)?;
        }
        // As in Consul the token itself wins over the file.
        if let Some(token) = var("HTTP_TOKEN") {
            config.token = Secret::new(token);
        }
        config.basic_auth = Secret::new(var("HTTP_AUTH").unwrap_or_default());
        config.namespace = var("NAMESPACE").unwrap_or_default();
        config.tls = TlsOptions {
            ca_file: var("CACERT").map(PathBuf::from),
            ca_path: var("CAPATH").map(PathBuf::from),
            cert_file: var("CLIENT_CERT").map(PathBuf::from),
            key_file: var("CLIENT_KEY").map(PathBuf::from),
            server_name: var("TLS_SERVER_NAME").unwrap_or_default(),
            verify: switch("HTTP_SSL_VERIFY", true)?,
        };
        Ok(config)
    }
}

/// The token in a file, without blanks around it.
///
/// # Errors
/// When it cannot be read or is empty; in Consul's words.
pub fn read_token(path: &str) -> Result<Secret<String>, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let why = crate::error::system_text(&error);
        Error::Setup(format!("Error loading token file: open {path}: {why}"))
    })?;
    match text.trim() {
        "" => Err(Error::Setup(format!("Error loading token file: read empty token from file {path:?}"))),
        token => Ok(Secret::new(token.to_owned())),
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        for (text, wanted) in [
            ("127.0.0.1:8500", Address::Http("127.0.0.1:8500".into())),
            ("http://h:1/", Address::Http("h:1".into())),
            ("https://h", Address::Https("h:443".into())),
            ("[::1]", Address::Http("[::1]:80".into())),
            ("[::1]:8500", Address::Http("[::1]:8500".into())),
            ("unix:///run/x", Address::Unix("/run/x".into())),
        ] {
            assert_eq!(Address::parse(text).unwrap(), wanted, "{text}");
        }
        assert!(Address::parse("ftp://x").is_err());
    }

    #[test]
    fn the_own_prefix_comes_first() {
        let vars = [
            ("CONSUL_HTTP_ADDR", "a:1"),
            ("CRS_HTTP_ADDR", "b:2"),
            ("CONSUL_HTTP_TOKEN", "t"),
            ("CRS_HTTP_TOKEN", ""),
            ("CONSUL_HTTP_SSL", "true"),
            ("CONSUL_HTTP_SSL_VERIFY", "false"),
        ];
        let find =
            |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let config = ClientConfig::from_env(find).unwrap();
        assert_eq!(config.address, Address::Https("b:2".into()));
        assert_eq!(config.token.reveal(), "t");
        assert!(!config.tls.verify);
        assert!(ClientConfig::from_env(|name| (name == "CRS_HTTP_SSL").then(|| "zz".into())).is_err());
    }
}
