//! The functions of both dialects: one table, one implementation each.

mod convert;
mod data;
mod flow;
mod hash;
mod json;
mod list;
mod math;
mod pattern;
mod scan;
mod text;
mod time;
mod toml;
mod yaml;

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use crate::context::{Context, Fault, Outcome};
use crate::go::{Comparison, builtin};
use crate::value::{ListValue, Text, Ty, Value};

pub(crate) use data::instances;
pub(crate) use json::{from_json, string as json_string, to_json};

/// What a parameter takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Param {
    Any,
    Str,
    Int,
    Bool,
    /// `[]string`
    Strs,
    /// What `ls` and `tree` give.
    Pairs,
    /// What `service` gives.
    Instances,
    /// `map[string]interface {}`
    Map,
}

/// How a function is run.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    Call(fn(&mut Context<'_>, &[Value]) -> Outcome),
    /// A function of Go's own.
    Builtin(fn(&mut Context<'_>, &[Value]) -> Outcome),
    Compare(Comparison),
    /// Stops at the first argument that decides.
    And,
    Or,
    ExecuteTemplate,
}

/// A function.
pub(crate) struct Func {
    pub(crate) name: &'static str,
    pub(crate) params: &'static [Param],
    pub(crate) rest: Option<Param>,
    pub(crate) run: Run,
}

impl fmt::Debug for Func {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A function with so many parameters.
const fn func(
    name: &'static str,
    params: &'static [Param],
    run: fn(&mut Context<'_>, &[Value]) -> Outcome,
) -> Func {
    Func { name, params, rest: None, run: Run::Call(run) }
}

/// A function with any number of further arguments of one kind.
const fn variadic(
    name: &'static str,
    params: &'static [Param],
    rest: Param,
    run: fn(&mut Context<'_>, &[Value]) -> Outcome,
) -> Func {
    Func { name, params, rest: Some(rest), run: Run::Call(run) }
}

const fn own(
    name: &'static str,
    params: &'static [Param],
    rest: Option<Param>,
    run: fn(&mut Context<'_>, &[Value]) -> Outcome,
) -> Func {
    Func { name, params, rest, run: Run::Builtin(run) }
}

const fn compare(name: &'static str, comparison: Comparison, params: &'static [Param], many: bool) -> Func {
    let rest = if many { Some(Param::Any) } else { None };
    Func { name, params, rest, run: Run::Compare(comparison) }
}

use Param::{Any, Str};

static BUILTIN: &[Func] = &[
    Func { name: "and", params: &[Any], rest: Some(Any), run: Run::And },
    Func { name: "or", params: &[Any], rest: Some(Any), run: Run::Or },
    Func { name: "executeTemplate", params: &[Str], rest: Some(Any), run: Run::ExecuteTemplate },
    compare("eq", Comparison::Eq, &[Any], true),
    compare("ne", Comparison::Ne, &[Any, Any], false),
    compare("lt", Comparison::Lt, &[Any, Any], false),
    compare("le", Comparison::Le, &[Any, Any], false),
    compare("gt", Comparison::Gt, &[Any, Any], false),
    compare("ge", Comparison::Ge, &[Any, Any], false),
    own("not", &[Any], None, builtin::not),
    own("len", &[Any], None, builtin::len),
    own("index", &[Any], Some(Any), builtin::index),
    own("slice", &[Any], Some(Any), builtin::slice),
    own("call", &[Any], Some(Any), builtin::call),
    own("print", &[], Some(Any), builtin::print),
    own("println", &[], Some(Any), builtin::println),
    own("printf", &[Str], Some(Any), builtin::printf),
    own("html", &[], Some(Any), builtin::html),
    own("js", &[], Some(Any), builtin::js),
    own("urlquery", &[], Some(Any), builtin::urlquery),
];

static TABLE: LazyLock<HashMap<&'static str, &'static Func>> = LazyLock::new(|| {
    let tables = [
        BUILTIN,
        convert::FUNCS,
        data::FUNCS,
        hash::FUNCS,
        list::FUNCS,
        math::FUNCS,
        pattern::FUNCS,
        text::FUNCS,
        time::FUNCS,
    ];
    tables.into_iter().flatten().map(|func| (func.name, func)).collect()
});

/// The function of that name.
pub(crate) fn find(name: &str) -> Option<&'static Func> {
    TABLE.get(name).copied()
}

/// All functions.
pub(crate) fn all() -> impl Iterator<Item = &'static Func> {
    TABLE.values().copied()
}

/// What may be meant by an unknown name; empty if nothing is near.
pub(crate) fn hint(name: &str) -> String {
    nearest(name, TABLE.keys().copied())
}

/// `; did you mean ...?` for the nearest of the names, if one is near.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    let limit = (name.chars().count() / 3).clamp(1, 3);
    let best = names.map(|other| (distance(name, other), other)).filter(|(far, _)| *far <= limit).min();
    best.map_or_else(String::new, |(_, other)| format!("; did you mean {other:?}?"))
}

/// Edits from one word to the other, case not counting.
fn distance(left: &str, right: &str) -> usize {
    if left.len().abs_diff(right.len()) > 3 || left.len() > 64 {
        return usize::MAX;
    }
    let (left, right) = (left.to_lowercase(), right.to_lowercase());
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

impl Func {
    /// Is that a number of arguments it takes?
    pub(crate) fn check_count(&self, count: usize) -> Result<(), String> {
        let wanted = self.params.len();
        match self.rest {
            Some(_) if count < wanted => {
                Err(format!("wrong number of args for {}: want at least {wanted} got {count}", self.name))
            }
            None if count != wanted => {
                Err(format!("wrong number of args for {}: want {wanted} got {count}", self.name))
            }
            _ => Ok(()),
        }
    }

    fn param(&self, index: usize) -> Param {
        self.params.get(index).copied().or(self.rest).unwrap_or(Any)
    }

    /// Checks an argument against its parameter. A literal is shown in the message as it was written.
    pub(crate) fn accept(
        &self,
        index: usize,
        value: Value,
        literal: Option<String>,
    ) -> Result<Value, String> {
        let param = self.param(index);
        let fits = match (&value, param) {
            (Value::Invalid, Any) => return Ok(Value::Nil),
            (_, Any)
            | (Value::Str(_), Str)
            | (Value::Int(_) | Value::Int64(_) | Value::Uint(_), Param::Int)
            | (Value::Bool(_), Param::Bool) => true,
            (Value::List(list), param) => param.elem().is_some_and(|elem| list_of(list, elem)),
            (Value::Map(map), Param::Map) => map.ty == Ty::Map(&Ty::Any),
            (Value::Invalid, param) if param.elem().is_some() || param == Param::Map => {
                return Ok(Value::zero(param.ty()));
            }
            (Value::Invalid, param) => return Err(format!("invalid value; expected {param}")),
            _ => false,
        };
        if fits {
            return Ok(value);
        }
        Err(match literal {
            Some(text) if param == Str => format!("expected string; found {text}"),
            Some(text) if param == Param::Int => format!("expected integer; found {text}"),
            Some(text) if param == Param::Bool => format!("expected bool; found {text}"),
            Some(text) => format!("can't handle {text} for arg of type {param}"),
            None => format!("wrong type for value; expected {param}; got {}", value.type_name()),
        })
    }

    /// As [`Func::accept`], for a dialect without Go's types: lists and numbers are taken for what is wanted.
    pub(crate) fn coerce(&self, index: usize, value: Value) -> Result<Value, String> {
        let value = match (self.param(index), value) {
            (
                Str,
                value @ (Value::Int(_) | Value::Int64(_) | Value::Uint(_) | Value::Float(_) | Value::Bool(_)),
            ) => Value::text(crate::go::sprint(&[value])),
            (Str, Value::Nil) => Value::text(""),
            (Param::Strs, Value::List(list))
                if list.items.iter().all(|item| matches!(item, Value::Str(_))) =>
            {
                Value::list(&Ty::Str, list.items.clone())
            }
            (Param::Pairs | Param::Instances, Value::List(list)) => return Ok(Value::List(list)),
            (Param::Map, Value::Map(map)) => return Ok(Value::Map(map)),
            (_, value) => value,
        };
        self.accept(index, value, None)
    }
}

/// Is it a list of that element type, under whatever name?
fn list_of(list: &ListValue, elem: Ty) -> bool {
    matches!(list.ty, Ty::List(have) | Ty::Named(_, have) if *have == elem)
}

impl Param {
    fn elem(self) -> Option<Ty> {
        match self {
            Param::Strs => Some(Ty::Str),
            Param::Pairs => Some(crate::data::KEY_PAIR_PTR),
            Param::Instances => Some(crate::data::HEALTH_SERVICE_PTR),
            _ => None,
        }
    }

    fn ty(self) -> Ty {
        match self {
            Param::Any => Ty::Any,
            Param::Str => Ty::Str,
            Param::Int => Ty::Int,
            Param::Bool => Ty::Bool,
            Param::Strs => Ty::List(&Ty::Str),
            Param::Pairs => Ty::List(&crate::data::KEY_PAIR_PTR),
            Param::Instances => Ty::List(&crate::data::HEALTH_SERVICE_PTR),
            Param::Map => Ty::Map(&Ty::Any),
        }
    }
}

impl fmt::Display for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ty().fmt(f)
    }
}

/// What a value can be asked to do: the notebook's methods, and `Contains` of tags.
pub(crate) type Method = fn(&Value, &[Value]) -> Outcome;

/// The method of that name, if the value has one.
pub(crate) fn method(value: &Value, name: &[u8]) -> Option<Method> {
    match value {
        Value::Scratch(_) => data::scratch_method(name),
        Value::List(list) if name == b"Contains" && list.ty == crate::data::TAGS => Some(list::tags_contain),
        _ => None,
    }
}

/// The text of an argument that has been checked to be one.
fn str_at(values: &[Value], at: usize) -> Text {
    values.get(at).and_then(Value::as_text).cloned().unwrap_or_else(|| Text::from(""))
}

/// `error` of a function under its own name, as most of consul-template's say it.
fn bad<T>(name: &str, text: impl fmt::Display) -> Result<T, Fault> {
    Err(Fault::Bad(format!("{name}: {text}")))
}
