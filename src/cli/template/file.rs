//! Configuration files of the watcher: HCL1 or JSON, alone or inside the agent's own directory.

use std::fs;
use std::path::{Path, PathBuf};

use crs_config::{Entry, Format, Kind, Source, Value};

use super::raw::{Given, Item, Raw};
use super::settings::Problem;

/// Folders inside one another that are walked.
const MAX_DEPTH: usize = 16;

/// Keys at the top of a file. `*` at the end: anything below.
const TOP: &[&str] = &[
    "consul.address",
    "consul.namespace",
    "consul.token",
    "consul.token_file",
    "consul.auth",
    "consul.auth.enabled",
    "consul.auth.username",
    "consul.auth.password",
    "consul.retry.enabled",
    "consul.retry.attempts",
    "consul.retry.backoff",
    "consul.retry.max_backoff",
    "consul.ssl.enabled",
    "consul.ssl.verify",
    "consul.ssl.cert",
    "consul.ssl.key",
    "consul.ssl.ca_cert",
    "consul.ssl.ca_cert_bytes",
    "consul.ssl.ca_path",
    "consul.ssl.server_name",
    "consul.transport.*",
    "wait",
    "wait.enabled",
    "wait.min",
    "wait.max",
    "exec",
    "exec.command",
    "exec.enabled",
    "exec.timeout",
    "exec.splay",
    "exec.env.*",
    "exec.reload_signal",
    "exec.kill_signal",
    "exec.kill_timeout",
    "deduplicate.enabled",
    "deduplicate.prefix",
    "deduplicate.ttl",
    "deduplicate.max_stale",
    "deduplicate.block_query_wait",
    "kill_signal",
    "reload_signal",
    "log_level",
    "log_file",
    "log_file.path",
    "log_file.log_rotate_bytes",
    "log_file.log_rotate_duration",
    "log_file.log_rotate_max_files",
    "syslog",
    "syslog.enabled",
    "syslog.facility",
    "syslog.name",
    "pid_file",
    "max_stale",
    "block_query_wait",
    "once",
    "parse_only",
    "retry",
    "partials",
    "template_error_fatal",
    "err_on_failed_lookup",
    "default_delimiters.left",
    "default_delimiters.right",
    "vault.*",
    "nomad.*",
];

/// Keys of a `template` block.
const TEMPLATE: &[&str] = &[
    "source",
    "contents",
    "destination",
    "create_dest_dirs",
    "perms",
    "user",
    "group",
    "uid",
    "gid",
    "backup",
    "command",
    "command_timeout",
    "check",
    "check_command",
    "rollback",
    "exec.command",
    "exec.enabled",
    "exec.timeout",
    "exec.splay",
    "exec.env.*",
    "exec.kill_signal",
    "exec.kill_timeout",
    "exec.reload_signal",
    "wait",
    "wait.enabled",
    "wait.min",
    "wait.max",
    "left_delimiter",
    "right_delimiter",
    "error_on_missing_key",
    "error_fatal",
    "function_denylist",
    "function_blacklist",
    "sandbox_path",
    "dialect",
    "escape",
    "partials",
    "template_group",
    "min_instances",
    "on_empty",
    "show_diff",
];

/// Keys that the agent's own files share with the watcher by name; beside agent keys they are the agent's.
const SHARED: &[&str] = &["log_level", "pid_file", "log_file", "syslog"];

/// Reads a file, or all files of a directory in the order of their names.
pub(crate) fn read(path: &str, problems: &mut Vec<Problem>) -> Raw {
    let mut raw = Raw::default();
    let place = Path::new(path);
    match fs::metadata(place) {
        Ok(meta) if meta.is_dir() => {
            let mut files = Vec::new();
            walk(place, 0, &mut files, problems);
            for file in files {
                raw.merge(one(&file, problems));
            }
        }
        Ok(_) => raw = one(place, problems),
        Err(error) => {
            let text = match path.split_once(':') {
                Some((file, _)) if Path::new(file).exists() => format!(
                    "is no file or directory; SOURCE:DESTINATION belongs to -template: -template \"{path}\""
                ),
                _ => format!("cannot be read: {error}"),
            };
            problems.push(Problem::new(path, text));
        }
    }
    raw
}

/// Files below a folder in the order of their names. Symbolic links are not followed.
fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>, problems: &mut Vec<Problem>) {
    if depth > MAX_DEPTH {
        problems.push(Problem::new(folder.display(), format!("folders are nested deeper than {MAX_DEPTH}")));
        return;
    }
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) => {
            problems.push(Problem::new(folder.display(), format!("cannot be listed: {error}")));
            return;
        }
    };
    let mut entries: Vec<_> = listing.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() {
            walk(&entry.path(), depth + 1, files, problems);
        } else if kind.is_file() && is_configuration(&name) {
            files.push(entry.path());
        }
    }
}

/// Everything in a directory is configuration, except templates, hidden files and editors' leavings.
fn is_configuration(name: &str) -> bool {
    let template = [".ctmpl", ".tmpl", ".tpl", ".hbs", ".handlebars"].iter().any(|end| name.ends_with(end));
    !(template || name.starts_with('.') || name.ends_with('~') || name.ends_with(".bak"))
}

fn one(path: &Path, problems: &mut Vec<Problem>) -> Raw {
    let name = path.display().to_string();
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            problems.push(Problem::new(name, format!("cannot be read: {error}")));
            return Raw::default();
        }
    };
    let format = Format::of_name(&name).unwrap_or(Format::Hcl);
    match crs_config::read(&Source::new(name, format, bytes)) {
        Ok(document) => settings(&document.root, problems),
        Err(error) => {
            problems.push(Problem::new(&error.pos, error.text));
            Raw::default()
        }
    }
}

/// The settings of one file.
fn settings(root: &Value, problems: &mut Vec<Problem>) -> Raw {
    let mut raw = Raw::default();
    let Some(map) = root.as_map() else { return raw };
    let watchers = |entry: &Entry| is_known(TOP, &entry.key) || entry.key == "template";
    // a file of the agent's, in which the watcher reads its own blocks only
    let agents = map.iter().any(|entry| !watchers(entry) && crs_config::is_agent_key(&entry.key));
    for entry in map.iter() {
        if entry.key == "template" {
            templates(&entry.value, &mut raw, problems);
        } else if agents && SHARED.contains(&entry.key.as_str()) {
            continue;
        } else if watchers(entry) {
            flatten(TOP, &entry.key, entry, &mut raw.values, problems);
        } else if !crs_config::is_agent_key(&entry.key) {
            problems.push(unknown(entry, &entry.key, TOP));
        }
    }
    raw
}

fn unknown(entry: &Entry, key: &str, known: &[&str]) -> Problem {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let wanted = last(key);
    let near = known
        .iter()
        .filter(|name| name.matches('.').count() == key.matches('.').count())
        .map(|name| (distance(&wanted, &last(name)), *name))
        .filter(|(far, _)| *far <= (wanted.len() / 3).clamp(1, 3))
        .min();
    let hint = near.map_or_else(String::new, |(_, name)| format!("; did you mean {name:?}?"));
    Problem::new(&entry.pos, format!("invalid keys: {key}{hint}"))
}

fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

/// Is that a key, or the beginning of one?
fn is_known(known: &[&str], key: &str) -> bool {
    known.iter().any(|name| match name.strip_suffix(".*") {
        Some(block) => key == block || key.strip_prefix(block).is_some_and(|rest| rest.starts_with('.')),
        None => *name == key || name.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')),
    })
}

fn templates(value: &Value, raw: &mut Raw, problems: &mut Vec<Problem>) {
    match &value.kind {
        Kind::List(items) => {
            for item in items {
                templates(item, raw, problems);
            }
        }
        Kind::Map(map) => {
            let mut block = std::collections::BTreeMap::new();
            for entry in map.iter() {
                if is_known(TEMPLATE, &entry.key) {
                    flatten(TEMPLATE, &entry.key, entry, &mut block, problems);
                } else {
                    let mut problem = unknown(entry, &entry.key, TEMPLATE);
                    problem.text.insert_str(0, "template: ");
                    problems.push(problem);
                }
            }
            if block.is_empty() {
                problems.push(Problem::new(
                    &value.pos,
                    "template: an empty block; source and destination are missing",
                ));
            } else {
                raw.templates.push(block);
            }
        }
        _ => problems.push(Problem::new(&value.pos, "template: must be a block")),
    }
}

/// Blocks inside blocks become keys with dots.
fn flatten(
    known: &[&str],
    key: &str,
    entry: &Entry,
    out: &mut std::collections::BTreeMap<String, Given>,
    problems: &mut Vec<Problem>,
) {
    if !is_known(known, key) {
        problems.push(unknown(entry, key, known));
        return;
    }
    let mut put = |item: Item| {
        out.insert(key.to_owned(), Given { place: entry.pos.to_string(), value: item });
    };
    match &entry.value.kind {
        Kind::Null => {}
        Kind::Bool(truth) => put(Item::Bool(*truth)),
        Kind::Int(number) => put(Item::Int(*number)),
        Kind::Float(number) => put(Item::Text(number.to_string())),
        Kind::String(text) => put(Item::Text(text.clone())),
        Kind::List(items) if items.iter().all(|item| matches!(item.kind, Kind::String(_))) => {
            put(Item::List(items.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect()));
        }
        Kind::List(items) => {
            for item in items {
                let Kind::Map(map) = &item.kind else {
                    problems
                        .push(Problem::new(&item.pos, format!("{key}: must be a list of texts, or a block")));
                    continue;
                };
                for below in map.iter() {
                    flatten(known, &format!("{key}.{}", below.key), below, out, problems);
                }
            }
        }
        Kind::Map(map) => {
            for below in map.iter() {
                flatten(known, &format!("{key}.{}", below.key), below, out, problems);
            }
        }
    }
}
