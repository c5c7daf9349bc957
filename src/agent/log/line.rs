//! One line of the log, in Consul's two forms.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crs_config::LogLevel;
use tracing::Event;
use tracing::field::{Field, Visit};

/// A line before it is written.
#[derive(Clone, Debug)]
pub struct Line {
    /// When, since 1970.
    pub since_epoch: Duration,
    /// How grave.
    pub level: LogLevel,
    /// Who: `agent.server.raft`.
    pub module: String,
    /// What.
    pub message: String,
    /// With which values.
    pub fields: Vec<(&'static str, Value)>,
}

/// A value, kept apart from text for the JSON form.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Text, or anything that prints itself.
    Text(String),
    /// A number.
    Number(serde_json::Number),
    /// A truth value.
    Bool(bool),
}

/// Whether a target is one of this program's.
pub(crate) fn is_ours(target: &str) -> bool {
    target.starts_with("agent") || target.starts_with("crs")
}

/// Consul's name for a part of this program: a target that names it stays, a module path is looked up.
fn module(target: &str) -> &str {
    let krate = target.split("::").next().unwrap_or(target);
    match krate {
        "crs_agent" | "crs_config" | "crs_cli" => "agent",
        "crs_server" | "crs_store" => "agent.server",
        "crs_raft" => "agent.server.raft",
        "crs_http" => "agent.http",
        "crs_dns" => "agent.dns",
        _ => target,
    }
}

impl Line {
    pub(crate) fn of(event: &Event<'_>, level: LogLevel) -> Line {
        let mut line = Line::own(level, String::new());
        line.module = module(event.metadata().target()).to_owned();
        event.record(&mut Collect(&mut line));
        line
    }

    /// A line about the log itself.
    pub(crate) fn own(level: LogLevel, message: String) -> Line {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Line { since_epoch, level, module: "agent".to_owned(), message, fields: Vec::new() }
    }

    /// `2026-11-20T11:51:39.324Z [INFO]  agent: message: key=value`.
    pub fn to_text(&self) -> String {
        let mut text = format!("{} ", timestamp(self.since_epoch, 3));
        let level = format!("[{}]", self.level.as_str());
        _ = write!(text, "{level:<7} {}: {}", self.module, self.message);
        for (i, (key, value)) in self.fields.iter().enumerate() {
            text.push_str(if i == 0 { ": " } else { " " });
            _ = match value {
                Value::Text(value) if value.contains(char::is_whitespace) || value.contains('"') => {
                    write!(text, "{key}={value:?}")
                }
                Value::Text(value) => write!(text, "{key}={value}"),
                Value::Number(value) => write!(text, "{key}={value}"),
                Value::Bool(value) => write!(text, "{key}={value}"),
            };
        }
        text
    }

    /// `{"@level":"info","@message":"..","@module":"agent","@timestamp":"..","key":"value"}`.
    pub fn to_json(&self) -> String {
        let mut object = serde_json::Map::new();
        object.insert("@level".into(), self.level.as_str().to_lowercase().into());
        object.insert("@message".into(), self.message.clone().into());
        object.insert("@module".into(), self.module.clone().into());
        object.insert("@timestamp".into(), timestamp(self.since_epoch, 6).into());
        for (key, value) in &self.fields {
            let value = match value {
                Value::Text(value) => value.clone().into(),
                Value::Number(value) => value.clone().into(),
                Value::Bool(value) => (*value).into(),
            };
            object.insert((*key).to_owned(), value);
        }
        serde_json::Value::Object(object).to_string()
    }
}

struct Collect<'a>(&'a mut Line);

impl Collect<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text)) => self.0.message = text,
            (name, value) => self.0.fields.push((name, value)),
        }
    }
}

impl Visit for Collect<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, Value::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::Text(value.to_owned()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Number(value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Number(value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bool(value));
    }
}

/// RFC 3339 in UTC with so many decimals of a second.
pub(crate) fn timestamp(since_epoch: Duration, decimals: usize) -> String {
    let seconds = since_epoch.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = format!("{:09}", since_epoch.subsec_nanos());
    let fraction = fraction.get(..decimals).unwrap_or_default();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction}Z")
}

/// Year, month and day of a day since 1970, by the Gregorian calendar's 400-year cycle that begins on a 1st of March.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_based = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_based + 2) / 5 + 1;
    let month = if march_based < 10 { march_based + 3 } else { march_based - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: Vec<(&'static str, Value)>) -> Line {
        Line {
            since_epoch: Duration::from_millis(1_795_223_499_324),
            level: LogLevel::Info,
            module: "agent.server".into(),
            message: "election won".into(),
            fields,
        }
    }

    #[test]
    fn lines_read_as_consuls() {
        let plain = line(vec![]).to_text();
        assert_eq!(plain, "2026-11-21T01:11:39.324Z [INFO]  agent.server: election won");
        let text = |text: &str| Value::Text(text.into());
        let fields =
            vec![("tally", Value::Number(1.into())), ("node", text("Node at x")), ("leader", text(""))];
        assert_eq!(
            line(fields).to_text(),
            "2026-11-21T01:11:39.324Z [INFO]  agent.server: election won: tally=1 node=\"Node at x\" leader="
        );
        let error = Line { level: LogLevel::Error, ..line(vec![]) };
        assert!(error.to_text().contains(" [ERROR] agent.server: "));
    }

    #[test]
    fn json_lines_have_consuls_keys() {
        assert_eq!(
            line(vec![("check", Value::Text("h".into())), ("n", Value::Number(2.into()))]).to_json(),
            r#"{"@level":"info","@message":"election won","@module":"agent.server","@timestamp":"2026-11-21T01:11:39.324000Z","check":"h","n":2}"#
        );
    }

    #[test]
    fn days_become_dates() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_453, (2025, 12, 31)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(days), date, "{days}");
        }
    }

    #[test]
    fn modules_have_consuls_names() {
        assert_eq!(module("crs_raft::log"), "agent.server.raft");
        assert_eq!(module("agent.anti_entropy"), "agent.anti_entropy");
        assert!(is_ours("crs_http::serve") && !is_ours("h2::codec"));
    }
}
