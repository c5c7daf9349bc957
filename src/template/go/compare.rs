//! `eq ne lt le gt ge`, by the kinds of Go 1.19.

use std::cmp::Ordering;

use crate::value::Value;

/// Which comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Kind {
    Bool,
    Int,
    Uint,
    Float,
    Complex,
    Text,
}

const INCOMPATIBLE: &str = "incompatible types for comparison";
const BAD_TYPE: &str = "invalid type for comparison";

fn kind(value: &Value) -> Option<Kind> {
    Some(match value {
        Value::Bool(_) => Kind::Bool,
        Value::Int(_) | Value::Int64(_) => Kind::Int,
        Value::Uint(_) => Kind::Uint,
        Value::Float(_) => Kind::Float,
        Value::Complex(_) => Kind::Complex,
        Value::Str(_) => Kind::Text,
        _ => return None,
    })
}

pub(crate) fn call(comparison: Comparison, values: &[Value]) -> Result<Value, String> {
    let Some((first, rest)) = values.split_first() else {
        return Err("missing argument for comparison".into());
    };
    if rest.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    let truth = match comparison {
        Comparison::Eq => {
            let mut found = false;
            comparable(first)?;
            for other in rest {
                if equal(first, other)? {
                    found = true;
                    break;
                }
            }
            found
        }
        Comparison::Ne => !equal(first, &rest[0])?,
        Comparison::Lt => order(first, &rest[0])? == Some(Ordering::Less),
        Comparison::Le => matches!(order(first, &rest[0])?, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Gt => order(first, &rest[0])? == Some(Ordering::Greater),
        Comparison::Ge => matches!(order(first, &rest[0])?, Some(Ordering::Greater | Ordering::Equal)),
    };
    Ok(Value::Bool(truth))
}

fn comparable(value: &Value) -> Result<(), String> {
    match value {
        Value::List(_) | Value::Map(_) | Value::Range(..) => {
            let shown = crate::value::lossy(&super::print::shown(value)).into_owned();
            Err(format!("non-comparable type {shown}: {}", value.type_name()))
        }
        _ => Ok(()),
    }
}

fn equal(left: &Value, right: &Value) -> Result<bool, String> {
    comparable(left)?;
    comparable(right)?;
    match (kind(left), kind(right)) {
        (Some(_), Some(_)) => {}
        (None, None) => return Ok(same(left, right)),
        // a value against nothing is unequal, not an error
        _ if left.is_nothing() || right.is_nothing() => return Ok(false),
        _ => return Err(INCOMPATIBLE.to_owned()),
    }
    Ok(match (left, right) {
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Complex(a), Value::Complex(b)) => a == b,
        (Value::Str(a), Value::Str(b)) => a == b,
        _ => order_integers(left, right).ok_or(INCOMPATIBLE)? == Ordering::Equal,
    })
}

fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Ptr(a), Value::Ptr(b)) => std::sync::Arc::ptr_eq(a, b),
        (Value::Invalid | Value::Nil | Value::NilPtr(_), Value::Invalid | Value::Nil | Value::NilPtr(_)) => {
            true
        }
        _ => false,
    }
}

fn order(left: &Value, right: &Value) -> Result<Option<Ordering>, String> {
    let (Some(a), Some(b)) = (kind(left), kind(right)) else { return Err(BAD_TYPE.to_owned()) };
    Ok(match (left, right) {
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
        _ if a == b && matches!(a, Kind::Bool | Kind::Complex) => return Err(BAD_TYPE.to_owned()),
        _ => Some(order_integers(left, right).ok_or(INCOMPATIBLE)?),
    })
}

fn order_integers(left: &Value, right: &Value) -> Option<Ordering> {
    let wide = |value: &Value| match value {
        Value::Int(number) | Value::Int64(number) => Some(i128::from(*number)),
        Value::Uint(number) => Some(i128::from(*number)),
        _ => None,
    };
    Some(wide(left)?.cmp(&wide(right)?))
}
