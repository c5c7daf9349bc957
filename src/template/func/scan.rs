//! `parseYAML`: the YAML that configuration is written in. Block and flow collections, all scalars, anchors, merge
//! keys, the first document of several. Tags other than `!!str` and complex keys are errors, not guesses.

use std::collections::BTreeMap;

use super::flow::{Flow, FlowError, plain, quoted, split_key, without_comment};
use crate::context::{Context, Fault, Outcome};
use crate::value::{Text, Value};

const MAX_DEPTH: usize = super::flow::MAX_DEPTH;

/// A line without its indentation. Lists and keys cut their part off its front.
struct Line {
    indent: usize,
    text: String,
    number: usize,
}

struct Reader<'a, 'c> {
    context: &'a mut Context<'c>,
    lines: Vec<Line>,
    /// The lines as they were, for block scalars.
    raw: Vec<String>,
    at: usize,
    depth: usize,
    /// Behind the head of the document, where a marker ends it.
    started: bool,
    anchors: BTreeMap<String, Value>,
}

pub(super) fn read(context: &mut Context<'_>, text: &str) -> Outcome {
    let raw: Vec<String> = text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect();
    let mut lines = Vec::new();
    for (number, line) in raw.iter().enumerate() {
        let trimmed = line.trim_start_matches(' ');
        lines.push(Line { indent: line.len() - trimmed.len(), text: trimmed.to_owned(), number });
    }
    let mut reader =
        Reader { context, lines, raw, at: 0, depth: 0, started: false, anchors: BTreeMap::new() };
    reader.document()
}

impl Reader<'_, '_> {
    fn bad<T>(&self, text: impl std::fmt::Display) -> Result<T, Fault> {
        let number = self.lines.get(self.at).map_or(self.raw.len(), |line| line.number + 1);
        Err(Fault::Bad(format!("parseYAML: line {number}: {text}")))
    }

    fn document(&mut self) -> Outcome {
        while self.solid().is_some_and(|line| line.text.starts_with('%')) {
            self.at += 1;
        }
        if let Some(line) = self.solid()
            && line.indent == 0
            && let Some(rest) = line.text.strip_prefix("---")
            && (rest.is_empty() || rest.starts_with(' '))
        {
            let rest = rest.trim_start().to_owned();
            let at = self.at;
            if without_comment(&rest).is_empty() {
                self.at += 1;
            } else {
                self.lines[at].text = rest;
            }
        }
        self.started = true;
        if self.solid().is_none() {
            return Ok(Value::Nil);
        }
        let value = self.block(0)?;
        match self.solid() {
            None => Ok(value),
            Some(_) => self.bad("does not belong to what stands before: its indentation is wrong"),
        }
    }

    /// The next line with something on it; `None` at the end of the document.
    fn solid(&mut self) -> Option<&Line> {
        while let Some(line) = self.lines.get(self.at) {
            if line.text.is_empty() || line.text.starts_with('#') {
                self.at += 1;
                continue;
            }
            let more = self.started && line.indent == 0;
            if more && (line.text == "..." || line.text == "---" || line.text.starts_with("--- ")) {
                return None;
            }
            break;
        }
        self.lines.get(self.at)
    }

    /// Whatever starts on the next line, which is indented at least so far.
    fn block(&mut self, least: usize) -> Outcome {
        self.context.step()?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.bad(format!("nested deeper than {MAX_DEPTH}"));
        }
        let Some(line) = self.solid() else { return Ok(Value::Nil) };
        let indent = line.indent;
        if line.text.starts_with('\t') {
            return self.bad("a tab where blanks have to indent");
        }
        let value = if indent < least {
            Value::Nil
        } else if line.text == "-" || line.text.starts_with("- ") {
            self.list(indent)?
        } else if split_key(&line.text).is_some() {
            self.map(indent)?
        } else {
            let text = line.text.clone();
            self.value(&text, least)?
        };
        self.depth -= 1;
        Ok(value)
    }

    fn list(&mut self, indent: usize) -> Outcome {
        let mut items = Vec::new();
        while let Some(line) = self.solid() {
            if line.indent != indent || !(line.text == "-" || line.text.starts_with("- ")) {
                break;
            }
            let rest = line.text[1..].trim_start().to_owned();
            let offset = line.text.len() - rest.len();
            let at = self.at;
            if without_comment(&rest).is_empty() || rest.starts_with('#') {
                self.at += 1;
                items.push(self.block(indent + 1)?);
            } else {
                // what stands behind the dash is a line of its own, further in
                self.lines[at].indent = indent + offset;
                self.lines[at].text = rest;
                items.push(self.block(indent + 1)?);
            }
        }
        Ok(Value::any_list(items))
    }

    fn map(&mut self, indent: usize) -> Outcome {
        let mut entries: BTreeMap<Text, Value> = BTreeMap::new();
        let mut merged: Vec<Value> = Vec::new();
        while let Some(line) = self.solid() {
            if line.indent != indent {
                if line.indent > indent {
                    return self.bad("indented further than the keys before");
                }
                break;
            }
            if line.text.starts_with("? ") {
                return self.bad("complex keys (\"? ...\") are not supported");
            }
            let Some((key, rest)) = split_key(&line.text) else {
                return self.bad("neither a key nor a list element");
            };
            let rest = rest.to_owned();
            let value = self.value_of_key(&rest, indent)?;
            if key == "<<" {
                merged.push(value);
            } else if entries.insert(Text::from(key.as_str()), value).is_some() {
                return self.bad(format!("key {key:?} is already set"));
            }
        }
        for value in merged {
            let maps = match &value {
                Value::List(list) => list.items.clone(),
                other => vec![other.clone()],
            };
            for map in maps {
                let Value::Map(map) = map else { return self.bad("<< takes maps only") };
                for (key, value) in &map.entries {
                    if let crate::value::MapKey::Text(key) = key {
                        entries.entry(key.clone()).or_insert_with(|| value.clone());
                    }
                }
            }
        }
        Ok(Value::any_map(entries))
    }

    fn value_of_key(&mut self, rest: &str, indent: usize) -> Outcome {
        let mut head = without_comment(rest);
        let mut anchor = None;
        if let Some(name) = head.strip_prefix('&') {
            let (name, after) = name.split_once(' ').unwrap_or((name, ""));
            anchor = Some(name.to_owned());
            head = after.trim_start();
        }
        let value = if head.is_empty() {
            self.at += 1;
            let below = match self.solid() {
                // a list under a key may stand as far out as the key
                Some(line) if line.indent == indent && (line.text == "-" || line.text.starts_with("- ")) => {
                    indent
                }
                _ => indent + 1,
            };
            self.block(below)?
        } else {
            let head = head.to_owned();
            self.value(&head, indent + 1)?
        };
        if let Some(name) = anchor {
            self.anchors.insert(name, value.clone());
        }
        Ok(value)
    }

    /// A value that starts with this text on the current line and may go on below, indented at least so far.
    fn value(&mut self, text: &str, least: usize) -> Outcome {
        self.context.work(text.len())?;
        if let Some(name) = text.strip_prefix('*') {
            self.at += 1;
            return match self.anchors.get(name.trim()) {
                Some(value) => Ok(value.clone()),
                None => self.bad(format!("unknown anchor {name:?}")),
            };
        }
        if let Some(named) = text.strip_prefix('&') {
            let (name, after) = named.split_once(' ').unwrap_or((named, ""));
            let (name, after) = (name.to_owned(), after.trim_start().to_owned());
            let value = if after.is_empty() {
                self.at += 1;
                self.block(least)?
            } else {
                let at = self.at;
                let line = &mut self.lines[at];
                line.indent += line.text.len().saturating_sub(after.len());
                line.text = after;
                self.block(least)?
            };
            self.anchors.insert(name, value.clone());
            return Ok(value);
        }
        if let Some(tagged) = text.strip_prefix("!!str") {
            let start = tagged.trim_start().to_owned();
            let value = self.value(&start, least)?;
            return Ok(match value {
                Value::Str(_) => value,
                _ => Value::text(start),
            });
        }
        match text.chars().next() {
            Some('!') => self.bad("tags are not supported"),
            Some('|' | '>') => self.literal(text, least.saturating_sub(1)),
            Some('"' | '\'') => self.long_quoted(text),
            Some('[' | '{') => self.flow(text),
            Some('@' | '`' | '%') => {
                self.bad(format!("found a character that cannot start a value: {text:?}"))
            }
            _ => {
                self.at += 1;
                let mut whole = without_comment(text).to_owned();
                // plain text goes on as long as the lines are indented further
                let mut blank = 0;
                while let Some(line) = self.lines.get(self.at) {
                    if line.text.is_empty() {
                        blank += 1;
                        self.at += 1;
                        continue;
                    }
                    if line.indent < least
                        || line.text.starts_with('#')
                        || (least == 0 && line.indent == 0 && line.text.starts_with("---"))
                    {
                        break;
                    }
                    if split_key(&line.text).is_some() {
                        return self.bad("a key inside of a text; quote the text or mind the indentation");
                    }
                    whole.push_str(&if blank > 0 { "\n".repeat(blank) } else { " ".to_owned() });
                    blank = 0;
                    whole.push_str(without_comment(&line.text));
                    self.at += 1;
                    self.context.work(whole.len().min(4096))?;
                }
                Ok(plain(&whole))
            }
        }
    }

    /// `|` and `>` with their indicators.
    fn literal(&mut self, head: &str, parent: usize) -> Outcome {
        let folded = head.starts_with('>');
        let marks = without_comment(&head[1..]).trim();
        let chomp = marks.chars().find(|c| *c == '-' || *c == '+');
        let given = marks.chars().find(char::is_ascii_digit).and_then(|c| c.to_digit(10));
        self.at += 1;
        let mut body: Vec<&str> = Vec::new();
        let mut indent = given.map(|given| parent + given as usize);
        while let Some(line) = self.raw.get(self.at) {
            let blank = line.trim().is_empty();
            let own = line.len() - line.trim_start_matches(' ').len();
            if !blank {
                let least = *indent.get_or_insert(own);
                let root = parent == 0 && own == 0 && given.is_none();
                if own < least || (own <= parent && !root && given.is_none()) {
                    break;
                }
            }
            body.push(line);
            self.at += 1;
        }
        let cut = indent.unwrap_or(0);
        let lines: Vec<&str> = body.iter().map(|line| line.get(cut..).unwrap_or("")).collect();
        let solid = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
        let mut out = String::new();
        let mut before: Option<&str> = None;
        for line in &lines[..solid] {
            if let Some(before) = before {
                let joins = folded && !line.starts_with([' ', '\t']) && !before.starts_with([' ', '\t']);
                match (joins, before.is_empty(), line.is_empty()) {
                    (true, false, false) => out.push(' '),
                    (true, true, false) => {}
                    _ => out.push('\n'),
                }
            }
            out.push_str(line);
            before = Some(line);
        }
        if solid > 0 && chomp != Some('-') {
            out.push('\n');
        }
        if chomp == Some('+') {
            out.push_str(&"\n".repeat(lines.len() - solid));
        }
        self.context.work(out.len())?;
        Ok(Value::text(out))
    }

    /// Quoted text, which may go over several lines.
    fn long_quoted(&mut self, text: &str) -> Outcome {
        let mut whole = text.to_owned();
        loop {
            self.at += 1;
            if let Some((value, rest)) = quoted(&whole) {
                if !without_comment(&format!(" {rest}")).trim().is_empty() {
                    self.at -= 1;
                    return self.bad("text behind the closing quote");
                }
                return Ok(Value::text(value));
            }
            let Some(line) = self.lines.get(self.at) else { return self.bad("the quoted text does not end") };
            self.context.work(whole.len())?;
            if line.text.is_empty() {
                whole.push('\n');
            } else {
                if !whole.ends_with('\n') {
                    whole.push(' ');
                }
                whole.push_str(&line.text);
            }
        }
    }

    /// `[...]` and `{...}`, which may go over several lines.
    fn flow(&mut self, text: &str) -> Outcome {
        let mut whole = without_comment(text).to_owned();
        loop {
            let mut flow = Flow::new(&whole, &self.anchors);
            match flow.value() {
                Ok(value) => {
                    if !flow.rest().trim().is_empty() {
                        return self
                            .bad(format!("text behind the closing bracket: {:?}", flow.rest().trim()));
                    }
                    self.at += 1;
                    return Ok(value);
                }
                Err(FlowError::Open) => {
                    self.at += 1;
                    let Some(line) = self.lines.get(self.at) else {
                        return self.bad("the bracket does not close");
                    };
                    let more = if line.text.starts_with('#') { "" } else { without_comment(&line.text) };
                    whole.push(' ');
                    whole.push_str(more);
                    self.context.work(whole.len())?;
                }
                Err(FlowError::Bad(text)) => return self.bad(text),
            }
        }
    }
}

#[cfg(test)]
#[path = "scan_test.rs"]
mod tests;
