//! Service-mesh settings of a service: structs on the wire, compact JSON inside, read by nobody here.
//!
//! JSON says only what is set; the wire says every field. Numbers in free-form settings are floating-point on the
//! wire, because they come from JSON there too.

use serde_json::{Map, Number, Value as Json};

use super::Put;
use crate::codec::{DecodeError, Decoder, Encoder, Fault, Token, Wire};

/// What a field holds.
#[derive(Debug)]
pub(super) enum Shape {
    Text,
    Int,
    Bool,
    /// Whatever was given.
    Any,
    /// Fields in the order of their names.
    Struct(&'static [(&'static str, Shape)]),
    List(&'static Shape),
}

use Shape::{Any, Bool, Int, List, Struct, Text};

const GATEWAY: Shape = Struct(&[("Mode", Text)]);

/// `ConnectProxyConfig`.
pub(super) const PROXY: Shape = Struct(&[
    ("Config", Any),
    ("DestinationServiceID", Text),
    ("DestinationServiceName", Text),
    (
        "Expose",
        Struct(&[
            ("Checks", Bool),
            (
                "Paths",
                List(&Struct(&[
                    ("ListenerPort", Int),
                    ("LocalPathPort", Int),
                    ("ParsedFromCheck", Bool),
                    ("Path", Text),
                    ("Protocol", Text),
                ])),
            ),
        ]),
    ),
    ("LocalServiceAddress", Text),
    ("LocalServicePort", Int),
    ("MeshGateway", GATEWAY),
    (
        "Upstreams",
        List(&Struct(&[
            ("Config", Any),
            ("Datacenter", Text),
            ("DestinationName", Text),
            ("DestinationNamespace", Text),
            ("DestinationType", Text),
            ("IngressHosts", List(&Text)),
            ("LocalBindAddress", Text),
            ("LocalBindPort", Int),
            ("MeshGateway", GATEWAY),
        ])),
    ),
]);

/// `ServiceConnect`.
pub(super) const CONNECT: Shape = Struct(&[("Native", Bool), ("SidecarService", Any)]);

/// Settings to be written: their shape, and the JSON kept inside. JSON of another shape is written as if not set.
pub(super) struct Settings<'a>(pub(super) &'static Shape, pub(super) &'a str);

impl Put for Settings<'_> {
    fn put(&self, out: &mut Encoder) {
        let json =
            if self.1.is_empty() { Json::Null } else { serde_json::from_str(self.1).unwrap_or_default() };
        self.0.put(&json, out);
    }
}

impl Shape {
    /// Reads settings; empty where nothing is set.
    pub(super) fn take(&self, input: &mut Decoder<'_>) -> Result<String, DecodeError> {
        Ok(self.take_json(input)?.map(|json| json.to_string()).unwrap_or_default())
    }

    fn put(&self, json: &Json, out: &mut Encoder) {
        match self {
            Text => out.text(json.as_str().unwrap_or_default()),
            Int => out.int(json.as_i64().or_else(|| json.as_f64().map(|n| n as i64)).unwrap_or_default()),
            Bool => out.bool(json.as_bool().unwrap_or_default()),
            Any => put_any(json, out),
            Struct(fields) => {
                out.map(fields.len());
                for (name, shape) in *fields {
                    out.text(name);
                    shape.put(field_of(json, name), out);
                }
            }
            List(shape) => match json.as_array() {
                Some(list) if !list.is_empty() => {
                    out.array(list.len());
                    list.iter().for_each(|item| shape.put(item, out));
                }
                _ => out.nil(),
            },
        }
    }

    /// `None` where the value is the zero of its shape.
    fn take_json(&self, input: &mut Decoder<'_>) -> Result<Option<Json>, DecodeError> {
        Ok(match self {
            Text => Some(String::take(input)?).filter(|text| !text.is_empty()).map(Json::from),
            Int => Some(input.int()?).filter(|n| *n != 0).map(Json::from),
            Bool => Some(input.bool()?).filter(|set| *set).map(Json::from),
            Any => Some(take_any(input)?).filter(|json| !json.is_null()),
            Struct(fields) => {
                let mut object = Map::new();
                super::take_struct(input, |name, input| {
                    let Some((name, shape)) = fields.iter().find(|(field, _)| field.as_bytes() == name)
                    else {
                        return Ok(false);
                    };
                    input.charge::<(String, Json)>()?;
                    if let Some(json) = shape.take_json(input)? {
                        object.insert((*name).to_owned(), json);
                    }
                    Ok(true)
                })?;
                Some(object).filter(|object| !object.is_empty()).map(Json::Object)
            }
            List(shape) => {
                let mut list = Vec::new();
                if let Some(len) = input.array()? {
                    for _ in 0..len {
                        input.charge::<Json>()?;
                        // What is zero in a list still takes its place.
                        list.push(shape.take_json(input)?.unwrap_or_else(|| shape.zero()));
                    }
                    input.leave();
                }
                Some(list).filter(|list| !list.is_empty()).map(Json::Array)
            }
        })
    }

    fn zero(&self) -> Json {
        match self {
            Text => Json::from(""),
            Struct(_) => Json::Object(Map::new()),
            Int => Json::from(0),
            Bool => Json::from(false),
            Any | List(_) => Json::Null,
        }
    }
}

/// A field by its name, in whatever way Consul's clients spell it: `DestinationServiceName`,
/// `destination_service_name`.
fn field_of<'a>(json: &'a Json, name: &str) -> &'a Json {
    const NULL: &Json = &Json::Null;
    let Some(object) = json.as_object() else { return NULL };
    let letters = |text: &str| -> Vec<u8> {
        text.bytes().filter(|byte| *byte != b'_').map(|byte| byte.to_ascii_lowercase()).collect()
    };
    object.get(name).unwrap_or_else(|| {
        let wanted = letters(name);
        object.iter().find(|(key, _)| letters(key) == wanted).map_or(NULL, |(_, value)| value)
    })
}

fn put_any(json: &Json, out: &mut Encoder) {
    match json {
        Json::Null => out.nil(),
        Json::Bool(value) => out.bool(*value),
        Json::Number(number) => out.f64(number.as_f64().unwrap_or_default()),
        Json::String(text) => out.text(text),
        Json::Array(list) => {
            out.array(list.len());
            list.iter().for_each(|item| put_any(item, out));
        }
        Json::Object(object) => {
            out.map(object.len());
            for (key, value) in object {
                out.text(key);
                put_any(value, out);
            }
        }
    }
}

/// Whole numbers become integers, as Go prints them.
fn take_any(input: &mut Decoder<'_>) -> Result<Json, DecodeError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    input.charge::<Json>()?;
    let (token, bytes) = input.any()?;
    Ok(match token {
        Token::Nil => Json::Null,
        Token::Bool(value) => Json::from(value),
        Token::Uint(value) => Json::from(value),
        Token::Int(value) => Json::from(value),
        Token::Float(value, _) if value.fract() == 0.0 && value.abs() < 9e15 => Json::from(value as i64),
        Token::Float(value, _) => Number::from_f64(value).map_or(Json::Null, Json::Number),
        Token::Raw(_) => Json::from(text(bytes)),
        Token::Array(len) => {
            let mut list = Vec::new();
            for _ in 0..len {
                list.push(take_any(input)?);
            }
            input.leave();
            Json::Array(list)
        }
        Token::Map(len) => {
            let mut object = Map::new();
            for _ in 0..len {
                let key = text(input.raw()?);
                input.charge::<(String, Json)>()?;
                object.insert(key, take_any(input)?);
            }
            input.leave();
            Json::Object(object)
        }
        Token::Ext(_) => return Err(input.fault(Fault::Meaning)),
    })
}
