//! Walks the tree, with the evaluation rules of Go's `text/template`.

use std::sync::Arc;

use super::ast::{Command, Expr, ExprKind, Node, Pipe, Set, Span};
use super::{compare, print};
use crate::context::{Context, Fault, Outcome};
use crate::error::{Stage, TemplateError, excerpt, place};
use crate::func::{Func, Run};
use crate::value::{MapKey, Text, Value};

/// Renders the main template of a set.
pub(crate) fn render<'a>(
    name: &'a str,
    source: &'a [u8],
    set: &'a Set,
    context: Context<'a>,
) -> (Context<'a>, Result<Vec<u8>, TemplateError>) {
    let mut eval =
        Eval { name, source, set, context, variables: Vec::new(), base: 0, depth: 0, within: Text::from("") };
    let mut out = Vec::new();
    let result = eval.template(&Text::from(""), Value::Invalid, &mut out);
    let result = match result {
        Ok(()) => Ok(out),
        Err(failure) => Err(eval.located(*failure)),
    };
    (eval.context, result)
}

struct Failure {
    stage: Stage,
    at: Span,
    within: Text,
    message: String,
}

type Evaluated<T> = Result<T, Box<Failure>>;

#[derive(PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct Variable {
    name: String,
    value: Value,
}

pub(super) struct Eval<'a> {
    name: &'a str,
    source: &'a [u8],
    set: &'a Set,
    pub(super) context: Context<'a>,
    variables: Vec<Variable>,
    /// Where the variables of the running template start.
    base: usize,
    depth: usize,
    /// The running template.
    within: Text,
}

impl<'a> Eval<'a> {
    fn located(&self, failure: Failure) -> TemplateError {
        let (line, column) = place(self.source, failure.at.start);
        TemplateError {
            stage: failure.stage,
            name: self.name.to_owned(),
            line,
            column,
            within: failure.within.to_str().into_owned(),
            expression: excerpt(self.source.get(failure.at).unwrap_or(&[])),
            message: failure.message,
        }
    }

    fn fail<T>(&self, at: &Span, message: impl Into<String>) -> Evaluated<T> {
        Err(Box::new(Failure {
            stage: Stage::Execute,
            at: at.clone(),
            within: self.within.clone(),
            message: message.into(),
        }))
    }

    fn fault<T>(&self, at: &Span, fault: Fault, prefix: &str) -> Evaluated<T> {
        let (stage, message) = match fault {
            Fault::Bad(message) => (Stage::Execute, format!("{prefix}{message}")),
            Fault::Limit(message) => (Stage::Limit, format!("limit: {message}")),
            Fault::Stopped => (Stage::Stopped, "stopped: it took too long".to_owned()),
        };
        Err(Box::new(Failure { stage, at: at.clone(), within: self.within.clone(), message }))
    }

    fn step(&mut self, at: &Span) -> Evaluated<()> {
        match self.context.step() {
            Ok(()) => Ok(()),
            Err(fault) => self.fault(at, fault, ""),
        }
    }

    /// Runs a template of the set with a dot of its own.
    fn template(&mut self, name: &Text, dot: Value, out: &mut Vec<u8>) -> Evaluated<()> {
        let set = self.set;
        let nodes = set.templates.get(name).map_or(&[][..], Vec::as_slice);
        let base = std::mem::replace(&mut self.base, self.variables.len());
        let within = std::mem::replace(&mut self.within, name.clone());
        self.depth += 1;
        self.variables.push(Variable { name: "$".to_owned(), value: dot.clone() });
        let done = self.list(nodes, &dot, out).map(drop);
        self.variables.truncate(self.base);
        self.depth -= 1;
        self.base = base;
        self.within = within;
        done
    }

    fn call_template(&mut self, at: &Span, name: &Text, dot: Value, out: &mut Vec<u8>) -> Evaluated<()> {
        if !self.set.templates.contains_key(name) {
            return self.fail(at, format!("template {:?} not defined", name.to_str()));
        }
        let limit = self.context.options.limits.depth;
        if self.depth >= limit {
            let fault = Fault::Limit(format!("templates call one another more than {limit} deep"));
            return self.fault(at, fault, "");
        }
        self.template(name, dot, out)
    }

    fn list(&mut self, nodes: &'a [Node], dot: &Value, out: &mut Vec<u8>) -> Evaluated<Flow> {
        for node in nodes {
            let flow = self.node(node, dot, out)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn write(&mut self, at: &Span, bytes: &[u8], out: &mut Vec<u8>) -> Evaluated<()> {
        let limit = self.context.options.limits.output_bytes;
        if (out.len() + bytes.len()) as u64 > limit {
            return self.fault(at, Fault::Limit(format!("more than {limit} bytes of output")), "");
        }
        out.extend_from_slice(bytes);
        Ok(())
    }

    fn node(&mut self, node: &'a Node, dot: &Value, out: &mut Vec<u8>) -> Evaluated<Flow> {
        let mark = self.variables.len();
        match node {
            Node::Text(text) => self.write(&(0..0), text, out)?,
            Node::Action(pipe) => {
                let value = self.pipeline(pipe, dot)?;
                if pipe.names.is_empty() {
                    self.print(&pipe.span, &value, out)?;
                }
            }
            Node::If { pipe, then, otherwise } => {
                let value = self.pipeline(pipe, dot)?;
                let flow = if value.truth() {
                    self.list(then, dot, out)?
                } else {
                    self.list(otherwise.as_deref().unwrap_or(&[]), dot, out)?
                };
                self.variables.truncate(mark);
                return Ok(flow);
            }
            Node::With { pipe, then, otherwise } => {
                let value = self.pipeline(pipe, dot)?;
                let flow = if value.truth() {
                    self.list(then, &value, out)?
                } else {
                    self.list(otherwise.as_deref().unwrap_or(&[]), dot, out)?
                };
                self.variables.truncate(mark);
                return Ok(flow);
            }
            Node::Range { pipe, body, otherwise } => {
                let flow = self.range(pipe, body, otherwise.as_deref(), dot, out)?;
                self.variables.truncate(mark);
                return Ok(flow);
            }
            Node::Template { span, name, pipe } => {
                let value = match pipe {
                    Some(pipe) => self.pipeline(pipe, dot)?,
                    None => Value::Invalid,
                };
                self.variables.truncate(mark);
                self.step(span)?;
                self.call_template(span, name, value, out)?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, at: &Span, value: &Value, out: &mut Vec<u8>) -> Evaluated<()> {
        let text = match value {
            Value::Str(text) => return self.write(at, text, out),
            Value::Range(..) => return self.fail(at, "can't print what loop gives: use it in range"),
            value => print::shown(value),
        };
        self.write(at, &text, out)
    }

    fn range(
        &mut self,
        pipe: &'a Pipe,
        body: &'a [Node],
        otherwise: Option<&'a [Node]>,
        dot: &Value,
        out: &mut Vec<u8>,
    ) -> Evaluated<Flow> {
        let value = self.pipeline(pipe, dot)?;
        let mark = self.variables.len();
        let mut turns = 0_usize;
        let mut turn = |eval: &mut Self, key: Value, item: &Value, out: &mut Vec<u8>| -> Evaluated<bool> {
            turns += 1;
            eval.step(&pipe.span)?;
            eval.bind(pipe, mark, key, item)?;
            let flow = eval.list(body, item, out);
            eval.variables.truncate(mark);
            Ok(flow? == Flow::Break)
        };
        match &value {
            Value::Invalid | Value::Nil => {}
            Value::List(list) => {
                for (at, item) in list.items.iter().enumerate() {
                    let key = Value::Int(i64::try_from(at).unwrap_or(i64::MAX));
                    if turn(self, key, item, out)? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, item) in &map.entries {
                    if turn(self, key.value(), item, out)? {
                        break;
                    }
                }
            }
            Value::Range(from, to) => {
                for number in *from..*to {
                    let key = Value::Int(number.wrapping_sub(*from));
                    if turn(self, key, &Value::Int64(number), out)? {
                        break;
                    }
                }
            }
            other => {
                let shown = crate::value::lossy(&print::shown(other)).into_owned();
                return self.fail(&pipe.span, format!("range can't iterate over {shown}"));
            }
        }
        if turns == 0
            && let Some(nodes) = otherwise
        {
            return self.list(nodes, dot, out);
        }
        Ok(Flow::Next)
    }

    /// Gives the variables of a `range` the values of one turn.
    fn bind(&mut self, pipe: &Pipe, mark: usize, key: Value, item: &Value) -> Evaluated<()> {
        let (first, second) = match pipe.names.len() {
            1 => (Some(item.clone()), None),
            2 => (Some(key), Some(item.clone())),
            _ => return Ok(()),
        };
        let values = [first, second].into_iter().flatten();
        if pipe.assign {
            for (name, value) in pipe.names.iter().zip(values) {
                self.assign(&pipe.span, name, value)?;
            }
        } else {
            // the pipeline declared them just below the mark
            let from = mark - pipe.names.len();
            for (slot, value) in self.variables[from..mark].iter_mut().zip(values) {
                slot.value = value;
            }
        }
        Ok(())
    }

    fn assign(&mut self, at: &Span, name: &str, value: Value) -> Evaluated<()> {
        match self.variables[self.base..].iter_mut().rev().find(|variable| variable.name == name) {
            Some(variable) => {
                variable.value = value;
                Ok(())
            }
            None => self.fail(at, format!("undefined variable {name:?}")),
        }
    }

    fn pipeline(&mut self, pipe: &'a Pipe, dot: &Value) -> Evaluated<Value> {
        self.step(&pipe.span)?;
        let mut value: Option<Value> = None;
        for command in &pipe.commands {
            let next = self.command(command, dot, value)?;
            // an interface that holds nothing is from here on no value at all, as in Go
            value = Some(if matches!(next, Value::Nil) { Value::Invalid } else { next });
        }
        let value = value.unwrap_or(Value::Invalid);
        for name in &pipe.names {
            if pipe.assign {
                self.assign(&pipe.span, name, value.clone())?;
            } else {
                self.variables.push(Variable { name: name.clone(), value: value.clone() });
            }
        }
        Ok(value)
    }

    fn command(&mut self, command: &'a Command, dot: &Value, last: Option<Value>) -> Evaluated<Value> {
        let first = &command.words[0];
        let rest = &command.words[1..];
        match &first.kind {
            ExprKind::Function(func) => return self.function(&command.span, func, rest, dot, last),
            ExprKind::Fields(names) => {
                return self.fields(&first.span, dot.clone(), names, rest, dot, last);
            }
            ExprKind::Variable(name, names) => {
                let value = self.variable(&first.span, name)?;
                if names.is_empty() {
                    self.no_arguments(first, rest, last.as_ref())?;
                    return Ok(value);
                }
                return self.fields(&first.span, value, names, rest, dot, last);
            }
            ExprKind::Chain(inner, names) => {
                let value = self.argument(inner, dot)?;
                return self.fields(&first.span, value, names, rest, dot, last);
            }
            ExprKind::Pipe(_) | ExprKind::Dot | ExprKind::Literal(_) | ExprKind::Nil => {}
        }
        self.no_arguments(first, rest, last.as_ref())?;
        match &first.kind {
            ExprKind::Nil => self.fail(&first.span, "nil is not a command"),
            _ => self.argument(first, dot),
        }
    }

    fn no_arguments(&self, word: &Expr, rest: &[Expr], last: Option<&Value>) -> Evaluated<()> {
        if rest.is_empty() && last.is_none() {
            return Ok(());
        }
        let shown = excerpt(self.source.get(word.span.clone()).unwrap_or(&[]));
        self.fail(&word.span, format!("can't give argument to non-function {shown}"))
    }

    fn variable(&self, at: &Span, name: &str) -> Evaluated<Value> {
        match self.variables[self.base..].iter().rev().find(|variable| variable.name == name) {
            Some(variable) => Ok(variable.value.clone()),
            None => self.fail(at, format!("undefined variable {name:?}")),
        }
    }

    /// A word as an argument.
    fn argument(&mut self, word: &'a Expr, dot: &Value) -> Evaluated<Value> {
        match &word.kind {
            ExprKind::Dot => Ok(dot.clone()),
            ExprKind::Nil => Ok(Value::Nil),
            ExprKind::Literal(value) => Ok(value.clone()),
            ExprKind::Fields(names) => self.fields(&word.span, dot.clone(), names, &[], dot, None),
            ExprKind::Variable(name, names) => {
                let value = self.variable(&word.span, name)?;
                self.fields(&word.span, value, names, &[], dot, None)
            }
            ExprKind::Chain(inner, names) => {
                let value = self.argument(inner, dot)?;
                self.fields(&word.span, value, names, &[], dot, None)
            }
            ExprKind::Function(func) => self.function(&word.span, func, &[], dot, None),
            ExprKind::Pipe(pipe) => {
                let mark = self.variables.len();
                let value = self.pipeline(pipe, dot);
                self.variables.truncate(mark);
                value
            }
        }
    }

    /// `.a.b` of a value; arguments go to the last name, which has to be a method then.
    fn fields(
        &mut self,
        at: &Span,
        value: Value,
        names: &'a [Text],
        rest: &'a [Expr],
        dot: &Value,
        last: Option<Value>,
    ) -> Evaluated<Value> {
        let Some((final_name, before)) = names.split_last() else { return Ok(value) };
        let mut value = value;
        for name in before {
            value = self.field(at, value, name, None)?;
        }
        let mut arguments = None;
        if !rest.is_empty() || last.is_some() {
            let mut values = Vec::with_capacity(rest.len() + 1);
            for word in rest {
                values.push(self.argument(word, dot)?);
            }
            values.extend(last);
            arguments = Some(values);
        }
        self.field(at, value, final_name, arguments)
    }

    fn field(
        &mut self,
        at: &Span,
        value: Value,
        name: &Text,
        arguments: Option<Vec<Value>>,
    ) -> Evaluated<Value> {
        let strict = self.context.options.error_on_missing_key;
        let shown = || name.to_str().into_owned();
        if let Some(method) = crate::func::method(&value, name) {
            let arguments = arguments.unwrap_or_default();
            return match method(&value, &arguments) {
                Ok(value) => Ok(value),
                Err(fault) => self.fault(at, fault, &format!("error calling {}: ", shown())),
            };
        }
        match &value {
            Value::Invalid if strict => self.fail(at, format!("nil data; no entry for key {:?}", shown())),
            Value::Invalid => Ok(Value::Invalid),
            Value::Nil => self.fail(at, format!("nil pointer evaluating interface {{}}.{}", shown())),
            Value::NilPtr(record) => {
                self.fail(at, format!("nil pointer evaluating *{}.{}", record.name, shown()))
            }
            Value::Ptr(record) | Value::Struct(record) => match record.field(name) {
                Some(_) if arguments.is_some() => {
                    self.fail(at, format!("{} has arguments but cannot be invoked as function", shown()))
                }
                Some(field) => Ok(field.clone()),
                None => {
                    let message = format!("can't evaluate field {} in type {}", shown(), value.type_name());
                    let hint =
                        crate::func::nearest(&shown(), record.record.fields.iter().map(|field| field.name));
                    self.fail(at, format!("{message}{hint}"))
                }
            },
            Value::Map(map) if matches!(map.ty, crate::value::Ty::Map(_)) => {
                if arguments.is_some() {
                    return self.fail(at, format!("{} is not a method but has arguments", shown()));
                }
                match map.entries.get(&MapKey::Text(name.clone())) {
                    Some(entry) => Ok(entry.clone()),
                    None if strict => self.fail(at, format!("map has no entry for key {:?}", shown())),
                    None => Ok(map.zero()),
                }
            }
            other => self.fail(at, format!("can't evaluate field {} in type {}", shown(), other.type_name())),
        }
    }

    fn function(
        &mut self,
        at: &Span,
        func: &'static Func,
        rest: &'a [Expr],
        dot: &Value,
        last: Option<Value>,
    ) -> Evaluated<Value> {
        let count = rest.len() + usize::from(last.is_some());
        if let Err(message) = func.check_count(count) {
            return self.fail(at, message);
        }
        if let Run::And | Run::Or = func.run {
            return self.and_or(matches!(func.run, Run::Or), rest, dot, last);
        }
        let mut arguments = Vec::with_capacity(count);
        for (index, word) in rest.iter().enumerate() {
            let value = self.argument(word, dot)?;
            let literal = matches!(word.kind, ExprKind::Literal(_));
            match func.accept(index, value, literal.then(|| self.shown(word))) {
                Ok(value) => arguments.push(value),
                Err(message) => return self.fail(&word.span, format!("{}: {message}", func.name)),
            }
        }
        if let Some(value) = last {
            match func.accept(rest.len(), value, None) {
                Ok(value) => arguments.push(value),
                Err(message) => return self.fail(at, format!("{}: {message}", func.name)),
            }
        }
        self.step(at)?;
        let result = match func.run {
            Run::Call(run) => run(&mut self.context, &arguments),
            Run::ExecuteTemplate => self.execute_template(at, &arguments)?,
            Run::Compare(run) => compare::call(run, &arguments).map_err(Fault::from),
            Run::Builtin(run) => run(&mut self.context, &arguments),
            Run::And | Run::Or => Ok(Value::Invalid),
        };
        match result {
            Ok(value) => {
                if let Value::Str(text) = &value
                    && let Err(fault) = self.context.work(text.len())
                {
                    return self.fault(at, fault, "");
                }
                Ok(value)
            }
            Err(fault) => self.fault(at, fault, &format!("error calling {}: ", func.name)),
        }
    }

    fn shown(&self, word: &Expr) -> String {
        excerpt(self.source.get(word.span.clone()).unwrap_or(&[]))
    }

    /// Stops at the first value that decides.
    fn and_or(&mut self, or: bool, rest: &'a [Expr], dot: &Value, last: Option<Value>) -> Evaluated<Value> {
        let mut value = Value::Invalid;
        for word in rest {
            value = self.argument(word, dot)?;
            if value.truth() == or {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn execute_template(&mut self, at: &Span, arguments: &[Value]) -> Evaluated<Outcome> {
        let Some(name) = arguments.first().and_then(Value::as_text).cloned() else {
            return Ok(Err(Fault::from("executeTemplate needs a name")));
        };
        if !self.set.templates.contains_key(&name) {
            let message = format!("template: no template {:?} associated with this template", name.to_str());
            return Ok(Err(Fault::Bad(message)));
        }
        let dot = arguments.get(1).cloned().unwrap_or(Value::Invalid);
        let mut out = Vec::new();
        self.call_template(at, &name, dot, &mut out)?;
        Ok(Ok(Value::text(out)))
    }
}

/// Keeps the compiler honest about sharing.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Arc<Set>>();
};
