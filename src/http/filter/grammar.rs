//! The grammar of filter expressions.
//!
//! ```text
//!   or      := and (_ "or" _ or)?            match := selector ("==" | "!=") value
//!   and     := not (_ "and" _ and)?                 | selector _ ("not" _)? ("contains" | "matches") _ value
//!   not     := "not" _ not | group                  | selector _ "is" _ ("not" _)? "empty"
//!   group   := "(" or ")" | match                   | value _ ("not" _)? "in" _ selector
//!   selector := name ("." name | "[" string "]")*     value := selector | number | string
//! ```
//! The original is a generated parser that tries alternatives in order and, at the end, names everything it would
//! have accepted at the farthest point it reached. So that errors read the same, this one tries the same things in
//! the same order and notes the same expectations.

/// Deepest nesting of parentheses and `not`: expressions come from outside.
const MAX_DEPTH: usize = 64;

/// A parsed expression, before anything is known of the fields.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expression {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    Match { path: Vec<String>, operator: Operator, value: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    In,
    NotIn,
    IsEmpty,
    IsNotEmpty,
    Matches,
    NotMatches,
}

impl Operator {
    /// As errors call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Operator::Equal => "Equal",
            Operator::NotEqual => "Not Equal",
            Operator::In => "In",
            Operator::NotIn => "Not In",
            Operator::IsEmpty => "Is Empty",
            Operator::IsNotEmpty => "Is Not Empty",
            Operator::Matches => "Matches",
            Operator::NotMatches => "Not Matches",
        }
    }

    pub(super) fn is_positive(self) -> bool {
        matches!(self, Operator::Equal | Operator::In | Operator::IsEmpty | Operator::Matches)
    }
}

/// Parses an expression.
///
/// # Errors
/// The original's words with its positions.
pub(super) fn parse(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { text, at: 0, depth: 0, expected: Vec::new(), farthest: 0, errors: Vec::new() };
    parser.space_opt();
    let expression = parser.or();
    parser.space_opt();
    let ended = expression.is_some() && parser.end();
    if !parser.errors.is_empty() {
        return Err(parser.errors.join("\n"));
    }
    match expression {
        Some(expression) if ended => Ok(expression),
        _ => Err(parser.no_match()),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// What would have been accepted at `farthest`.
    expected: Vec<&'static str>,
    farthest: usize,
    /// What was recognised as a mistake on the way. One is enough to fail, whatever matches in the end.
    errors: Vec<String>,
}

const SPACE: &str = "[ \\t\\r\\n]";
const END: &str = "EOF";

impl Parser<'_> {
    fn rest(&self) -> &[u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn expect(&mut self, what: &'static str) {
        if self.at > self.farthest {
            self.farthest = self.at;
            self.expected.clear();
        }
        if self.at == self.farthest && !self.expected.contains(&what) {
            self.expected.push(what);
        }
    }

    /// `line:column (offset)`; columns count characters, offsets bytes.
    fn position(&self, at: usize) -> String {
        let (mut line, mut column) = (1, 0);
        for c in self.text[..at].chars().chain(self.text[at..].chars().next().or(Some(' '))) {
            column += 1;
            if c == '\n' {
                line += 1;
                column = 0;
            }
        }
        format!("{line}:{column} ({at})")
    }

    fn error_at(&mut self, at: usize, rule: &str, what: &str) {
        let error = format!("{}: rule \"{rule}\": {what}", self.position(at));
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn no_match(&self) -> String {
        let mut expected = self.expected.clone();
        expected.sort_unstable_by_key(|what| (*what == END, *what));
        let list = match expected.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        };
        format!("{}: no match found, expected: {list}", self.position(self.farthest))
    }

    /// A fixed text; `quoted` is how errors show it.
    fn literal(&mut self, text: &str, quoted: &'static str) -> bool {
        let found = self.rest().starts_with(text.as_bytes());
        if found {
            self.at += text.len();
        } else {
            self.expect(quoted);
        }
        found
    }

    fn class(&mut self, shown: &'static str, accepts: impl Fn(u8) -> bool) -> bool {
        let found = self.rest().first().is_some_and(|byte| accepts(*byte));
        if found {
            self.at += 1;
        } else {
            self.expect(shown);
        }
        found
    }

    fn space(&mut self) -> bool {
        let from = self.at;
        while self.class(SPACE, |byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {}
        self.at > from
    }

    fn space_opt(&mut self) {
        self.space();
    }

    fn end(&mut self) -> bool {
        let ended = self.at == self.text.len();
        if !ended {
            self.expect(END);
        }
        ended
    }

    /// Goes back where an attempt began if it failed.
    fn attempt<T>(&mut self, attempt: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let from = self.at;
        let found = attempt(self);
        if found.is_none() {
            self.at = from;
        }
        found
    }

    fn or(&mut self) -> Option<Expression> {
        self.chain("or", "\"or\"", Self::and, Expression::Or)
    }

    fn and(&mut self) -> Option<Expression> {
        self.chain("and", "\"and\"", Self::not, Expression::And)
    }

    /// Operands joined by a word. A loop, so that a long chain costs no stack, here or when it is evaluated.
    fn chain(
        &mut self,
        word: &str,
        quoted: &'static str,
        operand: impl Fn(&mut Self) -> Option<Expression>,
        join: impl FnOnce(Vec<Expression>) -> Expression,
    ) -> Option<Expression> {
        let mut operands = vec![operand(self)?];
        while let Some(next) = self
            .attempt(|p| if p.space() && p.literal(word, quoted) && p.space() { operand(p) } else { None })
        {
            operands.push(next);
        }
        match operands.len() {
            1 => operands.pop(),
            _ => Some(join(operands)),
        }
    }

    fn not(&mut self) -> Option<Expression> {
        if !self.descend() {
            return None;
        }
        let negated = self.attempt(|p| if p.literal("not", "\"not\"") && p.space() { p.not() } else { None });
        let expression = match negated {
            Some(inner) => Some(Expression::Not(Box::new(inner))),
            None => self.group(),
        };
        self.depth -= 1;
        expression
    }

    fn descend(&mut self) -> bool {
        if self.depth == MAX_DEPTH {
            self.error_at(self.at, "grouping", "Expression is nested too deeply");
            return false;
        }
        self.depth += 1;
        true
    }

    fn group(&mut self) -> Option<Expression> {
        let from = self.at;
        if self.literal("(", "\"(\"") {
            self.space_opt();
            let inner = self.or();
            if inner.is_some() {
                self.space_opt();
                if self.literal(")", "\")\"") {
                    return inner;
                }
            }
            let stopped = self.at;
            // What else could begin here is tried before the missing parenthesis is named.
            self.at = from;
            let other = self.matching();
            if other.is_none() && inner.is_some() {
                self.error_at(stopped, "grouping", "Unmatched parentheses");
            }
            return other;
        }
        self.matching()
    }

    fn matching(&mut self) -> Option<Expression> {
        let of_value = self.attempt(|p| {
            let path = p.selector()?;
            let operator = p.value_operator()?;
            let value = p.value()?;
            Some(Expression::Match { path, operator, value })
        });
        if of_value.is_some() {
            return of_value;
        }
        let of_emptiness = self.attempt(|p| {
            let path = p.selector()?;
            let operator =
                p.words(&[("is", "\"is\""), ("empty", "\"empty\"")], Operator::IsEmpty).or_else(|| {
                    let words = [("is", "\"is\""), ("not", "\"not\""), ("empty", "\"empty\"")];
                    p.words(&words, Operator::IsNotEmpty)
                })?;
            Some(Expression::Match { path, operator, value: String::new() })
        });
        if of_emptiness.is_some() {
            return of_emptiness;
        }
        self.attempt(|p| {
            let value = p.value()?;
            let operator = p
                .spaced_words(&[("in", "\"in\"")], Operator::In)
                .or_else(|| p.spaced_words(&[("not", "\"not\""), ("in", "\"in\"")], Operator::NotIn))?;
            match p.selector() {
                Some(path) => Some(Expression::Match { path, operator, value }),
                None => {
                    p.error_at(p.at, "match", "Invalid selector");
                    None
                }
            }
        })
    }

    fn value_operator(&mut self) -> Option<Operator> {
        let symbol = |p: &mut Self, text: &str, quoted, operator| {
            p.attempt(|p| {
                p.space_opt();
                p.literal(text, quoted).then(|| p.space_opt()).map(|()| operator)
            })
        };
        symbol(self, "==", "\"==\"", Operator::Equal)
            .or_else(|| symbol(self, "!=", "\"!=\"", Operator::NotEqual))
            .or_else(|| self.spaced_words(&[("contains", "\"contains\"")], Operator::In))
            .or_else(|| {
                self.spaced_words(&[("not", "\"not\""), ("contains", "\"contains\"")], Operator::NotIn)
            })
            .or_else(|| self.spaced_words(&[("matches", "\"matches\"")], Operator::Matches))
            .or_else(|| {
                self.spaced_words(&[("not", "\"not\""), ("matches", "\"matches\"")], Operator::NotMatches)
            })
    }

    /// Words, each with space before it.
    fn words(&mut self, words: &[(&str, &'static str)], operator: Operator) -> Option<Operator> {
        self.attempt(|p| {
            words.iter().all(|(word, quoted)| p.space() && p.literal(word, quoted)).then_some(operator)
        })
    }

    /// Words, each with space around it.
    fn spaced_words(&mut self, words: &[(&str, &'static str)], operator: Operator) -> Option<Operator> {
        self.attempt(|p| {
            p.words(words, operator)?;
            p.space().then_some(operator)
        })
    }

    fn selector(&mut self) -> Option<Vec<String>> {
        let mut path = vec![self.name()?];
        loop {
            let next = self.attempt(|p| if p.literal(".", "\".\"") { p.name() } else { None });
            let Some(next) = next.or_else(|| self.index()) else { return Some(path) };
            path.push(next);
        }
    }

    fn name(&mut self) -> Option<String> {
        let from = self.at;
        if !self.class("[a-zA-Z]", |byte| byte.is_ascii_alphabetic()) {
            return None;
        }
        while self.class("[a-zA-Z0-9_]", |byte| byte.is_ascii_alphanumeric() || byte == b'_') {}
        Some(self.text[from..self.at].to_owned())
    }

    fn index(&mut self) -> Option<String> {
        self.attempt(|p| {
            if !p.literal("[", "\"[\"") {
                return None;
            }
            p.space_opt();
            let Some(key) = p.string() else {
                p.error_at(p.at, "index", "Invalid index");
                return None;
            };
            p.space_opt();
            if !p.literal("]", "\"]\"") {
                p.error_at(p.at, "index", "Unclosed index expression");
                return None;
            }
            Some(key)
        })
    }

    fn value(&mut self) -> Option<String> {
        if let Some(path) = self.selector() {
            return Some(path.join("."));
        }
        match self.number() {
            Some(number) => Some(number),
            None => self.string(),
        }
    }

    fn number(&mut self) -> Option<String> {
        let from = self.at;
        self.attempt(|p| {
            p.literal("-", "\"-\"");
            if !p.literal("0", "\"0\"") {
                if !p.class("[1-9]", |byte| matches!(byte, b'1'..=b'9')) {
                    return None;
                }
                while p.class("[0-9]", |byte| byte.is_ascii_digit()) {}
            }
            p.attempt(|p| {
                let mut digits = 0;
                if p.literal(".", "\".\"") {
                    while p.class("[0-9]", |byte| byte.is_ascii_digit()) {
                        digits += 1;
                    }
                }
                (digits > 0).then_some(())
            });
            let after = p.at;
            let ends = p.space() || p.end() || p.literal(")", "\")\"");
            p.at = after;
            if !ends {
                p.error_at(after, "number", "Invalid number literal");
                return None;
            }
            Some(p.text[from..after].to_owned())
        })
    }

    fn string(&mut self) -> Option<String> {
        let from = self.at;
        let quote = if self.literal("`", "\"`\"") {
            b'`'
        } else if self.literal("\"", "\"\\\"\"") {
            b'"'
        } else {
            return None;
        };
        let Some(len) = self.rest().iter().position(|byte| *byte == quote) else {
            let end = self.text.len();
            self.at = from;
            self.error_at(end, "string", "Unterminated string literal");
            return None;
        };
        let inner = &self.text[self.at..self.at + len];
        self.at += len + 1;
        if quote == b'`' {
            return Some(inner.replace('\r', ""));
        }
        match unquote(inner) {
            Some(text) => Some(text),
            None => {
                self.error_at(from, "string", "invalid syntax");
                Some(String::new())
            }
        }
    }
}

/// Go's `strconv.Unquote` of what stands between double quotes.
fn unquote(inner: &str) -> Option<String> {
    if inner.contains('\n') {
        return None;
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let kind = chars.next()?;
        let mut number = |radix: u32, digits: usize| {
            let text: String = chars.by_ref().take(digits).collect();
            if text.len() == digits { u32::from_str_radix(&text, radix).ok() } else { None }
        };
        let simple = match kind {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' => b'\\',
            'x' => u8::try_from(number(16, 2)?).ok()?,
            'u' | 'U' => {
                let code = number(16, if kind == 'u' { 4 } else { 8 })?;
                out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        };
        out.push(simple);
    }
    String::from_utf8(out).ok()
}
