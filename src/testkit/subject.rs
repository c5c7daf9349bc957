//! A real agent under test: real Consul, or crs.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Client, Loopback, ProcessStats, Request, eventually, signal, stats_of};

/// Who is under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The real thing, version 1.8.7.
    Consul,
    /// Ours.
    Crs,
}

impl Kind {
    /// What `CRS_TEST_SUBJECT` says; crs where it says nothing.
    ///
    /// # Panics
    /// When it says anything but `consul` or `crs`.
    pub fn from_env() -> Self {
        match std::env::var("CRS_TEST_SUBJECT").as_deref() {
            Ok("consul") => Kind::Consul,
            Ok("crs") | Err(_) => Kind::Crs,
            Ok(other) => panic!("CRS_TEST_SUBJECT={other:?}: say consul or crs"),
        }
    }
}

/// The program of a real peer, as `tests/peers` brought it.
///
/// # Panics
/// When it is not there.
pub fn peer(name: &str) -> PathBuf {
    let folder = std::env::var_os("CRS_PEERS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers"), PathBuf::from);
    let program = folder.join("bin").join(name);
    assert!(program.exists(), "{} is not there: run tests/peers", program.display());
    program
}

/// How an agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `-dev`: alone, state in memory, JSON always laid out.
    Dev,
    /// `-server -bootstrap-expect=1` on a data directory.
    Server,
}

/// What to start.
#[derive(Debug)]
pub struct Setup {
    kind: Kind,
    program: PathBuf,
    mode: Mode,
    node: String,
    files: Vec<(String, String)>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    under: Vec<String>,
    script_checks: bool,
}

impl Setup {
    /// An agent of `kind` in `-dev` mode; `crs` is the binary to take if it is ours (`CRS_TEST_BINARY` names another,
    /// such as an installed one).
    pub fn new(kind: Kind, crs: impl Into<PathBuf>) -> Self {
        let program = match kind {
            Kind::Consul => peer("consul"),
            Kind::Crs => std::env::var_os("CRS_TEST_BINARY").map_or_else(|| crs.into(), PathBuf::from),
        };
        Setup {
            kind,
            program,
            mode: Mode::Dev,
            node: "node-one".into(),
            files: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            under: Vec::new(),
            script_checks: false,
        }
    }

    /// On a data directory, as the only server of its cluster.
    #[must_use]
    pub fn server(mut self) -> Self {
        self.mode = Mode::Server;
        self
    }

    /// With another node name than `node-one`.
    #[must_use]
    pub fn node(mut self, name: &str) -> Self {
        self.node = name.into();
        self
    }

    /// With a file in the configuration directory.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.into(), text.into()));
        self
    }

    /// With one more argument.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// With a variable in its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// With script checks allowed.
    #[must_use]
    pub fn script_checks(mut self) -> Self {
        self.script_checks = true;
        self
    }

    /// Started by another program, such as a tracer: its command line goes in front.
    #[must_use]
    pub fn under(mut self, command: &[&str]) -> Self {
        self.under = command.iter().map(|word| (*word).to_string()).collect();
        self
    }

    /// Starts it and waits until it has a leader and its own node is in the catalog.
    ///
    /// # Panics
    /// When that takes more than 30 s.
    pub fn start(self) -> Subject {
        let mut subject = self.prepare();
        subject.launch();
        subject.wait_ready();
        subject
    }

    /// Makes the directories and claims the address, without starting anything.
    ///
    /// # Panics
    /// When the temporary directory cannot be made.
    pub fn prepare(self) -> Subject {
        let address = Loopback::claim();
        let folder = match tempfile::Builder::new().prefix("crs-test-").tempdir() {
            Ok(folder) => folder,
            Err(error) => panic!("no temporary directory: {error}"),
        };
        let subject = Subject { setup: self, address, folder: Some(folder), child: None, runs: 0 };
        make(&subject.config_dir());
        make(&subject.data_dir());
        for (name, text) in &subject.setup.files {
            subject.write_config(name, text);
        }
        subject
    }
}

fn make(folder: &Path) {
    if let Err(error) = fs::create_dir_all(folder) {
        panic!("cannot make {}: {error}", folder.display());
    }
}

/// An agent that runs, or ran and can be started again on the same directories and address.
#[derive(Debug)]
pub struct Subject {
    setup: Setup,
    address: Loopback,
    folder: Option<TempDir>,
    child: Option<Child>,
    runs: u32,
}

impl Subject {
    /// Who it is.
    pub fn kind(&self) -> Kind {
        self.setup.kind
    }

    /// Whether it is crs.
    pub fn is_crs(&self) -> bool {
        self.kind() == Kind::Crs
    }

    /// Its own loopback address; all default ports are on it.
    pub fn address(&self) -> Ipv4Addr {
        self.address.get()
    }

    /// Where its HTTP API is.
    pub fn http(&self) -> SocketAddr {
        (self.address(), 8500).into()
    }

    /// Its node name.
    pub fn node(&self) -> &str {
        &self.setup.node
    }

    /// The directory that holds everything of it.
    ///
    /// # Panics
    /// Never: it lives as long as the subject.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("the folder lives as long as the subject").path()
    }

    /// Its configuration directory.
    pub fn config_dir(&self) -> PathBuf {
        self.folder().join("config")
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Writes a file into its configuration directory.
    ///
    /// # Panics
    /// When that fails.
    pub fn write_config(&self, name: &str, text: &str) {
        let path = self.config_dir().join(name);
        if let Err(error) = fs::write(&path, text) {
            panic!("cannot write {}: {error}", path.display());
        }
    }

    /// What it has logged, all runs together.
    pub fn log(&self) -> String {
        let mut all = String::new();
        for run in 1..=self.runs {
            let text = fs::read(self.log_path(run)).unwrap_or_default();
            let _ = write!(all, "{}", String::from_utf8_lossy(&text));
        }
        all
    }

    fn log_path(&self, run: u32) -> PathBuf {
        self.folder().join(format!("log.{run}"))
    }

    /// A client of it that knows the words `<address>` and `<node>`, and holds JSON to the layout of its mode.
    pub fn client(&self) -> Client {
        Client::new(self.http())
            .word("<address>", &self.address().to_string())
            .word("<node>", self.node())
            .layout(self.setup.mode == Mode::Dev)
    }

    /// The command line it is started with.
    fn command(&self) -> Command {
        let setup = &self.setup;
        let mut command = match setup.under.split_first() {
            None => Command::new(&setup.program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&setup.program);
                command
            }
        };
        let address = self.address();
        command
            .arg("agent")
            .arg(format!("-node={}", setup.node))
            .arg(format!("-bind={address}"))
            .arg(format!("-client={address}"))
            .arg(format!("-config-dir={}", self.config_dir().display()));
        match setup.mode {
            Mode::Dev => command.arg("-dev"),
            Mode::Server => command
                .args(["-server", "-bootstrap-expect=1"])
                .arg(format!("-data-dir={}", self.data_dir().display())),
        };
        if setup.script_checks {
            command.arg("-enable-script-checks");
        }
        command.args(&setup.arguments);
        // what the developer's own shell is set to must not reach the agent
        for (name, _) in std::env::vars() {
            if name.starts_with("CONSUL_") || (name.starts_with("CRS_") && name != "CRS_PEERS") {
                command.env_remove(name);
            }
        }
        command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the process and returns at once.
    ///
    /// # Panics
    /// When it runs already or cannot be started.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.setup.program.display());
        self.runs += 1;
        let log = |path: PathBuf| match File::options().create(true).append(true).open(&path) {
            Ok(file) => file,
            Err(error) => panic!("cannot write {}: {error}", path.display()),
        };
        let path = self.log_path(self.runs);
        let (out, err) = (log(path.clone()), log(path));
        match self.command().stdin(Stdio::null()).stdout(out).stderr(err).spawn() {
            Ok(child) => self.child = Some(child),
            Err(error) => panic!("cannot start {}: {error}", self.setup.program.display()),
        }
    }

    /// Waits until it has a leader and its own node stands in the catalog with its addresses.
    ///
    /// # Panics
    /// When that takes more than 30 s, or the process ends.
    pub fn wait_ready(&mut self) {
        let mut client = self.client();
        let target = format!("/v1/catalog/node/{}", self.node());
        let start = Instant::now();
        loop {
            let answered = client.try_send(&Request::new("GET", &target));
            if let Ok(reply) = &answered
                && reply.code() == 200
                && let Ok(value) = crate::Json::parse(&reply.body())
                && !value.get("Node").get("TaggedAddresses").is_empty()
                && !value.get("Services").get("consul").is_empty()
            {
                return;
            }
            if let Some(status) = self.ended() {
                panic!("{:?} ended with {status} instead of serving\n{}", self.kind(), self.log());
            }
            assert!(start.elapsed() < Duration::from_secs(30), "not ready after 30 s\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it answers to HTTP at all.
    ///
    /// # Panics
    /// When that takes more than 30 s.
    pub fn wait_http(&self) {
        let mut client = self.client();
        eventually(Duration::from_secs(30), "an answer to HTTP", || {
            client.try_send(&Request::new("GET", "/v1/status/leader"))
        });
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("the subject runs")
    }

    /// The id of its process (that of the tracer, if it runs under one).
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the subject runs").id()
    }

    /// Memory and CPU time of it.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stats(&self) -> ProcessStats {
        match stats_of(self.pid()) {
            Ok(stats) => stats,
            Err(error) => panic!("no figures of process {}: {error}", self.pid()),
        }
    }

    /// The status it ended with, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, number: i32) {
        if let Err(error) = signal(self.pid(), number) {
            panic!("cannot signal process {}: {error}", self.pid());
        }
    }

    /// Waits for it to end by itself.
    ///
    /// # Panics
    /// When it still runs after `deadline`.
    pub fn wait_end(&mut self, deadline: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                self.child = None;
                return status;
            }
            assert!(start.elapsed() < deadline, "still runs after {deadline:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to stop, and kills it by its id when it has not after 15 s.
    ///
    /// # Panics
    /// When it had to be killed.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.wait_end(Duration::from_secs(15))
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let child = self.child();
        let _ = child.kill();
        let _ = child.wait();
        self.child = None;
    }

    /// Runs a command of the same binary against this agent and returns what it printed.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.setup.program);
        command.args(arguments).env("CONSUL_HTTP_ADDR", self.http().to_string()).stdin(Stdio::null());
        command.env_remove("CRS_HTTP_ADDR");
        match command.output() {
            Ok(output) => output,
            Err(error) => panic!("cannot run {}: {error}", self.setup.program.display()),
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if self.setup.under.is_empty() {
                let _ = child.kill();
            } else {
                // a tracer hands SIGTERM on, but not SIGKILL
                let _ = signal(child.id(), libc::SIGTERM);
            }
            let _ = child.wait();
        }
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            let log = self.log_of(folder.path());
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            let kept = folder.keep();
            eprint_kept(&kept, &tail.join("\n"));
        }
    }
}

impl Subject {
    fn log_of(&self, folder: &Path) -> String {
        let text = fs::read(folder.join(format!("log.{}", self.runs))).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[allow(clippy::print_stderr)] // the one place where a failed test says where its files are
fn eprint_kept(folder: &Path, tail: &str) {
    eprintln!("files of the failed test are in {}; its log ends with\n{tail}", folder.display());
}
