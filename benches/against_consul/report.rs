//! The table.

use crs_testkit::Kind;

use crate::load::Run;
use crate::rows::{Figure, Wanted};

/// Rows as they come.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<String>,
    notes: Vec<String>,
}

const HEAD: &str = "| | Consul 1.8.7 | crs | crs / Consul | wanted | |\n|---|---|---|---|---|---|\n";

fn time(microseconds: f64) -> String {
    match microseconds {
        value if value < 1000.0 => format!("{value:.0} µs"),
        value if value < 1_000_000.0 => format!("{:.1} ms", value / 1000.0),
        value => format!("{:.2} s", value / 1_000_000.0),
    }
}

fn rate(value: f64) -> String {
    if value < 10_000.0 { format!("{value:.0}/s") } else { format!("{:.1}k/s", value / 1000.0) }
}

/// The middle one by what `key` says.
fn median<T: Clone>(mut values: Vec<T>, key: impl Fn(&T) -> f64) -> Option<T> {
    values.sort_by(|a, b| key(a).total_cmp(&key(b)));
    values.get(values.len() / 2).cloned()
}

struct Loaded {
    run: Run,
    cpu: f64,
}

fn loaded(figures: Vec<(Kind, Vec<Figure>)>, wanted: Kind) -> Option<Loaded> {
    let (_, rounds) = figures.into_iter().find(|(kind, _)| *kind == wanted)?;
    let middle = median(rounds, |figure| match figure {
        Figure::Load(run, _) => run.rate(),
        _ => f64::NAN,
    })?;
    match middle {
        Figure::Load(run, cpu) => Some(Loaded { run, cpu: cpu.as_secs_f64() * 1e6 }),
        _ => None,
    }
}

fn plain(figures: Vec<(Kind, Vec<Figure>)>, wanted: Kind) -> Option<f64> {
    let number = |figure: &Figure| match figure {
        Figure::Time(time) => time.as_secs_f64(),
        Figure::Memory(bytes) => *bytes as f64 / f64::from(1 << 20),
        Figure::Load(..) => f64::NAN,
    };
    let (_, rounds) = figures.into_iter().find(|(kind, _)| *kind == wanted)?;
    median(rounds, number).map(|figure| number(&figure))
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met",
        Some(false) => "missed",
        None => "",
    }
}

impl Table {
    /// A row under load.
    pub fn load(&mut self, name: &str, wanted: Wanted, figures: Vec<(Kind, Vec<Figure>)>) {
        let (consul, crs) = (loaded(figures.clone(), Kind::Consul), loaded(figures, Kind::Crs));
        let cell = |figure: &Option<Loaded>| {
            figure.as_ref().map_or(String::from("-"), |loaded| {
                format!(
                    "{}, p50 {}, p99 {}, CPU {}",
                    rate(loaded.run.rate()),
                    time(loaded.run.percentile(0.5)),
                    time(loaded.run.percentile(0.99)),
                    time(loaded.cpu)
                )
            })
        };
        let compare = |of: fn(&Loaded) -> f64| match (&consul, &crs) {
            (Some(theirs), Some(ours)) => Some(of(ours) / of(theirs)),
            _ => None,
        };
        let (what, ratio, text, met) = match wanted {
            Wanted::MedianAtMost(share) => {
                let ratio = compare(|loaded| loaded.run.percentile(0.5));
                ("p50", ratio, format!("p50 at most {share}"), ratio.map(|ratio| ratio <= share))
            }
            Wanted::RateAtLeast(times) => {
                let ratio = compare(|loaded| loaded.run.rate());
                ("rate", ratio, format!("rate at least {times}"), ratio.map(|ratio| ratio >= times))
            }
            Wanted::CpuAtMost(share) => {
                let ratio = compare(|loaded| loaded.cpu);
                ("CPU", ratio, format!("CPU at most {share}"), ratio.map(|ratio| ratio <= share))
            }
        };
        let ratio = ratio.map_or(String::from("-"), |ratio| format!("{what} {ratio:.2}"));
        self.rows.push(format!(
            "| {name} | {} | {} | {ratio} | {text} | {} |",
            cell(&consul),
            cell(&crs),
            verdict(met)
        ));
    }

    /// A row whose target is a number of its own, seconds or MiB.
    pub fn limit(&mut self, name: &str, limit: f64, figures: Vec<(Kind, Vec<Figure>)>) {
        let memory = figures.iter().any(|(_, rounds)| matches!(rounds.first(), Some(Figure::Memory(_))));
        let (consul, crs) = (plain(figures.clone(), Kind::Consul), plain(figures, Kind::Crs));
        let show = |value: f64| if memory { format!("{value:.0} MiB") } else { time(value * 1e6) };
        let cell = |value: Option<f64>| value.map_or(String::from("-"), show);
        let ratio = match (consul, crs) {
            (Some(theirs), Some(ours)) => format!("{:.2}", ours / theirs),
            _ => String::from("-"),
        };
        self.rows.push(format!(
            "| {name} | {} | {} | {ratio} | under {} | {} |",
            cell(consul),
            cell(crs),
            show(limit),
            verdict(crs.map(|ours| ours < limit))
        ));
    }

    /// Where the time of one write on one connection goes: medians of a read, a write in memory, a write on disk.
    pub fn shares(&mut self, kind: Kind, [read, memory, disk]: [f64; 3]) {
        let name = if kind == Kind::Consul { "Consul" } else { "crs" };
        self.notes.push(format!(
            "One write on one connection, {name}: {} = HTTP {} + raft and state {} + disk {}.",
            time(disk),
            time(read),
            time((memory - read).max(0.0)),
            time((disk - memory).max(0.0)),
        ));
    }

    /// The row added last.
    pub fn last(&self) -> &str {
        self.rows.last().map_or("", String::as_str)
    }

    /// All rows under their head.
    pub fn page(&self) -> String {
        let mut page = format!("{HEAD}{}\n", self.rows.join("\n"));
        for note in &self.notes {
            page.push_str(&format!("\n{note}\n"));
        }
        page
    }
}
