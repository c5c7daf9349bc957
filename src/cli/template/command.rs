//! Running commands: in a process group of their own, with a time limit, their last words kept for the message.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::settings::CommandLine;
use super::signal::Signal;

/// What of a command's output is kept for messages.
const KEPT_BYTES: usize = 4096;

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// It could not be started.
    #[error("cannot start {line:?}: {cause}")]
    Start { line: String, cause: std::io::Error },
    /// It ended badly.
    #[error("{line:?} ended with {status}{output}")]
    Ended { line: String, status: String, output: String },
    /// It took too long and was killed with all its children.
    #[error("{line:?} did not end within {limit:?} and was killed")]
    TimedOut { line: String, limit: Duration },
}

/// The program and words of a command line.
pub(crate) fn prepare(line: &CommandLine) -> Command {
    let mut command = match line {
        CommandLine::Shell(text) => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(text);
            command
        }
        CommandLine::Words(words) => {
            let mut command = Command::new(words.first().map_or("", String::as_str));
            command.args(words.iter().skip(1));
            command
        }
    };
    command.process_group(0);
    command
}

/// Runs a command to its end. What it prints goes through to our own streams when `inherit` is set.
pub(crate) async fn run(
    line: &CommandLine,
    environment: &[(String, String)],
    limit: Duration,
    quiet: bool,
) -> Result<(), CommandError> {
    let shown = line.to_string();
    let mut command = prepare(line);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).kill_on_drop(true);
    let piped = || if quiet { Stdio::piped() } else { Stdio::inherit() };
    command.stdout(piped()).stderr(piped());
    let mut child = command.spawn().map_err(|cause| CommandError::Start { line: shown.clone(), cause })?;
    let group = child.id();
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let words = async { tokio::join!(last_words(out), last_words(err)) };
    // the words end when the last child of the command closes its streams; the command itself may be done before
    let work = async {
        if quiet {
            let ((out, err), status) = tokio::join!(words, child.wait());
            (status, [out, err].concat())
        } else {
            (child.wait().await, Vec::new())
        }
    };
    let waited = if limit.is_zero() { Ok(work.await) } else { tokio::time::timeout(limit, work).await };
    let (status, output) = match waited {
        Ok(done) => done,
        Err(_) => {
            if let Some(group) = group {
                let _ = Signal::KILL.send_group(group);
            }
            let _ = child.wait().await;
            return Err(CommandError::TimedOut { line: shown, limit });
        }
    };
    let status = status.map_err(|cause| CommandError::Start { line: shown.clone(), cause })?;
    if status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output).trim().to_owned();
    let output = if text.is_empty() { String::new() } else { format!(": {text}") };
    Err(CommandError::Ended { line: shown, status: status.to_string(), output })
}

/// The end of what a stream says.
async fn last_words(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let Some(mut stream) = stream else { return Vec::new() };
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > KEPT_BYTES {
            kept.drain(..kept.len() - KEPT_BYTES);
        }
    }
    kept
}

/// Runs a program for its output (`plugin`).
pub(crate) async fn output(words: &[String], limit: Duration) -> Result<Vec<u8>, String> {
    let line = CommandLine::Words(words.to_vec());
    let name = words.first().cloned().unwrap_or_default();
    let mut command = prepare(&line);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("plugin: exec {name:?}: {error}"))?;
    let group = child.id();
    let (mut out, err) = (child.stdout.take(), child.stderr.take());
    let mut text = Vec::new();
    let work = async {
        let read = async {
            if let Some(out) = &mut out {
                // far above what belongs into a configuration file
                let _ = out.take(64 << 20).read_to_end(&mut text).await;
            }
        };
        tokio::join!(read, last_words(err), child.wait())
    };
    match tokio::time::timeout(limit, work).await {
        Ok(((), _, Ok(status))) if status.success() => Ok(text),
        Ok(((), words, Ok(status))) => Err(format!(
            "plugin: exec {name:?}: {status}\nstdout: {}\nstderr: {}",
            String::from_utf8_lossy(&text).trim(),
            String::from_utf8_lossy(&words).trim()
        )),
        Ok(((), _, Err(error))) => Err(format!("plugin: exec {name:?}: {error}")),
        Err(_) => {
            if let Some(group) = group {
                let _ = Signal::KILL.send_group(group);
            }
            Err(format!("plugin: exec {name:?}: did not end within {limit:?}"))
        }
    }
}
