//! crs and real Consul 1.8.7 side by side in one run on one machine.
//!
//! ```text
//! tests/peers && cargo bench --profile ci --bench against_consul [-- [--seconds N] [--rounds N] [--only consul|crs]
//!     [--rows TEXT] [--write FILE]]
//! ```
//! Both servers run at once, idle while the other is asked; rows under load alternate between them, and each figure is
//! the median of its rounds. The table goes to the terminal, and with `--write` into a file such as
//! `docs/bench/2026-11-21.md`.

// a benchmark reports on the terminal, and what cannot be measured ends it
#![allow(clippy::print_stdout, clippy::print_stderr, unreachable_pub)]

mod load;
mod machine;
mod report;
mod rows;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use crs_testkit::Kind;

use crate::report::Table;
use crate::rows::{Figure, LOAD, first_write, large, server};

const CRS: &str = env!("CARGO_BIN_EXE_crs");

struct Options {
    seconds: u64,
    rounds: usize,
    kinds: Vec<Kind>,
    rows: String,
    write: Option<String>,
}

fn options() -> Result<Options> {
    let mut options = Options {
        seconds: 5,
        rounds: 3,
        kinds: vec![Kind::Consul, Kind::Crs],
        rows: String::new(),
        write: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--seconds" => options.seconds = value()?.parse()?,
            "--rounds" => options.rounds = value()?.parse()?,
            "--rows" => options.rows = value()?,
            "--write" => options.write = Some(value()?),
            "--only" => {
                options.kinds = match value()?.as_str() {
                    "consul" => vec![Kind::Consul],
                    "crs" => vec![Kind::Crs],
                    other => bail!("--only {other}: say consul or crs"),
                }
            }
            "--bench" => {} // cargo adds it
            other => bail!("unknown option {other}"),
        }
    }
    Ok(options)
}

fn main() -> Result<()> {
    let options = options()?;
    let asked = |name: &str| name.contains(&options.rows);
    let mut table = Table::default();
    println!("{}", machine::describe(CRS));

    let load_rows: Vec<_> = LOAD.iter().filter(|row| asked(row.name)).collect();
    if !load_rows.is_empty() {
        let servers: Vec<_> = options.kinds.iter().map(|kind| (*kind, server(*kind, CRS).start())).collect();
        for row in load_rows {
            let mut figures: Vec<(Kind, Vec<Figure>)> =
                servers.iter().map(|(kind, _)| (*kind, vec![])).collect();
            for _ in 0..options.rounds {
                for (place, (_, subject)) in servers.iter().enumerate() {
                    let figure = rows::load(row, subject, Duration::from_secs(options.seconds))?;
                    figures[place].1.push(figure);
                }
            }
            table.load(row.name, row.wanted, figures);
            println!("{}", table.last());
        }
        if asked(LOAD[0].name) {
            for (kind, subject) in &servers {
                let medians = rows::shares(*kind, CRS, subject, Duration::from_secs(options.seconds))?;
                table.shares(*kind, medians);
            }
        }
    }
    const START: &str = "start of a lone server to its first write";
    if asked(START) {
        let mut figures: Vec<(Kind, Vec<Figure>)> =
            options.kinds.iter().map(|kind| (*kind, vec![])).collect();
        for _ in 0..options.rounds {
            for (kind, of_kind) in &mut figures {
                of_kind.push(first_write(*kind, CRS)?);
            }
        }
        table.limit(START, 0.5, figures);
        println!("{}", table.last());
    }
    const LARGE: [&str; 3] = [
        "memory idle",
        "memory with 10,000 services of 3 checks and 100,000 keys",
        "restart with 100,000 keys",
    ];
    if LARGE.iter().any(|name| asked(name)) {
        let mut figures: [Vec<(Kind, Vec<Figure>)>; 3] = [vec![], vec![], vec![]];
        for kind in &options.kinds {
            for (place, figure) in large(*kind, CRS)?.into_iter().enumerate() {
                figures[place].push((*kind, vec![figure]));
            }
        }
        for ((name, limit), figures) in LARGE.into_iter().zip([15.0, 150.0, 1.0]).zip(figures) {
            table.limit(name, limit, figures);
            println!("{}", table.last());
        }
    }
    let page = format!("{}\n{}", machine::describe(CRS), table.page());
    println!("\n{}", table.page());
    if let Some(path) = options.write {
        std::fs::write(&path, page).with_context(|| format!("cannot write {path}"))?;
    }
    Ok(())
}
