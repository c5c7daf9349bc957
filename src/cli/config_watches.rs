//! `watches` of the configuration: programs or requests that follow a view of the catalog, as long as the agent runs.
//!
//! Each watch asks the agent's own API, as any client would; a reload replaces those that changed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use crs_agent::Agent;
use crs_client::{Address, Backoff, Client, ClientConfig, Watch};
use crs_config::{Config, ListenAddr, WatchHandler, WatchSpec};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::watch::{Plan, plan_of};

/// Output of a handler that is logged, in bytes (Consul's limit).
const OUTPUT_MAX_BYTES: usize = 4096;

/// Runs the watches of the configuration until the agent stops.
pub(crate) async fn run(agent: Arc<Agent>, stop: CancellationToken) {
    let mut changed = agent.config_changes();
    let mut running: Vec<WatchSpec> = Vec::new();
    let mut tasks = JoinSet::new();
    loop {
        changed.mark_unchanged();
        let config = agent.config();
        if config.watches != running {
            tasks.shutdown().await;
            running.clone_from(&config.watches);
            for spec in &config.watches {
                tasks.spawn(follow(spec.clone(), config.clone()));
            }
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Where this agent answers.
fn own_address(config: &Config) -> Option<Address> {
    config.listen.http.first().map(|address| match address {
        ListenAddr::Tcp(address) => Address::Http(reachable(*address).to_string()),
        ListenAddr::Unix(path) => Address::Unix(path.clone()),
    })
}

/// Nobody connects to "all addresses".
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}

async fn follow(spec: WatchSpec, config: Arc<Config>) {
    let Some(plan) = plan_of(&spec.kind) else {
        warn!(target: "agent", kind = ?spec.kind, "This type of watch is not part of this version and does nothing");
        return;
    };
    let Some(address) = own_address(&config) else {
        warn!(target: "agent", "Watches need the HTTP API, which is off");
        return;
    };
    let token = if spec.token.is_empty() { config.acl.tokens.default.clone() } else { spec.token.clone() };
    let settings =
        ClientConfig { address, token, datacenter: spec.datacenter.clone(), ..ClientConfig::default() };
    let client = match Client::new(settings) {
        Ok(client) => client,
        Err(error) => {
            error!(target: "agent", %error, "Failed to set a watch up");
            return;
        }
    };
    let mut query: Vec<(&str, &str)> =
        plan.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if spec.stale {
        query.push(("stale", ""));
    }
    let mut watch = Watch::new(client, &plan.path, &query);
    watch.backoff = Backoff::WATCH;
    let mut last: Option<Value> = None;
    loop {
        let answer = watch.next().await.and_then(|answer| plan.read(answer));
        let value = match answer {
            Ok(value) => value,
            Err(error) => {
                let retry_s = watch.backoff.after(watch.failures()).as_secs();
                warn!(target: "agent", path = %plan.path, retry_s, %error, "Watch errored");
                continue;
            }
        };
        // An index can move without the view.
        if last.as_ref() == Some(&value) {
            continue;
        }
        handle(&spec.handler, &plan, &value, watch.index()).await;
        last = Some(value);
    }
}

async fn handle(handler: &WatchHandler, plan: &Plan, value: &Value, index: u64) {
    let body = plan.compact(value) + "\n";
    let result = match handler {
        WatchHandler::Exec(args) => match args.split_first() {
            Some((program, rest)) => run_program(program, rest, &body, index).await,
            None => Err("no program".to_owned()),
        },
        WatchHandler::Shell(line) => {
            run_program("/bin/sh", &["-c".to_owned(), line.clone()], &body, index).await
        }
        WatchHandler::Http { url, method, header, timeout, tls_skip_verify } => {
            let mut header = header.clone();
            header.insert("X-Consul-Index".to_owned(), vec![index.to_string()]);
            header.entry("Content-Type".to_owned()).or_insert_with(|| vec!["application/json".to_owned()]);
            let method = if method.is_empty() { "POST" } else { method };
            let timeout = if timeout.is_zero() { Duration::from_secs(10) } else { *timeout };
            crs_agent::call(url, method, &header, &body, *tls_skip_verify, timeout).await
        }
    };
    match result {
        Ok(output) => debug!(target: "agent", path = %plan.path, %output, "watch handler output"),
        Err(error) => error!(target: "agent", path = %plan.path, %error, "Failed to run watch handler"),
    }
}

async fn run_program(program: &str, args: &[String], input: &str, index: u64) -> Result<String, String> {
    let index = index.to_string();
    let mut child = tokio::process::Command::new(program)
        .args(args)
        .env("CONSUL_INDEX", &index)
        .env("CRS_INDEX", &index)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program}: {}", crs_client::system_text(&error)))?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read its input is none of our business.
            _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let mut end = text.len().min(OUTPUT_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    if output.status.success() { Ok(text) } else { Err(format!("{program}: {}: {text}", output.status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_reached_on_loopback() {
        let at = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:8500"), "127.0.0.1:8500");
        assert_eq!(at("[::]:8500"), "[::1]:8500");
        assert_eq!(at("10.0.0.1:1"), "10.0.0.1:1");
    }

    #[tokio::test]
    async fn a_handler_reads_its_input_and_knows_the_index() {
        let args = ["-c".to_owned(), "cat; echo $CONSUL_INDEX".to_owned()];
        assert_eq!(run_program("/bin/sh", &args, "in\n", 7).await, Ok("in\n7\n".to_owned()));
        let failed = run_program("/bin/sh", &["-c".to_owned(), "echo no; exit 3".to_owned()], "", 0).await;
        assert!(failed.unwrap_err().contains("exit status: 3"));
        assert!(run_program("/no/such", &[], "", 0).await.is_err());
    }
}
