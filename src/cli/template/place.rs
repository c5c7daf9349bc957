//! From rendered texts to files and commands: compare, check, replace, run, and go back when that fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command;
use super::output;
use super::settings::{Block, CommandLine};
use super::write::{self, Candidate, Shape};

/// A rendered text on its way.
pub(crate) struct Text {
    /// Which template.
    pub(crate) job: usize,
    pub(crate) block: Block,
    pub(crate) shape: Shape,
    pub(crate) text: Vec<u8>,
    pub(crate) files: Vec<crs_template::WrittenFile>,
}

/// What happened to the texts of a pass.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    /// Templates that failed on the way, and why.
    pub(crate) errors: Vec<(usize, String)>,
    /// Templates whose text is in place now, changed or not.
    pub(crate) done: Vec<usize>,
    /// Files that changed.
    pub(crate) changed: usize,
}

/// A command that has to run, and what goes back if it fails.
struct Pending {
    line: CommandLine,
    limit: Duration,
    env: Vec<String>,
    jobs: Vec<usize>,
    undo: Vec<(PathBuf, Option<Vec<u8>>, Shape)>,
}

/// Brings the texts of one pass to their places, then runs the commands, each once.
pub(crate) async fn place(texts: Vec<Text>, environment: &[(String, String)]) -> Placed {
    let mut placed = Placed::default();
    let mut groups: BTreeMap<(usize, Option<String>), Vec<Text>> = BTreeMap::new();
    let mut first_of: BTreeMap<String, usize> = BTreeMap::new();
    for text in texts {
        // a group stands where its first member stands
        let (at, name) = match &text.block.group_name {
            Some(name) => (*first_of.entry(name.clone()).or_insert(text.job), Some(name.clone())),
            None => (text.job, None),
        };
        groups.entry((at, name)).or_default().push(text);
    }
    let mut pending: Vec<Pending> = Vec::new();
    for (_, members) in groups {
        place_group(members, environment, &mut placed, &mut pending).await;
    }
    for command in pending {
        let mut env = environment.to_vec();
        env.extend(command.env.iter().filter_map(|pair| {
            pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
        }));
        tracing::info!(command = %command.line, "Running command");
        let Err(error) = command::run(&command.line, &env, command.limit, false).await else { continue };
        let mut message = format!("command failed: {error}");
        if !command.undo.is_empty() {
            message.push_str(&roll_back(&command, &env).await);
        }
        for job in &command.jobs {
            placed.errors.push((*job, message.clone()));
        }
    }
    placed
}

/// Puts the old files back and runs the command on them once more.
async fn roll_back(command: &Pending, env: &[(String, String)]) -> String {
    let mut back = Vec::new();
    for (path, old, shape) in &command.undo {
        let result = match old {
            Some(text) => {
                let shape = Shape { backup: false, perms: None, ..shape.clone() };
                Candidate::write(path, text, &shape).and_then(Candidate::replace).map(drop)
            }
            None => {
                let _ = std::fs::remove_file(path);
                Ok(())
            }
        };
        back.push(match result {
            Ok(()) => format!("; {} is back to what it was", path.display()),
            Err(error) => format!("; cannot go back: {error}"),
        });
    }
    if let Err(error) = command::run(&command.line, env, command.limit, false).await {
        back.push(format!("; the command fails on the old file, too: {error}"));
    }
    back.concat()
}

/// All files of a group, or none.
async fn place_group(
    members: Vec<Text>,
    environment: &[(String, String)],
    placed: &mut Placed,
    pending: &mut Vec<Pending>,
) {
    let jobs: Vec<usize> = members.iter().map(|text| text.job).collect();
    let mut fail = |message: String| {
        for job in &jobs {
            placed.errors.push((*job, message.clone()));
        }
    };
    let mut candidates: Vec<(Candidate, &Text)> = Vec::new();
    for text in &members {
        let path = &text.block.destination;
        if write::is_current(path, &text.text, &text.shape) {
            continue;
        }
        match Candidate::write(path, &text.text, &text.shape) {
            Ok(candidate) => candidates.push((candidate, text)),
            Err(error) => return fail(error.to_string()),
        }
    }
    let mut checked: Vec<CommandLine> = Vec::new();
    for (candidate, text) in &candidates {
        let Some(check) = &text.block.check else { continue };
        let line = with_file(check, candidate.path());
        if checked.contains(&line) {
            continue;
        }
        if let Err(error) = command::run(&line, environment, text.block.command_timeout, true).await {
            let path = text.block.destination.display();
            return fail(format!("{path}: the check refused the new text, the old file stays: {error}"));
        }
        checked.push(line);
    }
    let mut undo: Vec<(PathBuf, Option<Vec<u8>>, Shape)> = Vec::new();
    let mut replaced = Vec::new();
    for (candidate, text) in candidates {
        let path = text.block.destination.clone();
        match candidate.replace() {
            Ok(before) => {
                tracing::info!(path = %path.display(), bytes = text.text.len(), "Wrote file");
                undo.push((path, before, text.shape.clone()));
                replaced.push(text);
            }
            Err(error) => {
                // what this group has put in place already goes back: all of it or none
                for (path, before, shape) in undo {
                    if let Some(text) = before {
                        let _ = Candidate::write(&path, &text, &shape).and_then(Candidate::replace);
                    }
                }
                return fail(error.to_string());
            }
        }
    }
    for text in &members {
        for file in &text.files {
            if let Err(error) = write::write_beside(file) {
                return fail(error.to_string());
            }
        }
    }
    placed.changed += replaced.len();
    placed.done.extend(&jobs);
    for (text, undone) in replaced.into_iter().zip(undo) {
        let block = &text.block;
        let Some(line) = &block.command else { continue };
        let same = pending.iter_mut().find(|there| there.line == *line && there.env == block.command_env);
        let entry = match same {
            Some(entry) => entry,
            None => {
                pending.push(Pending {
                    line: line.clone(),
                    limit: block.command_timeout,
                    env: block.command_env.clone(),
                    jobs: Vec::new(),
                    undo: Vec::new(),
                });
                let last = pending.len() - 1;
                &mut pending[last]
            }
        };
        entry.limit = entry.limit.max(block.command_timeout);
        entry.jobs.push(text.job);
        if block.rollback {
            entry.undo.push(undone);
        }
    }
}

/// The check with `{file}` replaced by the candidate's path.
fn with_file(line: &CommandLine, path: &Path) -> CommandLine {
    let path = path.display().to_string();
    match line {
        CommandLine::Shell(text) => CommandLine::Shell(text.replace("{file}", &quoted(&path))),
        CommandLine::Words(words) => {
            CommandLine::Words(words.iter().map(|word| word.replace("{file}", &path)).collect())
        }
    }
}

/// One word of a shell.
fn quoted(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+,@%:=".contains(&byte)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Shows instead of writing: `> DESTINATION` and the text, or the difference to what is there.
pub(crate) fn show(text: &Text, diff: bool) {
    let path = text.block.destination.display();
    if diff {
        let there = std::fs::read(&text.block.destination).unwrap_or_default();
        let shown = super::diff::unified(&there, &text.text, &path.to_string(), output::is_terminal());
        return output::out(shown.as_bytes());
    }
    output::out(format!("> {path}\n").as_bytes());
    output::out(&text.text);
}
