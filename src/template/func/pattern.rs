//! Regular expressions in Go's syntax (RE2), run by `regex`.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use regex::bytes::{Regex, RegexBuilder};

use super::{Func, Param, func, str_at};
use crate::context::{Context, Fault, Outcome};
use crate::value::Value;
use Param::Str;

pub(super) static FUNCS: &[Func] = &[
    func("regexMatch", &[Str, Str], |_, values| {
        let pattern = compile(&str_at(values, 0))?;
        Ok(Value::Bool(pattern.is_match(&str_at(values, 1))))
    }),
    func("regexReplaceAll", &[Str, Str, Str], replace_all),
];

/// Patterns kept compiled; a template that makes up patterns must not fill the memory.
const KEPT: usize = 256;

static COMPILED: LazyLock<Mutex<HashMap<Vec<u8>, Regex>>> = LazyLock::new(Mutex::default);

fn compile(pattern: &[u8]) -> Result<Regex, Fault> {
    // a cache of pure results: it changes how long a rendering takes, never what it gives
    let mut kept = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(there) = kept.get(pattern) {
        return Ok(there.clone());
    }
    let text = std::str::from_utf8(pattern)
        .map_err(|_| Fault::from("error parsing regexp: invalid UTF-8 in the pattern"))?;
    let compiled = RegexBuilder::new(&translate(text))
        .size_limit(4 << 20)
        .nest_limit(200)
        .build()
        .map_err(|error| Fault::Bad(format!("error parsing regexp: {}: `{text}`", reason(&error))))?;
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(pattern.to_vec(), compiled.clone());
    Ok(compiled)
}

/// The last line of the crate's drawing is what is wrong.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or("").trim().trim_start_matches("error: ").to_owned()
}

/// Go's classes are of ASCII, and Go takes some characters for themselves that `regex` gives a meaning.
fn translate(pattern: &str) -> String {
    let chars: Vec<char> = pattern.chars().collect();
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut at = 0;
    let mut class = false;
    let mut class_start = false;
    while at < chars.len() {
        let c = chars[at];
        let first = std::mem::take(&mut class_start);
        match c {
            '\\' if at + 1 < chars.len() => {
                at += 1;
                escape(chars[at], class, &chars, &mut at, &mut out);
            }
            '[' if !class => {
                class = true;
                class_start = true;
                out.push('[');
                if chars.get(at + 1) == Some(&'^') {
                    out.push('^');
                    at += 1;
                }
            }
            '[' if chars.get(at + 1) == Some(&':') => {
                // a POSIX class such as [:alpha:]
                let end = (at + 2..chars.len().saturating_sub(1))
                    .find(|end| chars[*end] == ':' && chars[*end + 1] == ']');
                match end {
                    Some(end) => {
                        out.extend(&chars[at..=end + 1]);
                        at = end + 1;
                    }
                    None => out.push_str("\\["),
                }
            }
            '[' => out.push_str("\\["),
            ']' if class && first => out.push_str("\\]"),
            ']' if class => {
                class = false;
                out.push(']');
            }
            '&' | '~' if class => {
                out.push('\\');
                out.push(c);
            }
            '{' if !class && !is_repetition(&chars[at..]) => out.push_str("\\{"),
            '}' if !class && !closes_repetition(&chars[..at]) => out.push_str("\\}"),
            _ => out.push(c),
        }
        at += 1;
    }
    out
}

fn escape(c: char, class: bool, chars: &[char], at: &mut usize, out: &mut String) {
    let set = |inside: &str, negated: bool| match (class, negated) {
        (true, false) => inside.to_owned(),
        (_, true) => format!("[^{inside}]"),
        (false, false) => format!("[{inside}]"),
    };
    match c {
        'd' => out.push_str(&set("0-9", false)),
        'D' => out.push_str(&set("0-9", true)),
        'w' => out.push_str(&set("0-9A-Za-z_", false)),
        'W' => out.push_str(&set("0-9A-Za-z_", true)),
        's' => out.push_str(&set("\\t\\n\\f\\r ", false)),
        'S' => out.push_str(&set("\\t\\n\\f\\r ", true)),
        'b' if !class => out.push_str("(?-u:\\b)"),
        'B' if !class => out.push_str("(?-u:\\B)"),
        'Q' if !class => {
            *at += 1;
            while *at < chars.len() && !(chars[*at] == '\\' && chars.get(*at + 1) == Some(&'E')) {
                out.push_str(&regex::escape(&chars[*at].to_string()));
                *at += 1;
            }
            // the loop above stands on the backslash of \E, or behind the end
            *at += 1;
        }
        // a name or code in braces belongs to the escape
        'p' | 'P' | 'x' if chars.get(*at + 1) == Some(&'{') => {
            out.push('\\');
            out.push(c);
            while *at + 1 < chars.len() && chars[*at] != '}' {
                *at += 1;
                out.push(chars[*at]);
            }
        }
        other => {
            out.push('\\');
            out.push(other);
        }
    }
}

fn is_repetition(rest: &[char]) -> bool {
    let Some(end) = rest.iter().position(|c| *c == '}') else { return false };
    let inside: String = rest[1..end].iter().collect();
    let number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    match inside.split_once(',') {
        None => number(&inside),
        Some((from, to)) => number(from) && (to.is_empty() || number(to)),
    }
}

fn closes_repetition(before: &[char]) -> bool {
    match before.iter().rposition(|c| *c == '{') {
        Some(open) => {
            let escaped = before[..open].iter().rev().take_while(|c| **c == '\\').count() % 2 == 1;
            let whole: Vec<char> = before[open..].iter().copied().chain(['}']).collect();
            !escaped && is_repetition(&whole)
        }
        None => false,
    }
}

fn replace_all(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let pattern = compile(&str_at(values, 0))?;
    let (to, text) = (str_at(values, 1), str_at(values, 2));
    let mut out = Vec::new();
    let mut last = 0;
    context.work(text.len())?;
    for found in pattern.captures_iter(&text) {
        let Some(whole) = found.get(0) else { continue };
        out.extend_from_slice(&text[last..whole.start()]);
        let before = out.len();
        found.expand(&to, &mut out);
        context.work(out.len() - before)?;
        last = whole.end();
    }
    out.extend_from_slice(&text[last..]);
    Ok(Value::text(out))
}
