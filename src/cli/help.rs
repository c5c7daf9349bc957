//! Help from clap's tree, in the form Consul's users know: one dash, a value behind `=`, groups of options.

use clap::{Arg, ArgAction, Command};

/// Width of a line of help.
const WIDTH: usize = 76;

/// The command at a path below the root.
pub(crate) fn at<'a>(root: &'a Command, path: &[String]) -> &'a Command {
    path.iter().fold(root, |command, name| command.find_subcommand(name).unwrap_or(command))
}

fn full_name(root: &Command, path: &[String]) -> String {
    std::iter::once(root.get_name().to_owned()).chain(path.iter().cloned()).collect::<Vec<_>>().join(" ")
}

/// The whole help of a command or a group.
pub(crate) fn long(root: &Command, path: &[String]) -> String {
    let command = at(root, path);
    let name = full_name(root, path);
    let mut out = match (path.is_empty(), command.has_subcommands()) {
        (true, _) => format!("Usage: {name} [--version] [--help] <command> [<args>]\n"),
        (false, true) => format!("Usage: {name} <subcommand> [options] [args]\n"),
        (false, false) => {
            let words = command.get_positionals().find(|arg| !arg.is_hide_set());
            let words = words.and_then(|arg| arg.get_value_names());
            let words =
                words.and_then(|names| names.first()).map(|name| format!(" {name}")).unwrap_or_default();
            format!("Usage: {name} [options]{words}\n")
        }
    };
    if !path.is_empty()
        && let Some(about) = command.get_long_about().or_else(|| command.get_about())
    {
        out.push('\n');
        wrap(&mut out, &about.to_string(), "  ");
    }
    if command.has_subcommands() {
        out.push_str(if path.is_empty() { "\nAvailable commands are:\n" } else { "\nSubcommands:\n" });
        let all: Vec<&Command> = command.get_subcommands().filter(|inner| !inner.is_hide_set()).collect();
        let width = all.iter().map(|inner| inner.get_name().len()).max().unwrap_or(0);
        for inner in all {
            let about = inner.get_about().map(ToString::to_string).unwrap_or_default();
            out.push_str(&format!("    {:width$}    {about}\n", inner.get_name()));
        }
    }
    let mut groups: Vec<(&str, Vec<&Arg>)> = vec![("HTTP API Options", vec![]), ("Command Options", vec![])];
    for arg in flags(command) {
        let heading = arg.get_help_heading().unwrap_or("Command Options");
        match groups.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, args)) => args.push(arg),
            None => groups.push((heading, vec![arg])),
        }
    }
    for (heading, args) in groups.iter().filter(|(_, args)| !args.is_empty()) {
        out.push_str(&format!("\n{heading}\n"));
        for arg in args {
            let value = if takes_value(arg) { "=<value>" } else { "" };
            out.push_str(&format!("\n  -{}{value}\n", arg.get_long().unwrap_or_default()));
            wrap(&mut out, &help_of(arg), "     ");
        }
    }
    out
}

/// What follows a fault in the flags: all of them in one list.
pub(crate) fn flag_list(root: &Command, path: &[String]) -> String {
    let mut out = "Usage:\n".to_owned();
    for arg in flags(at(root, path)) {
        let value = if takes_value(arg) { " value" } else { "" };
        out.push_str(&format!("  -{}{value}\n    \t{}\n", arg.get_long().unwrap_or_default(), help_of(arg)));
    }
    out
}

fn flags(command: &Command) -> Vec<&Arg> {
    let mut all: Vec<&Arg> =
        command.get_arguments().filter(|arg| arg.get_long().is_some() && !arg.is_hide_set()).collect();
    all.sort_by_key(|arg| arg.get_long());
    all
}

fn takes_value(arg: &Arg) -> bool {
    let may_be_bare = arg.get_num_args().is_some_and(|count| count.min_values() == 0);
    !matches!(arg.get_action(), ArgAction::SetTrue) && !may_be_bare
}

fn help_of(arg: &Arg) -> String {
    arg.get_help().map(ToString::to_string).unwrap_or_default()
}

fn wrap(out: &mut String, text: &str, indent: &str) {
    for paragraph in text.split("\n\n") {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && indent.len() + line.len() + 1 + word.len() > WIDTH {
                out.push_str(&format!("{indent}{line}\n"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if !line.is_empty() {
            out.push_str(&format!("{indent}{line}\n"));
        }
    }
}
