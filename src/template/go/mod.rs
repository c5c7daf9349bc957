//! The dialect of consul-template: Go's `text/template`, as of Go 1.19, with `else with` of later releases.

mod ast;
pub(crate) mod builtin;
mod compare;
mod eval;
mod lex;
mod number;
mod parse;
mod print;

pub(crate) use ast::Set;
pub(crate) use compare::{Comparison, call as call_comparison};
pub(crate) use eval::render;
pub(crate) use number::{float, float_shortest, parse_float, parse_uint};
pub(crate) use parse::parse;
pub(crate) use print::{quote, sprint};
