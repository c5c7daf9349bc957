//! The rules a check must keep, wherever it comes from.

use std::collections::BTreeMap;
use std::time::Duration;

use crs_types::{CheckId, CheckKind, CheckSpec, Secret, ServiceId};

/// Intervals below this are raised to it.
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// A shorter `deregister_critical_service_after` is raised to this.
pub const SHORTEST_DEREGISTER: Duration = Duration::from_secs(60);

/// The fields of a check before anybody asked whether they fit together. [`CheckDraft::finish`] does; ids, names, status
/// and tokens are the caller's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckDraft {
    /// URL.
    pub http: String,
    /// HTTP method.
    pub method: String,
    /// HTTP headers.
    pub header: BTreeMap<String, Vec<String>>,
    /// HTTP body.
    pub body: String,
    /// Accept any certificate.
    pub tls_skip_verify: bool,
    /// `host:port`.
    pub tcp: String,
    /// Program and arguments.
    pub args: Vec<String>,
    /// Container.
    pub docker_container_id: String,
    /// Shell in the container.
    pub shell: String,
    /// `host:port[/service]`.
    pub grpc: String,
    /// gRPC over TLS.
    pub grpc_use_tls: bool,
    /// Node whose health stands for this check.
    pub alias_node: String,
    /// Service whose health stands for this check.
    pub alias_service: String,
    /// Time between runs.
    pub interval: Duration,
    /// Longest a run may take.
    pub timeout: Duration,
    /// Time within which the client reports.
    pub ttl: Duration,
    /// Remove the service after this long critical.
    pub deregister_critical_service_after: Duration,
    /// Good results in a row.
    pub success_before_passing: u32,
    /// Bad results in a row.
    pub failures_before_critical: u32,
    /// Output kept; 0: the agent's default.
    pub output_max_size_bytes: usize,
}

/// Why the fields of a check do not fit together; prints Consul's text, which its API prefixes with `Invalid check: `.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckFault {
    /// An interval beside a TTL.
    #[error("Interval and TTL cannot both be specified")]
    IntervalAndTtl,
    /// A kind that is run needs an interval.
    #[error("Interval must be > 0 for Script, HTTP, or TCP checks")]
    NoInterval,
    /// Nothing says what is to be checked.
    #[error("TTL must be > 0 for TTL checks")]
    NoKind,
    /// An alias follows, it is not run.
    #[error("Interval cannot be set for Alias checks")]
    AliasInterval,
    /// An alias follows, nobody reports.
    #[error("TTL must be not be set for Alias checks")]
    AliasTtl,
    /// Several kinds in one check.
    #[error("a check has one kind only, this one has {0} and {1}")]
    TwoKinds(&'static str, &'static str),
}

impl CheckDraft {
    /// The check, with empty id, name, status and token.
    ///
    /// # Errors
    /// When the fields do not make exactly one kind of check.
    pub fn finish(self) -> Result<CheckSpec, CheckFault> {
        let docker = !self.docker_container_id.is_empty();
        let kinds = [
            ("http", !self.http.is_empty()),
            ("tcp", !self.tcp.is_empty()),
            ("grpc", !self.grpc.is_empty()),
            ("docker_container_id", docker),
            ("args", !self.args.is_empty() && !docker),
            ("alias", !self.alias_node.is_empty() || !self.alias_service.is_empty()),
        ];
        let mut given = kinds.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
        let kind = given.next();
        if let (Some(first), Some(second)) = (kind, given.next()) {
            return Err(CheckFault::TwoKinds(first, second));
        }
        match kind {
            Some("alias") if !self.interval.is_zero() => return Err(CheckFault::AliasInterval),
            Some("alias") if !self.ttl.is_zero() => return Err(CheckFault::AliasTtl),
            _ if !self.interval.is_zero() && !self.ttl.is_zero() => return Err(CheckFault::IntervalAndTtl),
            Some("alias") => {}
            Some(_) if self.interval.is_zero() => return Err(CheckFault::NoInterval),
            None if self.ttl.is_zero() => return Err(CheckFault::NoKind),
            _ => {}
        }
        let interval = match self.interval {
            Duration::ZERO => Duration::ZERO,
            interval => interval.max(SHORTEST_INTERVAL),
        };
        let deregister = match self.deregister_critical_service_after {
            Duration::ZERO => Duration::ZERO,
            after => after.max(SHORTEST_DEREGISTER),
        };
        let tls_skip_verify = self.tls_skip_verify;
        let kind = match kind {
            Some("http") => CheckKind::Http {
                url: self.http,
                method: self.method,
                header: self.header,
                body: self.body,
                tls_skip_verify,
            },
            Some("tcp") => CheckKind::Tcp(self.tcp),
            Some("grpc") => {
                CheckKind::Grpc { target: self.grpc, use_tls: self.grpc_use_tls, tls_skip_verify }
            }
            Some("docker_container_id") => CheckKind::Docker {
                container_id: self.docker_container_id,
                shell: self.shell,
                args: self.args,
            },
            Some("args") => CheckKind::Script(self.args),
            Some(_) => {
                CheckKind::Alias { node: self.alias_node, service: ServiceId::from(self.alias_service) }
            }
            None => CheckKind::Ttl(self.ttl),
        };
        Ok(CheckSpec {
            id: CheckId::default(),
            name: String::new(),
            notes: String::new(),
            service_id: ServiceId::default(),
            token: Secret::default(),
            status: None,
            kind,
            interval,
            timeout: self.timeout,
            deregister_critical_service_after: deregister,
            success_before_passing: self.success_before_passing,
            failures_before_critical: self.failures_before_critical,
            output_max_size_bytes: self.output_max_size_bytes,
        })
    }
}
