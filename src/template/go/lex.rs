//! Text to tokens. Blanks inside an action are tokens, since Go tells `a .b` from `a.b` by them.

use crate::value::runes;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Text,
    Left,
    Right,
    Space,
    /// `"..."`
    String,
    /// `` `...` ``
    RawString,
    /// `'x'`
    Char,
    Number,
    /// A bare word.
    Word,
    /// `.name`
    Field,
    /// `$name` or `$`
    Variable,
    Dot,
    Pipe,
    OpenParen,
    CloseParen,
    Declare,
    Assign,
    /// Any other printable character.
    Other,
    Eof,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Why the text is no row of tokens, and where.
#[derive(Debug)]
pub(crate) struct LexError {
    pub(crate) at: usize,
    pub(crate) message: String,
}

pub(crate) struct Lexer<'a> {
    text: &'a [u8],
    left: &'a [u8],
    right: &'a [u8],
    at: usize,
    tokens: Vec<Token>,
    depth: usize,
    action_start: usize,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

/// Cuts a template into tokens.
pub(crate) fn lex(text: &[u8], left: &str, right: &str) -> Result<Vec<Token>, LexError> {
    let mut lexer = Lexer {
        text,
        left: left.as_bytes(),
        right: right.as_bytes(),
        at: 0,
        tokens: Vec::new(),
        depth: 0,
        action_start: 0,
    };
    lexer.run()?;
    Ok(lexer.tokens)
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or(&[])
    }

    fn push(&mut self, kind: Kind, start: usize) {
        self.tokens.push(Token { kind, start, end: self.at });
    }

    fn error<T>(&self, at: usize, message: impl Into<String>) -> Result<T, LexError> {
        Err(LexError { at, message: message.into() })
    }

    fn run(&mut self) -> Result<(), LexError> {
        let mut trim_left = false;
        loop {
            let start = self.at;
            let found = find(self.rest(), self.left);
            let mut from = start;
            let mut to = found.map_or(self.text.len(), |offset| start + offset);
            if trim_left {
                while from < to && is_blank(self.text[from]) {
                    from += 1;
                }
            }
            let after = to + self.left.len();
            let trims = found.is_some() && has_left_trim(&self.text[after.min(self.text.len())..]);
            if trims {
                while to > from && is_blank(self.text[to - 1]) {
                    to -= 1;
                }
            }
            if to > from {
                self.tokens.push(Token { kind: Kind::Text, start: from, end: to });
            }
            if found.is_none() {
                self.at = self.text.len();
                self.push(Kind::Eof, self.at);
                return Ok(());
            }
            self.action_start = after - self.left.len();
            self.at = after + if trims { 2 } else { 0 };
            trim_left = if self.rest().starts_with(b"/*") { self.comment()? } else { self.action()? };
        }
    }

    /// Returns whether the text behind it is trimmed.
    fn comment(&mut self) -> Result<bool, LexError> {
        let Some(end) = find(self.rest(), b"*/") else { return self.error(self.at, "unclosed comment") };
        self.at += end + 2;
        match self.right_delimiter() {
            Some(trim) => {
                self.at += self.right.len() + if trim { 2 } else { 0 };
                Ok(trim)
            }
            None => self.error(self.at, "comment ends before closing delimiter"),
        }
    }

    /// Is the closing delimiter here, and does it trim?
    fn right_delimiter(&self) -> Option<bool> {
        let rest = self.rest();
        if rest.len() > 2 && is_blank(rest[0]) && rest[1] == b'-' && rest[2..].starts_with(self.right) {
            return Some(true);
        }
        rest.starts_with(self.right).then_some(false)
    }

    fn action(&mut self) -> Result<bool, LexError> {
        self.tokens.push(Token { kind: Kind::Left, start: self.action_start, end: self.at });
        self.depth = 0;
        loop {
            if let Some(trim) = self.right_delimiter() {
                if self.depth > 0 {
                    return self.error(self.at, "unclosed left paren");
                }
                let start = self.at;
                self.at += self.right.len() + if trim { 2 } else { 0 };
                self.push(Kind::Right, start);
                return Ok(trim);
            }
            self.token()?;
        }
    }

    fn unclosed<T>(&self) -> Result<T, LexError> {
        let (line, _) = crate::error::place(self.text, self.action_start);
        self.error(self.text.len(), format!("unclosed action started at line {line}"))
    }

    fn token(&mut self) -> Result<(), LexError> {
        let start = self.at;
        let Some((c, length)) = runes(self.rest()).next() else { return self.unclosed() };
        let c = c.unwrap_or('\u{fffd}');
        self.at += length;
        match c {
            ' ' | '\t' | '\r' | '\n' => {
                while self.rest().first().is_some_and(|byte| is_blank(*byte)) {
                    // the blank in front of a trimming delimiter belongs to the delimiter
                    if self.right_delimiter() == Some(true) {
                        break;
                    }
                    self.at += 1;
                }
                self.push(Kind::Space, start);
            }
            '=' => self.push(Kind::Assign, start),
            ':' => {
                if self.rest().first() != Some(&b'=') {
                    return self.error(start, "expected :=");
                }
                self.at += 1;
                self.push(Kind::Declare, start);
            }
            '|' => self.push(Kind::Pipe, start),
            '"' => self.quoted(start, b'"', "unterminated quoted string", Kind::String)?,
            '\'' => self.quoted(start, b'\'', "unterminated character constant", Kind::Char)?,
            '`' => {
                let Some(end) = self.rest().iter().position(|byte| *byte == b'`') else {
                    return self.error(start, "unterminated raw quoted string");
                };
                self.at += end + 1;
                self.push(Kind::RawString, start);
            }
            '$' => {
                self.word_rest();
                self.terminator(start)?;
                self.push(Kind::Variable, start);
            }
            '.' if !self.rest().first().is_some_and(u8::is_ascii_digit) => {
                self.word_rest();
                if self.at == start + 1 {
                    self.push(Kind::Dot, start);
                } else {
                    self.terminator(start)?;
                    self.push(Kind::Field, start);
                }
            }
            '.' | '+' | '-' | '0'..='9' => self.number(start)?,
            '(' => {
                self.depth += 1;
                self.push(Kind::OpenParen, start);
            }
            ')' => {
                if self.depth == 0 {
                    return self.error(start, "unexpected right paren");
                }
                self.depth -= 1;
                self.push(Kind::CloseParen, start);
            }
            c if is_word(c) => {
                self.word_rest();
                self.terminator(start)?;
                self.push(Kind::Word, start);
            }
            c if c.is_ascii_graphic() => self.push(Kind::Other, start),
            c => return self.error(start, format!("unrecognized character in action: U+{:04X}", c as u32)),
        }
        Ok(())
    }

    fn word_rest(&mut self) {
        let length: usize =
            runes(self.rest()).take_while(|(c, _)| c.is_some_and(is_word)).map(|(_, length)| length).sum();
        self.at += length;
    }

    /// A name has to end at something that may follow a name.
    fn terminator(&self, start: usize) -> Result<(), LexError> {
        if self.right_delimiter().is_some() {
            return Ok(());
        }
        match runes(self.rest()).next() {
            None | Some((Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '('), _)) => Ok(()),
            Some((c, _)) => {
                self.error(start, format!("bad character {:?} after a name", c.unwrap_or('\u{fffd}')))
            }
        }
    }

    fn quoted(&mut self, start: usize, end: u8, message: &str, kind: Kind) -> Result<(), LexError> {
        loop {
            match self.rest().first() {
                Some(b'\\') if self.rest().get(1).is_some_and(|next| *next != b'\n') => self.at += 2,
                None | Some(b'\n' | b'\\') => return self.error(start, message),
                Some(byte) => {
                    self.at += 1;
                    if *byte == end {
                        self.push(kind, start);
                        return Ok(());
                    }
                }
            }
        }
    }

    fn accept(&mut self, valid: &[u8]) -> bool {
        let hit = self.rest().first().is_some_and(|byte| valid.contains(byte));
        self.at += usize::from(hit);
        hit
    }

    fn accept_run(&mut self, valid: &[u8]) {
        while self.accept(valid) {}
    }

    fn number(&mut self, start: usize) -> Result<(), LexError> {
        self.at = start;
        if !self.scan_number() {
            let end = (self.at + 1).min(self.text.len());
            let shown = crate::value::lossy(&self.text[start..end]).into_owned();
            return self.error(start, format!("bad number syntax: {shown:?}"));
        }
        if self.rest().first().is_some_and(|byte| b"+-".contains(byte)) {
            // a complex literal such as 1+2i
            if !self.scan_number() || self.text.get(self.at.wrapping_sub(1)) != Some(&b'i') {
                let shown = crate::value::lossy(&self.text[start..self.at]).into_owned();
                return self.error(start, format!("bad number syntax: {shown:?}"));
            }
        }
        self.push(Kind::Number, start);
        Ok(())
    }

    fn scan_number(&mut self) -> bool {
        self.accept(b"+-");
        let mut digits: &[u8] = b"0123456789_";
        if self.accept(b"0") {
            if self.accept(b"xX") {
                digits = b"0123456789abcdefABCDEF_";
            } else if self.accept(b"oO") {
                digits = b"01234567_";
            } else if self.accept(b"bB") {
                digits = b"01_";
            }
        }
        self.accept_run(digits);
        if self.accept(b".") {
            self.accept_run(digits);
        }
        if digits.len() == 11 && self.accept(b"eE") {
            self.accept(b"+-");
            self.accept_run(b"0123456789_");
        }
        if digits.len() > 11 && self.accept(b"pP") {
            self.accept(b"+-");
            self.accept_run(b"0123456789_");
        }
        self.accept(b"i");
        !runes(self.rest()).next().is_some_and(|(c, _)| c.is_some_and(is_word))
    }
}

fn has_left_trim(after: &[u8]) -> bool {
    after.len() >= 2 && after[0] == b'-' && is_blank(after[1])
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len().max(1)).position(|window| window == what)
}
