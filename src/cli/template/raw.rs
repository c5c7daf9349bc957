//! One source of settings: everything optional, merged in order, then completed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crs_template::{Dialect, Escape, Options};
use crs_types::{Secret, parse_duration};

use super::settings::{
    Block, ChildEnv, CommandLine, Exec, OnEmpty, Problem, Retry, Server, Settings, Ssl, Wait,
};
use super::signal::Signal;

/// A block of settings under construction: keys and their values, flattened (`consul.ssl.verify`).
#[derive(Debug, Clone, Default)]
pub(crate) struct Raw {
    pub(crate) values: BTreeMap<String, Given>,
    pub(crate) templates: Vec<BTreeMap<String, Given>>,
}

/// A value and where it was given.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) place: String,
    pub(crate) value: Item,
}

/// A setting's value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<String>),
}

impl Raw {
    /// Later wins; templates add up.
    pub(crate) fn merge(&mut self, later: Raw) {
        self.values.extend(later.values);
        self.templates.extend(later.templates);
    }

    pub(crate) fn set(&mut self, key: &str, place: impl std::fmt::Display, value: Item) {
        self.values.insert(key.to_owned(), Given { place: place.to_string(), value });
    }
}

/// Reads typed values out of a flat block and collects what is wrong.
struct Reader<'a> {
    values: &'a BTreeMap<String, Given>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, given: &Given, key: &str, text: impl std::fmt::Display) {
        self.problems.push(Problem::new(&given.place, format!("{key}: {text}")));
    }

    fn bool(&mut self, key: &str) -> Option<bool> {
        let given = self.values.get(key)?.clone();
        match &given.value {
            Item::Bool(truth) => Some(*truth),
            Item::Text(text) if text == "true" || text == "false" => Some(text == "true"),
            _ => {
                self.problem(&given, key, "must be true or false");
                None
            }
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let given = self.values.get(key)?.clone();
        match given.value {
            Item::Text(text) => Some(text),
            Item::Int(number) => Some(number.to_string()),
            _ => {
                self.problem(&given, key, "must be a text");
                None
            }
        }
    }

    fn some_text(&mut self, key: &str) -> Option<String> {
        self.text(key).filter(|text| !text.is_empty())
    }

    fn number<T: TryFrom<i64>>(&mut self, key: &str) -> Option<T> {
        let given = self.values.get(key)?.clone();
        let number = match &given.value {
            Item::Int(number) => Some(*number),
            Item::Text(text) => text.parse().ok(),
            _ => None,
        };
        let number = number.and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            self.problem(&given, key, "must be a number in range");
        }
        number
    }

    /// A duration; a bare number counts nanoseconds in Go's libraries, which nobody means.
    fn duration(&mut self, key: &str) -> Option<Duration> {
        let given = self.values.get(key)?.clone();
        match &given.value {
            Item::Text(text) => match parse_duration(text) {
                Ok(duration) => Some(duration),
                Err(error) => {
                    self.problem(&given, key, format!("{error}; write it as \"10s\" or \"500ms\""));
                    None
                }
            },
            Item::Int(0) => Some(Duration::ZERO),
            _ => {
                self.problem(&given, key, "must be a duration such as \"10s\"");
                None
            }
        }
    }

    fn list(&mut self, key: &str) -> Vec<String> {
        match self.values.get(key).map(|given| given.value.clone()) {
            Some(Item::List(list)) => list,
            Some(Item::Text(text)) => vec![text],
            _ => Vec::new(),
        }
    }

    fn command(&mut self, key: &str) -> Option<CommandLine> {
        let given = self.values.get(key)?.clone();
        match given.value {
            Item::Text(text) if text.trim().is_empty() => None,
            Item::Text(text) => Some(CommandLine::Shell(text)),
            Item::List(words) if words.is_empty() => None,
            // one word is a line for the shell, as consul-template has it
            Item::List(words) if words.len() == 1 => words.into_iter().next().map(CommandLine::Shell),
            Item::List(words) => Some(CommandLine::Words(words)),
            _ => {
                self.problem(&given, key, "must be a command line or a list of words");
                None
            }
        }
    }

    fn signal(&mut self, key: &str) -> Option<Option<Signal>> {
        let text = self.text(key)?;
        match Signal::parse(&text) {
            Ok(signal) => Some(signal),
            Err(error) => {
                if let Some(given) = self.values.get(key).cloned() {
                    self.problem(&given, key, error);
                }
                None
            }
        }
    }

    /// `wait` as a text `min:max` or as a block.
    fn wait(&mut self, key: &str) -> Option<Option<Wait>> {
        if let Some(given) = self.values.get(key).cloned() {
            let text = self.text(key)?;
            return match parse_wait(&text) {
                Ok(wait) => Some(wait),
                Err(error) => {
                    self.problem(&given, key, error);
                    None
                }
            };
        }
        let min = self.duration(&format!("{key}.min"));
        let max = self.duration(&format!("{key}.max"));
        let enabled = self.bool(&format!("{key}.enabled"));
        if min.is_none() && max.is_none() && enabled.is_none() {
            return None;
        }
        let min = min.unwrap_or_default();
        let max = max.unwrap_or(min * 4);
        if max < min
            && let Some(given) = self.values.get(&format!("{key}.max")).cloned()
        {
            self.problem(&given, key, "max must not be below min");
        }
        Some((enabled != Some(false) && min > Duration::ZERO).then_some(Wait { min, max }))
    }
}

/// `MIN[:MAX]`; empty or 0: none.
pub(crate) fn parse_wait(text: &str) -> Result<Option<Wait>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let (min, max) = match text.split_once(':') {
        Some((min, max)) => (min, Some(max)),
        None => (text, None),
    };
    let read = |text: &str| parse_duration(text.trim()).map_err(|error| error.to_string());
    let min = read(min)?;
    let max = max.map(read).transpose()?.unwrap_or(min * 4);
    if max < min {
        return Err("wait: max must not be below min".to_owned());
    }
    Ok((min > Duration::ZERO).then_some(Wait { min, max }))
}

/// `src:dst[:command]`; everything behind the second colon is the command.
pub(crate) fn parse_template_flag(text: &str, place: &str) -> Result<BTreeMap<String, Given>, Problem> {
    let mut parts = text.splitn(3, ':');
    let (source, destination, command) = (parts.next().unwrap_or(""), parts.next(), parts.next());
    if source.trim().is_empty() {
        return Err(Problem::new(place, "the source is missing: give SOURCE:DESTINATION[:COMMAND]"));
    }
    let given = |text: &str| Given { place: place.to_owned(), value: Item::Text(text.to_owned()) };
    let mut block = BTreeMap::new();
    block.insert("source".to_owned(), given(source));
    if let Some(destination) = destination {
        block.insert("destination".to_owned(), given(destination));
    }
    if let Some(command) = command {
        block.insert("command".to_owned(), given(command));
    }
    Ok(block)
}

/// Completes the merged settings.
pub(crate) fn complete(raw: &Raw) -> Result<Settings, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut reader = Reader { values: &raw.values, problems: &mut problems };
    let dry = reader.bool("dry").unwrap_or(false);
    let once = reader.bool("once").unwrap_or(false);
    let server = server(&mut reader);
    let wait = reader.wait("wait").flatten();
    let exec = exec(&mut reader, "exec");
    let max_stale = reader.duration("max_stale").unwrap_or(Duration::from_secs(2));
    let block_query_wait = reader.duration("block_query_wait").unwrap_or(Duration::from_secs(60));
    let kill_signal = reader.signal("kill_signal").flatten().unwrap_or(Signal::INT);
    let reload_signal = reader.signal("reload_signal").unwrap_or(Some(Signal::HUP));
    let mut settings = Settings {
        server,
        templates: Vec::new(),
        exec,
        max_stale,
        block_query_wait,
        once,
        dry,
        diff: reader.bool("diff").unwrap_or(false),
        explain: reader.bool("explain").unwrap_or(false),
        parse_only: reader.bool("parse_only").unwrap_or(false),
        kill_signal,
        reload_signal,
        log_level: reader.text("log_level").unwrap_or_else(|| "warn".to_owned()),
        log_file: reader.some_text("log_file.path").map(PathBuf::from),
        pid_file: reader.some_text("pid_file").map(PathBuf::from),
        err_on_failed_lookup: reader.bool("err_on_failed_lookup").unwrap_or(false),
        warnings: Vec::new(),
    };
    let defaults = Defaults {
        wait: if once { None } else { wait },
        once,
        dry,
        fatal: reader.bool("template_error_fatal"),
        left: reader.text("default_delimiters.left"),
        right: reader.text("default_delimiters.right"),
        partials: reader.some_text("partials"),
    };
    for block in &raw.templates {
        let mut reader = Reader { values: block, problems: &mut problems };
        if let Some(block) = template(&mut reader, &defaults) {
            settings.templates.push(block);
        }
    }
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

struct Defaults {
    wait: Option<Wait>,
    once: bool,
    dry: bool,
    fatal: Option<bool>,
    left: Option<String>,
    right: Option<String>,
    partials: Option<String>,
}

fn server(reader: &mut Reader<'_>) -> Server {
    let standard = Retry::default();
    let retry = Retry {
        enabled: reader.bool("consul.retry.enabled").unwrap_or(true),
        attempts: reader.number("consul.retry.attempts"),
        backoff: reader.duration("consul.retry.backoff").unwrap_or(standard.backoff),
        max_backoff: reader.duration("consul.retry.max_backoff").unwrap_or(standard.max_backoff),
    };
    let mut ssl = Ssl {
        enabled: false,
        verify: reader.bool("consul.ssl.verify").unwrap_or(true),
        cert: reader.some_text("consul.ssl.cert"),
        key: reader.some_text("consul.ssl.key"),
        ca_cert: reader.some_text("consul.ssl.ca_cert"),
        ca_path: reader.some_text("consul.ssl.ca_path"),
        server_name: reader.some_text("consul.ssl.server_name"),
    };
    let any = ssl.cert.is_some() || ssl.key.is_some() || ssl.ca_cert.is_some() || ssl.ca_path.is_some();
    ssl.enabled = reader.bool("consul.ssl.enabled").unwrap_or(any || ssl.server_name.is_some());
    let auth = match (reader.some_text("consul.auth"), reader.some_text("consul.auth.username")) {
        (Some(pair), _) => Some(Secret::new(pair)),
        (None, Some(user)) if reader.bool("consul.auth.enabled") != Some(false) => {
            let password = reader.text("consul.auth.password").unwrap_or_default();
            Some(Secret::new(format!("{user}:{password}")))
        }
        _ => None,
    };
    Server {
        address: reader.some_text("consul.address").unwrap_or_else(|| "127.0.0.1:8500".to_owned()),
        token: reader.some_text("consul.token").map(Secret::new),
        auth,
        ssl,
        retry,
    }
}

fn exec(reader: &mut Reader<'_>, key: &str) -> Option<Exec> {
    let at = |name: &str| format!("{key}.{name}");
    let command = reader.command(&at("command")).or_else(|| reader.command(key))?;
    if reader.bool(&at("enabled")) == Some(false) {
        return None;
    }
    let mut allow = reader.list(&at("env.allowlist"));
    allow.extend(reader.list(&at("env.whitelist")));
    let mut deny = reader.list(&at("env.denylist"));
    deny.extend(reader.list(&at("env.blacklist")));
    Some(Exec {
        command,
        env: ChildEnv {
            pristine: reader.bool(&at("env.pristine")).unwrap_or(false),
            custom: reader.list(&at("env.custom")),
            allow,
            deny,
        },
        reload_signal: reader.signal(&at("reload_signal")).flatten(),
        kill_signal: reader.signal(&at("kill_signal")).flatten().unwrap_or(Signal::TERM),
        kill_timeout: reader.duration(&at("kill_timeout")).unwrap_or(Duration::from_secs(30)),
        splay: reader.duration(&at("splay")).unwrap_or_default(),
    })
}

fn perms(reader: &mut Reader<'_>, key: &str) -> Option<u32> {
    let given = reader.values.get(key)?.clone();
    let mode = match &given.value {
        // HCL reads 0644 as octal already
        Item::Int(number) => u32::try_from(*number).ok(),
        Item::Text(text) => u32::from_str_radix(text.trim_start_matches("0o"), 8).ok(),
        _ => None,
    };
    match mode.filter(|mode| *mode <= 0o7777) {
        Some(0) => None,
        Some(mode) => Some(mode),
        None => {
            reader.problem(&given, key, "must be octal permissions such as \"0644\"");
            None
        }
    }
}

fn template(reader: &mut Reader<'_>, defaults: &Defaults) -> Option<Block> {
    let place = reader.values.values().next().map_or_else(String::new, |given| given.place.clone());
    let source = reader.some_text("source").map(|path| PathBuf::from(path.trim()));
    let contents = reader.text("contents");
    let destination = reader.text("destination").unwrap_or_default().trim().to_owned();
    match (&source, &contents) {
        (Some(_), Some(_)) => {
            reader.problems.push(Problem::new(&place, "template: give source or contents, not both"));
            return None;
        }
        (None, None) => {
            reader.problems.push(Problem::new(&place, "template: source (a file) or contents is missing"));
            return None;
        }
        _ => {}
    }
    if destination.is_empty() && !defaults.dry {
        reader.problems.push(Problem::new(&place, "template: destination is missing"));
        return None;
    }
    let named = source.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let dialect = match reader.text("dialect") {
        None => Dialect::of_file(&named),
        Some(word) => Dialect::by_name(&word).unwrap_or_else(|| {
            reader.problems.push(Problem::new(&place, format!("dialect: {word:?} is neither go nor hbs")));
            Dialect::Go
        }),
    };
    let escape = match reader.text("escape") {
        None => Escape::None,
        Some(word) => Escape::by_name(&word).unwrap_or_else(|| {
            let text = format!("escape: {word:?} is none of html, json, shell, nginx, none");
            reader.problems.push(Problem::new(&place, text));
            Escape::None
        }),
    };
    let mut denied = reader.list("function_denylist");
    denied.extend(reader.list("function_blacklist"));
    let standard = Options::default();
    let text = |own: Option<String>, default: &Option<String>, standard: String| {
        own.filter(|text| !text.is_empty()).or_else(|| default.clone()).unwrap_or(standard)
    };
    let options = Options {
        left_delimiter: text(reader.text("left_delimiter"), &defaults.left, standard.left_delimiter),
        right_delimiter: text(reader.text("right_delimiter"), &defaults.right, standard.right_delimiter),
        error_on_missing_key: reader.bool("error_on_missing_key").unwrap_or(false),
        function_denylist: denied,
        sandbox_path: reader.text("sandbox_path").unwrap_or_default(),
        escape,
        ..Options::default()
    };
    // the newer spelling of a command is a block named exec
    let command = reader.command("command").or_else(|| reader.command("exec.command"));
    let enabled = reader.bool("exec.enabled") != Some(false);
    let command_timeout = reader.duration("command_timeout").or_else(|| reader.duration("exec.timeout"));
    let on_empty = match reader.text("on_empty").as_deref() {
        None | Some("render") => OnEmpty::Render,
        Some("keep") => OnEmpty::Keep,
        Some("fail") => OnEmpty::Fail,
        Some(word) => {
            let text = format!("on_empty: {word:?} is none of render, keep, fail");
            reader.problems.push(Problem::new(&place, text));
            OnEmpty::Render
        }
    };
    let wait = if defaults.once { None } else { reader.wait("wait").unwrap_or(defaults.wait) };
    Some(Block {
        source,
        contents,
        destination: PathBuf::from(destination),
        dialect,
        options,
        partials: reader.some_text("partials").or_else(|| defaults.partials.clone()).map(PathBuf::from),
        create_dest_dirs: reader.bool("create_dest_dirs").unwrap_or(true),
        perms: perms(reader, "perms"),
        user: reader.some_text("user").or_else(|| reader.some_text("uid")),
        group: reader.some_text("group").or_else(|| reader.some_text("gid")),
        backup: reader.bool("backup").unwrap_or(false),
        command: command.filter(|_| enabled),
        command_timeout: command_timeout.unwrap_or(Duration::from_secs(30)),
        command_env: reader.list("exec.env.custom"),
        check: reader.command("check").or_else(|| reader.command("check_command")),
        rollback: reader.bool("rollback").unwrap_or(false),
        wait,
        error_fatal: reader.bool("error_fatal").or(defaults.fatal),
        group_name: reader.some_text("template_group"),
        min_instances: reader.number("min_instances").unwrap_or(0),
        on_empty,
        show_diff: reader.bool("show_diff").unwrap_or(false),
    })
}
