//! `toYAML`: block style as consul-template's library writes it, so that files keep their bytes.

use std::cmp::Ordering;
use std::sync::LazyLock;

use regex::Regex;

use crate::context::{Context, Fault};
use crate::value::{MapKey, Value};

/// Lines are folded at the first blank past this column.
const BEST_WIDTH: usize = 80;
const MAX_DEPTH: usize = 200;

pub(super) fn write(context: &mut Context<'_>, value: &Value) -> Result<String, Fault> {
    let mut writer = Writer { context, out: String::new(), column: 0, indention: true };
    writer.node(value, None, 0, Place::Root)?;
    writer.out.push('\n');
    Ok(writer.out)
}

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    /// The value of a key.
    Value,
    /// An element of a list.
    Item,
}

struct Writer<'a, 'c> {
    context: &'a mut Context<'c>,
    out: String,
    column: usize,
    /// Only indentation stands on the line so far.
    indention: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

impl Writer<'_, '_> {
    fn put(&mut self, text: &str) {
        self.column += text.chars().count();
        self.out.push_str(text);
        self.indention = false;
    }

    fn line(&mut self, indent: usize) {
        if !(self.out.is_empty() || self.indention && self.column == indent) {
            self.out.push('\n');
            self.column = 0;
        }
        while self.column < indent {
            self.out.push(' ');
            self.column += 1;
        }
        self.indention = true;
    }

    /// `indent` is that of the enclosing collection; `None` at the root.
    fn node(
        &mut self,
        value: &Value,
        indent: Option<usize>,
        depth: usize,
        place: Place,
    ) -> Result<(), Fault> {
        self.context.step()?;
        if depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH}").into());
        }
        self.context.work(8)?;
        match value {
            Value::Map(map) if !map.entries.is_empty() => {
                let mut keys: Vec<(String, &Value)> =
                    map.entries.iter().map(|(key, entry)| (key_text(key), entry)).collect();
                keys.sort_by(|a, b| natural(&a.0, &b.0));
                self.mapping(&keys, indent, depth, place)
            }
            Value::Ptr(record) | Value::Struct(record) => {
                let keys: Vec<(String, &Value)> =
                    record.printed().map(|(field, entry)| (field.name.to_lowercase(), entry)).collect();
                self.mapping(&keys, indent, depth, place)
            }
            Value::List(list) if !list.items.is_empty() => {
                let compact = place == Place::Item;
                let own = match indent {
                    None => 0,
                    // a list under a key is not indented further
                    Some(indent) if place == Place::Value => indent,
                    Some(indent) => indent + 2,
                };
                for (at, item) in list.items.iter().enumerate() {
                    if !(compact && at == 0) {
                        self.line(own);
                    }
                    self.put("- ");
                    self.node(item, Some(own), depth + 1, Place::Item)?;
                }
                Ok(())
            }
            Value::Map(_) => {
                self.gap(place);
                self.put("{}");
                Ok(())
            }
            Value::List(_) => {
                self.gap(place);
                self.put("[]");
                Ok(())
            }
            scalar => {
                self.gap(place);
                self.scalar(scalar, indent.map_or(0, |indent| indent + 2))
            }
        }
    }

    fn gap(&mut self, place: Place) {
        if place == Place::Value {
            self.put(" ");
        }
    }

    fn mapping(
        &mut self,
        keys: &[(String, &Value)],
        indent: Option<usize>,
        depth: usize,
        place: Place,
    ) -> Result<(), Fault> {
        let own = indent.map_or(0, |indent| indent + 2);
        for (at, (key, value)) in keys.iter().enumerate() {
            if !(place == Place::Item && at == 0) {
                self.line(own);
            }
            if key.len() > 128 || key.contains('\n') {
                self.put("? ");
                self.text(key, own + 2, false)?;
                self.line(own);
            } else {
                self.text(key, own + 2, true)?;
            }
            self.put(":");
            self.node(value, Some(own), depth + 1, Place::Value)?;
        }
        Ok(())
    }

    fn scalar(&mut self, value: &Value, indent: usize) -> Result<(), Fault> {
        let plain = match value {
            Value::Invalid | Value::Nil | Value::NilPtr(_) => "null".to_owned(),
            Value::Bool(truth) => truth.to_string(),
            Value::Int(number) | Value::Int64(number) => number.to_string(),
            Value::Uint(number) => number.to_string(),
            Value::Float(number) if number.is_nan() => ".nan".to_owned(),
            Value::Float(number) if number.is_infinite() => {
                if *number > 0.0 { ".inf" } else { "-.inf" }.to_owned()
            }
            // the library prints floats with 32 bits
            Value::Float(number) => crate::go::float_shortest(*number, true, 6, 2),
            Value::Str(text) => {
                self.context.work(text.len())?;
                if std::str::from_utf8(text).is_err() {
                    use base64::Engine as _;
                    let encoded = base64::engine::general_purpose::STANDARD.encode(&**text);
                    self.put("!!binary ");
                    self.put(&encoded);
                    return Ok(());
                }
                return self.text(&text.to_str(), indent, false);
            }
            other => return Err(format!("cannot marshal type: {}", other.type_name()).into()),
        };
        self.put(&plain);
        Ok(())
    }

    fn text(&mut self, text: &str, indent: usize, key: bool) -> Result<(), Fault> {
        let facts = Facts::of(text);
        let mut style = if text.contains('\n') {
            Style::Literal
        } else if is_plain(text) {
            Style::Plain
        } else {
            Style::Double
        };
        if key && facts.multiline {
            style = Style::Double;
        }
        if style == Style::Plain && (!facts.plain || (key && text.is_empty())) {
            style = Style::Single;
        }
        if style == Style::Single && !facts.single {
            style = Style::Double;
        }
        if style == Style::Literal && (!facts.block || key) {
            style = Style::Double;
        }
        match style {
            Style::Plain => self.folded(text, indent, !key, false),
            Style::Single => {
                self.put("'");
                self.folded(text, indent, !key, true);
                self.put("'");
            }
            Style::Double => self.double(text, indent, !key),
            Style::Literal => self.literal(text, indent),
        }
        Ok(())
    }

    /// Plain and single-quoted text on one line, folded when it gets long.
    fn folded(&mut self, text: &str, indent: usize, breaks: bool, quoted: bool) {
        let chars: Vec<char> = text.chars().collect();
        let mut spaces = false;
        for (at, c) in chars.iter().enumerate() {
            if *c == ' ' {
                let inner = !quoted || (at > 0 && at < chars.len() - 1);
                if breaks && !spaces && self.column > BEST_WIDTH && inner && chars.get(at + 1) != Some(&' ') {
                    self.line(indent);
                } else {
                    self.put(" ");
                }
                spaces = true;
            } else {
                if quoted && *c == '\'' {
                    self.put("'");
                }
                self.put(c.encode_utf8(&mut [0; 4]));
                spaces = false;
            }
        }
    }

    fn double(&mut self, text: &str, indent: usize, breaks: bool) {
        let chars: Vec<char> = text.chars().collect();
        let mut spaces = false;
        self.put("\"");
        for (at, c) in chars.iter().enumerate() {
            let c = *c;
            if c == ' ' {
                if breaks && !spaces && self.column > BEST_WIDTH && at > 0 && at < chars.len() - 1 {
                    self.line(indent);
                    if chars.get(at + 1) == Some(&' ') {
                        self.put("\\");
                    }
                } else {
                    self.put(" ");
                }
                spaces = true;
                continue;
            }
            spaces = false;
            let escape = match c {
                '\0' => "\\0".to_owned(),
                '\x07' => "\\a".to_owned(),
                '\x08' => "\\b".to_owned(),
                '\t' => "\\t".to_owned(),
                '\n' => "\\n".to_owned(),
                '\x0b' => "\\v".to_owned(),
                '\x0c' => "\\f".to_owned(),
                '\r' => "\\r".to_owned(),
                '\x1b' => "\\e".to_owned(),
                '"' => "\\\"".to_owned(),
                '\\' => "\\\\".to_owned(),
                '\u{85}' => "\\N".to_owned(),
                '\u{a0}' => "\\_".to_owned(),
                '\u{2028}' => "\\L".to_owned(),
                '\u{2029}' => "\\P".to_owned(),
                c if printable(c) => c.to_string(),
                c if u32::from(c) <= 0xff => format!("\\x{:02X}", u32::from(c)),
                c if u32::from(c) <= 0xffff => format!("\\u{:04X}", u32::from(c)),
                c => format!("\\U{:08X}", u32::from(c)),
            };
            self.put(&escape);
        }
        self.put("\"");
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.put("|");
        if text.starts_with([' ', '\n']) {
            self.put("2");
        }
        if !text.ends_with('\n') {
            self.put("-");
        } else if text == "\n" || text.ends_with("\n\n") {
            self.put("+");
        }
        let lines = text.strip_suffix('\n').unwrap_or(text);
        for line in lines.split('\n') {
            self.out.push('\n');
            self.column = 0;
            if !line.is_empty() {
                for _ in 0..indent {
                    self.out.push(' ');
                }
                self.out.push_str(line);
                self.column = indent + line.chars().count();
            }
        }
        self.indention = false;
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Int(number) => number.to_string(),
        MapKey::Text(text) => text.to_str().into_owned(),
    }
}

/// Digits by their number, letters behind everything else.
fn natural(left: &str, right: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    for i in 0..a.len().min(b.len()) {
        if a[i] == b[i] {
            continue;
        }
        let letter = (a[i].is_alphabetic(), b[i].is_alphabetic());
        match letter {
            (true, true) => return a[i].cmp(&b[i]),
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => {}
        }
        let mut start = 0_u128;
        if a[i] == '0' || b[i] == '0' {
            let before = a[..i].iter().rev().take_while(|c| c.is_ascii_digit());
            if before.clone().any(|c| *c != '0') {
                start = 1;
            }
        }
        let number = |chars: &[char]| {
            let digits = chars[i..].iter().take_while(|c| c.is_ascii_digit());
            digits.fold((start, i), |(sum, end), c| {
                (sum.wrapping_mul(10).wrapping_add(u128::from(u32::from(*c) - 48)), end + 1)
            })
        };
        let order = number(&a).cmp(&number(&b));
        return order.then(a[i].cmp(&b[i]));
    }
    a.len().cmp(&b.len())
}

static FLOAT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[-+]?[0-9]*\.?[0-9]+([eE][-+][0-9]+)?$").ok());
static SEXAGESIMAL: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$").ok());

/// Would it be read back as a text without quotes? By the rules of YAML 1.1.
fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let matches = |pattern: &Option<Regex>, text: &str| pattern.as_ref().is_some_and(|p| p.is_match(text));
    match first {
        'y' | 'Y' | 'n' | 'N' | 't' | 'T' | 'f' | 'F' | 'o' | 'O' | '~' | '.' => {
            let word = matches!(
                text,
                "y" | "Y"
                    | "yes"
                    | "Yes"
                    | "YES"
                    | "true"
                    | "True"
                    | "TRUE"
                    | "on"
                    | "On"
                    | "ON"
                    | "n"
                    | "N"
                    | "no"
                    | "No"
                    | "NO"
                    | "false"
                    | "False"
                    | "FALSE"
                    | "off"
                    | "Off"
                    | "OFF"
                    | "~"
                    | "null"
                    | "Null"
                    | "NULL"
                    | ".nan"
                    | ".NaN"
                    | ".NAN"
                    | ".inf"
                    | ".Inf"
                    | ".INF"
            );
            !(word || first == '.' && text.parse::<f64>().is_ok())
        }
        '+' | '-' | '0'..='9' => {
            let solid = text.replace('_', "");
            let unsigned = solid.strip_prefix(['-', '+']).unwrap_or(&solid);
            let special = matches!(text, "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF");
            let integer = matches!(crate::go::parse_uint(unsigned), Some(Some(_)));
            !(special || integer || matches(&FLOAT, &solid) || matches(&SEXAGESIMAL, text))
        }
        _ => true,
    }
}

/// What a text allows.
struct Facts {
    multiline: bool,
    plain: bool,
    single: bool,
    block: bool,
}

fn printable(c: char) -> bool {
    matches!(u32::from(c), 0x0a | 0x20..=0x7e | 0xa0..=0xd7ff | 0xe000..=0xfffd) && c != '\u{feff}'
}

impl Facts {
    fn of(text: &str) -> Facts {
        let chars: Vec<char> = text.chars().collect();
        if chars.is_empty() {
            return Facts { multiline: false, plain: true, single: true, block: false };
        }
        let is_break = |c: char| matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let blank_at = |at: usize| chars.get(at).is_none_or(|c| *c == ' ' || *c == '\t' || is_break(*c));
        let mut indicator = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut breaks) = (false, false);
        let (mut break_space, mut space_break) = (false, false);
        let (mut after_space, mut after_break) = (false, false);
        for (at, c) in chars.iter().copied().enumerate() {
            indicator |= match c {
                '#' if at > 0 => blank_at(at - 1),
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                | '`' => at == 0,
                '?' | '-' => at == 0 && blank_at(at + 1),
                ':' => blank_at(at + 1),
                _ => false,
            };
            special |= !printable(c);
            if c == ' ' {
                break_space |= after_break;
                (after_space, after_break) = (true, false);
            } else if is_break(c) {
                breaks = true;
                space_break |= after_space;
                (after_space, after_break) = (false, true);
            } else {
                (after_space, after_break) = (false, false);
            }
        }
        let edge = |c: Option<&char>| c.is_some_and(|c| *c == ' ' || is_break(*c));
        let edges = edge(chars.first()) || edge(chars.last());
        let hard = space_break || special;
        Facts {
            multiline: breaks,
            plain: !(edges || break_space || hard || breaks || indicator),
            single: !(break_space || hard),
            block: !(chars.last() == Some(&' ') || hard),
        }
    }
}
