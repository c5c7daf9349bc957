//! Tokens to a tree, with Go's rules of what may stand where.

use super::ast::{Command, Expr, ExprKind, Node, Pipe, Set, Span};
use super::lex::{Kind, Token, lex};
use super::number;
use crate::error::{Stage, TemplateError, place};
use crate::func;
use crate::template::Options;
use crate::value::{Text, Value};

/// Parentheses and blocks inside one another; keeps the stack whole on any input.
const MAX_NESTING: usize = 100;

/// Reads a template.
pub(crate) fn parse(name: &str, source: &[u8], options: &Options) -> Result<Set, TemplateError> {
    let failed = |at: usize, message: String| {
        let (line, column) = place(source, at);
        TemplateError {
            stage: Stage::Parse,
            name: name.to_owned(),
            line,
            column,
            within: String::new(),
            expression: String::new(),
            message,
        }
    };
    let tokens = lex(source, &options.left_delimiter, &options.right_delimiter)
        .map_err(|error| failed(error.at, error.message))?;
    let mut parser = Parser {
        source,
        tokens,
        at: 0,
        variables: vec!["$".to_owned()],
        ranges: 0,
        nesting: 0,
        set: Set::default(),
        options,
    };
    match parser.main() {
        Ok(()) => Ok(parser.set),
        Err(Bad { at, message }) => Err(failed(at, message)),
    }
}

struct Bad {
    at: usize,
    message: String,
}

type Parsed<T> = Result<T, Bad>;

struct Parser<'a> {
    source: &'a [u8],
    tokens: Vec<Token>,
    at: usize,
    variables: Vec<String>,
    /// How many `range` are open, for `break`.
    ranges: usize,
    nesting: usize,
    set: Set,
    options: &'a Options,
}

/// How a list of nodes ended.
enum Ended {
    End,
    Else,
}

impl Parser<'_> {
    fn peek(&self) -> Token {
        let end = self.source.len();
        self.tokens.get(self.at).copied().unwrap_or(Token { kind: Kind::Eof, start: end, end })
    }

    fn next(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.at += 1;
        }
    }

    fn peek_solid(&mut self) -> Token {
        self.skip_space();
        self.peek()
    }

    fn next_solid(&mut self) -> Token {
        self.skip_space();
        self.next()
    }

    fn bytes(&self, token: Token) -> &[u8] {
        &self.source[token.start..token.end]
    }

    fn shown(&self, token: Token) -> String {
        crate::value::lossy(self.bytes(token)).into_owned()
    }

    fn error<T>(&self, at: usize, message: impl Into<String>) -> Parsed<T> {
        Err(Bad { at, message: message.into() })
    }

    fn unexpected<T>(&self, token: Token, context: &str) -> Parsed<T> {
        match token.kind {
            Kind::Eof => self.error(token.start, "unexpected EOF"),
            _ => self.error(token.start, format!("unexpected {:?} in {context}", self.shown(token))),
        }
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token> {
        let token = self.next_solid();
        if token.kind == kind { Ok(token) } else { self.unexpected(token, context) }
    }

    fn deeper<T>(&mut self, at: usize, work: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= MAX_NESTING {
            return self.error(at, format!("nested deeper than {MAX_NESTING}"));
        }
        self.nesting += 1;
        let done = work(self);
        self.nesting -= 1;
        done
    }

    /// The word of an action, when it starts with one.
    fn keyword(&mut self) -> Option<String> {
        let mark = self.at;
        self.at += 1;
        let token = self.peek_solid();
        let word = (token.kind == Kind::Word).then(|| self.shown(token));
        self.at = mark;
        word
    }

    fn main(&mut self) -> Parsed<()> {
        let mut nodes = Vec::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::Left && self.keyword().as_deref() == Some("define") {
                self.define()?;
                continue;
            }
            match self.node(&mut nodes)? {
                None => {}
                Some((Ended::End, token)) => return self.error(token.start, "unexpected {{end}}"),
                Some((Ended::Else, token)) => return self.error(token.start, "unexpected {{else}}"),
            }
        }
        self.set.templates.insert(Text::from(""), nodes);
        Ok(())
    }

    /// Opens an action and its keyword.
    fn open(&mut self) -> Token {
        self.next();
        self.next_solid()
    }

    fn define(&mut self) -> Parsed<()> {
        let word = self.open();
        let name = self.name("define clause")?;
        self.expect(Kind::Right, "define clause")?;
        self.body_of(word, name)
    }

    /// The body of a `define` or `block`, whose variables are its own.
    fn body_of(&mut self, word: Token, name: Text) -> Parsed<()> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = std::mem::replace(&mut self.ranges, 0);
        let (nodes, ended, token) = self.deeper(word.start, Self::list)?;
        if matches!(ended, Ended::Else) {
            return self.error(token.start, "unexpected {{else}} in define clause");
        }
        self.variables = outer;
        self.ranges = ranges;
        let blank = |nodes: &[Node]| nodes.iter().all(Node::is_blank);
        match self.set.templates.get(&name) {
            Some(there) if !blank(there) => {
                if !blank(&nodes) {
                    let message = format!("template: multiple definition of template {:?}", name.to_str());
                    return self.error(word.start, message);
                }
            }
            _ => {
                self.set.templates.insert(name, nodes);
            }
        }
        Ok(())
    }

    fn name(&mut self, context: &str) -> Parsed<Text> {
        let token = self.next_solid();
        match token.kind {
            Kind::String | Kind::RawString => self.unquote(token),
            _ => self.unexpected(token, context),
        }
    }

    /// Nodes up to the `end` or `else` that closes them.
    fn list(&mut self) -> Parsed<(Vec<Node>, Ended, Token)> {
        let mut nodes = Vec::new();
        while self.peek().kind != Kind::Eof {
            if let Some((ended, token)) = self.node(&mut nodes)? {
                return Ok((nodes, ended, token));
            }
        }
        self.error(self.source.len(), "unexpected EOF: an {{end}} is missing")
    }

    /// One node; or, with an `end` (closed) or `else` (left open behind the word), how the list ended.
    fn node(&mut self, nodes: &mut Vec<Node>) -> Parsed<Option<(Ended, Token)>> {
        let token = self.peek();
        if token.kind == Kind::Text {
            self.next();
            nodes.push(Node::Text(self.bytes(token).into()));
            return Ok(None);
        }
        if token.kind != Kind::Left {
            return self.unexpected(token, "input");
        }
        let word = self.keyword().unwrap_or_default();
        match word.as_str() {
            "end" => {
                let word = self.open();
                self.expect(Kind::Right, "end")?;
                return Ok(Some((Ended::End, word)));
            }
            "else" => {
                let word = self.open();
                return Ok(Some((Ended::Else, word)));
            }
            "if" | "with" | "range" => {
                let token = self.open();
                let node = self.deeper(token.start, |parser| parser.control(&word))?;
                nodes.push(node);
            }
            "define" => return self.error(token.start, "unexpected {{define}}: it belongs to the top level"),
            "block" => {
                let node = self.block()?;
                nodes.push(node);
            }
            "template" => {
                let word = self.open();
                let name = self.name("template clause")?;
                let mut pipe = None;
                if self.peek_solid().kind == Kind::Right {
                    self.next();
                } else {
                    pipe = Some(self.pipeline("template clause", Kind::Right)?);
                }
                nodes.push(Node::Template { span: self.since(word), name, pipe });
            }
            "break" | "continue" => {
                let token = self.open();
                if self.ranges == 0 {
                    return self.error(token.start, format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                self.expect(Kind::Right, &format!("{{{{{word}}}}}"))?;
                nodes.push(if word == "break" { Node::Break } else { Node::Continue });
            }
            _ => {
                self.next();
                let pipe = self.pipeline("command", Kind::Right)?;
                nodes.push(Node::Action(pipe));
            }
        }
        Ok(None)
    }

    fn since(&self, token: Token) -> Span {
        let end = self.tokens.get(self.at.saturating_sub(2)).map_or(token.end, |last| last.end);
        token.start..end.max(token.end)
    }

    fn block(&mut self) -> Parsed<Node> {
        let word = self.open();
        let name = self.name("block clause")?;
        let pipe = self.pipeline("block clause", Kind::Right)?;
        let span = self.since(word);
        self.body_of(word, name.clone())?;
        Ok(Node::Template { span, name, pipe: Some(pipe) })
    }

    fn control(&mut self, word: &str) -> Parsed<Node> {
        let mark = self.variables.len();
        let pipe = self.pipeline(word, Kind::Right)?;
        if word == "range" {
            self.ranges += 1;
        }
        let (then, ended, _) = self.list()?;
        if word == "range" {
            self.ranges -= 1;
        }
        let otherwise = match ended {
            Ended::End => None,
            Ended::Else => Some(self.otherwise(word)?),
        };
        self.variables.truncate(mark);
        Ok(match word {
            "if" => Node::If { pipe, then, otherwise },
            "with" => Node::With { pipe, then, otherwise },
            _ => Node::Range { pipe, body: then, otherwise },
        })
    }

    /// Behind an `else`: a list of its own, or the chained `if` or `with`, which shares the `end`.
    fn otherwise(&mut self, word: &str) -> Parsed<Vec<Node>> {
        let token = self.peek_solid();
        if token.kind == Kind::Word && word != "range" {
            let next = self.shown(token);
            if next == word {
                self.next();
                let node = self.deeper(token.start, |parser| parser.control(word))?;
                return Ok(vec![node]);
            }
        }
        self.expect(Kind::Right, "else")?;
        let (nodes, ended, token) = self.list()?;
        if matches!(ended, Ended::Else) {
            return self.error(token.start, "expected end; found {{else}}");
        }
        Ok(nodes)
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let start = self.peek_solid().start;
        let (names, assign) = self.declarations(context)?;
        let mut commands = Vec::new();
        loop {
            let token = self.peek_solid();
            match token.kind {
                kind if kind == end => break,
                Kind::Char
                | Kind::Dot
                | Kind::Field
                | Kind::Word
                | Kind::Number
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::OpenParen => commands.push(self.command()?),
                _ => {
                    self.next();
                    return self.unexpected(token, context);
                }
            }
        }
        let close = self.next();
        if commands.is_empty() {
            return self.error(close.start, format!("missing value for {context}"));
        }
        for (stage, command) in commands.iter().enumerate().skip(1) {
            if matches!(command.words[0].kind, ExprKind::Dot | ExprKind::Nil | ExprKind::Literal(_)) {
                let message = format!("non executable command in pipeline stage {}", stage + 1);
                return self.error(command.span.start, message);
            }
        }
        // new variables count from here on, not within their own value
        if !assign {
            self.variables.extend(names.iter().cloned());
        }
        let end = commands.last().map_or(close.start, |last| last.span.end);
        Ok(Pipe { span: start..end, names, assign, commands })
    }

    /// `$x :=`, `$x =`, or in a range `$i, $x :=`.
    fn declarations(&mut self, context: &str) -> Parsed<(Vec<String>, bool)> {
        let mark = self.at;
        let mut names = Vec::new();
        loop {
            let token = self.peek_solid();
            if token.kind != Kind::Variable {
                break;
            }
            self.next();
            let after = self.peek_solid();
            let name = self.shown(token);
            if after.kind == Kind::Declare || after.kind == Kind::Assign {
                self.next();
                names.push(name);
                let assign = after.kind == Kind::Assign;
                if assign {
                    for name in &names {
                        self.known(token, name)?;
                    }
                }
                return Ok((names, assign));
            }
            if after.kind == Kind::Other && self.bytes(after) == b"," {
                self.next();
                names.push(name);
                if context != "range" || names.len() >= 2 {
                    return self.error(token.start, format!("too many declarations in {context}"));
                }
                if self.peek_solid().kind != Kind::Variable {
                    return self.error(token.start, "range can only initialize variables");
                }
                continue;
            }
            break;
        }
        if !names.is_empty() {
            return self.error(self.peek().start, "range can only initialize variables");
        }
        self.at = mark;
        Ok((Vec::new(), false))
    }

    fn known(&self, token: Token, name: &str) -> Parsed<()> {
        if self.variables.iter().any(|there| there == name) {
            return Ok(());
        }
        self.error(token.start, format!("undefined variable {name:?}"))
    }

    fn command(&mut self) -> Parsed<Command> {
        let start = self.peek_solid().start;
        let mut words: Vec<Expr> = Vec::new();
        loop {
            self.skip_space();
            if let Some(word) = self.operand()? {
                words.push(word);
            }
            let token = self.peek();
            match token.kind {
                Kind::Space => {
                    self.next();
                }
                Kind::Right | Kind::CloseParen => break,
                Kind::Pipe => {
                    self.next();
                    let after = self.peek_solid();
                    if matches!(after.kind, Kind::Right | Kind::CloseParen) {
                        return self.error(after.start, "missing value for command");
                    }
                    break;
                }
                _ => return self.unexpected(token, "operand"),
            }
        }
        if words.is_empty() {
            return self.error(start, "empty command");
        }
        let end = words.last().map_or(start, |word| word.span.end);
        Ok(Command { span: start..end, words })
    }

    /// A term and the fields behind it.
    fn operand(&mut self) -> Parsed<Option<Expr>> {
        let Some(mut term) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let mut fields: Vec<Text> = Vec::new();
        while self.peek().kind == Kind::Field {
            let token = self.next();
            fields.push(self.bytes(token)[1..].into());
            term.span.end = token.end;
        }
        term.kind = match term.kind {
            ExprKind::Fields(mut first) => {
                first.extend(fields);
                ExprKind::Fields(first)
            }
            ExprKind::Variable(name, mut first) => {
                first.extend(fields);
                ExprKind::Variable(name, first)
            }
            ExprKind::Literal(_) | ExprKind::Nil | ExprKind::Dot => {
                return self.error(term.span.start, "unexpected . after a literal");
            }
            kind => {
                let inner = Expr { span: term.span.clone(), kind };
                ExprKind::Chain(Box::new(inner), fields)
            }
        };
        Ok(Some(term))
    }

    fn term(&mut self) -> Parsed<Option<Expr>> {
        let token = self.peek_solid();
        let kind = match token.kind {
            Kind::Word => match self.shown(token).as_str() {
                "true" => ExprKind::Literal(Value::Bool(true)),
                "false" => ExprKind::Literal(Value::Bool(false)),
                "nil" => ExprKind::Nil,
                word @ ("if" | "with" | "range" | "end" | "else" | "define" | "block" | "template"
                | "break" | "continue") => {
                    return self.error(token.start, format!("unexpected <{word}> in operand"));
                }
                word => self.function(token, word)?,
            },
            Kind::Dot => ExprKind::Dot,
            Kind::Variable => {
                let name = self.shown(token);
                self.known(token, &name)?;
                ExprKind::Variable(name, Vec::new())
            }
            Kind::Field => ExprKind::Fields(vec![self.bytes(token)[1..].into()]),
            Kind::Number => match number::literal(&self.shown(token)) {
                Ok(value) => ExprKind::Literal(value),
                Err(message) => return self.error(token.start, message),
            },
            Kind::Char => ExprKind::Literal(self.character(token)?),
            Kind::String | Kind::RawString => ExprKind::Literal(Value::Str(self.unquote(token)?)),
            Kind::OpenParen => {
                self.next();
                let pipe = self.deeper(token.start, |parser| {
                    parser.pipeline("parenthesized pipeline", Kind::CloseParen)
                })?;
                let span = token.start..self.tokens[self.at - 1].end;
                return Ok(Some(Expr { span, kind: ExprKind::Pipe(Box::new(pipe)) }));
            }
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(Expr { span: token.start..token.end, kind }))
    }

    fn function(&self, token: Token, name: &str) -> Parsed<ExprKind> {
        if self.options.denied(name) {
            let message = format!("function {name:?} is disabled by function_denylist");
            return self.error(token.start, message);
        }
        match func::find(name) {
            Some(func) => Ok(ExprKind::Function(func)),
            None => self.error(token.start, format!("function {name:?} not defined{}", func::hint(name))),
        }
    }

    fn character(&self, token: Token) -> Parsed<Value> {
        let bad = || self.error(token.start, format!("malformed character constant: {}", self.shown(token)));
        let body = &self.bytes(token)[1..token.end - token.start - 1];
        let Some(bytes) = unescape(body, b'\'') else { return bad() };
        if body.starts_with(b"\\x") || body.first() == Some(&b'\\') && bytes.len() == 1 {
            return Ok(Value::Int(i64::from(bytes[0])));
        }
        let mut chars = crate::value::runes(&bytes);
        match (chars.next(), chars.next()) {
            (Some((Some(c), _)), None) => Ok(Value::Int(i64::from(u32::from(c)))),
            _ => bad(),
        }
    }

    fn unquote(&self, token: Token) -> Parsed<Text> {
        let bytes = self.bytes(token);
        let body = &bytes[1..bytes.len() - 1];
        if token.kind == Kind::RawString {
            // Go drops carriage returns of raw strings
            return Ok(body.iter().copied().filter(|byte| *byte != b'\r').collect::<Vec<u8>>().into());
        }
        match unescape(body, b'"') {
            Some(bytes) => Ok(bytes.into()),
            None => self.error(token.start, format!("invalid syntax in string {}", self.shown(token))),
        }
    }
}

/// Go's escapes inside quotes.
fn unescape(body: &[u8], quote: u8) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == quote {
            return None;
        }
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&escape, after) = rest.split_first()?;
        rest = after;
        let simple = match escape {
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'\\' => b'\\',
            b'\'' | b'"' if escape == quote => escape,
            b'x' => {
                out.push(u8::try_from(digits(&mut rest, 2, 16)?).ok()?);
                continue;
            }
            b'0'..=b'7' => {
                let mut whole = body.get(body.len() - rest.len() - 1..)?;
                let value = digits(&mut whole, 3, 8)?;
                rest = whole;
                out.push(u8::try_from(value).ok()?);
                continue;
            }
            b'u' | b'U' => {
                let value = digits(&mut rest, if escape == b'u' { 4 } else { 8 }, 16)?;
                let c = char::from_u32(value)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        };
        out.push(simple);
    }
    Some(out)
}

fn digits(rest: &mut &[u8], count: usize, radix: u32) -> Option<u32> {
    let head = rest.get(..count)?;
    *rest = &rest[count..];
    head.iter().try_fold(0_u32, |value, byte| {
        value.checked_mul(radix)?.checked_add(char::from(*byte).to_digit(radix)?)
    })
}
