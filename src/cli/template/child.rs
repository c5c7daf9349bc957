//! `exec`: a child that is started once everything is rendered, told of changes, and ends with us.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process;

use super::command;
use super::settings::{ChildEnv, Exec};
use super::signal::Signal;

/// The supervised child.
#[derive(Debug)]
pub(crate) struct Child {
    exec: Exec,
    environment: Vec<(String, String)>,
    process: process::Child,
    group: u32,
}

impl Child {
    pub(crate) fn start(exec: Exec, environment: &[(String, String)]) -> Result<Child, String> {
        let mut command = command::prepare(&exec.command);
        environ(&mut command, &exec.env);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.envs(exec.env.custom.iter().filter_map(|pair| pair.split_once('=')));
        command.stdin(Stdio::inherit()).kill_on_drop(true);
        let process = command
            .spawn()
            .map_err(|error| format!("exec: cannot start {:?}: {error}", exec.command.to_string()))?;
        let group = process.id().unwrap_or(0);
        tracing::info!(pid = group, command = %exec.command, "Started child");
        Ok(Child { exec, environment: environment.to_vec(), process, group })
    }

    /// Waits for its end; gives the code to end with ourselves.
    pub(crate) async fn ended(&mut self) -> u8 {
        self.process.wait().await.map_or(14, code)
    }

    /// A file changed: the reload signal, or a new child.
    pub(crate) async fn changed(&mut self) {
        if !self.exec.splay.is_zero() {
            let most = u64::try_from(self.exec.splay.as_millis()).unwrap_or(u64::MAX).max(1);
            // chance only has to differ from machine to machine
            let chance = RandomState::new().build_hasher().finish();
            tokio::time::sleep(Duration::from_millis(chance % most)).await;
        }
        if let Some(signal) = self.exec.reload_signal {
            tracing::info!(pid = self.group, %signal, "Signalling child");
            if let Err(error) = signal.send_group(self.group) {
                tracing::warn!(pid = self.group, %error, "Child cannot be signalled");
            }
            return;
        }
        self.stop().await;
        match Child::start(self.exec.clone(), &self.environment) {
            Ok(child) => *self = child,
            // its end is noticed by whoever waits for it
            Err(error) => tracing::error!(%error, "Child cannot be started again"),
        }
    }

    /// Asks it to end, and makes it end when that takes too long.
    pub(crate) async fn stop(&mut self) {
        let _ = self.exec.kill_signal.send_group(self.group);
        let limit = self.exec.kill_timeout;
        if tokio::time::timeout(limit, self.process.wait()).await.is_err() {
            tracing::warn!(pid = self.group, ?limit, "Child did not end in time and is killed");
            let _ = Signal::KILL.send_group(self.group);
            let _ = self.process.wait().await;
        }
    }
}

/// A child killed by a signal counts as shells count it.
fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let number = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(14);
    u8::try_from(number & 0xff).unwrap_or(14)
}

/// Which of our own variables the child sees.
fn environ(command: &mut process::Command, env: &ChildEnv) {
    if env.pristine {
        command.env_clear();
        return;
    }
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let matches = |list: &[String]| list.iter().any(|pattern| glob(pattern, &text));
        if matches(&env.deny) || !(env.allow.is_empty() || matches(&env.allow)) {
            command.env_remove(&name);
        }
    }
}

/// `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| text.strip_prefix(head)) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let parts: Vec<&str> = parts.collect();
    for (at, part) in parts.iter().enumerate() {
        if at + 1 == parts.len() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(found) => rest = &rest[found + part.len()..],
            None => return false,
        }
    }
    true
}
