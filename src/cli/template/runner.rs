//! The watcher's loop: news in, renderings out.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crs_template::{Answer, Dep, DepSnapshot};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::child::Child;
use super::job::{Job, Outcome};
use super::place::{self, Text};
use super::settings::Settings;
use super::source::Source;
use super::watch::{self, Manner, NEWS_BACKLOG, News};
use super::{local, output};

/// A key that is waited for is named after this.
const WAIT_TOLD_AFTER: Duration = Duration::from_secs(5);
/// How often files are looked at.
const FILE_POLL: Duration = Duration::from_secs(1);

/// How the loop ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything is rendered (`-once`), or the program was asked to end.
    Done,
    /// Interrupted by a signal before its time.
    Interrupted,
    /// Something failed; told already.
    Failed,
    /// The supervised child ended, with its code.
    Child(u8),
    /// Read the configuration again.
    Reload,
}

/// What outlives a change of the configuration: what is known, and who keeps asking.
pub(crate) struct Known<S> {
    source: Arc<S>,
    snapshot: DepSnapshot,
    watches: HashMap<Dep, AbortHandle>,
    /// When each answer came, and its index.
    ages: HashMap<Dep, (u64, Instant)>,
    files: HashMap<Dep, local::Stamp>,
    sender: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
}

impl<S: Source> Known<S> {
    pub(crate) fn new(source: S) -> Known<S> {
        let (sender, news) = mpsc::channel(NEWS_BACKLOG);
        Known {
            source: Arc::new(source),
            snapshot: DepSnapshot::new(),
            watches: HashMap::new(),
            ages: HashMap::new(),
            files: HashMap::new(),
            sender,
            news,
        }
    }
}

impl<S> Drop for Known<S> {
    fn drop(&mut self) {
        for watch in self.watches.values() {
            watch.abort();
        }
    }
}

pub(crate) struct Runner<'a, S: Source> {
    settings: &'a Settings,
    known: &'a mut Known<S>,
    jobs: Vec<Job>,
    /// What commands see of the connection.
    environment: Vec<(String, String)>,
    child: &'a mut Option<Child>,
    failed: bool,
}

impl<'a, S: Source> Runner<'a, S> {
    pub(crate) fn new(
        settings: &'a Settings,
        known: &'a mut Known<S>,
        environment: Vec<(String, String)>,
        child: &'a mut Option<Child>,
    ) -> Runner<'a, S> {
        let jobs = settings.templates.iter().cloned().map(Job::new).collect();
        Runner { settings, known, jobs, environment, child, failed: false }
    }

    /// Runs until everything is done, or for ever.
    pub(crate) async fn run(mut self) -> std::io::Result<End> {
        let mut interrupt = unix::signal(SignalKind::interrupt())?;
        let mut terminate = unix::signal(SignalKind::terminate())?;
        let mut kill = unix::signal(SignalKind::from_raw(self.settings.kill_signal.0))?;
        let mut reload = match self.settings.reload_signal {
            Some(signal) => Some(unix::signal(SignalKind::from_raw(signal.0))?),
            None => None,
        };
        let mut files = tokio::time::interval(FILE_POLL);
        files.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if let Some(end) = self.pass().await {
                return Ok(end);
            }
            let pause = self.next_due().map(|due| due.saturating_duration_since(Instant::now()));
            // every arm only takes something out of a queue, so that dropping it loses nothing
            tokio::select! {
                news = self.known.news.recv() => {
                    if let Some(news) = news {
                        self.take(news);
                    }
                    // what has come together is rendered together
                    while let Ok(news) = self.known.news.try_recv() {
                        self.take(news);
                    }
                    if self.failed && self.settings.once {
                        return Ok(End::Failed);
                    }
                }
                () = tokio::time::sleep(pause.unwrap_or(Duration::MAX)), if pause.is_some() => {}
                _ = files.tick() => self.look_at_files().await,
                _ = interrupt.recv() => return Ok(self.interrupted()),
                _ = kill.recv() => return Ok(self.interrupted()),
                _ = terminate.recv() => return Ok(if self.settings.once { End::Interrupted } else { End::Done }),
                () = signalled(&mut reload) => return Ok(End::Reload),
                code = ended(self.child) => return Ok(End::Child(code)),
            }
        }
    }

    fn interrupted(&self) -> End {
        End::Interrupted
    }

    fn next_due(&self) -> Option<Instant> {
        let due = self.jobs.iter().filter(|job| job.dirty).filter_map(Job::due);
        let told = self.jobs.iter().filter_map(|job| match job.waiting {
            Some((since, false)) => Some(since + WAIT_TOLD_AFTER),
            _ => None,
        });
        due.chain(told).min()
    }

    fn take(&mut self, news: News) {
        match news {
            News::Answer { dep, answer, index } => {
                tracing::debug!(query = %dep, index, "New answer");
                let now = Instant::now();
                for job in self.jobs.iter_mut().filter(|job| job.used.contains(&dep)) {
                    job.touch(now);
                }
                self.known.ages.insert(dep.clone(), (index, now));
                self.known.snapshot.insert(dep, answer);
            }
            News::Trouble { dep, error, attempt, given_up } => {
                if given_up && self.settings.once {
                    output::complain(&format!("crs template: {dep}: {error}"));
                    self.failed = true;
                } else if attempt == 1 || attempt.is_power_of_two() {
                    // what is known stays, and so do the files made of it
                    tracing::warn!(query = %dep, attempt, %error, "No answer, asking again");
                    if attempt == 1 && self.known.snapshot.get(&dep).is_none() {
                        output::complain(&format!("crs template: {dep}: {error}; asking again"));
                    }
                }
            }
        }
    }

    /// Renders what is due and brings it to its place. `Some`: the end.
    async fn pass(&mut self) -> Option<End> {
        let mut texts = Vec::new();
        let mut fatal = false;
        let now = Instant::now();
        for at in 0..self.jobs.len() {
            let job = &mut self.jobs[at];
            if !job.dirty || job.due().is_some_and(|due| due > now) {
                continue;
            }
            match job.render(&mut self.known.snapshot).await {
                Ok(Outcome::Text(text, files)) => {
                    texts.push(Text { job: at, block: job.block.clone(), shape: job.shape(), text, files });
                }
                Ok(Outcome::Waiting) => {
                    job.waiting.get_or_insert((now, false));
                    let absent = job.missing.iter().find(|dep| self.known.snapshot.get(dep).is_some());
                    if let (true, Some(dep)) = (self.settings.err_on_failed_lookup, absent) {
                        let text = format!("{dep} does not exist, and err_on_failed_lookup is set");
                        fatal |= self.told_error(at, &text);
                    }
                }
                Ok(Outcome::Kept(reason)) => {
                    job.rendered = true;
                    self.tell(at, &format!("the file stays as it is: {reason}"));
                }
                Err(error) => {
                    job.waiting = None;
                    fatal |= self.told_error(at, &error.to_string());
                }
            }
        }
        self.ask();
        if self.settings.dry {
            for text in texts {
                let job = &mut self.jobs[text.job];
                job.rendered = true;
                job.told = None;
                place::show(&text, self.settings.diff);
            }
        } else if !texts.is_empty() {
            let placed = place::place(texts, &self.environment).await;
            for at in placed.done {
                self.jobs[at].rendered = true;
                if !placed.errors.iter().any(|(job, _)| *job == at) {
                    self.jobs[at].told = None;
                }
            }
            for (at, error) in placed.errors {
                fatal |= self.told_error(at, &error);
            }
            if placed.changed > 0
                && let Some(child) = self.child.as_mut()
            {
                child.changed().await;
            }
        }
        self.tell_waiting(now);
        self.end_of_pass(fatal).await
    }

    async fn end_of_pass(&mut self, fatal: bool) -> Option<End> {
        if fatal {
            return Some(End::Failed);
        }
        if self.settings.once && self.jobs.iter().all(|job| job.rendered || job.told.is_some()) {
            if self.settings.explain {
                self.explain();
            }
            if self.jobs.iter().any(|job| job.told.is_some()) {
                return Some(End::Failed);
            }
            if self.settings.exec.is_none() || self.settings.dry {
                return Some(End::Done);
            }
        }
        if let Some(exec) = &self.settings.exec
            && self.child.is_none()
            && !self.settings.dry
            && self.jobs.iter().all(|job| job.rendered)
        {
            match Child::start(exec.clone(), &self.environment) {
                Ok(child) => *self.child = Some(child),
                Err(error) => {
                    output::complain(&format!("crs template: {error}"));
                    return Some(End::Failed);
                }
            }
        }
        None
    }

    /// Tells an error once per change. Returns whether it ends the program.
    fn told_error(&mut self, at: usize, error: &str) -> bool {
        self.tell(at, error);
        self.jobs[at].block.error_fatal.unwrap_or(false) && !self.settings.once
    }

    fn tell(&mut self, at: usize, text: &str) {
        let job = &mut self.jobs[at];
        if job.told.as_deref() == Some(text) {
            return;
        }
        job.told = Some(text.to_owned());
        let name = job.block.name();
        let place = if text.starts_with(&name) { text.to_owned() } else { format!("{name}: {text}") };
        output::complain(&format!("crs template: {place}"));
    }

    /// Names what a template has been waiting for, once it takes long.
    fn tell_waiting(&mut self, now: Instant) {
        for job in &mut self.jobs {
            let Some((since, false)) = job.waiting else { continue };
            if now.saturating_duration_since(since) < WAIT_TOLD_AFTER {
                continue;
            }
            job.waiting = Some((since, true));
            let snapshot = &self.known.snapshot;
            let missing: Vec<String> = job
                .missing
                .iter()
                .map(|dep| match snapshot.get(dep) {
                    Some(Answer::Absent) => format!("{dep}, which does not exist"),
                    Some(_) => format!("{dep}, which is empty"),
                    None => format!("{dep}, which has no answer yet"),
                })
                .collect();
            output::complain(&format!(
                "crs template: {}: waits for {}",
                job.block.name(),
                missing.join("; ")
            ));
        }
    }

    /// Starts asking what is asked for now, stops asking what is not any more.
    fn ask(&mut self) {
        let wanted: BTreeSet<&Dep> =
            self.jobs.iter().flat_map(|job| &job.used).filter(|dep| dep.is_remote()).collect();
        let known = &mut *self.known;
        let retry = self.settings.server.retry;
        let manner = Manner {
            wait: self.settings.block_query_wait,
            retry,
            attempts: retry.attempts.unwrap_or(if self.settings.once { 12 } else { 0 }),
            // a key that does not exist yet is waited for
            once: false,
        };
        for dep in &wanted {
            if !known.watches.contains_key(*dep) {
                let handle = watch::spawn((*dep).clone(), known.source.clone(), manner, known.sender.clone());
                known.watches.insert((*dep).clone(), handle);
            }
        }
        let settled = self.jobs.iter().all(|job| job.rendered);
        // while templates are still on their first way they may come back to a question
        if settled {
            known.watches.retain(|dep, handle| {
                let keep = wanted.contains(dep);
                if !keep {
                    handle.abort();
                }
                keep
            });
            let used: BTreeSet<&Dep> = self.jobs.iter().flat_map(|job| &job.used).collect();
            known.snapshot.retain(|dep| used.contains(dep));
            known.ages.retain(|dep, _| used.contains(dep));
        }
    }

    /// Renders again what is made of a file that changed.
    async fn look_at_files(&mut self) {
        let now = Instant::now();
        for at in 0..self.jobs.len() {
            let job = &mut self.jobs[at];
            if job.is_outdated() {
                match job.read() {
                    Ok(()) => job.touch(now),
                    Err(error) => {
                        let text = error.to_string();
                        self.told_error(at, &text);
                    }
                }
            }
        }
        let files: BTreeSet<Dep> = self
            .jobs
            .iter()
            .flat_map(|job| &job.used)
            .filter(|dep| matches!(dep, Dep::File { .. }))
            .cloned()
            .collect();
        for dep in files {
            let Dep::File { path, .. } = &dep else { continue };
            let stamp = local::stamp(std::path::Path::new(path.as_str()));
            let before = self.known.files.insert(dep.clone(), stamp.clone());
            if before.is_some_and(|before| before == stamp) {
                continue;
            }
            let Some(answer) = local::answer(&dep).await else { continue };
            if same(self.known.snapshot.get(&dep), &answer) {
                continue;
            }
            self.known.snapshot.insert(dep.clone(), answer);
            for job in self.jobs.iter_mut().filter(|job| job.used.contains(&dep)) {
                job.touch(now);
            }
        }
    }

    /// Prints each template's queries.
    fn explain(&self) {
        let mut text = String::new();
        for job in &self.jobs {
            let block = &job.block;
            text.push_str(&format!("{} -> {}\n", block.name(), block.destination.display()));
            for dep in &job.used {
                let state = match (job.missing.contains(dep), self.known.ages.get(dep)) {
                    (true, _) => "missing".to_owned(),
                    (false, Some((index, at))) => {
                        format!("index {index}, {:.1} s old", at.elapsed().as_secs_f32())
                    }
                    (false, None) => "answered here".to_owned(),
                };
                text.push_str(&format!("  {dep}: {state}\n"));
            }
        }
        output::complain(text.trim_end());
    }
}

fn same(left: Option<&Answer>, right: &Answer) -> bool {
    match (left, right) {
        (Some(Answer::Value(a)), Answer::Value(b)) => a.as_text() == b.as_text() && a.as_text().is_some(),
        (Some(Answer::Failed(a)), Answer::Failed(b)) => a == b,
        _ => false,
    }
}

async fn signalled(signal: &mut Option<unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

async fn ended(child: &mut Option<Child>) -> u8 {
    match child {
        Some(child) => child.ended().await,
        None => std::future::pending().await,
    }
}
