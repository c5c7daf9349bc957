//! A real `serf` agent, and the command line that asks it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// The real program, or none with a loud word; where CI runs, its absence is a failure.
pub(crate) fn binary(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CRS_PEERS")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers"));
    let path = folder.join("bin").join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing: CI needs it", path.display());
    println!("SKIPPED: {} is missing; CRS_PEERS names the folder of the real programs", path.display());
    None
}

/// Addresses of one test, on a piece of the loopback network of its own.
#[derive(Clone, Copy)]
pub(crate) struct Net(u8, u8);

impl Net {
    pub(crate) fn new() -> Net {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        // tests run in processes of their own: the process tells them apart
        let process = std::process::id();
        Net(
            (100 + process % 100) as u8,
            ((process / 100) as u8).wrapping_mul(7) ^ NEXT.fetch_add(1, Ordering::Relaxed),
        )
    }

    pub(crate) fn ip(self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.0, self.1, host)
    }
}

/// Waits until something holds; panics with what `what` says when it does not in time.
pub(crate) async fn eventually(
    limit: Duration,
    what: &str,
    mut done: impl FnMut() -> Result<(), String>,
) -> Duration {
    let start = Instant::now();
    loop {
        match done() {
            Ok(()) => return start.elapsed(),
            Err(why) if start.elapsed() > limit => panic!("{what}: not within {limit:?}: {why}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

pub(crate) struct SerfAgent {
    pub(crate) name: String,
    pub(crate) ip: Ipv4Addr,
    program: PathBuf,
    child: Child,
    folder: tempfile::TempDir,
}

impl SerfAgent {
    pub(crate) fn start(program: &Path, name: &str, ip: Ipv4Addr, more: &[&str]) -> SerfAgent {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let events = folder.path().join("events");
        let child = Command::new(program)
            .arg("agent")
            .arg(format!("-node={name}"))
            .arg(format!("-bind={ip}:7946"))
            .arg(format!("-rpc-addr={ip}:7373"))
            .arg("-log-level=debug")
            .arg(format!("-event-handler=user:deploy=(cat; echo) >> {}", events.display()))
            .arg(format!("-event-handler=query:load=cat >/dev/null; printf answer-{name}"))
            .args(more)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        SerfAgent { name: name.to_owned(), ip, program: program.to_owned(), child, folder }
    }

    /// Runs a command against the agent: whether it succeeded, and what it printed.
    pub(crate) fn run(&self, command: &str, args: &[&str]) -> (bool, String) {
        let out = Command::new(&self.program)
            .arg(command)
            .arg(format!("-rpc-addr={}:7373", self.ip))
            .args(args)
            .output()
            .unwrap();
        let text = [out.stdout, out.stderr].concat();
        (out.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Members as the agent lists them: name, address, status, tags.
    pub(crate) fn members(&self) -> Vec<(String, String, String, String)> {
        let (ok, text) = self.run("members", &[]);
        if !ok {
            return Vec::new();
        }
        let mut out: Vec<_> = text
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let mut next = || words.next().map(str::to_owned);
                let (name, addr, status) = (next()?, next()?, next()?);
                Some((name, addr, status, next().unwrap_or_default()))
            })
            .collect();
        out.sort();
        out
    }

    pub(crate) fn status(&self, name: &str) -> Option<String> {
        self.members().into_iter().find(|m| m.0 == name).map(|m| m.2)
    }

    pub(crate) fn events(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("events")).unwrap_or_default()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) async fn ready(&self) {
        eventually(Duration::from_secs(15), "serf agent", || {
            if self.members().is_empty() { Err(self.log()) } else { Ok(()) }
        })
        .await;
    }
}

impl Drop for SerfAgent {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            println!("--- log of {}", self.name);
            for line in tail.into_iter().rev() {
                println!("{line}");
            }
        }
    }
}
