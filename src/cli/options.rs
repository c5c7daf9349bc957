//! Options that every command that speaks to an agent has.

use std::path::PathBuf;

use clap::Args;
use crs_client::{Address, Client, ClientConfig, read_token};
use crs_types::Secret;

use crate::failure::{During as _, Failure};

const HTTP: &str = "HTTP API Options";

/// Where the agent is, and who asks.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct HttpOptions {
    /// File with the CA certificates to trust. Also CRS_CACERT, CONSUL_CACERT.
    #[arg(long, help_heading = HTTP)]
    ca_file: Option<PathBuf>,
    /// Directory with CA certificates to trust. Also CRS_CAPATH, CONSUL_CAPATH.
    #[arg(long, help_heading = HTTP)]
    ca_path: Option<PathBuf>,
    /// The client's certificate, where the agent asks for one. Also CRS_CLIENT_CERT, CONSUL_CLIENT_CERT.
    #[arg(long, help_heading = HTTP)]
    client_cert: Option<PathBuf>,
    /// The key of the client's certificate. Also CRS_CLIENT_KEY, CONSUL_CLIENT_KEY.
    #[arg(long, help_heading = HTTP)]
    client_key: Option<PathBuf>,
    /// Address of the agent: host:port, a URL, or unix:///path. Also CRS_HTTP_ADDR, CONSUL_HTTP_ADDR. Default
    /// http://127.0.0.1:8500.
    #[arg(long, help_heading = HTTP)]
    http_addr: Option<String>,
    /// Name that the agent's certificate must carry. Also CRS_TLS_SERVER_NAME, CONSUL_TLS_SERVER_NAME.
    #[arg(long, help_heading = HTTP)]
    tls_server_name: Option<String>,
    /// ACL token. Also CRS_HTTP_TOKEN, CONSUL_HTTP_TOKEN. Without one the agent's default counts.
    #[arg(long, help_heading = HTTP)]
    token: Option<String>,
    /// File with the ACL token. Also CRS_HTTP_TOKEN_FILE, CONSUL_HTTP_TOKEN_FILE.
    #[arg(long, help_heading = HTTP)]
    token_file: Option<String>,
}

impl HttpOptions {
    /// The environment with the flags laid over it.
    pub(crate) fn config(&self) -> Result<ClientConfig, Failure> {
        const WHAT: &str = "Error connecting to Consul agent";
        let given = |option: &Option<String>| option.clone().filter(|text| !text.is_empty());
        let mut config = ClientConfig::from_env(|name| std::env::var(name).ok()).during(WHAT)?;
        if let Some(address) = given(&self.http_addr) {
            // CONSUL_HTTP_SSL=true also counts for an address without a scheme given by flag.
            let tls = matches!(config.address, Address::Https(_)) && !address.contains("://");
            config.address = Address::parse(&address).during(WHAT)?;
            if let (true, Address::Http(host)) = (tls, &config.address) {
                config.address = Address::Https(host.clone());
            }
        }
        if let Some(file) = given(&self.token_file) {
            config.token = read_token(&file).during(WHAT)?;
        }
        if let Some(token) = given(&self.token) {
            config.token = Secret::new(token);
        }
        let tls = &mut config.tls;
        for (flag, target) in [
            (&self.ca_file, &mut tls.ca_file),
            (&self.ca_path, &mut tls.ca_path),
            (&self.client_cert, &mut tls.cert_file),
            (&self.client_key, &mut tls.key_file),
        ] {
            if let Some(path) = flag {
                *target = Some(path.clone());
            }
        }
        if let Some(name) = given(&self.tls_server_name) {
            tls.server_name = name;
        }
        Ok(config)
    }

    /// A client of the agent.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Client::new(self.config()?).during("Error connecting to Consul agent")
    }
}

/// The same, and which servers answer.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServerOptions {
    #[command(flatten)]
    pub(crate) http: HttpOptions,
    /// Datacenter that is asked; the agent's own where none is given.
    #[arg(long, help_heading = HTTP)]
    datacenter: Option<String>,
    /// Let any server answer, not only the leader: quicker, and maybe older.
    #[arg(long, help_heading = HTTP)]
    stale: bool,
}

impl ServerOptions {
    /// A client whose every request names the datacenter.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let mut config = self.http.config()?;
        config.datacenter = self.datacenter.clone().unwrap_or_default();
        Client::new(config).during("Error connecting to Consul agent")
    }

    /// The query of a read.
    pub(crate) fn read(&self) -> Vec<(&str, &str)> {
        if self.stale { vec![("stale", "")] } else { Vec::new() }
    }
}

/// Namespaces are of Consul Enterprise; the flag is taken so that scripts go on working.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct NamespaceOption {
    /// (Enterprise.) Namespace; passed on as it is.
    #[arg(long)]
    namespace: Option<String>,
}

impl NamespaceOption {
    /// Adds it to a query.
    pub(crate) fn add<'a>(&'a self, query: &mut Vec<(&'a str, &'a str)>) {
        if let Some(namespace) = self.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
            query.push(("ns", namespace));
        }
    }
}

/// A `key=value` argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// Why a text is no pair; Consul's words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("Missing \"=\" value in argument: {0}")]
pub(crate) struct NoPair(String);

impl std::str::FromStr for Pair {
    type Err = NoPair;

    fn from_str(text: &str) -> Result<Pair, NoPair> {
        let (key, value) = text.split_once('=').ok_or_else(|| NoPair(text.to_owned()))?;
        Ok(Pair { key: key.to_owned(), value: value.to_owned() })
    }
}

/// Data given on the command line: itself, `@file`, or `-` for standard input.
pub(crate) fn data_of(word: &str) -> Result<Vec<u8>, Failure> {
    if let Some(path) = word.strip_prefix('@') {
        return std::fs::read(path).map_err(|error| {
            let why = crs_client::system_text(&error);
            Failure::new(format!("Error! Failed to read file: open {path}: {why}"))
        });
    }
    if word == "-" {
        let mut data = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut data)
            .during("Error! Failed to read stdin")?;
        return Ok(data);
    }
    Ok(word.as_bytes().to_vec())
}
