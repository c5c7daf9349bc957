//! The expressions of `?filter=`: parsed, checked against the fields of what is filtered, evaluated on records.
//!
//! ```text
//!   text ──grammar──▶ Expression ──compile(sample record)──▶ Filter ──matches(record)──▶ bool
//! ```
//! Texts of errors are Consul's, positions included: people read them, and some tools match on them.

mod grammar;
mod records;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crs_types::ServiceAddress;
use regex::Regex;

use crate::error::Failure;
use crate::params::{go_quote, parse_bool};
use grammar::{Expression, Operator};

pub(crate) use records::{CatalogService, ServiceHealth};

/// What a selector leads to. Lists and maps of records carry a sample, so that selectors into empty ones can be
/// checked.
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    Bool(bool),
    Texts(&'a [String]),
    Pairs(Option<&'a BTreeMap<String, String>>),
    Addresses(&'a BTreeMap<String, ServiceAddress>),
    Record(Box<dyn Record + 'a>),
    Records(Vec<Box<dyn Record + 'a>>, Box<dyn Record>),
}

/// Something that can be filtered.
pub(crate) trait Record {
    /// A field by the name that JSON shows; `None` for what is no field to filter by.
    fn field(&self, name: &str) -> Option<Value<'_>>;
}

/// A checked expression.
#[derive(Debug)]
pub(crate) struct Filter(Node);

#[derive(Debug)]
enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Match { path: Vec<String>, test: Test },
}

/// A comparison with its value already in the type of the field.
#[derive(Debug)]
enum Test {
    Equal(Literal, bool),
    In(String, bool),
    Empty(bool),
    Matches(Regex, bool),
}

#[derive(Debug)]
enum Literal {
    Text(String),
    Int(i64),
    Bool(bool),
}

/// Parses an expression and checks it against a record of the kind that will be filtered. `None` for an empty one.
///
/// # Errors
/// Consul's text, 500 and with the index headers of a read that failed.
pub(crate) fn compile(text: &str, sample: &dyn Record) -> Result<Option<Filter>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let compiled = grammar::parse(text).and_then(|expression| check(expression, sample));
    compiled.map(|node| Some(Filter(node))).map_err(|why| {
        Failure::refused(format!("Failed to create boolean expression evaluator: {why}")).showing_index()
    })
}

impl Filter {
    /// Whether a record passes.
    pub(crate) fn matches(&self, record: &dyn Record) -> bool {
        evaluate(&self.0, record)
    }
}

/// Whether a record passes a filter that may not be there.
pub(crate) fn passes(filter: Option<&Filter>, record: &dyn Record) -> bool {
    filter.is_none_or(|filter| filter.matches(record))
}

fn check(expression: Expression, sample: &dyn Record) -> Result<Node, String> {
    Ok(match expression {
        Expression::And(parts) => {
            Node::And(parts.into_iter().map(|part| check(part, sample)).collect::<Result<_, _>>()?)
        }
        Expression::Or(parts) => {
            Node::Or(parts.into_iter().map(|part| check(part, sample)).collect::<Result<_, _>>()?)
        }
        Expression::Not(inner) => Node::Not(Box::new(check(*inner, sample)?)),
        Expression::Match { path, operator, value } => {
            let test = check_match(&path, operator, value, sample)?;
            Node::Match { path, test }
        }
    })
}

fn check_match(
    path: &[String],
    operator: Operator,
    value: String,
    sample: &dyn Record,
) -> Result<Test, String> {
    let selector = path.join(".");
    let invalid =
        || Err(format!("Invalid match operator {:?} for selector {}", operator.name(), go_quote(&selector)));
    let coerced = |result: Result<Literal, String>| {
        result.map_err(|why| {
            format!("Failed to coerce value {} for selector {}: {why}", go_quote(&value), go_quote(&selector))
        })
    };
    let positive = operator.is_positive();
    with_field(sample, path, 0, &mut |field| match (operator, field) {
        (Operator::Equal | Operator::NotEqual, Value::Text(_)) => {
            Ok(Test::Equal(Literal::Text(value.clone()), positive))
        }
        (Operator::Equal | Operator::NotEqual, Value::Int(_)) => {
            let number = value
                .parse()
                .map_err(|_| format!("strconv.ParseInt: parsing {}: invalid syntax", go_quote(&value)));
            Ok(Test::Equal(coerced(number.map(Literal::Int))?, positive))
        }
        (Operator::Equal | Operator::NotEqual, Value::Bool(_)) => {
            let flag = parse_bool(&value);
            let flag = flag
                .ok_or_else(|| format!("strconv.ParseBool: parsing {}: invalid syntax", go_quote(&value)));
            Ok(Test::Equal(coerced(flag.map(Literal::Bool))?, positive))
        }
        (
            Operator::In | Operator::NotIn,
            Value::Text(_) | Value::Texts(_) | Value::Pairs(_) | Value::Addresses(_),
        ) => Ok(Test::In(value.clone(), positive)),
        (
            Operator::IsEmpty | Operator::IsNotEmpty,
            Value::Texts(_) | Value::Pairs(_) | Value::Addresses(_) | Value::Records(..),
        ) => Ok(Test::Empty(positive)),
        (Operator::Matches | Operator::NotMatches, Value::Text(_)) => {
            Ok(Test::Matches(regex(&value)?, positive))
        }
        _ => invalid(),
    })
}

/// Longest compiled form of a pattern: patterns come from outside.
const REGEX_SIZE_BYTES: usize = 1 << 20;

fn regex(pattern: &str) -> Result<Regex, String> {
    let built = regex::RegexBuilder::new(pattern).size_limit(REGEX_SIZE_BYTES).nest_limit(100).build();
    built.map_err(|error| {
        let said = error.to_string();
        let reason = said.lines().last().unwrap_or("").trim_start_matches("error: ");
        let reason = match reason {
            "unclosed group" => format!("missing closing ): `{pattern}`"),
            "unopened group" => format!("unexpected ): `{pattern}`"),
            "unclosed character class" => format!("missing closing ]: `{pattern}`"),
            "repetition operator missing expression" => {
                format!("missing argument to repetition operator: `{pattern}`")
            }
            reason => format!("{reason}: `{pattern}`"),
        };
        let pattern = go_quote(pattern);
        format!("Failed to compile regular expression {pattern}: error parsing regexp: {reason}")
    })
}

/// Leads to the kind of a field on a sample. Within a map every key is a field.
fn with_field<T>(
    record: &dyn Record,
    path: &[String],
    at: usize,
    use_field: &mut dyn FnMut(Value<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let invalid = |depth: usize| Err(format!("Selector {} is not valid", go_quote(&path[..depth].join("."))));
    let Some(field) = record.field(&path[at]) else { return invalid(at + 1) };
    if at + 1 == path.len() {
        return use_field(field);
    }
    match field {
        Value::Record(inner) => with_field(&*inner, path, at + 1, use_field),
        Value::Records(_, sample) => with_field(&*sample, path, at + 1, use_field),
        Value::Addresses(_) if at + 2 == path.len() => {
            use_field(Value::Record(Box::new(ServiceAddress::default())))
        }
        Value::Addresses(_) => with_field(&ServiceAddress::default(), path, at + 2, use_field),
        Value::Pairs(_) if at + 2 == path.len() => use_field(Value::Text(Cow::Borrowed(""))),
        Value::Pairs(_) => invalid(at + 3),
        _ => invalid(at + 2),
    }
}

fn evaluate(node: &Node, record: &dyn Record) -> bool {
    match node {
        Node::And(parts) => parts.iter().all(|part| evaluate(part, record)),
        Node::Or(parts) => parts.iter().any(|part| evaluate(part, record)),
        Node::Not(inner) => !evaluate(inner, record),
        Node::Match { path, test } => evaluate_match(record, path, test),
    }
}

fn evaluate_match(record: &dyn Record, path: &[String], test: &Test) -> bool {
    let Some((name, rest)) = path.split_first() else { return false };
    let Some(field) = record.field(name) else { return false };
    let Some((key, beyond)) = rest.split_first() else { return holds(test, field) };
    match field {
        Value::Record(inner) => evaluate_match(&*inner, rest, test),
        Value::Records(records, _) => records.iter().any(|record| evaluate_match(&**record, rest, test)),
        Value::Pairs(pairs) => match pairs.and_then(|pairs| pairs.get(key)) {
            Some(text) => holds(test, Value::Text(Cow::Borrowed(text))),
            None => holds_for_missing(test),
        },
        Value::Addresses(addresses) => match addresses.get(key) {
            Some(address) => evaluate_match(address, beyond, test),
            None => holds_for_missing(test),
        },
        _ => false,
    }
}

/// What Consul says of a key that a map does not have: whatever claims something of it is false, the rest is true.
/// `matches` counts among the rest.
fn holds_for_missing(test: &Test) -> bool {
    match test {
        Test::Equal(_, positive) | Test::In(_, positive) => !positive,
        Test::Empty(positive) => *positive,
        Test::Matches(..) => true,
    }
}

fn holds(test: &Test, field: Value<'_>) -> bool {
    match (test, field) {
        (Test::Equal(Literal::Text(wanted), positive), Value::Text(text)) => (text == *wanted) == *positive,
        (Test::Equal(Literal::Int(wanted), positive), Value::Int(number)) => (number == *wanted) == *positive,
        (Test::Equal(Literal::Bool(wanted), positive), Value::Bool(flag)) => (flag == *wanted) == *positive,
        (Test::In(wanted, positive), Value::Text(text)) => text.contains(wanted.as_str()) == *positive,
        (Test::In(wanted, positive), Value::Texts(texts)) => texts.contains(wanted) == *positive,
        (Test::In(wanted, positive), Value::Pairs(pairs)) => {
            pairs.is_some_and(|pairs| pairs.contains_key(wanted)) == *positive
        }
        (Test::In(wanted, positive), Value::Addresses(map)) => map.contains_key(wanted) == *positive,
        (Test::Empty(positive), Value::Texts(texts)) => texts.is_empty() == *positive,
        (Test::Empty(positive), Value::Pairs(pairs)) => pairs.is_none_or(BTreeMap::is_empty) == *positive,
        (Test::Empty(positive), Value::Addresses(map)) => map.is_empty() == *positive,
        (Test::Empty(positive), Value::Records(records, _)) => records.is_empty() == *positive,
        (Test::Matches(regex, positive), Value::Text(text)) => regex.is_match(&text) == *positive,
        // The expression was checked against a sample of the same kind of record.
        _ => false,
    }
}

#[cfg(test)]
mod filter_test;
