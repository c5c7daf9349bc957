//! The tree of commands: the one place that says which words and flags there are.

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::agent_flags::AgentArgs;
use crate::catalog::Catalog;
use crate::control::{Event, ForceLeave, Join, Leave, Maint, Reload};
use crate::info::Info;
use crate::kv::Kv;
use crate::members::Members;
use crate::monitor::Monitor;
use crate::operator::Operator;
use crate::rtt::Rtt;
use crate::services::Services;
use crate::snapshot::Snapshot;
use crate::template::TemplateArgs;
use crate::validate::Validate;
use crate::version::{Keygen, Version};
use crate::watch::Watch;

/// Service discovery and configuration
#[derive(Parser, Debug)]
#[command(name = "crs", disable_help_flag = true, disable_help_subcommand = true)]
pub(crate) struct Crs {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Agent(AgentArgs),
    /// Reads the catalog
    #[command(subcommand)]
    Catalog(Catalog),
    Event(Event),
    ForceLeave(ForceLeave),
    Info(Info),
    Join(Join),
    Keygen(Keygen),
    /// Works with the key/value store
    #[command(subcommand)]
    Kv(Kv),
    Leave(Leave),
    Maint(Maint),
    Members(Members),
    Monitor(Monitor),
    /// Tools for operators of a cluster
    #[command(subcommand)]
    Operator(Operator),
    Reload(Reload),
    Rtt(Rtt),
    /// Registers services with the local agent, or removes them
    #[command(subcommand)]
    Services(Services),
    /// Saves, restores and inspects the servers' state
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// Renders files from the catalog, and reloads what reads them
    Template(Box<TemplateArgs>),
    Validate(Validate),
    Version(Version),
    Watch(Watch),
}

/// The tree, with Go's rule that a repeated flag replaces the earlier one.
pub(crate) fn tree() -> clap::Command {
    fn go_rules(command: clap::Command) -> clap::Command {
        let names: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
        let command = command.disable_help_flag(true).disable_version_flag(true).args_override_self(true);
        names.into_iter().fold(command, |command, name| command.mut_subcommand(name, go_rules))
    }
    go_rules(Crs::command())
}

/// Reads words that went through [`crate::arguments::normalise`].
pub(crate) fn parse(words: &[String]) -> Result<Command, String> {
    let matches = tree().try_get_matches_from(words).map_err(|error| fault(&error))?;
    Crs::from_arg_matches(&matches).map(|crs| crs.command).map_err(|error| fault(&error))
}

/// The words of Go for a value that does not fit its flag.
fn fault(error: &clap::Error) -> String {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let text = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    if error.kind() != ErrorKind::ValueValidation {
        return error.to_string().trim_start_matches("error: ").trim_end().to_owned();
    }
    let name = text(ContextKind::InvalidArg);
    let name = name.split([' ', '=']).next().unwrap_or_default().trim_start_matches('-').to_owned();
    if name.is_empty() {
        // The agent's own table of flags says it in full.
        return error.to_string().trim_start_matches("error: ").trim_end().to_owned();
    }
    let why = match std::error::Error::source(error) {
        Some(source) if source.is::<crate::options::NoPair>() => source.to_string(),
        _ => "parse error".to_owned(),
    };
    format!("invalid value {:?} for flag -{name}: {why}", text(ContextKind::InvalidValue))
}
