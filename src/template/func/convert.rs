//! Text to values and back: numbers, JSON, YAML, TOML, base64.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::{Func, Param, bad, func, json, str_at};
use crate::context::{Context, Outcome};
use crate::value::{Text, Value};
use Param::{Any, Map, Str};

pub(super) static FUNCS: &[Func] = &[
    func("parseBool", &[Str], |_, values| parse_bool(&str_at(values, 0))),
    func("parseFloat", &[Str], |_, values| parse_float(&str_at(values, 0))),
    func("parseInt", &[Str], |_, values| parse_int(&str_at(values, 0))),
    func("parseUint", &[Str], |_, values| parse_uint(&str_at(values, 0))),
    func("parseJSON", &[Str], |context, values| {
        let text = str_at(values, 0);
        context.work(text.len().saturating_mul(8))?;
        if text.is_empty() { Ok(Value::any_map([])) } else { json::read(&text) }
    }),
    func("parseYAML", &[Str], |context, values| {
        let text = str_at(values, 0);
        context.work(text.len().saturating_mul(8))?;
        if text.is_empty() { Ok(Value::any_map([])) } else { super::scan::read(context, &text.to_str()) }
    }),
    func("toJSON", &[Any], |context, values| write_json(context, "toJSON", &values[0], true, false)),
    func("toJSONPretty", &[Map], |context, values| {
        write_json(context, "toJSONPretty", &values[0], true, true)
    }),
    func("toUnescapedJSON", &[Any], |context, values| {
        write_json(context, "toUnescapedJSON", &values[0], false, false)
    }),
    func("toUnescapedJSONPretty", &[Map], |context, values| {
        write_json(context, "toUnescapedJSONPretty", &values[0], false, true)
    }),
    func("toYAML", &[Map], |context, values| {
        let text = super::yaml::write(context, &values[0])?;
        Ok(Value::text(super::text::trim_space(text.as_bytes())))
    }),
    func("toTOML", &[Map], |context, values| match super::toml::write(context, &values[0]) {
        Ok(text) => Ok(Value::text(super::text::trim_space(&text))),
        Err(crate::context::Fault::Bad(text)) => bad("toTOML", text),
        Err(fault) => Err(fault),
    }),
    func("base64Encode", &[Str], |context, values| {
        let text = str_at(values, 0);
        context.work(text.len())?;
        Ok(Value::text(STANDARD.encode(&*text)))
    }),
    func("base64URLEncode", &[Str], |context, values| {
        let text = str_at(values, 0);
        context.work(text.len())?;
        Ok(Value::text(URL_SAFE.encode(&*text)))
    }),
    func("base64Decode", &[Str], |_, values| decode("base64Decode", &STANDARD, &str_at(values, 0))),
    func("base64URLDecode", &[Str], |_, values| decode("base64URLDecode", &URL_SAFE, &str_at(values, 0))),
];

fn write_json(context: &mut Context<'_>, name: &str, value: &Value, html: bool, pretty: bool) -> Outcome {
    match json::write(context, value, json::Style { html, pretty }) {
        Ok(text) => Ok(Value::text(text)),
        Err(crate::context::Fault::Bad(text)) => bad(name, text),
        Err(fault) => Err(fault),
    }
}

/// Line ends inside are skipped, as in Go.
fn decode(name: &str, engine: &base64::engine::GeneralPurpose, text: &Text) -> Outcome {
    let solid: Vec<u8> = text.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
    match engine.decode(&solid) {
        Ok(bytes) => Ok(Value::text(bytes)),
        Err(error) => {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _)
                | base64::DecodeError::InvalidLastSymbol { offset: at, .. } => at,
                base64::DecodeError::InvalidLength(at) => at,
                base64::DecodeError::InvalidPadding => solid.len(),
            };
            bad(name, format!("illegal base64 data at input byte {at}"))
        }
    }
}

fn syntax<T>(name: &str, go: &str, text: &Text, why: &str) -> Result<T, crate::context::Fault> {
    bad(name, format!("strconv.{go}: parsing {}: {why}", crate::go::quote(text)))
}

const SYNTAX: &str = "invalid syntax";
const RANGE: &str = "value out of range";

fn parse_bool(text: &Text) -> Outcome {
    match &**text {
        b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True" => Ok(Value::Bool(true)),
        b"" | b"0" | b"f" | b"F" | b"FALSE" | b"false" | b"False" => Ok(Value::Bool(false)),
        _ => syntax("parseBool", "ParseBool", text, SYNTAX),
    }
}

fn parse_float(text: &Text) -> Outcome {
    if text.is_empty() {
        return Ok(Value::Float(0.0));
    }
    // without a base prefix Go takes no underscores here
    let parsed = match text.to_str() {
        plain if plain.contains('_') => None,
        plain => crate::go::parse_float(&plain),
    };
    match parsed {
        Some(number)
            if number.is_infinite()
                && !text.to_ascii_lowercase().ends_with(b"inf")
                && !text.to_ascii_lowercase().ends_with(b"infinity") =>
        {
            syntax("parseFloat", "ParseFloat", text, RANGE)
        }
        Some(number) => Ok(Value::Float(number)),
        None => syntax("parseFloat", "ParseFloat", text, SYNTAX),
    }
}

fn digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

fn parse_int(text: &Text) -> Outcome {
    if text.is_empty() {
        return Ok(Value::Int64(0));
    }
    let unsigned = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if !digits(unsigned) {
        return syntax("parseInt", "ParseInt", text, SYNTAX);
    }
    match text.to_str().parse::<i64>() {
        Ok(number) => Ok(Value::Int64(number)),
        Err(_) => syntax("parseInt", "ParseInt", text, RANGE),
    }
}

fn parse_uint(text: &Text) -> Outcome {
    if text.is_empty() {
        return Ok(Value::Uint(0));
    }
    if !digits(text) {
        return syntax("parseUint", "ParseUint", text, SYNTAX);
    }
    match text.to_str().parse::<u64>() {
        Ok(number) => Ok(Value::Uint(number)),
        Err(_) => syntax("parseUint", "ParseUint", text, RANGE),
    }
}
