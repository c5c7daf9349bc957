//! Go's `fmt`: what `{{x}}`, `print`, `println` and `printf` write.

use super::number::{float, float_precision};
use crate::context::Fault;
use crate::value::{Value, runes};

/// Widths and precisions above this are refused, as in Go.
const MAX_WIDTH: usize = 1_000_000;

/// What an action prints.
pub(crate) fn shown(value: &Value) -> Vec<u8> {
    match value {
        Value::Invalid => b"<no value>".to_vec(),
        Value::NilPtr(_) => b"<nil>".to_vec(),
        Value::Ptr(record) => plain(&Value::Struct(record.clone())),
        other => plain(other),
    }
}

fn plain(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    Printer { out: &mut out, spec: Spec::default() }.value(value, 'v', 0);
    out
}

/// `fmt.Sprint`: blanks between operands when neither is a text.
pub(crate) fn sprint(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut text_before = true;
    for value in values {
        let text = matches!(value, Value::Str(_));
        if !out.is_empty() && !text && !text_before {
            out.push(b' ');
        }
        Printer { out: &mut out, spec: Spec::default() }.value(value, 'v', 0);
        text_before = text;
    }
    out
}

/// `fmt.Sprintln`: blanks between all, a newline at the end.
pub(crate) fn sprintln(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        Printer { out: &mut out, spec: Spec::default() }.value(value, 'v', 0);
    }
    out.push(b'\n');
    out
}

/// Flags, width and precision of a verb.
#[derive(Clone, Default)]
struct Spec {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
    /// `%+v` and `%#v`.
    plus_v: bool,
    sharp_v: bool,
}

/// `fmt.Sprintf`. Wrong verbs and missing operands are written into the text, as Go does.
pub(crate) fn sprintf(format: &[u8], values: &[Value]) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    let mut next = 0_usize;
    let mut reordered = false;
    let mut at = 0;
    while at < format.len() {
        if format[at] != b'%' {
            out.push(format[at]);
            at += 1;
            continue;
        }
        at += 1;
        let mut spec = Spec::default();
        let mut good = true;
        while let Some(flag) = format.get(at) {
            match flag {
                b'#' => spec.sharp = true,
                b'0' => spec.zero = !spec.minus,
                b'+' => spec.plus = true,
                b'-' => {
                    spec.minus = true;
                    spec.zero = false;
                }
                b' ' => spec.space = true,
                _ => break,
            }
            at += 1;
        }
        let mut after_index = index(format, &mut at, &mut next, values.len(), &mut good, &mut reordered);
        if format.get(at) == Some(&b'*') {
            at += 1;
            match values.get(next).and_then(Value::as_int).and_then(|n| isize::try_from(n).ok()) {
                Some(width) if width.unsigned_abs() <= MAX_WIDTH => {
                    spec.minus |= width < 0;
                    spec.width = Some(width.unsigned_abs());
                }
                _ => out.extend_from_slice(b"%!(BADWIDTH)"),
            }
            next += 1;
            after_index = false;
        } else {
            spec.width = parse_number(format, &mut at);
            if spec.width.is_some() && after_index {
                good = false;
            }
        }
        if format.get(at) == Some(&b'.') {
            at += 1;
            if after_index {
                good = false;
            }
            after_index = index(format, &mut at, &mut next, values.len(), &mut good, &mut reordered);
            if format.get(at) == Some(&b'*') {
                at += 1;
                match values.get(next).and_then(Value::as_int).and_then(|n| usize::try_from(n).ok()) {
                    Some(precision) if precision <= MAX_WIDTH => spec.precision = Some(precision),
                    _ => out.extend_from_slice(b"%!(BADPREC)"),
                }
                next += 1;
                after_index = false;
            } else {
                spec.precision = Some(parse_number(format, &mut at).unwrap_or(0));
            }
        }
        if !after_index {
            index(format, &mut at, &mut next, values.len(), &mut good, &mut reordered);
        }
        if spec.width.unwrap_or(0) > MAX_WIDTH || spec.precision.unwrap_or(0) > MAX_WIDTH {
            return Err(Fault::Bad("printf: width or precision is too large".to_owned()));
        }
        let Some((verb, length)) = format.get(at..).and_then(|rest| runes(rest).next()) else {
            out.extend_from_slice(b"%!(NOVERB)");
            break;
        };
        let verb = verb.unwrap_or('\u{fffd}');
        at += length;
        if verb == '%' {
            out.push(b'%');
        } else if !good {
            out.extend_from_slice(format!("%!{verb}(BADINDEX)").as_bytes());
        } else if let Some(value) = values.get(next) {
            if verb == 'v' {
                spec.sharp_v = std::mem::take(&mut spec.sharp);
                spec.plus_v = std::mem::take(&mut spec.plus);
            }
            Printer { out: &mut out, spec }.value(value, verb, 0);
            next += 1;
        } else {
            out.extend_from_slice(format!("%!{verb}(MISSING)").as_bytes());
        }
    }
    if !reordered && next < values.len() {
        out.extend_from_slice(b"%!(EXTRA ");
        for (count, value) in values[next..].iter().enumerate() {
            if count > 0 {
                out.extend_from_slice(b", ");
            }
            if value.is_nothing() {
                out.extend_from_slice(b"<nil>");
            } else {
                out.extend_from_slice(value.type_name().as_bytes());
                out.push(b'=');
                Printer { out: &mut out, spec: Spec::default() }.value(value, 'v', 0);
            }
        }
        out.push(b')');
    }
    Ok(out)
}

fn parse_number(format: &[u8], at: &mut usize) -> Option<usize> {
    let digits = format[*at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = std::str::from_utf8(&format[*at..*at + digits]).ok()?;
    *at += digits;
    if digits == 0 { None } else { Some(text.parse().unwrap_or(usize::MAX)) }
}

/// `[n]`: which operand comes next.
fn index(
    format: &[u8],
    at: &mut usize,
    next: &mut usize,
    count: usize,
    good: &mut bool,
    reordered: &mut bool,
) -> bool {
    if format.get(*at) != Some(&b'[') {
        return false;
    }
    *reordered = true;
    let Some(close) = format[*at..].iter().position(|byte| *byte == b']') else {
        *good = false;
        *at += 1;
        return false;
    };
    let inside = std::str::from_utf8(&format[*at + 1..*at + close]).ok().and_then(|text| text.parse().ok());
    *at += close + 1;
    match inside {
        Some(number) if (1..=count).contains(&number) => {
            *next = number - 1;
            true
        }
        _ => {
            *good = false;
            true
        }
    }
}

struct Printer<'a> {
    out: &'a mut Vec<u8>,
    spec: Spec,
}

impl Printer<'_> {
    fn str(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn bad(&mut self, value: &Value, verb: char) {
        self.str(&format!("%!{verb}("));
        if value.is_nothing() {
            self.str("<nil>");
        } else {
            self.str(&value.type_name());
            self.out.push(b'=');
            Printer { out: self.out, spec: Spec::default() }.value(value, 'v', 0);
        }
        self.out.push(b')');
    }

    /// Writes with the width asked for; numbers may be padded with zeros behind their sign.
    fn pad(&mut self, text: &[u8], numeric: bool) {
        let have = runes(text).count();
        let fill = self.spec.width.unwrap_or(0).saturating_sub(have);
        if fill == 0 {
            self.out.extend_from_slice(text);
        } else if self.spec.minus {
            self.out.extend_from_slice(text);
            self.out.resize(self.out.len() + fill, b' ');
        } else if self.spec.zero {
            let sign = usize::from(numeric && matches!(text.first(), Some(b'+' | b'-' | b' ')));
            self.out.extend_from_slice(&text[..sign]);
            self.out.resize(self.out.len() + fill, b'0');
            self.out.extend_from_slice(&text[sign..]);
        } else {
            self.out.resize(self.out.len() + fill, b' ');
            self.out.extend_from_slice(text);
        }
    }

    fn value(&mut self, value: &Value, verb: char, depth: usize) {
        match verb {
            'T' => {
                let name = value.ty().filter(|_| !value.is_nothing()).map(|ty| ty.to_string());
                return self.pad(name.as_deref().unwrap_or("<nil>").as_bytes(), false);
            }
            'p' => {
                self.str("%!p(");
                self.str(&value.type_name());
                return self.out.push(b')');
            }
            _ => {}
        }
        match value {
            Value::Invalid | Value::Nil => match verb {
                'v' => self.pad(b"<nil>", false),
                _ => self.bad(value, verb),
            },
            Value::NilPtr(_) => match verb {
                'v' => self.pad(b"<nil>", false),
                _ => self.bad(value, verb),
            },
            Value::Bool(truth) => match verb {
                'v' | 't' => self.pad(truth.to_string().as_bytes(), false),
                _ => self.bad(value, verb),
            },
            Value::Int(number) | Value::Int64(number) => {
                self.integer(value, *number < 0, number.unsigned_abs(), verb);
            }
            Value::Uint(number) => self.integer(value, false, *number, verb),
            Value::Float(number) => self.float(value, *number, verb),
            Value::Complex(number) => {
                let imaginary = float(number.1);
                let sign = if imaginary.starts_with(['-', '+']) { "" } else { "+" };
                self.str(&format!("({}{sign}{imaginary}i)", float(number.0)));
            }
            Value::Str(text) => self.text(value, text, verb),
            Value::List(list) => {
                if self.spec.sharp_v {
                    self.str(&list.ty.to_string());
                    if list.nil {
                        return self.str("(nil)");
                    }
                    return self.items(&list.items, verb, depth, ("{", ", ", "}"));
                }
                self.items(&list.items, verb, depth, ("[", " ", "]"));
            }
            Value::Map(map) => {
                let (open, between, close) =
                    if self.spec.sharp_v { ("{", ", ", "}") } else { ("map[", " ", "]") };
                if self.spec.sharp_v {
                    self.str(&map.ty.to_string());
                }
                self.str(open);
                for (at, (key, entry)) in map.entries.iter().enumerate() {
                    if at > 0 {
                        self.str(between);
                    }
                    self.value(&key.value(), verb, depth + 1);
                    self.out.push(b':');
                    self.value(entry, verb, depth + 1);
                }
                self.str(close);
            }
            Value::Ptr(record) => {
                self.out.push(b'&');
                self.value(&Value::Struct(record.clone()), verb, depth);
            }
            Value::Struct(record) => {
                if self.spec.sharp_v {
                    self.str(record.record.name);
                }
                self.out.push(b'{');
                for (at, (field, entry)) in record.printed().enumerate() {
                    if at > 0 {
                        self.str(if self.spec.sharp_v { ", " } else { " " });
                    }
                    if self.spec.plus_v || self.spec.sharp_v {
                        self.str(field.name);
                        self.out.push(b':');
                    }
                    self.value(entry, verb, depth + 1);
                }
                self.out.push(b'}');
            }
            Value::Range(from, to) => self.str(&format!("loop {from} {to}")),
            Value::Scratch(_) => self.str("scratch"),
        }
    }

    fn items(&mut self, items: &[Value], verb: char, depth: usize, marks: (&str, &str, &str)) {
        self.str(marks.0);
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.str(marks.1);
            }
            self.value(item, verb, depth + 1);
        }
        self.str(marks.2);
    }

    fn integer(&mut self, value: &Value, negative: bool, magnitude: u64, verb: char) {
        let (digits, prefix) = match verb {
            'v' | 'd' => (magnitude.to_string(), ""),
            'b' => (format!("{magnitude:b}"), if self.spec.sharp { "0b" } else { "" }),
            'o' => (format!("{magnitude:o}"), if self.spec.sharp { "0" } else { "" }),
            'O' => (format!("{magnitude:o}"), "0o"),
            'x' => (format!("{magnitude:x}"), if self.spec.sharp { "0x" } else { "" }),
            'X' => (format!("{magnitude:X}"), if self.spec.sharp { "0X" } else { "" }),
            'c' | 'q' | 'U' => {
                let c = u32::try_from(magnitude).ok().filter(|_| !negative).and_then(char::from_u32);
                let c = c.unwrap_or('\u{fffd}');
                let text = match verb {
                    'c' => c.to_string(),
                    'q' => quote_with(c.to_string().as_bytes(), '\'', self.spec.plus),
                    _ => {
                        let mark = if self.spec.sharp { format!(" '{c}'") } else { String::new() };
                        format!("U+{magnitude:04X}{mark}")
                    }
                };
                let zero = std::mem::take(&mut self.spec.zero);
                self.pad(text.as_bytes(), false);
                self.spec.zero = zero;
                return;
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 's' | 't' => return self.bad(value, verb),
            _ => return self.bad(value, verb),
        };
        let mut digits = digits;
        if let Some(precision) = self.spec.precision {
            if precision == 0 && magnitude == 0 {
                digits.clear();
            }
            digits = format!("{}{digits}", "0".repeat(precision.saturating_sub(digits.len())));
        } else if self.spec.zero && self.spec.width.is_some() {
            // zeros count as digits, in front of which sign and prefix stand
            let signed = negative || self.spec.plus || self.spec.space;
            let width = self.spec.width.unwrap_or(0);
            let used = digits.len() + usize::from(signed);
            digits = format!("{}{digits}", "0".repeat(width.saturating_sub(used)));
        }
        let sign = match (negative, self.spec.plus, self.spec.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        let text = format!("{sign}{prefix}{digits}");
        let zero = std::mem::take(&mut self.spec.zero);
        self.pad(text.as_bytes(), true);
        self.spec.zero = zero;
    }

    fn float(&mut self, value: &Value, number: f64, verb: char) {
        let precision = self.spec.precision;
        let text = match verb {
            'v' => float_precision(number, b'g', precision, self.spec.sharp),
            'g' | 'G' => float_precision(number, b'g', precision, self.spec.sharp),
            'e' | 'E' => float_precision(number, b'e', Some(precision.unwrap_or(6)), false),
            'f' | 'F' => float_precision(number, b'f', Some(precision.unwrap_or(6)), false),
            _ => return self.bad(value, verb),
        };
        let mut text =
            if verb.is_ascii_uppercase() && number.is_finite() { text.to_uppercase() } else { text };
        if number.is_nan() || number.is_infinite() {
            self.spec.zero = false;
        }
        if !text.starts_with(['-', '+']) {
            if self.spec.plus {
                text.insert(0, '+');
            } else if self.spec.space {
                text.insert(0, ' ');
            }
        }
        self.pad(text.as_bytes(), true);
    }

    fn text(&mut self, value: &Value, text: &[u8], verb: char) {
        let cut = match self.spec.precision {
            Some(precision) if verb != 'v' || !self.spec.sharp_v => {
                let length: usize = runes(text).take(precision).map(|(_, length)| length).sum();
                &text[..length]
            }
            _ => text,
        };
        match verb {
            'v' if self.spec.sharp_v => self.pad(quote_with(text, '"', false).as_bytes(), false),
            'v' | 's' => self.pad(cut, false),
            'q' => {
                let raw = self.spec.sharp
                    && !cut.iter().any(|byte| *byte == b'`' || (*byte < b' ' && *byte != b'\t'))
                    && std::str::from_utf8(cut).is_ok();
                let quoted = if raw {
                    format!("`{}`", crate::value::lossy(cut))
                } else {
                    quote_with(cut, '"', self.spec.plus)
                };
                self.pad(quoted.as_bytes(), false);
            }
            'x' | 'X' => {
                // for %x the precision counts bytes
                let bytes = &text[..self.spec.precision.unwrap_or(text.len()).min(text.len())];
                let mut out = String::with_capacity(bytes.len() * 2);
                for (at, byte) in bytes.iter().enumerate() {
                    if self.spec.space && at > 0 {
                        out.push(' ');
                    }
                    if self.spec.sharp && (self.spec.space || at == 0) {
                        out.push_str(if verb == 'x' { "0x" } else { "0X" });
                    }
                    out.push_str(&if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") });
                }
                self.pad(out.as_bytes(), false);
            }
            _ => self.bad(value, verb),
        }
    }
}

/// Go's `strconv.Quote`.
pub(crate) fn quote(text: &[u8]) -> String {
    quote_with(text, '"', false)
}

fn quote_with(text: &[u8], mark: char, ascii: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(mark);
    let mut at = 0;
    for (c, length) in runes(text) {
        let byte = text[at];
        at += length;
        let Some(c) = c else {
            out.push_str(&format!("\\x{byte:02x}"));
            continue;
        };
        match c {
            c if c == mark || c == '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if is_print(c) && (c.is_ascii() || !ascii) => out.push(c),
            c if c < ' ' || c == '\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if u32::from(c) < 0x10000 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push(mark);
    out
}

/// Go's `unicode.IsPrint`, as near as the standard library knows it.
pub(crate) fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // escape_debug leaves printable characters alone; behind a letter also those that join the one before
    let mut pair = ['a', c].iter().collect::<String>().escape_debug().collect::<String>();
    pair.remove(0);
    pair.chars().eq([c])
}
