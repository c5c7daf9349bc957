//! The agent's flags, made from the configuration's own table.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use crs_config::{AGENT_FLAGS, FlagKind, Flags};

/// Flags of `crs agent` as they were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct AgentArgs {
    /// `-config-file` and `-config-dir`, in their order.
    pub(crate) paths: Vec<String>,
    /// `-config-format`.
    pub(crate) format: Option<String>,
    /// `-hcl`.
    pub(crate) fragments: Vec<String>,
    /// `-dev`.
    pub(crate) dev: bool,
    /// All others.
    pub(crate) flags: Flags,
    /// Words behind the flags; there should be none.
    pub(crate) words: Vec<String>,
}

impl Args for AgentArgs {
    fn augment_args(command: Command) -> Command {
        let text = |name: &'static str, help: &'static str| {
            Arg::new(name).long(name).help(help).action(ArgAction::Append).allow_hyphen_values(true)
        };
        let mut command = command
            .about("Runs an agent")
            .arg(text("config-dir", "Directory whose .json and .hcl files are read (repeatable)."))
            .arg(text("config-file", "File or directory that is read (repeatable)."))
            .arg(text("config-format", "Read every file as hcl or as json, whatever its name."))
            .arg(text("hcl", "Configuration itself, in HCL (repeatable)."))
            .arg(
                Arg::new("dev")
                    .long("dev")
                    .help("A lone server for development: state in memory only.")
                    .action(ArgAction::SetTrue),
            )
            .arg(Arg::new("words").hide(true).num_args(0..).trailing_var_arg(true).allow_hyphen_values(true));
        for flag in AGENT_FLAGS {
            let arg = match flag.kind {
                // As text, so that -flag=false can say so too.
                FlagKind::Bool => text(flag.name, flag.help)
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true"),
                _ => text(flag.name, flag.help),
            };
            command = command.arg(arg);
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for AgentArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = AgentArgs::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let all = |name: &str| -> Vec<String> {
            matches.get_many::<String>(name).into_iter().flatten().cloned().collect()
        };
        // Both kinds of path count in the order of the command line.
        let mut paths: Vec<(usize, String)> = Vec::new();
        for name in ["config-dir", "config-file"] {
            let places = matches.indices_of(name).into_iter().flatten();
            paths.extend(places.zip(all(name)));
        }
        paths.sort();
        self.paths = paths.into_iter().map(|(_, path)| path).collect();
        self.format = all("config-format").pop();
        self.fragments = all("hcl");
        self.dev = matches.get_flag("dev");
        self.words = all("words");
        for flag in AGENT_FLAGS {
            for value in all(flag.name) {
                self.flags.set(flag.name, &value).map_err(|error| {
                    clap::Error::raw(clap::error::ErrorKind::ValueValidation, error.to_string())
                })?;
            }
        }
        Ok(())
    }
}
