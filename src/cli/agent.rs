//! `crs agent`: the composition root. Flags become a configuration, sockets are bound, and the agent takes over.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crs_agent::{Agent, Launch, Listeners, Servers, Task, run};
use crs_config::{
    Config, Diagnostic, Flags, Format, ListenAddr, Loaded, Request, Source, Stage, UnixSockets,
};
use crs_http::{Api, Bound, ListenLimits, Router, Settings};
use tokio_util::sync::CancellationToken;

use crate::agent_flags::AgentArgs;
use crate::config_files::{Paths, look_at_files, lookup};
use crate::config_watches;
use crate::machine::machine;
use crate::output::Out;
use crate::template::TemplateArgs;

/// Where the configuration comes from; a reload reads it again.
#[derive(Clone, Debug)]
struct Sources {
    paths: Paths,
    format: Option<Format>,
    fragments: Vec<Source>,
    flags: Flags,
    dev: bool,
}

impl Sources {
    fn load(&self) -> Result<Loaded, String> {
        let found = self.paths.read(self.format)?;
        let request = Request {
            files: &found.files,
            fragments: &self.fragments,
            flags: &self.flags,
            dev: self.dev,
            machine: &machine(),
            lookup: &lookup(),
        };
        let mut loaded = crs_config::load(&request).map_err(|errors| errors.to_string())?;
        look_at_files(&loaded.config)?;
        if !loaded.config.listen.https.is_empty() {
            loaded.warnings.push(Diagnostic {
                text: "HTTPS is not served by this version: nothing listens on ports.https".to_owned(),
                key: "ports.https".to_owned(),
                pos: None,
                meant: None,
                stage: Stage::Sense,
            });
        }
        Ok(loaded)
    }
}

/// Runs an agent until it is told to stop.
pub(crate) fn main(args: AgentArgs, out: &mut Out) -> ExitCode {
    let mut complain = |text: &str| {
        out.error(format_args!("==> {text}"));
        ExitCode::FAILURE
    };
    if !args.words.is_empty() {
        return complain(&format!("Unexpected extra arguments: [{}]", args.words.join(" ")));
    }
    let format = match args.format.as_deref() {
        None | Some("") => None,
        Some(word) => match Format::of_word(word) {
            Some(format) => Some(format),
            None => return complain("config: -config-format must be either 'hcl' or 'json'"),
        },
    };
    let mut paths = Paths::default();
    args.paths.iter().for_each(|path| paths.add(path));
    let fragments = args.fragments.iter().enumerate();
    let fragments = fragments.map(|(n, text)| Source::fragment(n, text.as_bytes())).collect();
    let sources = Sources { paths, format, fragments, flags: args.flags, dev: args.dev };
    let loaded = match sources.load() {
        Ok(loaded) => loaded,
        Err(text) => return complain(&text),
    };
    let watched = args.paths.clone();
    let bind = move |config: &Config| {
        let listeners = bind(config)?;
        if args.dev {
            watch_templates(config, watched);
        }
        Ok(listeners)
    };
    run(Launch {
        loaded,
        read_again: Arc::new(move || sources.load()),
        watched: args.paths.iter().map(PathBuf::from).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bind: Box::new(bind),
    })
}

/// With `-dev`, for trying out, the `template` blocks beside the agent's keys are run in the same process. Elsewhere
/// `crs template` runs them, with the rights that their commands need.
fn watch_templates(config: &Config, paths: Vec<String>) {
    if config.templates.templates.is_empty() {
        return;
    }
    let address = config.listen.http.iter().find_map(|address| match address {
        ListenAddr::Tcp(address) if address.ip().is_unspecified() => {
            Some(format!("127.0.0.1:{}", address.port()))
        }
        ListenAddr::Tcp(address) => Some(address.to_string()),
        ListenAddr::Unix(_) => None,
    });
    let args = TemplateArgs { config: paths, consul_addr: address, ..TemplateArgs::default() };
    // It ends with the process; what it has to say stands in the agent's log.
    drop(std::thread::spawn(|| crate::template::run(args)));
}

/// Binds the sockets of the HTTP API.
fn bind(config: &Config) -> Result<Listeners, String> {
    let mut sockets = Vec::new();
    let mut shown = Vec::new();
    for address in &config.listen.http {
        let bound = bind_one(address, &config.listen.unix_sockets)
            .map_err(|error| format!("Failed to listen for HTTP on {address}: {error}"))?;
        let network = if matches!(address, ListenAddr::Unix(_)) { "unix" } else { "tcp" };
        shown.push(("HTTP", address.to_string(), network));
        sockets.push(bound);
    }
    let serve = move |agent: Arc<Agent>, stop: CancellationToken| {
        let Servers::Local(server) = agent.servers();
        let api = Arc::new(Api::new(settings(&agent.config()), server.clone()).with_agent(agent.clone()));
        let router = Arc::new(Router::new());
        let limits = ListenLimits {
            max_conns_per_client: agent.config().limits.http_max_conns_per_client as usize,
            ..ListenLimits::default()
        };
        let watches: Task = {
            let (agent, stop) = (agent.clone(), stop.clone());
            Box::pin(async move {
                config_watches::run(agent, stop).await;
                Ok(())
            })
        };
        let tasks = sockets.into_iter().map(|bound| {
            let (api, router, limits, stop) = (api.clone(), router.clone(), limits.clone(), stop.clone());
            let task: Task = Box::pin(async move {
                crs_http::serve(bound, api, router, limits, stop).await;
                Ok(())
            });
            ("HTTP API", task)
        });
        tasks.chain([("watches", watches)]).collect()
    };
    Ok(Listeners { bound: shown, serve: Box::new(serve) })
}

fn bind_one(address: &ListenAddr, sockets: &UnixSockets) -> io::Result<Bound> {
    match address {
        ListenAddr::Tcp(address) => bind_tcp(*address),
        ListenAddr::Unix(path) => {
            let owner = (id_of("/etc/passwd", &sockets.user)?, id_of("/etc/group", &sockets.group)?);
            Bound::unix(path.clone(), sockets.mode, owner)
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<Bound> {
    let listener = TcpListener::bind(address).map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => "; another process has it: stop that one or choose another port",
            io::ErrorKind::AddrNotAvailable => "; no interface of this machine has this address",
            io::ErrorKind::PermissionDenied => "; ports below 1024 need a right that this user has not",
            _ => "",
        };
        io::Error::new(error.kind(), format!("{}{advice}", crs_client::system_text(&error)))
    })?;
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener).map(Bound::Tcp)
}

/// A number, or the number behind a name in the system's table. Empty: none.
fn id_of(table: &str, name: &str) -> io::Result<Option<u32>> {
    if name.is_empty() {
        return Ok(None);
    }
    if let Ok(id) = name.parse() {
        return Ok(Some(id));
    }
    let rows = std::fs::read_to_string(table)?;
    let row =
        rows.lines().map(|row| row.split(':').collect::<Vec<_>>()).find(|row| row.first() == Some(&name));
    let id = row.and_then(|row| row.get(2).and_then(|id| id.parse().ok()));
    match id {
        Some(id) => Ok(Some(id)),
        None => {
            Err(io::Error::new(io::ErrorKind::NotFound, format!("unix_sockets: {name:?} is not in {table}")))
        }
    }
}

fn settings(config: &Config) -> Settings {
    let headers = config
        .http
        .response_headers
        .iter()
        .filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)));
    Settings {
        datacenter: config.datacenter.clone(),
        node: config.node_name.clone(),
        pretty: config.dev_mode,
        ui: config.ui.enabled,
        acl_enabled: config.acl.enabled,
        default_token: config.acl.tokens.default.clone(),
        kv_max_value_size_bytes: config.limits.kv_max_value_size_bytes as usize,
        txn_max_req_len_bytes: config.limits.txn_max_req_len_bytes as usize,
        discovery_max_stale: config.discovery_max_stale,
        use_cache: config.http.use_cache,
        response_headers: headers.collect(),
        block_endpoints: config.http.block_endpoints.clone(),
        allow_write_from: config.http.allow_write_from.iter().map(|net| (net.address, net.bits)).collect(),
        allow_unprintable_keys: config.http.disable_unprintable_char_filter,
    }
}
