//! Answers from an agent over HTTP.

use std::time::Duration;

use crs_client::{Address, Client, ClientConfig, Error, Method, Response, TlsOptions};
use crs_template::Dep;
use crs_types::format_duration;
use tokio::sync::OnceCell;

use super::request;
use super::settings::Server;
use super::source::{FetchError, Fetched, Source};

/// The agent.
pub(crate) struct Agent {
    client: Client,
    /// Answers may be that old; zero: only the leader's.
    max_stale: Duration,
    /// The name of the local agent's node, once asked.
    node: OnceCell<String>,
}

impl Agent {
    pub(crate) fn new(server: &Server, max_stale: Duration) -> Result<Agent, Error> {
        let mut address = Address::parse(&server.address)?;
        if server.ssl.enabled
            && let Address::Http(host) = &address
        {
            address = Address::Https(host.clone());
        }
        let config = ClientConfig {
            address,
            token: server.token.clone().unwrap_or_default(),
            basic_auth: server.auth.clone().unwrap_or_default(),
            tls: TlsOptions {
                ca_file: server.ssl.ca_cert.as_ref().map(Into::into),
                ca_path: server.ssl.ca_path.as_ref().map(Into::into),
                cert_file: server.ssl.cert.as_ref().map(Into::into),
                key_file: server.ssl.key.as_ref().map(Into::into),
                server_name: server.ssl.server_name.clone().unwrap_or_default(),
                verify: server.ssl.verify,
            },
            ..ClientConfig::default()
        };
        Ok(Agent { client: Client::new(config)?, max_stale, node: OnceCell::new() })
    }

    async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Response, FetchError> {
        let pairs: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let response = self.client.send(Method::GET, path, &pairs, crs_client::Bytes::new()).await;
        let response = response.map_err(|error| FetchError {
            text: error.to_string(),
            permanent: matches!(error, Error::Setup(_)),
        })?;
        if response.status == 200 || response.status == 404 {
            return Ok(response);
        }
        let text = response.text();
        let hint =
            if response.status == 403 { "; give a token that may read it (-consul-token)" } else { "" };
        Err(FetchError {
            text: format!("the agent answered {} to {path}: {}{hint}", response.status, text.trim()),
            permanent: (400..500).contains(&response.status) && response.status != 429,
        })
    }

    async fn node_name(&self) -> Result<&String, FetchError> {
        self.node
            .get_or_try_init(|| async {
                let response = self.get("/v1/agent/self", &[]).await?;
                let json: serde_json::Value = response
                    .json()
                    .map_err(|error| FetchError { text: error.to_string(), permanent: false })?;
                let name = json.pointer("/Config/NodeName").and_then(serde_json::Value::as_str);
                name.map(ToOwned::to_owned).ok_or_else(|| FetchError {
                    text: "/v1/agent/self names no node".to_owned(),
                    permanent: false,
                })
            })
            .await
    }

    /// Leaves out the datacenters that do not answer.
    async fn reachable(&self, body: &[u8]) -> Vec<u8> {
        let names: Vec<String> = serde_json::from_slice(body).unwrap_or_default();
        let mut there = Vec::new();
        for name in names {
            let query = [("dc", name.clone())];
            if self.get("/v1/catalog/nodes", &query).await.is_ok_and(|response| response.status == 200) {
                there.push(name);
            }
        }
        serde_json::to_vec(&there).unwrap_or_default()
    }
}

impl Source for Agent {
    async fn fetch(&self, dep: &Dep, index: u64, wait: Duration) -> Result<Fetched, FetchError> {
        let named;
        let dep = match dep {
            Dep::Node { name, dc } if name.is_empty() => {
                named = Dep::Node { name: self.node_name().await?.clone(), dc: dc.clone() };
                &named
            }
            other => other,
        };
        let Some((path, mut query)) = request::target(dep) else {
            return Err(FetchError { text: format!("{dep} is no question for the agent"), permanent: true });
        };
        if index > 0 && request::blocks(dep) {
            query.push(("index", index.to_string()));
            query.push(("wait", format_duration(wait)));
        }
        let stale = !self.max_stale.is_zero() && request::blocks(dep);
        let mut response = None;
        if stale {
            let mut query = query.clone();
            query.push(("stale", String::new()));
            let answer = self.get(&path, &query).await?;
            let age = answer.header("x-consul-lastcontact").and_then(|text| text.parse().ok()).unwrap_or(0);
            if Duration::from_millis(age) <= self.max_stale {
                response = Some(answer);
            }
        }
        let response = match response {
            Some(response) => response,
            None => self.get(&path, &query).await?,
        };
        let mut body = (response.status == 200).then(|| response.body.to_vec());
        // a list without elements is an answer for all but single keys
        if body.is_none() && !matches!(dep, Dep::Key { .. }) {
            body =
                Some(if matches!(dep, Dep::Node { .. } | Dep::Services { .. }) { "{}" } else { "[]" }.into());
        }
        if let (Dep::Datacenters { reachable_only: true }, Some(all)) = (dep, &body) {
            body = Some(self.reachable(all).await);
        }
        Ok(Fetched { index: response.index(), body })
    }
}
