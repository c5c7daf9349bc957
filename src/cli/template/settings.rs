//! What the watcher is told to do: files and flags merged, checked, with defaults filled in.

use std::path::PathBuf;
use std::time::Duration;

use crs_types::Secret;

use super::signal::Signal;

/// A problem of the configuration, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {text}")]
pub(crate) struct Problem {
    /// File and line, or the flag.
    pub(crate) place: String,
    /// What is wrong and what to do.
    pub(crate) text: String,
}

impl Problem {
    pub(crate) fn new(place: impl std::fmt::Display, text: impl Into<String>) -> Problem {
        Problem { place: place.to_string(), text: text.into() }
    }
}

/// Quiescence: wait until nothing changed for `min`, at most `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

/// A command line: a text for the shell, or words that are run as they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum CommandLine {
    Shell(String),
    Words(Vec<String>),
}

impl std::fmt::Display for CommandLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CommandLine::Shell(text) => f.write_str(text),
            CommandLine::Words(words) => f.write_str(&words.join(" ")),
        }
    }
}

/// Variables that a child sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ChildEnv {
    /// Nothing of our own environment.
    pub(crate) pristine: bool,
    /// `NAME=VALUE`, on top.
    pub(crate) custom: Vec<String>,
    /// Globs: only these of our own.
    pub(crate) allow: Vec<String>,
    /// Globs: none of these of our own.
    pub(crate) deny: Vec<String>,
}

/// A supervised child (`exec`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exec {
    pub(crate) command: CommandLine,
    pub(crate) env: ChildEnv,
    /// `None`: a change kills it and starts it anew.
    pub(crate) reload_signal: Option<Signal>,
    pub(crate) kill_signal: Signal,
    pub(crate) kill_timeout: Duration,
    pub(crate) splay: Duration,
}

/// How often and how patiently the agent is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) enabled: bool,
    /// `None`: as the mode has it; 0: for ever.
    pub(crate) attempts: Option<u32>,
    pub(crate) backoff: Duration,
    pub(crate) max_backoff: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            enabled: true,
            attempts: None,
            backoff: Duration::from_millis(250),
            max_backoff: Duration::from_secs(60),
        }
    }
}

/// TLS to the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ssl {
    pub(crate) enabled: bool,
    pub(crate) verify: bool,
    pub(crate) cert: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) ca_cert: Option<String>,
    pub(crate) ca_path: Option<String>,
    pub(crate) server_name: Option<String>,
}

/// The agent that is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) token: Option<Secret<String>>,
    /// User and password.
    pub(crate) auth: Option<Secret<String>>,
    pub(crate) ssl: Ssl,
    pub(crate) retry: Retry,
}

/// What to do with an empty or too small answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnEmpty {
    /// Render it.
    #[default]
    Render,
    /// Keep the last good file.
    Keep,
    /// An error.
    Fail,
}

/// One template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// The file, or nothing where the text stands in the configuration.
    pub(crate) source: Option<PathBuf>,
    pub(crate) contents: Option<String>,
    /// Empty only with `-dry`.
    pub(crate) destination: PathBuf,
    pub(crate) dialect: crs_template::Dialect,
    pub(crate) options: crs_template::Options,
    pub(crate) partials: Option<PathBuf>,
    pub(crate) create_dest_dirs: bool,
    /// `None`: that of the file that is there, else 0644.
    pub(crate) perms: Option<u32>,
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) backup: bool,
    pub(crate) command: Option<CommandLine>,
    pub(crate) command_timeout: Duration,
    pub(crate) command_env: Vec<String>,
    /// Runs on the candidate, `{file}` standing for its path.
    pub(crate) check: Option<CommandLine>,
    /// Put the old file back when the command fails.
    pub(crate) rollback: bool,
    pub(crate) wait: Option<Wait>,
    /// `None`: as the mode has it.
    pub(crate) error_fatal: Option<bool>,
    /// Templates of one group share one check and one command.
    pub(crate) group_name: Option<String>,
    pub(crate) min_instances: usize,
    pub(crate) on_empty: OnEmpty,
    pub(crate) show_diff: bool,
}

impl Block {
    /// For messages.
    pub(crate) fn name(&self) -> String {
        match &self.source {
            Some(path) => path.display().to_string(),
            None => format!("contents of {}", self.destination.display()),
        }
    }
}

/// Everything.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) server: Server,
    pub(crate) templates: Vec<Block>,
    pub(crate) exec: Option<Exec>,
    pub(crate) max_stale: Duration,
    pub(crate) block_query_wait: Duration,
    pub(crate) once: bool,
    pub(crate) dry: bool,
    pub(crate) diff: bool,
    pub(crate) explain: bool,
    pub(crate) parse_only: bool,
    pub(crate) kill_signal: Signal,
    pub(crate) reload_signal: Option<Signal>,
    pub(crate) log_level: String,
    pub(crate) log_file: Option<PathBuf>,
    pub(crate) pid_file: Option<PathBuf>,
    /// A key that `key` waits for and that does not exist is an error.
    pub(crate) err_on_failed_lookup: bool,
    /// Keys that are accepted but do nothing yet.
    pub(crate) warnings: Vec<String>,
}
