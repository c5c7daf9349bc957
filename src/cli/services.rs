//! `crs services`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use crs_client::{Client, Response};
use crs_config::Request;
use crs_types::{CheckKind, CheckSpec, ServiceSpec, format_duration};
use serde_json::{Map, Value, json};

use crate::config_files::{Paths, lookup};
use crate::failure::{During as _, Failure, OK, Outcome};
use crate::options::{HttpOptions, NamespaceOption, Pair, ServerOptions};
use crate::output::Out;

/// Registers services with the local agent, or removes them
#[derive(Subcommand, Debug)]
pub(crate) enum Services {
    Deregister(Deregister),
    Register(Register),
}

impl Services {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        match self {
            Services::Deregister(command) => command.run(out).await,
            Services::Register(command) => command.run(out).await,
        }
    }
}

/// Registers services of files, or one by flags
#[derive(Args, Debug)]
pub(crate) struct Register {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    namespace: NamespaceOption,
    /// Address of the service.
    #[arg(long, default_value = "")]
    address: String,
    /// Id of the service; the name where none is given.
    #[arg(long, default_value = "")]
    id: String,
    /// Kind of the service; empty for an ordinary one.
    #[arg(long, default_value = "")]
    kind: String,
    /// key=value that describes the service (repeatable).
    #[arg(long)]
    meta: Vec<Pair>,
    /// Name of the service.
    #[arg(long, default_value = "")]
    name: String,
    /// Port of the service.
    #[arg(long, default_value_t = 0)]
    port: i64,
    /// Tag of the service (repeatable).
    #[arg(long)]
    tag: Vec<String>,
    /// name=address[:port] for another purpose (repeatable).
    #[arg(long)]
    tagged_address: Vec<Pair>,
    #[arg(value_name = "[FILE...]")]
    args: Vec<String>,
}

impl Register {
    async fn run(self, out: &mut Out) -> Outcome {
        // Consul looks at these two flags to see whether there are any.
        let by_flags = !self.name.is_empty() || !self.id.is_empty();
        let bodies = match (self.args.is_empty(), by_flags) {
            (false, true) => {
                return Err(Failure::new("Service registration requires arguments or -id, not both."));
            }
            (true, false) => {
                return Err(Failure::new("Service registration requires at least one argument or flags."));
            }
            (true, true) => vec![(self.name.clone(), self.by_flags()?)],
            (false, false) => services_of(&self.args)?
                .iter()
                .map(|service| (service.name.as_str().to_owned(), register_body(service)))
                .collect(),
        };
        let client = self.server.client()?;
        for (name, body) in bodies {
            let mut query = Vec::new();
            self.namespace.add(&mut query);
            let answer = client.put("/v1/agent/service/register", &query, body.to_string()).await;
            answer.and_then(Response::ok).during(&format!("Error registering service {name:?}"))?;
            out.line(format_args!("Registered service: {name}"));
        }
        Ok(OK)
    }

    fn by_flags(&self) -> Result<Value, Failure> {
        let mut tagged = Map::new();
        for pair in &self.tagged_address {
            let (address, port) = split_port(&pair.value)?;
            tagged.insert(pair.key.clone(), json!({ "Address": address, "Port": port }));
        }
        let meta: BTreeMap<&str, &str> =
            self.meta.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect();
        let mut body = json!({
            "Kind": self.kind, "ID": self.id, "Name": self.name, "Tags": self.tag, "Port": self.port,
            "Address": self.address, "Meta": meta,
        });
        if !tagged.is_empty() {
            body["TaggedAddresses"] = Value::Object(tagged);
        }
        Ok(body)
    }
}

fn split_port(text: &str) -> Result<(String, i64), Failure> {
    match text.rsplit_once(':') {
        Some((address, port)) if !port.contains(']') && !address.trim_matches(['[', ']']).is_empty() => {
            let what = format!("Invalid port in -tagged-address {text:?}");
            Ok((address.trim_matches(['[', ']']).to_owned(), port.parse().during(&what)?))
        }
        _ => Ok((text.trim_matches(['[', ']']).to_owned(), 0)),
    }
}

/// The services that files define, read by the same rules as the agent's configuration.
fn services_of(files: &[String]) -> Result<Vec<ServiceSpec>, Failure> {
    let mut found = Vec::new();
    // Each for itself: the same file may be given in several forms.
    for file in files {
        let mut paths = Paths::default();
        paths.add(file);
        let sources = paths.read(None).map_err(|text| Failure::new(format!("Error: {text}")))?;
        let flags = crs_config::Flags::default();
        let machine = crs_config::Machine { hostname: "localhost".into(), interfaces: Vec::new() };
        let request = Request {
            files: &sources.files,
            fragments: &[],
            flags: &flags,
            // A file of services needs no data directory and no address.
            dev: true,
            machine: &machine,
            lookup: &lookup(),
        };
        let loaded =
            crs_config::load_services(&request).map_err(|error| Failure::new(format!("Error: {error}")))?;
        found.extend(loaded);
    }
    Ok(found)
}

fn register_body(service: &ServiceSpec) -> Value {
    let mut body = json!({
        "ID": service.id.as_str(),
        "Name": service.name.as_str(),
        "Tags": service.tags,
        "Port": service.port,
        "Address": service.address,
        "EnableTagOverride": service.enable_tag_override,
        "Meta": service.meta,
        "Weights": { "Passing": service.weights.passing, "Warning": service.weights.warning },
        "Checks": service.checks.iter().map(|check| check_body(check, service)).collect::<Vec<_>>(),
    });
    if !service.kind.is_empty() {
        body["Kind"] = service.kind.as_str().into();
    }
    if !service.token.is_empty() {
        body["Token"] = service.token.reveal().as_str().into();
    }
    if !service.tagged_addresses.is_empty() {
        let addresses = service
            .tagged_addresses
            .iter()
            .map(|(tag, address)| (tag.clone(), json!({ "Address": address.address, "Port": address.port })));
        body["TaggedAddresses"] = Value::Object(addresses.collect());
    }
    body
}

fn check_body(check: &CheckSpec, service: &ServiceSpec) -> Value {
    let mut body = Map::new();
    // Ids and names that were made up here are made up again by the agent, which knows the other checks.
    let prefix = format!("service:{}", service.id.as_str());
    if !check.id.as_str().starts_with(&prefix) {
        body.insert("CheckID".into(), check.id.as_str().into());
    }
    body.insert("Name".into(), check.name.as_str().into());
    let mut text = |name: &str, value: &str| {
        if !value.is_empty() {
            body.insert(name.to_owned(), value.into());
        }
    };
    text("Notes", &check.notes);
    text("Status", check.status.as_ref().map_or("", |status| status.as_str()));
    for (name, time) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("DeregisterCriticalServiceAfter", check.deregister_critical_service_after),
    ] {
        if !time.is_zero() {
            text(name, &format_duration(time));
        }
    }
    for (name, number) in [
        ("SuccessBeforePassing", u64::from(check.success_before_passing)),
        ("FailuresBeforeCritical", u64::from(check.failures_before_critical)),
        ("OutputMaxSize", check.output_max_size_bytes as u64),
    ] {
        if number > 0 {
            body.insert(name.to_owned(), number.into());
        }
    }
    let kind = match &check.kind {
        CheckKind::Http { url, method, header, body, tls_skip_verify } => json!({
            "HTTP": url, "Method": method, "Header": header, "Body": body, "TLSSkipVerify": tls_skip_verify,
        }),
        CheckKind::Tcp(target) => json!({ "TCP": target }),
        CheckKind::Ttl(ttl) => json!({ "TTL": format_duration(*ttl) }),
        CheckKind::Script(args) => json!({ "Args": args }),
        CheckKind::Docker { container_id, shell, args } => {
            json!({ "DockerContainerID": container_id, "Shell": shell, "Args": args })
        }
        CheckKind::Grpc { target, use_tls, tls_skip_verify } => {
            json!({ "GRPC": target, "GRPCUseTLS": use_tls, "TLSSkipVerify": tls_skip_verify })
        }
        CheckKind::Alias { node, service } => {
            json!({ "AliasNode": node, "AliasService": service.as_str() })
        }
    };
    if let Value::Object(kind) = kind {
        body.extend(kind);
    }
    Value::Object(body)
}

/// Removes services from the local agent
#[derive(Args, Debug)]
pub(crate) struct Deregister {
    #[command(flatten)]
    http: HttpOptions,
    #[command(flatten)]
    namespace: NamespaceOption,
    /// Id of the service.
    #[arg(long, default_value = "")]
    id: String,
    #[arg(value_name = "[FILE...]")]
    args: Vec<String>,
}

impl Deregister {
    async fn run(self, out: &mut Out) -> Outcome {
        let ids = match (self.args.is_empty(), self.id.is_empty()) {
            (false, false) => {
                return Err(Failure::new("Service deregistration requires arguments or -id, not both."));
            }
            (true, true) => {
                return Err(Failure::new("Service deregistration requires at least one argument or -id."));
            }
            (true, false) => vec![self.id.clone()],
            (false, true) => {
                services_of(&self.args)?.iter().map(|service| service.id.as_str().to_owned()).collect()
            }
        };
        let client = self.http.client()?;
        for id in ids {
            self.remove(&client, &id).await?;
            out.line(format_args!("Deregistered service: {id}"));
        }
        Ok(OK)
    }

    async fn remove(&self, client: &Client, id: &str) -> Result<(), Failure> {
        let mut query = Vec::new();
        self.namespace.add(&mut query);
        let answer = client.put(&format!("/v1/agent/service/deregister/{id}"), &query, "").await;
        answer.and_then(Response::ok).during(&format!("Error registering service {id:?}"))?;
        Ok(())
    }
}
