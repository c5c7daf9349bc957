//! Go's number literals and its ways to print floating-point numbers.

use std::sync::Arc;

use crate::value::Value;

/// Reads a literal of a template, with the type that Go gives a constant there.
pub(crate) fn literal(text: &str) -> Result<Value, String> {
    if let Some(number) = text.strip_suffix('i') {
        return complex(text, number);
    }
    if let Some(int) = parse_int(text) {
        return match int {
            Ok(value) => Ok(Value::Int(value)),
            Err(Overflow::Unsigned) => Err(format!("{text} overflows int")),
            Err(Overflow::Beyond) => Err(format!("integer overflow: {text:?}")),
        };
    }
    let number = parse_float(text).ok_or_else(|| format!("illegal number syntax: {text:?}"))?;
    Ok(Value::Float(number))
}

fn complex(whole: &str, number: &str) -> Result<Value, String> {
    let bad = || format!("bad number syntax: {whole:?}");
    let split = number.rfind(['+', '-']).filter(|at| *at > 0);
    let (real, imaginary) = match split {
        // the sign of an exponent does not part anything
        Some(at) if !number[..at].ends_with(['e', 'E', 'p', 'P']) => (&number[..at], &number[at..]),
        _ => ("0", number),
    };
    let read = |text: &str| parse_float(text).ok_or_else(bad);
    Ok(Value::Complex(Arc::new((read(real)?, read(imaginary)?))))
}

enum Overflow {
    /// Fits `uint64`.
    Unsigned,
    Beyond,
}

/// `None` when the text is no integer literal at all.
fn parse_int(text: &str) -> Option<Result<i64, Overflow>> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = match parse_uint(digits)? {
        Some(magnitude) => magnitude,
        None => return Some(Err(Overflow::Beyond)),
    };
    let value = if negative { -i128::from(magnitude) } else { i128::from(magnitude) };
    Some(i64::try_from(value).map_err(|_| if negative { Overflow::Beyond } else { Overflow::Unsigned }))
}

/// Go's base prefixes and underscores. `None`: no number. `Some(None)`: too large.
pub(crate) fn parse_uint(digits: &str) -> Option<Option<u64>> {
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    let plain: String = underscores(body, radix != 10)?;
    if plain.is_empty() || !plain.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some(u64::from_str_radix(&plain, radix).ok())
}

/// Drops underscores between digits; a doubled or trailing one is an error.
fn underscores(body: &str, leading: bool) -> Option<String> {
    if body.ends_with('_') || body.contains("__") || (!leading && body.starts_with('_')) {
        return None;
    }
    Some(body.replace('_', ""))
}

/// Go's `ParseFloat`: decimal, hexadecimal (`0x1p-2`), `inf`, `nan`; underscores only with a base prefix.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    let lower = body.to_ascii_lowercase();
    match lower.as_str() {
        "inf" | "infinity" => return Some(sign * f64::INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    if let Some(hex) = lower.strip_prefix("0x") {
        return hex_float(hex).map(|value| sign * value);
    }
    let plain = underscores(&lower, false)?;
    let valid = plain.bytes().all(|byte| byte.is_ascii_digit() || b".e+-".contains(&byte));
    if !valid || !plain.bytes().any(|byte| byte.is_ascii_digit()) || plain.starts_with('e') {
        return None;
    }
    plain.parse::<f64>().ok().map(|value| sign * value)
}

fn hex_float(hex: &str) -> Option<f64> {
    let (mantissa, exponent) = hex.split_once('p')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0_f64;
    for digit in whole.chars().filter(|c| *c != '_') {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let mut scale = 1.0 / 16.0;
    for digit in fraction.chars() {
        value += f64::from(digit.to_digit(16)?) * scale;
        scale /= 16.0;
    }
    Some(value * 2.0_f64.powi(exponent))
}

/// Shortest digits and decimal exponent (of the first digit) of a finite number.
fn shortest(value: f64, single: bool) -> (String, i32) {
    #[allow(clippy::cast_possible_truncation)]
    let text = if single { format!("{:e}", (value as f32).abs()) } else { format!("{:e}", value.abs()) };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (mantissa.replace('.', ""), exponent.parse().unwrap_or(0))
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
}

/// `%v` of a float: the shortest text that reads back the same, with an exponent below -4 and from 6 on.
pub(crate) fn float(value: f64) -> String {
    float_shortest(value, false, 6, 2)
}

/// The shortest text; `single` rounds to 32 bits first, `limit` is the exponent from which on one is written.
pub(crate) fn float_shortest(value: f64, single: bool, limit: i32, exponent_digits: usize) -> String {
    if let Some(word) = special(value) {
        return word.to_owned();
    }
    let (digits, exponent) = shortest(value, single);
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if exponent < -4 || exponent >= limit {
        let mantissa = if digits.len() > 1 { format!("{}.{}", &digits[..1], &digits[1..]) } else { digits };
        return format!("{sign}{mantissa}e{}", exponent_text(exponent, exponent_digits));
    }
    format!("{sign}{}", plain(&digits, exponent))
}

/// Digits with the point in its place.
fn plain(digits: &str, exponent: i32) -> String {
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    if exponent < 0 {
        let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
        return format!("0.{}{digits}", "0".repeat(zeros));
    }
    if exponent + 1 >= count {
        let zeros = usize::try_from(exponent + 1 - count).unwrap_or(0);
        return format!("{digits}{}", "0".repeat(zeros));
    }
    let point = usize::try_from(exponent + 1).unwrap_or(0);
    format!("{}.{}", &digits[..point], &digits[point..])
}

fn exponent_text(exponent: i32, digits: usize) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{:0digits$}", exponent.unsigned_abs())
}

/// `%e`, `%f`, `%g` with a precision; `None` takes what is needed to read back the same.
pub(crate) fn float_precision(value: f64, verb: u8, precision: Option<usize>, keep_zeros: bool) -> String {
    if let Some(word) = special(value) {
        return word.to_owned();
    }
    match (verb, precision) {
        (b'f', None) => format!("{value}"),
        (b'f', Some(precision)) => format!("{value:.precision$}"),
        (b'e', precision) => {
            let text = match precision {
                Some(precision) => format!("{value:.precision$e}"),
                None => format!("{value:e}"),
            };
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            format!("{mantissa}e{}", exponent_text(exponent.parse().unwrap_or(0), 2))
        }
        (_, None) => float_shortest(value, false, 6, 2),
        (_, Some(precision)) => general(value, precision.max(1), keep_zeros),
    }
}

/// `%.Ng`: N digits in all, trailing zeros dropped unless asked for.
fn general(value: f64, precision: usize, keep_zeros: bool) -> String {
    let text = format!("{:.*e}", precision - 1, value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let all = mantissa.replace('.', "");
    let digits = if keep_zeros { all.as_str() } else { all.trim_end_matches('0') };
    let digits = if digits.is_empty() { "0" } else { digits };
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let mut limit = i32::try_from(precision).unwrap_or(i32::MAX);
    if limit > count && count > exponent {
        limit = count;
    }
    if exponent < -4 || exponent >= limit {
        let mantissa =
            if digits.len() > 1 { format!("{}.{}", &digits[..1], &digits[1..]) } else { digits.to_owned() };
        return format!("{sign}{mantissa}e{}", exponent_text(exponent, 2));
    }
    format!("{sign}{}", plain(digits, exponent))
}
