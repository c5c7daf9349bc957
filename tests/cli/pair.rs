//! Two programs and one agent.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crs_testkit::{Kind, Setup, Subject};

/// The real program, if it is there.
pub fn consul() -> Option<PathBuf> {
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers");
    let peers = std::env::var("CRS_PEERS").unwrap_or_else(|_| target.to_owned());
    let path = Path::new(&peers).join("bin/consul");
    if path.exists() {
        return Some(path);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no real consul at {}", path.display());
    eprintln!("SKIPPED: no real consul at {}; tests/peers brings it", path.display());
    None
}

/// What a program said and how it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

impl Said {
    fn new(output: &Output) -> Said {
        Said {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }

    /// The first line of the complaint. The name of the program is not part of it.
    pub fn complaint(&self) -> String {
        let line = self.stderr.lines().next().unwrap_or_default();
        if line.starts_with("Usage:") { "Usage:".to_owned() } else { line.to_owned() }
    }
}

/// An agent, the two programs, and a directory to run them in.
pub struct Pair {
    pub agent: Subject,
    consul: PathBuf,
    folder: tempfile::TempDir,
}

impl Pair {
    /// A real agent in dev mode; `None` where there is no real program.
    pub fn start() -> Option<Pair> {
        let consul = consul()?;
        let agent = Setup::new(Kind::Consul, consul.clone()).start();
        Some(Pair { agent, consul, folder: tempfile::tempdir().unwrap() })
    }

    /// Where both run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the real program.
    pub fn consul(&self, words: &[&str]) -> Said {
        self.run(&self.consul, words)
    }

    /// Runs ours.
    pub fn crs(&self, words: &[&str]) -> Said {
        self.run(Path::new(env!("CARGO_BIN_EXE_crs")), words)
    }

    /// Either of them, ready to run.
    pub fn command(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(self.folder())
            .env("CONSUL_HTTP_ADDR", self.agent.http().to_string())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, program: &Path, words: &[&str]) -> Said {
        Said::new(&self.command(program, words).output().unwrap())
    }
}
