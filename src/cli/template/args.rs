//! The flags of `crs template`: those of consul-template, and a few of our own.

use clap::Args;

/// Renders files from the catalog and runs commands when they change.
#[derive(Args, Debug, Clone, Default)]
#[command(disable_help_flag = false)]
pub struct TemplateArgs {
    /// A configuration file (HCL or JSON) or a directory of such files, read recursively in the order of their
    /// names. May be given several times; later ones win
    #[arg(long = "config", value_name = "PATH", alias = "config-dir", alias = "config-file")]
    pub config: Vec<String>,
    /// SOURCE:DESTINATION[:COMMAND]. May be given several times
    #[arg(long = "template", value_name = "SRC:DST[:CMD]")]
    pub template: Vec<String>,
    /// Address of the agent's HTTP API [default: 127.0.0.1:8500; env: CRS_HTTP_ADDR, CONSUL_HTTP_ADDR]
    #[arg(long = "consul-addr", alias = "http-addr", alias = "consul", value_name = "ADDRESS")]
    pub consul_addr: Option<String>,
    /// Token [env: CRS_HTTP_TOKEN, CONSUL_TOKEN, CONSUL_HTTP_TOKEN]
    #[arg(long = "consul-token", alias = "token", value_name = "TOKEN", hide_env_values = true)]
    pub consul_token: Option<String>,
    /// File that holds the token
    #[arg(long = "consul-token-file", alias = "token-file", value_name = "PATH")]
    pub consul_token_file: Option<String>,
    /// USER[:PASSWORD] for basic authentication
    #[arg(long = "consul-auth", value_name = "USER[:PASSWORD]")]
    pub consul_auth: Option<String>,
    /// Speak TLS to the agent
    #[arg(long = "consul-ssl", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub consul_ssl: Option<bool>,
    /// Check the agent's certificate [default: true]
    #[arg(long = "consul-ssl-verify", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub consul_ssl_verify: Option<bool>,
    /// Client certificate
    #[arg(long = "consul-ssl-cert", value_name = "PATH")]
    pub consul_ssl_cert: Option<String>,
    /// Key of the client certificate
    #[arg(long = "consul-ssl-key", value_name = "PATH")]
    pub consul_ssl_key: Option<String>,
    /// Certificate of the authority
    #[arg(long = "consul-ssl-ca-cert", value_name = "PATH")]
    pub consul_ssl_ca_cert: Option<String>,
    /// Directory of certificates of authorities
    #[arg(long = "consul-ssl-ca-path", value_name = "PATH")]
    pub consul_ssl_ca_path: Option<String>,
    /// Name expected in the agent's certificate
    #[arg(long = "consul-ssl-server-name", value_name = "NAME")]
    pub consul_ssl_server_name: Option<String>,
    /// Ask again when the agent does not answer [default: true]
    #[arg(long = "consul-retry", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub consul_retry: Option<bool>,
    /// Attempts before giving up; 0: for ever [default: 12 with -once, else 0]
    #[arg(long = "consul-retry-attempts", value_name = "NUMBER")]
    pub consul_retry_attempts: Option<u32>,
    /// First pause between attempts [default: 250ms]
    #[arg(long = "consul-retry-backoff", value_name = "DURATION")]
    pub consul_retry_backoff: Option<String>,
    /// Longest pause between attempts [default: 1m]
    #[arg(long = "consul-retry-max-backoff", value_name = "DURATION")]
    pub consul_retry_max_backoff: Option<String>,
    /// Accepted for compatibility
    #[arg(long = "consul-transport-dial-keep-alive", value_name = "DURATION", hide = true)]
    pub dial_keep_alive: Option<String>,
    /// Accepted for compatibility
    #[arg(long = "consul-transport-dial-timeout", value_name = "DURATION", hide = true)]
    pub dial_timeout: Option<String>,
    /// Accepted for compatibility
    #[arg(long = "consul-transport-disable-keep-alives", hide = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub disable_keep_alives: Option<bool>,
    /// Accepted for compatibility
    #[arg(long = "consul-transport-max-idle-conns-per-host", value_name = "NUMBER", hide = true)]
    pub max_idle_conns_per_host: Option<u32>,
    /// Accepted for compatibility
    #[arg(long = "consul-transport-tls-handshake-timeout", value_name = "DURATION", hide = true)]
    pub tls_handshake_timeout: Option<String>,
    /// Render everything once, run the commands, end
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub once: Option<bool>,
    /// Print what would be written to the standard output; write and run nothing
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub dry: Option<bool>,
    /// With -dry: print the difference to the file that is there
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub diff: Option<bool>,
    /// Print each template's queries, their index and what is missing
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub explain: Option<bool>,
    /// Read configuration and templates, render nothing
    #[arg(long = "parse-only", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub parse_only: Option<bool>,
    /// MIN[:MAX]: wait until nothing changed for MIN, at most MAX [default of MAX: 4 times MIN]
    #[arg(long, value_name = "MIN[:MAX]")]
    pub wait: Option<String>,
    /// Accepted for compatibility: pause between attempts
    #[arg(long, value_name = "DURATION", hide = true)]
    pub retry: Option<String>,
    /// Accept answers that old from a server that is not the leader; 0: ask the leader [default: 2s]
    #[arg(long = "max-stale", value_name = "DURATION")]
    pub max_stale: Option<String>,
    /// Render on one machine for all, shared through the key/value store
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub dedup: Option<bool>,
    /// A program to run as a child once everything is rendered
    #[arg(long, value_name = "COMMAND")]
    pub exec: Option<String>,
    /// Signal to the child when a file changed [default: none, it is started anew]
    #[arg(long = "exec-reload-signal", value_name = "SIGNAL")]
    pub exec_reload_signal: Option<String>,
    /// Signal that asks the child to end [default: SIGTERM]
    #[arg(long = "exec-kill-signal", value_name = "SIGNAL")]
    pub exec_kill_signal: Option<String>,
    /// How long the child may take to end before it is killed [default: 30s]
    #[arg(long = "exec-kill-timeout", value_name = "DURATION")]
    pub exec_kill_timeout: Option<String>,
    /// A random wait of at most so long before the child is signalled
    #[arg(long = "exec-splay", value_name = "DURATION")]
    pub exec_splay: Option<String>,
    /// Signal that ends this program [default: SIGINT; SIGTERM always does]
    #[arg(long = "kill-signal", value_name = "SIGNAL")]
    pub kill_signal: Option<String>,
    /// Signal that makes this program read its configuration again [default: SIGHUP]
    #[arg(long = "reload-signal", value_name = "SIGNAL")]
    pub reload_signal: Option<String>,
    /// trace, debug, info, warn or err [default: warn; env: CRS_LOG, CONSUL_TEMPLATE_LOG]
    #[arg(long = "log-level", value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Log to a file instead of the standard error
    #[arg(long = "log-file", value_name = "PATH")]
    pub log_file: Option<String>,
    /// Accepted for compatibility: rotate the log with logrotate
    #[arg(long = "log-rotate-bytes", value_name = "NUMBER", hide = true)]
    pub log_rotate_bytes: Option<u64>,
    /// Accepted for compatibility
    #[arg(long = "log-rotate-duration", value_name = "DURATION", hide = true)]
    pub log_rotate_duration: Option<String>,
    /// Accepted for compatibility
    #[arg(long = "log-rotate-max-files", value_name = "NUMBER", hide = true)]
    pub log_rotate_max_files: Option<i64>,
    /// Accepted for compatibility: systemd's journal takes the standard error
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub syslog: Option<bool>,
    /// Accepted for compatibility
    #[arg(long = "syslog-facility", value_name = "FACILITY", hide = true)]
    pub syslog_facility: Option<String>,
    /// Accepted for compatibility
    #[arg(long = "syslog-name", value_name = "NAME", hide = true)]
    pub syslog_name: Option<String>,
    /// Write the process id there, remove it at the end
    #[arg(long = "pid-file", value_name = "PATH")]
    pub pid_file: Option<String>,
    /// A template that fails ends the program [default: with -once; else the last good file stays]
    #[arg(long = "template-error-fatal",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub template_error_fatal: Option<bool>,
    /// What opens an action of a Go template [default: {{]
    #[arg(long = "default-left-delimiter", value_name = "TEXT")]
    pub default_left_delimiter: Option<String>,
    /// What closes an action of a Go template [default: }}]
    #[arg(long = "default-right-delimiter", value_name = "TEXT")]
    pub default_right_delimiter: Option<String>,
    /// Directory of Handlebars partials
    #[arg(long, value_name = "PATH")]
    pub partials: Option<String>,
    /// Print the version
    #[arg(short = 'v', long = "version", alias = "v", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub version: Option<bool>,
}
