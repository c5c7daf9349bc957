//! The log: one tracing layer, written by one thread to the console, a file, syslog, and whoever monitors.
//!
//! ```text
//!   event ─▶ Line ─▶ queue (bounded; full: dropped and counted) ─▶ thread ─▶ console · file · syslog
//!              └───▶ monitors (each bounded; full: dropped and counted)
//! ```
//!
//! Until [`LogHandle::open`] is called lines wait, so that the banner comes first. Nothing here logs.

mod file;
mod line;
mod sinks;

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crs_config::{Log, LogLevel};
use tokio::sync::mpsc;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

pub use line::Line;
pub(crate) use line::timestamp;
use sinks::Sinks;

/// Lines that wait for the thread. More than a slow console takes in a burst.
const QUEUE: usize = 8192;
/// Lines that wait for one monitor (Consul's value).
const MONITOR_QUEUE: usize = 512;

/// Where lines go, and the level; shared by all who log.
#[derive(Clone)]
pub struct LogHandle(Arc<Shared>);

struct Shared {
    level: AtomicU8,
    /// The most talkative level that anybody wants: the agent's or a monitor's.
    wanted: AtomicU8,
    queue: std::sync::mpsc::SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    monitors: Mutex<Monitors>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

#[derive(Default)]
struct Monitors {
    next: u64,
    streams: HashMap<u64, MonitorEnd>,
}

struct MonitorEnd {
    level: LogLevel,
    json: bool,
    lines: mpsc::Sender<String>,
    dropped: u64,
}

enum Message {
    Line(Arc<Line>),
    /// Write this text to the console as it is, and everything from now on at once.
    Open(String),
    /// Open the file anew.
    Reopen,
    Stop,
}

/// A stream of lines at a level of its own. Ends the subscription when dropped.
pub struct Monitor {
    id: u64,
    lines: mpsc::Receiver<String>,
    shared: Arc<Shared>,
}

impl Monitor {
    /// The next line, with its line feed; `None` when the log ends.
    pub fn poll_next(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<String>> {
        self.lines.poll_recv(cx)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        lock(&self.shared.monitors).streams.remove(&self.id);
        self.shared.recompute_wanted();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LogHandle {
    /// Opens the targets and starts the thread. Lines wait for [`LogHandle::open`].
    ///
    /// # Errors
    /// When the file or the syslog socket cannot be opened; names it.
    pub fn start(config: &Log) -> Result<LogHandle, String> {
        let sinks = Sinks::open(config)?;
        let (queue, messages) = std::sync::mpsc::sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = dropped.clone();
        let thread = std::thread::Builder::new()
            .name("log".into())
            .spawn(move || write_loop(sinks, &messages, &counter))
            .map_err(|error| format!("Failed to start the log thread: {error}"))?;
        Ok(LogHandle(Arc::new(Shared {
            level: AtomicU8::new(config.level as u8),
            wanted: AtomicU8::new(config.level as u8),
            queue,
            dropped,
            monitors: Mutex::default(),
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Makes this the log of the process.
    ///
    /// # Errors
    /// When there is one already.
    pub fn install(&self) -> Result<(), String> {
        use tracing_subscriber::layer::SubscriberExt;
        let subscriber = tracing_subscriber::registry().with(AgentLayer(self.0.clone()));
        tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())
    }

    /// Writes a text to the console, then the lines that waited.
    pub fn open(&self, text: String) {
        _ = self.0.queue.send(Message::Open(text));
    }

    /// Changes the level.
    pub fn set_level(&self, level: LogLevel) {
        self.0.level.store(level as u8, Ordering::Relaxed);
        self.0.recompute_wanted();
    }

    /// Opens the log file anew, for who moved it away.
    pub fn reopen(&self) {
        _ = self.0.queue.try_send(Message::Reopen);
    }

    /// Follows the log at a level of its own.
    pub fn monitor(&self, level: LogLevel, json: bool) -> Monitor {
        let (sender, lines) = mpsc::channel(MONITOR_QUEUE);
        let id = {
            let mut monitors = lock(&self.0.monitors);
            monitors.next += 1;
            let id = monitors.next;
            monitors.streams.insert(id, MonitorEnd { level, json, lines: sender, dropped: 0 });
            id
        };
        self.0.recompute_wanted();
        Monitor { id, lines, shared: self.0.clone() }
    }

    /// Ends all monitors: their clients are told that no more comes.
    pub fn end_monitors(&self) {
        lock(&self.0.monitors).streams.clear();
    }

    /// Writes what waits and ends the thread. Blocks.
    pub fn close(&self) {
        if self.0.queue.send(Message::Stop).is_ok()
            && let Some(thread) = lock(&self.0.thread).take()
        {
            // A failed log thread has nobody left to tell.
            _ = thread.join();
        }
    }
}

impl Shared {
    fn recompute_wanted(&self) {
        let monitors = lock(&self.monitors);
        let own = self.level.load(Ordering::Relaxed);
        let lowest = monitors.streams.values().map(|monitor| monitor.level as u8).fold(own, u8::min);
        drop(monitors);
        self.wanted.store(lowest, Ordering::Relaxed);
        // what was asked once is remembered at each call site
        tracing::callsite::rebuild_interest_cache();
    }

    fn take(&self, line: Arc<Line>) {
        let level = line.level as u8;
        {
            let mut monitors = lock(&self.monitors);
            for monitor in monitors.streams.values_mut() {
                if level >= monitor.level as u8 {
                    monitor.push(&line);
                }
            }
        }
        if level >= self.level.load(Ordering::Relaxed) && self.queue.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl MonitorEnd {
    fn push(&mut self, line: &Line) {
        if self.dropped > 0 {
            let text = format!("[WARN] agent: {} lines were dropped: the reader is too slow\n", self.dropped);
            if self.lines.try_send(text).is_ok() {
                self.dropped = 0;
            }
        }
        let text = if self.json { line.to_json() } else { line.to_text() };
        if self.lines.try_send(text + "\n").is_err() {
            self.dropped += 1;
        }
    }
}

fn write_loop(mut sinks: Sinks, messages: &std::sync::mpsc::Receiver<Message>, dropped: &AtomicU64) {
    let mut waiting = Some(Vec::new());
    while let Ok(message) = messages.recv() {
        match message {
            Message::Line(line) => match &mut waiting {
                Some(lines) => lines.push(line),
                None => {
                    let lost = dropped.swap(0, Ordering::Relaxed);
                    if lost > 0 {
                        sinks.write(&Line::own(LogLevel::Warn, format!("{lost} log lines were dropped")));
                    }
                    sinks.write(&line);
                }
            },
            Message::Open(text) => {
                sinks.raw(&text);
                for line in waiting.take().into_iter().flatten() {
                    sinks.write(&line);
                }
            }
            Message::Reopen => sinks.reopen(),
            Message::Stop => break,
        }
    }
    for line in waiting.into_iter().flatten() {
        sinks.write(&line);
    }
    _ = std::io::stdout().flush();
}

struct AgentLayer(Arc<Shared>);

fn level_of(level: &Level) -> LogLevel {
    match *level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

impl<S: Subscriber> Layer<S> for AgentLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let level = level_of(metadata.level());
        // Libraries say nothing below a warning.
        let ours = line::is_ours(metadata.target()) || level >= LogLevel::Warn;
        ours && level as u8 >= self.0.wanted.load(Ordering::Relaxed)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.take(Arc::new(Line::of(event, level_of(event.metadata().level()))));
    }
}
