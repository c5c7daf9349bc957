//! Arithmetic. The first argument is the one behind the operator, so that `10 | divide 2` reads well.

use super::{Func, Param, bad, func};
use crate::context::Outcome;
use crate::value::Value;
use Param::Any;

pub(super) static FUNCS: &[Func] = &[
    func("add", &[Any, Any], |_, values| reckon("add", i64::wrapping_add, |a, b| a + b, values)),
    func("subtract", &[Any, Any], |_, values| reckon("subtract", i64::wrapping_sub, |a, b| a - b, values)),
    func("multiply", &[Any, Any], |_, values| reckon("multiply", i64::wrapping_mul, |a, b| a * b, values)),
    func("divide", &[Any, Any], |_, values| divide("divide", values)),
    func("modulo", &[Any, Any], |_, values| divide("modulo", values)),
    func("minimum", &[Any, Any], |_, values| reckon("minimum", i64::min, f64::min, values)),
    func("maximum", &[Any, Any], |_, values| reckon("maximum", i64::max, f64::max, values)),
];

#[derive(Clone, Copy)]
enum Number {
    Int(i64),
    Uint(u64),
    Float(f64),
}

impl Number {
    #[allow(clippy::cast_precision_loss)]
    fn float(self) -> f64 {
        match self {
            Number::Int(number) => number as f64,
            Number::Uint(number) => number as f64,
            Number::Float(number) => number,
        }
    }

    /// The bits as a signed number, as Go converts.
    fn int(self) -> i64 {
        match self {
            Number::Int(number) => number,
            Number::Uint(number) => number.cast_signed(),
            Number::Float(_) => 0,
        }
    }
}

fn number(name: &str, value: &Value) -> Result<Number, crate::context::Fault> {
    match value {
        Value::Int(number) | Value::Int64(number) => Ok(Number::Int(*number)),
        Value::Uint(number) => Ok(Number::Uint(*number)),
        Value::Float(number) => Ok(Number::Float(*number)),
        other => {
            let shown = match other {
                Value::Str(text) => crate::go::quote(text),
                other => super::text::owned(&crate::go::sprint(std::slice::from_ref(other))),
            };
            bad(name, format!("unknown type for {shown} ({})", other.type_name()))
        }
    }
}

/// The result is of the kind of the second argument unless one is a float: Go's switch starts from it.
fn reckon(name: &str, int: fn(i64, i64) -> i64, float: fn(f64, f64) -> f64, values: &[Value]) -> Outcome {
    let (right, left) = (number(name, &values[0])?, number(name, &values[1])?);
    Ok(match (left, right) {
        (Number::Float(_), _) | (_, Number::Float(_)) => Value::Float(float(left.float(), right.float())),
        (Number::Uint(a), Number::Uint(b)) => Value::Uint(unsigned(name, a, b)),
        _ => Value::Int64(int(left.int(), right.int())),
    })
}

fn unsigned(name: &str, a: u64, b: u64) -> u64 {
    match name {
        "add" => a.wrapping_add(b),
        "subtract" => a.wrapping_sub(b),
        "multiply" => a.wrapping_mul(b),
        "minimum" => a.min(b),
        _ => a.max(b),
    }
}

fn divide(name: &str, values: &[Value]) -> Outcome {
    let (right, left) = (number(name, &values[0])?, number(name, &values[1])?);
    let by_zero = || bad(name, "runtime error: integer divide by zero");
    Ok(match (left, right) {
        (Number::Float(_), _) | (_, Number::Float(_)) if name == "modulo" => {
            let (at, _) = if matches!(right, Number::Float(_)) { (0, right) } else { (1, left) };
            return bad(name, format!("unknown type for {} (float64)", text_of(&values[at])));
        }
        (Number::Float(_), _) | (_, Number::Float(_)) => Value::Float(left.float() / right.float()),
        (Number::Uint(a), Number::Uint(b)) => match (name, b) {
            (_, 0) => return by_zero(),
            ("divide", _) => Value::Uint(a / b),
            _ => Value::Uint(a % b),
        },
        _ => match (name, right.int()) {
            (_, 0) => return by_zero(),
            ("divide", divisor) => Value::Int64(left.int().wrapping_div(divisor)),
            (_, divisor) => Value::Int64(left.int().wrapping_rem(divisor)),
        },
    })
}

fn text_of(value: &Value) -> String {
    super::text::owned(&crate::go::sprint(std::slice::from_ref(value)))
}
