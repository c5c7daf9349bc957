//! Runs checks: one scheduler for all of them, a short-lived task per run.
//!
//! ```text
//!   start ─▶ heap of due times ─▶ run (bounded) ─▶ result ─▶ streak ─▶ LocalState::update_check
//!               ▲                                     │
//!               └──────────── next due time ──────────┘
//! ```
//!
//! Invariant: a result counts only for the definition that it was run for; each definition has a generation.

pub(crate) mod alias;
pub(crate) mod decision;
mod docker;
mod grpc;
mod http;
mod outcome;
mod script;
mod tcp;
mod tls;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crs_types::{CheckId, CheckKind, CheckSpec, CheckStatus};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::local::{LocalState, Updated};
use crate::servers::Servers;
use decision::{Decision, Streak};
pub(crate) use outcome::Outcome;
pub(crate) use tls::TlsTrust;

/// Network checks under way together. Each holds a socket for at most its timeout.
const NETWORK_RUNS: usize = 512;
/// Scripts under way together: each is a process.
const SCRIPT_RUNS: usize = 64;
/// Longest run of a network check that names no timeout.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest run of a script that names no timeout.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(30);

/// What applies to all checks; asked for each result, since a reload may change it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckSettings {
    /// Output that alone changed is sent this seldom.
    pub(crate) update_interval: Duration,
    /// Output kept per result.
    pub(crate) output_max_size_bytes: usize,
    /// Keep no output at all.
    pub(crate) discard_output: bool,
}

impl CheckSettings {
    /// The bound for one check: its own or the agent's, whichever is less.
    pub(crate) fn output_max(&self, own: usize) -> usize {
        if own == 0 { self.output_max_size_bytes } else { own.min(self.output_max_size_bytes) }
    }

    /// When output that alone changed is sent: between half and one and a half intervals from now.
    fn defer(&self) -> Duration {
        self.update_interval / 2 + crate::jitter::part_of(self.update_interval)
    }
}

/// Sends a request; any status but success is an error. For handlers of watches.
///
/// # Errors
/// What went wrong, in words.
pub async fn call(
    url: &str,
    method: &str,
    header: &std::collections::BTreeMap<String, Vec<String>>,
    body: &str,
    tls_skip_verify: bool,
    timeout: Duration,
) -> Result<String, String> {
    let probe = http::Probe { url, method, header, body, tls_skip_verify };
    let outcome = http::run(probe, &TlsTrust::default(), timeout, 4096).await;
    if outcome.status == CheckStatus::Passing { Ok(outcome.output) } else { Err(outcome.output) }
}

struct Run {
    generation: u64,
    streak: Streak,
    /// For TTL checks: when it turns critical, and its last word.
    ttl: Option<(Instant, String)>,
    /// Whether the last result was below its threshold, so that it is logged once.
    held_back: bool,
    /// The last status that was logged.
    logged: Option<CheckStatus>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    id: CheckId,
    generation: u64,
}

/// The scheduler and what it knows of each check.
pub(crate) struct Checks {
    local: Arc<LocalState>,
    servers: Servers,
    settings: Arc<dyn Fn() -> CheckSettings + Send + Sync>,
    trust: TlsTrust,
    due: Mutex<BinaryHeap<Reverse<Due>>>,
    runs: Mutex<HashMap<CheckId, Run>>,
    due_changed: Notify,
    network: Arc<Semaphore>,
    scripts: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Checks {
    pub(crate) fn new(
        local: Arc<LocalState>,
        servers: Servers,
        settings: Arc<dyn Fn() -> CheckSettings + Send + Sync>,
        trust: TlsTrust,
        stop: CancellationToken,
    ) -> Self {
        Checks {
            local,
            servers,
            settings,
            trust,
            due: Mutex::default(),
            runs: Mutex::default(),
            due_changed: Notify::new(),
            network: Arc::new(Semaphore::new(NETWORK_RUNS)),
            scripts: Arc::new(Semaphore::new(SCRIPT_RUNS)),
            tasks: TaskTracker::new(),
            stop,
        }
    }

    /// Begins to run a check under its generation. `ttl_expires`: when a TTL check's kept state runs out.
    pub(crate) fn start(
        self: &Arc<Self>,
        spec: &CheckSpec,
        generation: u64,
        ttl_expires: Option<Instant>,
        now: Instant,
    ) {
        let mut run =
            Run { generation, streak: Streak::default(), ttl: None, held_back: false, logged: None };
        let at = match &spec.kind {
            CheckKind::Ttl(ttl) => {
                let at = ttl_expires.unwrap_or_else(|| decision::ttl_deadline(now, *ttl));
                run.ttl = Some((at, String::new()));
                Some(at)
            }
            CheckKind::Alias { .. } => None,
            // Spread over the interval, so that what starts together does not run together.
            _ => Some(now + crate::jitter::part_of(interval_of(spec))),
        };
        lock(&self.runs).insert(spec.id.clone(), run);
        match (&spec.kind, at) {
            (CheckKind::Alias { node, .. }, _) if !node.is_empty() => {
                let watch = alias::watch_node(self.clone(), spec.clone(), generation);
                self.tasks.spawn(watch);
            }
            (CheckKind::Alias { .. }, _) => self.local.checks_changed.notify_one(),
            (_, Some(at)) => self.schedule(spec.id.clone(), generation, at),
            (_, None) => {}
        }
    }

    /// Forgets checks that are gone.
    pub(crate) fn stop(&self, ids: &[CheckId]) {
        let mut runs = lock(&self.runs);
        for id in ids {
            runs.remove(id);
        }
    }

    fn schedule(&self, id: CheckId, generation: u64, at: Instant) {
        let mut due = lock(&self.due);
        let sooner = due.peek().is_none_or(|Reverse(next)| at < next.at);
        due.push(Reverse(Due { at, id, generation }));
        drop(due);
        if sooner {
            self.due_changed.notify_one();
        }
    }

    /// Runs until cancelled, then ends what is under way.
    pub(crate) async fn run(self: Arc<Self>) {
        let aliases = alias::run_local(self.clone());
        tokio::pin!(aliases);
        loop {
            let now = Instant::now();
            let (ready, next) = self.take_due(now);
            for due in ready {
                self.begin(due, now);
            }
            let wait = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.due_changed.notified() => {}
                () = &mut aliases => {}
                () = self.stop.cancelled() => break,
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn take_due(&self, now: Instant) -> (Vec<Due>, Option<Instant>) {
        let mut heap = lock(&self.due);
        let mut ready = Vec::new();
        while heap.peek().is_some_and(|Reverse(due)| due.at <= now)
            && let Some(Reverse(due)) = heap.pop()
        {
            ready.push(due);
        }
        (ready, heap.peek().map(|Reverse(due)| due.at))
    }

    fn begin(self: &Arc<Self>, due: Due, now: Instant) {
        let ttl = {
            let runs = lock(&self.runs);
            let Some(run) = runs.get(&due.id).filter(|run| run.generation == due.generation) else { return };
            run.ttl.clone()
        };
        if let Some((deadline, last)) = ttl {
            if deadline > now {
                // Reported meanwhile.
                self.schedule(due.id, due.generation, deadline);
            } else {
                warn!(target: "agent", check = %due.id, "Check missed TTL, is now critical");
                let outcome = Outcome::critical(decision::ttl_expired_output(&last));
                self.settle(&due.id, due.generation, outcome);
            }
            return;
        }
        let Some(spec) = self.local.check(&due.id).and_then(|check| check.spec) else { return };
        let checks = self.clone();
        self.tasks.spawn(async move {
            let permits = match &spec.kind {
                CheckKind::Script(_) => &checks.scripts,
                _ => &checks.network,
            };
            tokio::select! {
                () = async {
                    let _permit = permits.acquire().await;
                    let outcome = checks.execute(&spec).await;
                    checks.take_result(&spec, due.generation, outcome);
                } => {}
                () = checks.stop.cancelled() => return,
            }
            let next = Instant::now() + interval_of(&spec);
            checks.schedule(due.id, due.generation, next);
        });
    }

    async fn execute(&self, spec: &CheckSpec) -> Outcome {
        let output_max = (self.settings)().output_max(spec.output_max_size_bytes);
        let timeout = match (&spec.kind, spec.timeout) {
            (CheckKind::Script(_), Duration::ZERO) => SCRIPT_TIMEOUT,
            (_, Duration::ZERO) => NETWORK_TIMEOUT,
            (_, timeout) => timeout,
        };
        match &spec.kind {
            CheckKind::Http { url, method, header, body, tls_skip_verify } => {
                let request = http::Probe { url, method, header, body, tls_skip_verify: *tls_skip_verify };
                http::run(request, &self.trust, timeout, output_max).await
            }
            CheckKind::Tcp(address) => tcp::run(address, timeout).await,
            CheckKind::Script(args) => script::run(&spec.id, args, timeout, output_max).await,
            CheckKind::Docker { container_id, shell, args } => {
                docker::run(container_id, shell, args, timeout, output_max).await
            }
            CheckKind::Grpc { target, use_tls, tls_skip_verify } => {
                grpc::run(target, *use_tls, *tls_skip_verify, &self.trust, timeout).await
            }
            // These two are not run: `start` never schedules them here.
            CheckKind::Ttl(_) | CheckKind::Alias { .. } => Outcome::critical(String::new()),
        }
    }

    /// Counts a result against the thresholds and, if it counts, makes it the check's state.
    fn take_result(&self, spec: &CheckSpec, generation: u64, outcome: Outcome) {
        let (decision, first_held_back) = {
            let mut runs = lock(&self.runs);
            let Some(run) = runs.get_mut(&spec.id).filter(|run| run.generation == generation) else { return };
            let (good, bad) = (spec.success_before_passing, spec.failures_before_critical);
            let decision = run.streak.observe(&outcome.status, good, bad);
            let was = std::mem::replace(&mut run.held_back, decision != Decision::Take);
            (decision, !was)
        };
        match decision {
            Decision::Take => self.settle(&spec.id, generation, outcome),
            Decision::NotYet { seen, needed } if first_held_back => {
                debug!(
                    target: "agent", check = %spec.id, status = %outcome.status, seen, needed,
                    "Check result has not reached its threshold"
                );
            }
            Decision::NotYet { .. } => {}
        }
    }

    /// Makes a result the check's state.
    pub(crate) fn settle(&self, id: &CheckId, generation: u64, outcome: Outcome) {
        let settings = (self.settings)();
        let output = if settings.discard_output { String::new() } else { outcome.output };
        let status = outcome.status;
        let now = Instant::now();
        let updated =
            self.local.update_check(id, Some(generation), status.clone(), output, now, settings.defer());
        if updated == Updated::Unknown {
            return;
        }
        let news = lock(&self.runs).get_mut(id).is_some_and(|run| {
            let old = run.logged.replace(status.clone());
            old.as_ref() != Some(&status)
        });
        match status {
            CheckStatus::Critical if news => warn!(target: "agent", check = %id, "Check is now critical"),
            status if news => debug!(target: "agent", check = %id, %status, "Check status updated"),
            _ => {}
        }
    }

    /// A client reported a TTL check. Yields until when that holds; `None` if this is no TTL check that runs.
    pub(crate) fn report(
        &self,
        id: &CheckId,
        ttl: Duration,
        status: CheckStatus,
        output: String,
        own_output_max: usize,
    ) -> Option<Instant> {
        let settings = (self.settings)();
        let output = decision::clip_ttl_output(output, settings.output_max(own_output_max));
        let (generation, deadline, rearm) = {
            let mut runs = lock(&self.runs);
            let run = runs.get_mut(id)?;
            let (deadline, last) = run.ttl.as_mut()?;
            let now = Instant::now();
            let expired = *deadline <= now;
            *deadline = decision::ttl_deadline(now, ttl);
            last.clone_from(&output);
            (run.generation, *deadline, expired)
        };
        if rearm {
            // Its entry in the heap was used up when it expired.
            self.schedule(id.clone(), generation, deadline);
        }
        self.settle(id, generation, Outcome { status, output });
        Some(deadline)
    }

    /// Checks that are run, and TTL checks, for the statistics.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let runs = lock(&self.runs);
        let ttls = runs.values().filter(|run| run.ttl.is_some()).count();
        (runs.len() - ttls, ttls)
    }

    fn is_current(&self, id: &CheckId, generation: u64) -> bool {
        lock(&self.runs).get(id).is_some_and(|run| run.generation == generation)
    }
}

fn interval_of(spec: &CheckSpec) -> Duration {
    spec.interval.max(decision::INTERVAL_MIN)
}
