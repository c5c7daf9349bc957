//! Go's rules for flags, laid over clap's tree: one dash or two, `-flag=v` or `-flag v`, nothing but words after the first
//! word that is no flag. What comes out is what clap reads without surprises.

use clap::{Arg, ArgAction, Command};

/// What a command line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// A command; the words are for clap.
    Run(Vec<String>),
    /// Help for the command at a path, because it was asked for.
    Help(Vec<String>),
    /// Help for the group at a path, because no command of it was named.
    NoCommand(Vec<String>),
    /// The version.
    Version,
    /// A flag that is not of the command's, or has no value.
    BadFlag {
        /// The command.
        path: Vec<String>,
        /// In Go's words.
        text: String,
    },
}

/// Flags of older releases and what stands for them now.
const OLD_FLAGS: &[(&str, &str, &str)] = &[("agent", "dc", "datacenter"), ("", "rpc-addr", "http-addr")];

/// The words without the program's name, and warnings about old flags.
pub(crate) fn normalise(root: &Command, words: &[String]) -> (Asked, Vec<String>) {
    let mut warnings = Vec::new();
    (asked(root, words, &mut warnings), warnings)
}

fn asks_for_help(words: &[String]) -> bool {
    words
        .iter()
        .take_while(|word| *word != "--")
        .any(|word| matches!(word.as_str(), "-h" | "-help" | "--help"))
}

fn asked(root: &Command, words: &[String], warnings: &mut Vec<String>) -> Asked {
    if let Some("-v" | "-version" | "--version") = words.first().map(String::as_str) {
        return Asked::Version;
    }
    let mut command = root;
    let mut path = Vec::new();
    let mut rest = words;
    while let [first, after @ ..] = rest {
        let Some(inner) = command.find_subcommand(first) else { break };
        path.push(first.clone());
        command = inner;
        rest = after;
    }
    if asks_for_help(rest) {
        return Asked::Help(path);
    }
    if command.has_subcommands() {
        return Asked::NoCommand(path);
    }
    let mut out: Vec<String> = vec![root.get_name().to_owned()];
    out.extend(path.iter().cloned());
    let bad = |text: String| Asked::BadFlag { path: path.clone(), text };
    while let [word, after @ ..] = rest {
        if word == "--" {
            rest = after;
            break;
        }
        let Some(flag) =
            word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|flag| !flag.is_empty())
        else {
            break;
        };
        rest = after;
        if flag.starts_with(['-', '=']) {
            return bad(format!("bad flag syntax: {word}"));
        }
        let (mut name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let old = OLD_FLAGS.iter().find(|(of, old, _)| {
            *old == name && (of.is_empty() || path.first().is_some_and(|first| first == of))
        });
        if let Some((_, old, new)) = old
            && find(command, old).is_none()
            && find(command, new).is_some()
        {
            warnings.push(format!("==> WARNING: the '{old}' flag has been deprecated. Use '{new}' instead"));
            name = new;
        }
        let Some(arg) = find(command, name) else {
            return bad(format!("flag provided but not defined: -{name}"));
        };
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            match value.as_deref() {
                None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => out.push(format!("--{name}")),
                Some("0" | "f" | "F" | "false" | "FALSE" | "False") => {
                    // The last one counts, as in Go.
                    let given = format!("--{name}");
                    out.retain(|word| *word != given);
                }
                Some(value) => {
                    return bad(format!("invalid boolean value {value:?} for -{name}: parse error"));
                }
            }
            continue;
        }
        // A boolean that is kept as text, because its default is not false or because false must be said.
        let value = match value {
            None if arg.get_num_args().is_some_and(|count| count.min_values() == 0) => {
                Some("true".to_owned())
            }
            value => value,
        };
        let value = match (value, rest) {
            (Some(value), _) => value,
            (None, [next, after @ ..]) => {
                rest = after;
                next.clone()
            }
            (None, []) => return bad(format!("flag needs an argument: -{name}")),
        };
        out.push(format!("--{name}={value}"));
    }
    if !rest.is_empty() {
        out.push("--".into());
        out.extend(rest.iter().cloned());
    }
    Asked::Run(out)
}

fn find<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let is_named = |arg: &&Arg| {
        arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
    };
    command.get_arguments().find(is_named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Command {
        let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
        let option = |name: &'static str| Arg::new(name).long(name);
        let words = || Arg::new("args").num_args(0..).trailing_var_arg(true).allow_hyphen_values(true);
        Command::new("crs")
            .subcommand(
                Command::new("agent").arg(flag("server")).arg(option("datacenter")).arg(option("data-dir")),
            )
            .subcommand(
                Command::new("kv").subcommand(
                    Command::new("put")
                        .arg(flag("cas"))
                        .arg(option("flags"))
                        .arg(option("http-addr"))
                        .arg(words()),
                ),
            )
    }

    fn run(line: &str) -> (Asked, Vec<String>) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        normalise(&tree(), &words)
    }

    #[test]
    fn one_dash_or_two_and_both_forms_of_a_value() {
        for (line, wanted) in [
            ("agent -server -data-dir /x", "crs agent --server --data-dir=/x"),
            ("agent --server=false -data-dir=/x", "crs agent --data-dir=/x"),
            ("agent -server -server=0", "crs agent"),
            ("kv put -cas key -value", "crs kv put --cas -- key -value"),
            ("kv put -flags -5 - x", "crs kv put --flags=-5 -- - x"),
            ("kv put -- -key", "crs kv put -- -key"),
            ("kv put", "crs kv put"),
        ] {
            let words = wanted.split_whitespace().map(str::to_owned).collect();
            assert_eq!(run(line), (Asked::Run(words), vec![]), "{line}");
        }
    }

    #[test]
    fn faults_are_in_the_words_of_go() {
        for (line, wanted) in [
            ("agent -zz", "flag provided but not defined: -zz"),
            ("agent -data-dir", "flag needs an argument: -data-dir"),
            ("agent -server=zz", "invalid boolean value \"zz\" for -server: parse error"),
            ("agent ---x", "bad flag syntax: ---x"),
        ] {
            let path = vec!["agent".to_owned()];
            assert_eq!(run(line).0, Asked::BadFlag { path, text: wanted.into() }, "{line}");
        }
    }

    #[test]
    fn old_flags_are_taken_with_a_warning() {
        let (asked, warnings) = run("agent -dc x");
        assert_eq!(asked, Asked::Run(vec!["crs".into(), "agent".into(), "--datacenter=x".into()]));
        assert_eq!(warnings, ["==> WARNING: the 'dc' flag has been deprecated. Use 'datacenter' instead"]);
        assert!(matches!(run("kv put -rpc-addr=a:1").0, Asked::Run(words) if words[3] == "--http-addr=a:1"));
        assert!(matches!(run("kv put -dc=a").0, Asked::BadFlag { .. }));
    }

    #[test]
    fn help_and_version_are_found_wherever_they_stand() {
        assert_eq!(run("kv put a -h").0, Asked::Help(vec!["kv".into(), "put".into()]));
        assert_eq!(run("kv zz").0, Asked::NoCommand(vec!["kv".into()]));
        assert_eq!(run("zz").0, Asked::NoCommand(vec![]));
        assert_eq!(run("--version").0, Asked::Version);
        assert!(matches!(run("kv put -- -h").0, Asked::Run(_)));
    }
}
