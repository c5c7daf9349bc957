//! `timestamp`: the time of the rendering in Go's layouts, always UTC.

use std::time::UNIX_EPOCH;

use super::{Func, Param, bad, str_at, variadic};
use crate::context::{Context, Outcome};
use crate::dep::Dep;
use crate::value::Value;

pub(super) static FUNCS: &[Func] = &[variadic("timestamp", &[], Param::Str, timestamp)];

fn timestamp(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    if values.len() > 1 {
        let count = values.len();
        return bad("timestamp", format!("wrong number of arguments, expected 0 or 1, but got {count}"));
    }
    context.used.insert(Dep::Now);
    let Some(now) = context.snapshot.now else {
        context.missing.insert(Dep::Now);
        return Ok(Value::text(""));
    };
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let layout = str_at(values, 0);
    if &*layout == b"unix" {
        return Ok(Value::text(since.as_secs().to_string()));
    }
    let layout =
        if values.is_empty() { "2006-01-02T15:04:05Z07:00".to_owned() } else { layout.to_str().into_owned() };
    Ok(Value::text(format(&layout, since.as_secs(), since.subsec_nanos())))
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Year, month (from 1) and day of days since 1970, by counting in eras of 400 years that start in March.
fn civil(days: i64) -> (i64, usize, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), usize::try_from(month).unwrap_or(1), day)
}

/// Formats a time by a layout that shows Mon Jan 2 15:04:05 MST 2006.
fn format(layout: &str, seconds: u64, nanos: u32) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(0);
    let days = seconds.div_euclid(86_400);
    let (year, month, day) = civil(days);
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let weekday = usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0);
    let (first, _, _) = (days_of(year), 0, 0);
    let yearday = days - first + 1;
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let name = MONTHS[(month - 1) % 12];
    let mut out = String::new();
    let mut rest = layout;
    // longer marks stand before those they begin with
    'next: while !rest.is_empty() {
        let marks: [(&str, String); 32] = [
            ("January", name.to_owned()),
            ("Jan", name[..3].to_owned()),
            ("Monday", DAYS[weekday].to_owned()),
            ("Mon", DAYS[weekday][..3].to_owned()),
            ("MST", "UTC".to_owned()),
            ("2006", format!("{year:04}")),
            ("_2006", format!("_{year:04}")),
            ("002", format!("{yearday:03}")),
            ("__2", format!("{yearday:3}")),
            ("01", format!("{month:02}")),
            ("02", format!("{day:02}")),
            ("03", format!("{twelve:02}")),
            ("04", format!("{minute:02}")),
            ("05", format!("{second:02}")),
            ("06", format!("{:02}", year % 100)),
            ("15", format!("{hour:02}")),
            ("PM", if hour >= 12 { "PM" } else { "AM" }.to_owned()),
            ("pm", if hour >= 12 { "pm" } else { "am" }.to_owned()),
            ("-070000", "+000000".to_owned()),
            ("-07:00:00", "+00:00:00".to_owned()),
            ("-07:00", "+00:00".to_owned()),
            ("-0700", "+0000".to_owned()),
            ("-07", "+00".to_owned()),
            ("Z070000", "Z".to_owned()),
            ("Z07:00:00", "Z".to_owned()),
            ("Z07:00", "Z".to_owned()),
            ("Z0700", "Z".to_owned()),
            ("Z07", "Z".to_owned()),
            ("_2", format!("{day:2}")),
            ("1", month.to_string()),
            ("2", day.to_string()),
            ("3", twelve.to_string()),
        ];
        for (mark, text) in marks {
            let Some(after) = rest.strip_prefix(mark) else { continue };
            // "January" within a longer lower-case word is no month to Go
            if mark == "Jan" && after.starts_with(|c: char| c.is_ascii_lowercase()) {
                continue;
            }
            out.push_str(&text);
            rest = after;
            continue 'next;
        }
        for (mark, text) in [("4", minute.to_string()), ("5", second.to_string())] {
            if let Some(after) = rest.strip_prefix(mark) {
                out.push_str(&text);
                rest = after;
                continue 'next;
            }
        }
        if let Some((text, after)) = fraction(rest, nanos) {
            out.push_str(&text);
            rest = after;
            continue;
        }
        let mut chars = rest.chars();
        out.extend(chars.next());
        rest = chars.as_str();
    }
    out
}

/// `.000` keeps its zeros, `.999` drops them.
fn fraction(rest: &str, nanos: u32) -> Option<(String, &str)> {
    let mark = rest.chars().next().filter(|c| *c == '.' || *c == ',')?;
    let digit = rest[1..].chars().next().filter(|c| *c == '0' || *c == '9')?;
    let count = rest[1..].chars().take_while(|c| *c == digit).count();
    let after = &rest[1 + count..];
    if count > 9 || after.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let all = format!("{nanos:09}");
    let kept = &all[..count];
    if digit == '0' {
        return Some((format!("{mark}{kept}"), after));
    }
    let kept = kept.trim_end_matches('0');
    Some((if kept.is_empty() { String::new() } else { format!("{mark}{kept}") }, after))
}

/// Days from 1970 to the first of January of a year.
fn days_of(year: i64) -> i64 {
    let before = year - 1;
    before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 719_162
}

#[cfg(test)]
mod tests {
    use super::format;

    #[test]
    fn layouts_follow_go() {
        // 2024-02-29 13:05:09.045 UTC, a Thursday
        let (seconds, nanos) = (1_709_211_909, 45_000_000);
        let cases = [
            ("2006-01-02T15:04:05Z07:00", "2024-02-29T13:05:09Z"),
            ("Mon Jan _2 3:04PM MST .000", "Thu Feb 29 1:05PM UTC .045"),
            ("Monday, 02-Jan-06 15:04:05 -0700", "Thursday, 29-Feb-24 13:05:09 +0000"),
            ("January 2 5 .999999", "February 29 9 .045"),
            ("002 __2", "060  60"),
            ("plain", "plain"),
            ("1/2/2006", "2/29/2024"),
        ];
        for (layout, expected) in cases {
            assert_eq!(format(layout, seconds, nanos), expected, "{layout}");
        }
    }
}
