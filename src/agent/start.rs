//! The life of the process: start in an order in which nothing is damaged when a step fails, watch over the tasks, stop.
//!
//! ```text
//!   hold data dir ─▶ read what is kept ─▶ bind sockets ─▶ start server ─▶ spawn tasks ─▶ READY ─▶ ... ─▶ stop
//! ```

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use crs_config::{Config, Loaded};
use crs_server::Server;
use crs_types::NodeId;
use sd_notify::NotifyState;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::agent::{Agent, Parts, check_settings, node_of};
use crate::banner;
use crate::checks::{Checks, TlsTrust};
use crate::data_dir::{DataDir, new_node_id};
use crate::journal::{Journal, Record};
use crate::local::LocalState;
use crate::log::LogHandle;
use crate::pid_file::PidFile;
use crate::reload::{ReadAgain, Reloader, watch_files};
use crate::replica::{start_server, watch_raft};
use crate::servers::Servers;
use crate::signals::{Caught, Signals, Stop};
use crate::sync::Syncer;

/// How often services with overdue checks are looked for (Consul's value).
const REAP_INTERVAL: Duration = Duration::from_secs(30);
/// How long tasks have to end.
const STOP_DEADLINE: Duration = Duration::from_secs(8);

/// A task that must not end before the agent does.
pub type Task = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Starts serving the bound sockets, until the token is cancelled: tasks with their names.
pub type Serve = Box<dyn FnOnce(Arc<Agent>, CancellationToken) -> Vec<(&'static str, Task)> + Send>;

/// Sockets that are bound, and what to do with them once the agent runs.
pub struct Listeners {
    /// What each is: `HTTP`, address, network.
    pub bound: Vec<(&'static str, String, &'static str)>,
    /// Starts serving.
    pub serve: Serve,
}

/// Binds the clients' sockets. The error names the address and what to do.
pub type Bind = Box<dyn FnOnce(&Config) -> Result<Listeners, String> + Send>;

/// Everything the process needs to become an agent.
pub struct Launch {
    /// The configuration.
    pub loaded: Loaded,
    /// Reads it again, for reloads. Blocks.
    pub read_again: ReadAgain,
    /// Files and directories that `auto_reload_config` watches.
    pub watched: Vec<PathBuf>,
    /// The program's own version.
    pub version: String,
    /// Binds the clients' sockets.
    pub bind: Bind,
}

/// Runs an agent until it is told to stop. Blocks.
pub fn run(launch: Launch) -> ExitCode {
    let log = match LogHandle::start(&launch.loaded.config.log) {
        Ok(log) => log,
        Err(text) => return complain(&text),
    };
    if let Err(text) = log.install() {
        return complain(&text);
    }
    abort_on_panic(log.clone());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("Failed to start the runtime: {error}")),
    };
    let code = runtime.block_on(live(launch, &log));
    // Blocking calls under way (a name that does not resolve) must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    info!(target: "agent", code, "Exit code");
    log.close();
    ExitCode::from(code)
}

/// Before there is a log.
fn complain(text: &str) -> ExitCode {
    use std::io::Write;
    _ = writeln!(std::io::stderr(), "==> {text}");
    ExitCode::FAILURE
}

/// A task that panicked leaves half an agent: end the process and let it be started anew.
fn abort_on_panic(log: LogHandle) {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default(panic);
        // Requests are caught one by one where they are served; that thread says so before it runs them.
        if !crate::panics::are_caught() {
            log.open(String::new());
            log.close();
            std::process::abort();
        }
    }));
}

async fn live(launch: Launch, log: &LogHandle) -> u8 {
    let show_banner = !launch.loaded.config.log.json;
    let config = launch.loaded.config.clone();
    let version = launch.version.clone();
    let warnings = launch.loaded.warnings.clone();
    match start(launch, log.clone()).await {
        Err(text) => {
            log.open(String::new());
            error!(target: "agent", error = %text, "Error starting agent");
            1
        }
        Ok(running) => {
            let banner = banner::text(&config, running.agent.node_id(), &version);
            log.open(if show_banner { banner } else { String::new() });
            for warning in warnings {
                warn!(target: "agent", "{warning}");
            }
            running.serve().await
        }
    }
}

/// An agent whose sockets are bound and whose tasks run.
struct Running {
    agent: Arc<Agent>,
    server: Arc<Server>,
    tasks: JoinSet<(&'static str, Result<(), String>)>,
    stop: CancellationToken,
    signals: Signals,
    _pid_file: Option<PidFile>,
    _data_dir: Option<DataDir>,
}

async fn start(launch: Launch, log: LogHandle) -> Result<Running, String> {
    let config = Arc::new(launch.loaded.config);
    let text = |error: &dyn std::fmt::Display| error.to_string();
    if config.data_dir.is_none() && !config.dev_mode {
        return Err("data_dir cannot be empty".to_owned());
    }
    // Before anything is ready: a signal that comes early is not lost.
    let signals = Signals::install().map_err(|error| format!("Failed to listen for signals: {error}"))?;
    let data_dir = match &config.data_dir {
        Some(path) if !config.dev_mode => Some(DataDir::open(path).map_err(|error| text(&error))?),
        _ => None,
    };
    let (node_id, journal, kept) = match &data_dir {
        None => (config.node_id.clone().unwrap_or_else(new_node_id), None, Vec::new()),
        Some(dir) => {
            let id = dir.node_id(config.node_id.as_ref()).map_err(|error| text(&error))?;
            let (journal, kept) = Journal::open(dir.path()).map_err(|error| text(&error))?;
            (id, Some(journal), kept)
        }
    };
    let listeners = (launch.bind)(&config)?;
    let pid_file = config.pid_file.as_deref().map(PidFile::write).transpose()?;
    let stop = CancellationToken::new();
    let server = start_server(&config, &node_id, data_dir.as_ref().map(DataDir::path), &stop).await?;
    let agent = Arc::new(assemble(&config, node_id, journal, server.clone(), log, launch.read_again, &stop));
    settle_definitions(&agent, &config, kept);

    let mut tasks = JoinSet::new();
    let mut spawn = |name: &'static str, task: Task| {
        tasks.spawn(async move { (name, task.await) });
    };
    spawn("raft", Box::pin(watch_raft(server.clone(), stop.child_token())));
    spawn("leader duties", Box::pin(endless(server.clone().run_leader_duties())));
    spawn("checks", Box::pin(endless(agent.parts().checks.clone().run())));
    spawn("anti-entropy", Box::pin(endless(syncer(&agent).run(stop.child_token()))));
    spawn("reaper", Box::pin(endless(reap(agent.clone(), stop.child_token()))));
    if config.auto_reload_config {
        let watch = watch_files(agent.clone(), launch.watched, stop.child_token());
        spawn("configuration watch", Box::pin(endless(watch)));
    }
    for (what, address, network) in &listeners.bound {
        debug!(target: "agent", what, %address, network, "Bound");
    }
    for (name, task) in (listeners.serve)(agent.clone(), stop.child_token()) {
        spawn(name, task);
    }
    Ok(Running { agent, server, tasks, stop, signals, _pid_file: pid_file, _data_dir: data_dir })
}

async fn endless(task: impl Future<Output = ()>) -> Result<(), String> {
    task.await;
    Ok(())
}

fn assemble(
    config: &Arc<Config>,
    node_id: NodeId,
    journal: Option<Journal>,
    server: Arc<Server>,
    log: LogHandle,
    read_again: ReadAgain,
    stop: &CancellationToken,
) -> Agent {
    let shared = Arc::new(ArcSwap::new(config.clone()));
    let local = Arc::new(LocalState::new(config.node_name.clone()));
    let servers = Servers::Local(server);
    let settings = {
        let shared = shared.clone();
        Arc::new(move || check_settings(&shared.load()))
    };
    let checks =
        Checks::new(local.clone(), servers.clone(), settings, TlsTrust::default(), stop.child_token());
    Agent::new(Parts {
        config: shared,
        config_version: tokio::sync::watch::Sender::new(0),
        node_id,
        local,
        checks: Arc::new(checks),
        servers,
        journal,
        log,
        metrics: Arc::default(),
        reloader: Reloader::new(read_again),
        leave: CancellationToken::new(),
    })
}

/// What files define comes first, then what was registered over the API.
fn settle_definitions(agent: &Agent, config: &Config, kept: Vec<Record>) {
    agent.apply_definitions(&Config::default(), config);
    agent.restore(kept);
}

fn syncer(agent: &Agent) -> Syncer {
    let parts = agent.parts();
    let (config, node_id) = (parts.config.clone(), parts.node_id.clone());
    let deferred = parts.config.clone();
    Syncer {
        local: parts.local.clone(),
        servers: parts.servers.clone(),
        node: Arc::new(move || node_of(&config.load(), &node_id)),
        output_deferred: Arc::new(move || !deferred.load().checks_config.update_interval.is_zero()),
    }
}

async fn reap(agent: Arc<Agent>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(REAP_INTERVAL) => agent.reap_overdue().await,
            () = stop.cancelled() => return,
        }
    }
}

impl Running {
    async fn serve(mut self) -> u8 {
        let name = self.agent.config().node_name.clone();
        notify(&[NotifyState::Ready, NotifyState::Status(&format!("Node {name} serves"))]);
        if !self.agent.config().log.json {
            self.agent.log().open("==> crs agent running!\n".to_owned());
        }
        let (code, graceful) = self.wait().await;
        notify(&[NotifyState::Stopping]);
        if graceful {
            info!(target: "agent.server", "server starting leave");
        }
        let forced = async { self.signals.next_stop().await };
        tokio::select! {
            () = shut_down(&self.stop, &mut self.tasks, &self.agent, &self.server) => code,
            stop = forced => {
                warn!(target: "agent", signal = stop.name(), "Caught a second signal, stopping at once");
                1
            }
        }
    }

    fn how_to_stop(&self, stop: Stop) -> (u8, bool) {
        let leave = self.agent.config().leave;
        let graceful = match stop {
            Stop::Interrupt => !leave.skip_on_interrupt,
            Stop::Terminate => leave.on_terminate,
        };
        if graceful {
            info!(target: "agent", "Gracefully shutting down agent...");
            (0, true)
        } else {
            info!(target: "agent", "Graceful shutdown disabled. Exiting");
            (1, false)
        }
    }

    /// Until something ends the agent: its exit code, and whether it leaves gracefully.
    async fn wait(&mut self) -> (u8, bool) {
        let watchdog = watchdog_interval();
        loop {
            tokio::select! {
                () = self.agent.parts().leave.cancelled() => {
                    info!(target: "agent", "Leave requested, shutting down");
                    return (0, true);
                }
                ended = self.tasks.join_next() => {
                    let (name, result) = match ended {
                        Some(Ok((name, result))) => (name, result),
                        Some(Err(error)) => ("?", Err(error.to_string())),
                        None => ("all", Ok(())),
                    };
                    let error = result.err().unwrap_or_else(|| "it ended".to_owned());
                    error!(target: "agent", task = name, %error, "A part of the agent has failed, stopping");
                    return (1, false);
                }
                caught = self.signals.next() => match caught {
                    Caught::Hangup => {
                        info!(target: "agent", signal = "hangup", "Caught");
                        reload(&self.agent).await;
                    }
                    Caught::Stop(stop) => {
                        info!(target: "agent", signal = stop.name(), "Caught");
                        return self.how_to_stop(stop);
                    }
                },
                () = tokio::time::sleep(watchdog.unwrap_or(Duration::from_secs(3600))) => {
                    if watchdog.is_some() {
                        notify(&[NotifyState::Watchdog]);
                    }
                }
            }
        }
    }
}

/// Reads the configuration again, and tells systemd around it. What is wrong stands in the log.
async fn reload(agent: &Agent) {
    if let Ok(monotonic) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, monotonic]);
    }
    _ = agent.reload().await;
    notify(&[NotifyState::Ready]);
}

/// Tells all tasks to end and waits for them; then what is kept on disk is closed.
async fn shut_down(
    stop: &CancellationToken,
    tasks: &mut JoinSet<(&'static str, Result<(), String>)>,
    agent: &Arc<Agent>,
    server: &Server,
) {
    info!(target: "agent", "Requesting shutdown");
    stop.cancel();
    agent.log().end_monitors();
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_DEADLINE, all).await.is_err() {
        warn!(target: "agent", cut = tasks.len(), "Tasks did not end in time and are cut off");
        tasks.abort_all();
    }
    let closing = agent.clone();
    let closed = tokio::task::spawn_blocking(move || {
        if let Some(journal) = &closing.parts().journal {
            journal.close();
        }
    });
    if closed.await.is_err() {
        error!(target: "agent", "Failed to close the registrations");
    }
    server.raft().shutdown().await;
    info!(target: "agent", "shutdown complete");
}

/// Tells systemd, if it listens.
fn notify(states: &[NotifyState<'_>]) {
    // Nobody may be listening.
    _ = sd_notify::notify(states);
}

/// Half the time that systemd allows between two signs of life.
fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}
