//! The tree of a parsed template. Every node knows the bytes it came from, for messages.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::func::Func;
use crate::value::{Text, Value};

/// Bytes of the source.
pub(crate) type Span = Range<usize>;

/// All templates of one source: the main one under the empty name, and what `define` made.
#[derive(Debug, Default)]
pub(crate) struct Set {
    pub(crate) templates: BTreeMap<Text, Vec<Node>>,
}

#[derive(Debug)]
pub(crate) enum Node {
    Text(Text),
    Action(Pipe),
    If { pipe: Pipe, then: Vec<Node>, otherwise: Option<Vec<Node>> },
    With { pipe: Pipe, then: Vec<Node>, otherwise: Option<Vec<Node>> },
    Range { pipe: Pipe, body: Vec<Node>, otherwise: Option<Vec<Node>> },
    Template { span: Span, name: Text, pipe: Option<Pipe> },
    Break,
    Continue,
}

impl Node {
    /// Prints nothing and does nothing: a `define` of only such nodes may be replaced.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self, Node::Text(text) if text.iter().all(|byte| b" \t\r\n".contains(byte)))
    }
}

#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) span: Span,
    /// Variables that take the value.
    pub(crate) names: Vec<String>,
    /// They are there already (`=`), as opposed to new (`:=`).
    pub(crate) assign: bool,
    pub(crate) commands: Vec<Command>,
}

#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) span: Span,
    /// At least one.
    pub(crate) words: Vec<Expr>,
}

#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) span: Span,
    pub(crate) kind: ExprKind,
}

#[derive(Debug)]
pub(crate) enum ExprKind {
    Dot,
    Nil,
    /// A literal: boolean, number, text.
    Literal(Value),
    /// `.a.b`
    Fields(Vec<Text>),
    /// `$x.a.b`
    Variable(String, Vec<Text>),
    /// `(...).a.b`
    Chain(Box<Expr>, Vec<Text>),
    /// A function by name.
    Function(&'static Func),
    /// `(...)`
    Pipe(Box<Pipe>),
}
