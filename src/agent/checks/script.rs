//! Script checks: a program whose exit code is the result.

use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use crs_types::{CheckId, CheckStatus, format_duration};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tracing::{error, warn};

use crate::checks::Outcome;
use crate::checks::decision::Tail;

/// How long the output of what a program left behind is waited for.
const LEFT_BEHIND: Duration = Duration::from_millis(500);

pub(super) async fn run(id: &CheckId, args: &[String], timeout: Duration, output_max: usize) -> Outcome {
    let Some((program, rest)) = args.split_first() else {
        return Outcome::critical("no program to run");
    };
    match spawn(program, rest) {
        Ok((child, output)) => watch(id, child, output, timeout, output_max).await,
        Err(error) => {
            let text = format!("fork/exec {program}: {}", super::tcp::reason(&error));
            error!(target: "agent", check = %id, error = %text, "Check failed to invoke");
            Outcome::critical(text)
        }
    }
}

/// Starts the program in a process group of its own, with both outputs in one pipe, so that their order is kept.
fn spawn(program: &str, args: &[String]) -> std::io::Result<(Child, tokio::net::unix::pipe::Receiver)> {
    let (reader, writer) = std::io::pipe()?;
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    Ok((child, tokio::net::unix::pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?))
}

async fn watch(
    id: &CheckId,
    mut child: Child,
    mut output: tokio::net::unix::pipe::Receiver,
    timeout: Duration,
    output_max: usize,
) -> Outcome {
    let group = ProcessGroup::of(&child);
    let mut tail = Tail::new(output_max);
    let mut buffer = [0; 4096];
    let deadline = tokio::time::sleep(timeout);
    tokio::pin!(deadline);
    let mut open = true;
    let exit = loop {
        tokio::select! {
            exit = child.wait() => break exit,
            read = output.read(&mut buffer), if open => match read {
                Ok(0) | Err(_) => open = false,
                Ok(length) => tail.push(&buffer[..length]),
            },
            () = &mut deadline => {
                let limit = format_duration(timeout);
                warn!(target: "agent", check = %id, timeout = %limit, "Timed out running check");
                // The group goes when `group` is dropped, at the end of this block.
                let mut text = format!("Timed out ({limit}) running check");
                if tail.total() > 0 {
                    text.push_str("\n\n");
                    text.push_str(&tail.labelled());
                }
                return Outcome::critical(text);
            }
        }
    };
    // What it wrote last may still be in the pipe; what it left running may keep the pipe open.
    let drain = async {
        while open {
            match output.read(&mut buffer).await {
                Ok(0) | Err(_) => open = false,
                Ok(length) => tail.push(&buffer[..length]),
            }
        }
    };
    _ = tokio::time::timeout(LEFT_BEHIND, drain).await;
    group.keep();
    let status = match exit.map(|exit| exit.code()) {
        Ok(Some(0)) => CheckStatus::Passing,
        Ok(Some(1)) => CheckStatus::Warning,
        _ => CheckStatus::Critical,
    };
    Outcome { status, output: tail.labelled() }
}

/// Kills the whole group when dropped: after a timeout, or when the agent stops meanwhile.
struct ProcessGroup(Option<rustix::process::Pid>);

impl ProcessGroup {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        ProcessGroup(id.and_then(rustix::process::Pid::from_raw))
    }

    /// The program ended by itself: what it left running is its own business.
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may be gone already.
            _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, timeout_ms: u64, output_max: usize) -> Outcome {
        let args = ["/bin/sh", "-c", script].map(str::to_owned);
        run(&"c".into(), &args, Duration::from_millis(timeout_ms), output_max).await
    }

    #[tokio::test]
    async fn the_exit_code_is_the_result_and_both_outputs_are_kept_in_order() {
        assert_eq!(sh("echo a; echo b >&2; echo c", 9000, 99).await, Outcome::passing("a\nb\nc\n"));
        assert_eq!(sh("echo w; exit 1", 9000, 99).await, Outcome::warning("w\n"));
        assert_eq!(sh("exit 2", 9000, 99).await, Outcome::critical(""));
        assert_eq!(sh("kill -9 $$", 9000, 99).await, Outcome::critical(""));
        let long = "Captured 3 of 7 bytes\n...\nfg\n";
        assert_eq!(sh("echo abcd''efg | cut -c2-", 9000, 3).await, Outcome::passing(long));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let outcome = run(&"c".into(), &["/no/such".to_owned()], Duration::from_secs(1), 9).await;
        assert_eq!(outcome, Outcome::critical("fork/exec /no/such: no such file or directory"));
    }

    #[tokio::test]
    async fn a_timeout_ends_the_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sh -c 'echo $$ > {}; sleep 60' & echo before; sleep 60", file.display());
        let outcome = sh(&script, 1000, 99).await;
        assert_eq!(outcome, Outcome::critical("Timed out (1s) running check\n\nbefore\n"));
        let grandchild: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{grandchild}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z "))
        };
        for _ in 0..500 {
            if gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the grandchild lives on");
    }

    #[tokio::test]
    async fn what_is_left_behind_does_not_hold_the_check_up() {
        let before = std::time::Instant::now();
        assert_eq!(sh("sleep 5 & echo done", 9000, 99).await, Outcome::passing("done\n"));
        assert!(before.elapsed() < Duration::from_secs(4));
    }
}
