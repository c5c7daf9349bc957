//! `crs template`: renders files from the catalog, runs commands when they change, in consul-template's manner.
//!
//! ```text
//! files, flags ─▶ Raw ─▶ Settings ─▶ Runner ──┬─▶ watch: one blocking query per question ─▶ snapshot
//!                                             ├─▶ job: render what changed (crs-template, pure)
//!                                             └─▶ place: compare, check, replace, run commands, go back
//! ```
//!
//! Everything runs on one thread with a large stack: the texts are small, and order is worth more than speed.

mod args;
mod child;
mod command;
mod diff;
mod file;
mod http;
mod job;
mod local;
mod output;
mod place;
mod raw;
mod request;
mod runner;
mod settings;
mod signal;
mod source;
mod watch;
mod write;

use std::process::ExitCode;

pub use args::TemplateArgs;

use raw::{Item, Raw};
use runner::{End, Known, Runner};
use settings::{Problem, Settings};

/// Templates may nest; the memory is only taken when it is used.
const STACK_BYTES: usize = 64 << 20;

const EXIT_FAILED: u8 = 11;
const EXIT_INTERRUPTED: u8 = 12;
const EXIT_FLAGS: u8 = 13;
const EXIT_RUNNER: u8 = 14;
const EXIT_CONFIG: u8 = 15;

/// The exit code for flags that cannot be read.
pub fn usage_code() -> ExitCode {
    ExitCode::from(EXIT_FLAGS)
}

/// Runs the command. Exit codes are consul-template's: 0, 11 (anything else), 12 (interrupted), 13 (flags),
/// 14 (rendering, commands, the agent), 15 (configuration); in exec mode the child's.
pub fn run(args: TemplateArgs) -> ExitCode {
    if args.version == Some(true) {
        output::out(format!("crs v{}\n", env!("CARGO_PKG_VERSION")).as_bytes());
        return ExitCode::SUCCESS;
    }
    let thread = std::thread::Builder::new().name("template".to_owned()).stack_size(STACK_BYTES);
    let worker = thread.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok::<u8, std::io::Error>(runtime.block_on(work(args)))
    });
    let code = match worker.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(code))) => code,
        Ok(Ok(Err(error))) | Err(error) => {
            output::complain(&format!("crs template: {error}"));
            EXIT_FAILED
        }
        // the panic has been printed by its hook
        Ok(Err(_)) => EXIT_FAILED,
    };
    ExitCode::from(code)
}

async fn work(args: TemplateArgs) -> u8 {
    let mut settings = match load(&args) {
        Ok(settings) => settings,
        Err(problems) => return refuse(&problems),
    };
    log_to(&settings);
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    if settings.parse_only {
        return parse_only(&settings);
    }
    let _pid_file = match settings.pid_file.as_deref().map(PidFile::write).transpose() {
        Ok(file) => file,
        Err(error) => {
            output::complain(&format!("crs template: {error}"));
            return EXIT_FAILED;
        }
    };
    let mut child = None;
    let code = loop {
        match session(&mut settings, &args, &mut child).await {
            Ok(Some(code)) => break code,
            Ok(None) => {}
            Err(error) => {
                output::complain(&format!("crs template: {error}"));
                break EXIT_RUNNER;
            }
        }
    };
    if let Some(child) = &mut child {
        child.stop().await;
    }
    code
}

/// Runs with one connection to the agent. `None`: the configuration names another one now.
async fn session(
    settings: &mut Settings,
    args: &TemplateArgs,
    child: &mut Option<child::Child>,
) -> Result<Option<u8>, String> {
    let source = http::Agent::new(&settings.server, settings.max_stale).map_err(|error| error.to_string())?;
    let mut known = Known::new(source);
    loop {
        let environment = environment(settings);
        let end = Runner::new(settings, &mut known, environment, child).run().await;
        match end.map_err(|error| error.to_string())? {
            End::Done => return Ok(Some(0)),
            End::Interrupted => return Ok(Some(EXIT_INTERRUPTED)),
            End::Failed => return Ok(Some(EXIT_RUNNER)),
            End::Child(code) => {
                *child = None;
                if code != 0 {
                    output::complain(&format!("crs template: child process died with exit code {code}"));
                }
                return Ok(Some(code));
            }
            End::Reload => match load(args) {
                Ok(new) => {
                    tracing::info!("Read the configuration again");
                    let same = same_server(settings, &new);
                    *settings = new;
                    if !same {
                        return Ok(None);
                    }
                }
                // what runs goes on as it was
                Err(problems) => {
                    let _ = refuse(&problems);
                    output::complain(
                        "crs template: the configuration is not taken over; the old one goes on",
                    );
                }
            },
        }
    }
}

fn same_server(old: &Settings, new: &Settings) -> bool {
    let (a, b) = (&old.server, &new.server);
    a.address == b.address
        && a.token == b.token
        && a.auth == b.auth
        && a.ssl == b.ssl
        && old.max_stale == new.max_stale
}

fn refuse(problems: &[Problem]) -> u8 {
    for problem in problems {
        output::complain(&format!("crs template: {problem}"));
    }
    EXIT_CONFIG
}

fn parse_only(settings: &Settings) -> u8 {
    let mut code = 0;
    for block in &settings.templates {
        if let Err(error) = job::Job::new(block.clone()).read() {
            output::complain(&format!("crs template: {error}"));
            code = EXIT_RUNNER;
        }
    }
    code
}

/// What commands see, as consul-template sets it.
fn environment(settings: &Settings) -> Vec<(String, String)> {
    let server = &settings.server;
    let mut pairs = vec![("CONSUL_HTTP_ADDR".to_owned(), server.address.clone())];
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            pairs.push((name.to_owned(), value));
        }
    };
    add("CONSUL_HTTP_TOKEN", server.token.as_ref().map(|token| token.reveal().clone()));
    add("CONSUL_HTTP_AUTH", server.auth.as_ref().map(|auth| auth.reveal().clone()));
    if server.ssl.enabled {
        add("CONSUL_HTTP_SSL", Some("true".to_owned()));
        add("CONSUL_HTTP_SSL_VERIFY", Some(server.ssl.verify.to_string()));
    }
    pairs
}

/// Removed when it goes out of scope.
struct PidFile(std::path::PathBuf);

impl PidFile {
    fn write(path: &std::path::Path) -> Result<PidFile, String> {
        std::fs::write(path, format!("{}\n", std::process::id()))
            .map_err(|error| format!("pid file {}: {error}", path.display()))?;
        Ok(PidFile(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn log_to(settings: &Settings) {
    let level = match settings.log_level.to_ascii_lowercase().as_str() {
        "trace" => "trace",
        "debug" => "debug",
        "info" => "info",
        "err" | "error" => "error",
        _ => "warn",
    };
    let filter = tracing_subscriber::EnvFilter::new(format!("{level},hyper=warn,rustls=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    // somebody in this process may log already (agent and watcher in one); then that stands
    let _ = match &settings.log_file {
        Some(path) => match std::fs::File::options().create(true).append(true).open(path) {
            Ok(file) => builder.with_ansi(false).with_writer(std::sync::Mutex::new(file)).try_init(),
            Err(error) => {
                output::complain(&format!("crs template: log file {}: {error}", path.display()));
                builder.with_writer(std::io::stderr).try_init()
            }
        },
        None => builder.with_writer(std::io::stderr).with_ansi(false).try_init(),
    };
}

/// Files in their order, then the environment where they say nothing, then flags over all.
fn load(args: &TemplateArgs) -> Result<Settings, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut raw = Raw::default();
    from_environment(&mut raw);
    for path in &args.config {
        raw.merge(file::read(path, &mut problems));
    }
    flags(args, &mut raw, &mut problems);
    token_file(&mut raw, &mut problems);
    match raw::complete(&raw) {
        Ok(mut settings) => {
            if settings.templates.is_empty() && settings.exec.is_none() && problems.is_empty() {
                problems.push(Problem::new(
                    "flags",
                    "no template: give -template SOURCE:DESTINATION or -config PATH",
                ));
            }
            warnings(&raw, &mut settings);
            if problems.is_empty() { Ok(settings) } else { Err(problems) }
        }
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

/// Keys that are taken and do nothing.
fn warnings(raw: &Raw, settings: &mut Settings) {
    for (key, given) in &raw.values {
        let what = match key.split('.').next().unwrap_or("") {
            "vault" => "crs has no Vault; functions that need it say so",
            "nomad" => "crs has no Nomad; functions that need it say so",
            "syslog" => "the log goes to the standard error, which systemd's journal takes",
            "deduplicate" => "every watcher renders for itself; one blocking query per question is cheap",
            _ => continue,
        };
        settings.warnings.push(format!("{}: {key}: {what}", given.place));
    }
}

fn from_environment(raw: &mut Raw) {
    let var = |names: &[&str]| {
        names.iter().find_map(|name| std::env::var(name).ok().filter(|text| !text.is_empty()))
    };
    let pairs: [(&str, &[&str]); 10] = [
        ("consul.address", &["CRS_HTTP_ADDR", "CONSUL_HTTP_ADDR"]),
        ("consul.token", &["CRS_HTTP_TOKEN", "CONSUL_TOKEN", "CONSUL_HTTP_TOKEN"]),
        ("consul.token_file", &["CRS_HTTP_TOKEN_FILE", "CONSUL_TOKEN_FILE", "CONSUL_HTTP_TOKEN_FILE"]),
        ("consul.auth", &["CRS_HTTP_AUTH", "CONSUL_HTTP_AUTH"]),
        ("consul.ssl.ca_cert", &["CRS_CACERT", "CONSUL_CACERT"]),
        ("consul.ssl.ca_path", &["CRS_CAPATH", "CONSUL_CAPATH"]),
        ("consul.ssl.cert", &["CRS_CLIENT_CERT", "CONSUL_CLIENT_CERT"]),
        ("consul.ssl.key", &["CRS_CLIENT_KEY", "CONSUL_CLIENT_KEY"]),
        ("consul.ssl.server_name", &["CRS_TLS_SERVER_NAME", "CONSUL_TLS_SERVER_NAME"]),
        ("log_level", &["CRS_LOG", "CT_LOG", "CONSUL_TEMPLATE_LOG", "CONSUL_TEMPLATE_LOG_LEVEL"]),
    ];
    for (key, names) in pairs {
        if let Some(text) = var(names) {
            raw.set(key, "environment", Item::Text(text));
        }
    }
    let switch = |names: &[&str]| var(names).map(|text| matches!(text.as_str(), "1" | "t" | "true" | "TRUE"));
    if let Some(on) = switch(&["CRS_HTTP_SSL", "CONSUL_HTTP_SSL"]) {
        raw.set("consul.ssl.enabled", "environment", Item::Bool(on));
    }
    if let Some(on) = switch(&["CRS_HTTP_SSL_VERIFY", "CONSUL_HTTP_SSL_VERIFY"]) {
        raw.set("consul.ssl.verify", "environment", Item::Bool(on));
    }
}

fn token_file(raw: &mut Raw, problems: &mut Vec<Problem>) {
    let Some(given) = raw.values.get("consul.token_file").cloned() else { return };
    let Item::Text(path) = &given.value else { return };
    if path.is_empty() || raw.values.contains_key("consul.token") {
        return;
    }
    match crs_client::read_token(path) {
        Ok(token) => raw.set("consul.token", &given.place, Item::Text(token.reveal().clone())),
        Err(error) => problems.push(Problem::new(&given.place, error.to_string())),
    }
}

fn flags(args: &TemplateArgs, raw: &mut Raw, problems: &mut Vec<Problem>) {
    let texts = [
        ("consul-addr", "consul.address", &args.consul_addr),
        ("consul-token", "consul.token", &args.consul_token),
        ("consul-token-file", "consul.token_file", &args.consul_token_file),
        ("consul-auth", "consul.auth", &args.consul_auth),
        ("consul-ssl-cert", "consul.ssl.cert", &args.consul_ssl_cert),
        ("consul-ssl-key", "consul.ssl.key", &args.consul_ssl_key),
        ("consul-ssl-ca-cert", "consul.ssl.ca_cert", &args.consul_ssl_ca_cert),
        ("consul-ssl-ca-path", "consul.ssl.ca_path", &args.consul_ssl_ca_path),
        ("consul-ssl-server-name", "consul.ssl.server_name", &args.consul_ssl_server_name),
        ("consul-retry-backoff", "consul.retry.backoff", &args.consul_retry_backoff),
        ("consul-retry-max-backoff", "consul.retry.max_backoff", &args.consul_retry_max_backoff),
        ("wait", "wait", &args.wait),
        ("max-stale", "max_stale", &args.max_stale),
        ("exec", "exec.command", &args.exec),
        ("exec-reload-signal", "exec.reload_signal", &args.exec_reload_signal),
        ("exec-kill-signal", "exec.kill_signal", &args.exec_kill_signal),
        ("exec-kill-timeout", "exec.kill_timeout", &args.exec_kill_timeout),
        ("exec-splay", "exec.splay", &args.exec_splay),
        ("kill-signal", "kill_signal", &args.kill_signal),
        ("reload-signal", "reload_signal", &args.reload_signal),
        ("log-level", "log_level", &args.log_level),
        ("log-file", "log_file.path", &args.log_file),
        ("pid-file", "pid_file", &args.pid_file),
        ("default-left-delimiter", "default_delimiters.left", &args.default_left_delimiter),
        ("default-right-delimiter", "default_delimiters.right", &args.default_right_delimiter),
        ("partials", "partials", &args.partials),
    ];
    for (flag, key, value) in texts {
        if let Some(text) = value {
            raw.set(key, format!("-{flag}"), Item::Text(text.clone()));
        }
    }
    let switches = [
        ("consul-ssl", "consul.ssl.enabled", args.consul_ssl),
        ("consul-ssl-verify", "consul.ssl.verify", args.consul_ssl_verify),
        ("consul-retry", "consul.retry.enabled", args.consul_retry),
        ("once", "once", args.once),
        ("dry", "dry", args.dry),
        ("diff", "diff", args.diff),
        ("explain", "explain", args.explain),
        ("parse-only", "parse_only", args.parse_only),
        ("dedup", "deduplicate.enabled", args.dedup),
        ("template-error-fatal", "template_error_fatal", args.template_error_fatal),
    ];
    for (flag, key, value) in switches {
        if let Some(on) = value {
            raw.set(key, format!("-{flag}"), Item::Bool(on));
        }
    }
    if let Some(attempts) = args.consul_retry_attempts {
        raw.set("consul.retry.attempts", "-consul-retry-attempts", Item::Int(i64::from(attempts)));
    }
    // a block from a file would stand beside the flag's text
    if args.wait.is_some() {
        raw.values.retain(|key, _| !key.starts_with("wait."));
    }
    for text in &args.template {
        match raw::parse_template_flag(text, "-template") {
            Ok(block) => raw.templates.push(block),
            Err(problem) => problems.push(problem),
        }
    }
}
