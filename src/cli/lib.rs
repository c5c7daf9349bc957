//! The command line: commands, their flags and output in the form Consul's users and scripts know, and the composition
//! root of the agent.
//!
//! ```text
//! argv -> arguments (Go's rules for flags) -> command (clap's tree) -> one file per command -> output
//! ```
//!
//! Invariants: `output` alone prints; a reader that went away is success; exit codes are Consul's: 0 well, 1 a fault,
//! 2 nothing to show, 127 no such command.

// Doc comments of the command tree are its help texts, where brackets mean what may be left out.
#![allow(rustdoc::broken_intra_doc_links)]

mod agent;
mod agent_flags;
mod archive;
mod arguments;
mod catalog;
mod command;
mod config_files;
mod config_watches;
mod control;
mod failure;
mod go_json;
mod help;
mod info;
mod kv;
mod kv_transfer;
mod machine;
mod members;
mod monitor;
mod operator;
mod options;
mod output;
mod rtt;
mod services;
mod snapshot;
mod table;
pub mod template;
mod validate;
mod version;
mod watch;

use std::process::ExitCode;

use crate::arguments::{Asked, normalise};
use crate::command::{Command, parse, tree};
use crate::failure::{Failure, Outcome};
use crate::output::Out;

/// There is no such command.
const UNKNOWN: u8 = 127;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let mut out = Out::default();
    let mut words = Vec::new();
    for word in std::env::args_os().skip(1) {
        match word.into_string() {
            Ok(word) => words.push(word),
            Err(word) => {
                out.error(format_args!("argument {} is not UTF-8", word.to_string_lossy()));
                return ExitCode::FAILURE;
            }
        }
    }
    let tree = tree();
    let (asked, warnings) = normalise(&tree, &words);
    warnings.iter().for_each(|warning| out.error(warning));
    let (words, path) = match asked {
        Asked::Run(words) => {
            let path: Vec<String> =
                words[1..].iter().take_while(|word| !word.starts_with('-')).cloned().collect();
            (words, path)
        }
        Asked::Version => {
            version::pretty(&mut out);
            return ExitCode::SUCCESS;
        }
        Asked::Help(path) => {
            out.bytes(help::long(&tree, &path).as_bytes());
            return ExitCode::SUCCESS;
        }
        Asked::NoCommand(path) => {
            out.error(help::long(&tree, &path).trim_end());
            return ExitCode::from(if path.is_empty() { UNKNOWN } else { 1 });
        }
        Asked::BadFlag { path, text } => {
            out.error(format_args!("{text}\n{}", help::flag_list(&tree, &path).trim_end()));
            return flag_fault(&path);
        }
    };
    let command = match parse(&words) {
        Ok(command) => command,
        Err(text) => {
            out.error(format_args!("{text}\n{}", help::flag_list(&tree, &path).trim_end()));
            return flag_fault(&path);
        }
    };
    let command = match command {
        Command::Agent(args) => return agent::main(args, &mut out),
        Command::Template(args) => return template::run(*args),
        command => command,
    };
    match run(command, &mut out) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            out.error(&failure.text);
            if failure.help {
                out.error(format_args!("\n{}", help::long(&tree, &path).trim_end()));
            }
            ExitCode::from(failure.code)
        }
    }
}

/// The template watcher has consul-template's exit codes.
fn flag_fault(path: &[String]) -> ExitCode {
    if path.first().is_some_and(|name| name == "template") {
        template::usage_code()
    } else {
        ExitCode::FAILURE
    }
}

fn run(command: Command, out: &mut Out) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("Failed to start the runtime: {error}")))?;
    runtime.block_on(async {
        match command {
            // These two bring runtimes of their own.
            Command::Agent(_) | Command::Template(_) => Err(Failure::new("not run here")),
            Command::Catalog(command) => command.run(out).await,
            Command::Event(command) => command.run(out).await,
            Command::ForceLeave(command) => command.run(out).await,
            Command::Info(command) => command.run(out).await,
            Command::Join(command) => command.run(out).await,
            Command::Keygen(command) => command.run(out),
            Command::Kv(command) => command.run(out).await,
            Command::Leave(command) => command.run(out).await,
            Command::Maint(command) => command.run(out).await,
            Command::Members(command) => command.run(out).await,
            Command::Monitor(command) => command.run(out).await,
            Command::Operator(command) => command.run(out).await,
            Command::Reload(command) => command.run(out).await,
            Command::Rtt(command) => command.run(out).await,
            Command::Services(command) => command.run(out).await,
            Command::Snapshot(command) => command.run(out).await,
            Command::Validate(command) => command.run(out),
            Command::Version(command) => command.run(out),
            Command::Watch(command) => command.run(out).await,
        }
    })
}
