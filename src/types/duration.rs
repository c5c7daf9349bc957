//! Durations in Go's grammar, which Consul's files, bodies and query strings use.

use std::fmt::Write as _;
use std::time::Duration;

/// Why a text is no duration; prints Go's own words, which Consul passes on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DurationError {
    /// Not of the grammar at all.
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    /// A unit that Go does not know (`d`, `w`).
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        text: String,
    },
}

/// Reads `300ms`, `1h15m`, `2.5s`, `0`. Go's grammar also has negative durations; nothing of ours takes one, so a minus
/// sign is an error.
///
/// # Errors
/// With Go's own words.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total_ns: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let whole = &rest[..digits];
        rest = &rest[digits..];
        let mut fraction = "";
        if let Some(after) = rest.strip_prefix('.') {
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            fraction = &after[..digits];
            rest = &after[digits..];
        }
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_len = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = &rest[..unit_len];
        rest = &rest[unit_len..];
        let unit_ns: u128 = match unit {
            "" => return Err(DurationError::MissingUnit(text.to_owned())),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() }),
        };
        if whole.len() > 19 {
            return Err(invalid());
        }
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        total_ns += whole * unit_ns;
        let mut scale = unit_ns;
        for digit in fraction.bytes() {
            scale /= 10;
            total_ns += u128::from(digit - b'0') * scale;
        }
        if total_ns > i64::MAX as u128 {
            return Err(invalid());
        }
    }
    Ok(Duration::from_nanos(total_ns as u64))
}

/// Prints as Go does: `1h30m0s`, `1.5s`, `10ms`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let ns = duration.as_nanos();
    let mut out = String::new();
    let fraction = |out: &mut String, value: u128, unit: u128, name: &str| {
        let _ = write!(out, "{}", value / unit);
        let rest = value % unit;
        if rest > 0 {
            let digits = unit.ilog10() as usize;
            let text = format!("{rest:0digits$}");
            let _ = write!(out, ".{}", text.trim_end_matches('0'));
        }
        out.push_str(name);
    };
    match ns {
        0 => out.push_str("0s"),
        1..1_000 => fraction(&mut out, ns, 1, "ns"),
        1_000..1_000_000 => fraction(&mut out, ns, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(&mut out, ns, 1_000_000, "ms"),
        _ => {
            let minutes = ns / 60_000_000_000;
            if minutes >= 60 {
                let _ = write!(out, "{}h", minutes / 60);
            }
            if minutes > 0 {
                let _ = write!(out, "{}m", minutes % 60);
            }
            fraction(&mut out, ns % 60_000_000_000, 1_000_000_000, "s");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, ns) in [
            ("0", 0),
            ("10s", 10_000_000_000),
            ("1h15m", 4_500_000_000_000),
            ("2.5s", 2_500_000_000),
            (".5s", 500_000_000),
            ("1us", 1_000),
            ("1h0.5m", 3_630_000_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(ns)), "{text}");
        }
    }

    #[test]
    fn refuses_in_gos_words() {
        let said = |text| parse_duration(text).unwrap_err().to_string();
        assert_eq!(said("zz"), r#"time: invalid duration "zz""#);
        assert_eq!(said("1"), r#"time: missing unit in duration "1""#);
        assert_eq!(said("1d"), r#"time: unknown unit "d" in duration "1d""#);
        assert_eq!(said(""), r#"time: invalid duration """#);
        assert_eq!(said("9999999999999999999h"), r#"time: invalid duration "9999999999999999999h""#);
    }

    #[test]
    fn prints_as_go_prints() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (10_000_000, "10ms"),
            (1_500_000_000, "1.5s"),
            (60_000_000_000, "1m0s"),
            (5_400_000_000_000, "1h30m0s"),
        ] {
            assert_eq!(format_duration(Duration::from_nanos(ns)), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn prints_what_it_reads(ns in 0u64..i64::MAX as u64) {
            let d = Duration::from_nanos(ns);
            proptest::prop_assert_eq!(parse_duration(&format_duration(d)), Ok(d));
        }

        #[test]
        fn survives_junk(text in ".{0,40}") {
            let _ = parse_duration(&text);
        }
    }
}
