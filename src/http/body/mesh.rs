//! The service-mesh parts of a registration: read far enough to be kept, shown again and filtered by.

use crs_types::NodeService;

use super::decode::{Decoder, Unknown};
use super::syntax::Json;
use crate::json::push_string;

/// What an ordinary service shows.
const NO_PROXY: &str = r#"{"MeshGateway":{},"Expose":{}}"#;

/// `Proxy` as compact JSON in Consul's order; empty where it says nothing.
pub(super) fn proxy(d: &mut Decoder, json: &Json) -> String {
    const FIELDS: [&str; 14] = [
        "DestinationServiceName",
        "DestinationServiceID",
        "LocalServiceAddress",
        "LocalServicePort",
        "Config",
        "Upstreams",
        "MeshGateway",
        "Expose",
        "destination_service_name",
        "destination_service_id",
        "local_service_address",
        "local_service_port",
        "mesh_gateway",
        "expose",
    ];
    let (mut names, mut port, mut parts) = ([const { String::new() }; 3], 0, [const { None }; 4]);
    d.opaquely(|d| {
        let name = ("", "structs.ConnectProxyConfig");
        d.fields(json, name, &FIELDS, Unknown::Refuse, |d, field, json| match field {
            "DestinationServiceName" | "destination_service_name" => names[0] = d.string(json),
            "DestinationServiceID" | "destination_service_id" => names[1] = d.string(json),
            "LocalServiceAddress" | "local_service_address" => names[2] = d.string(json),
            "LocalServicePort" | "local_service_port" => port = d.int(json),
            "Config" => parts[0] = Some(json),
            "Upstreams" => parts[1] = Some(json),
            "MeshGateway" | "mesh_gateway" => parts[2] = Some(json),
            _ => parts[3] = Some(json),
        });
    });
    let mut out = vec![b'{'];
    let mut field = |name: &str, push: &dyn Fn(&mut Vec<u8>)| {
        if out.len() > 1 {
            out.push(b',');
        }
        push_string(&mut out, name);
        out.push(b':');
        push(&mut out);
    };
    for (name, text) in FIELDS.iter().zip(&names) {
        if !text.is_empty() {
            field(name, &|out| push_string(out, text));
        }
    }
    if port != 0 {
        field("LocalServicePort", &|out| out.extend_from_slice(port.to_string().as_bytes()));
    }
    for (name, part) in ["Config", "Upstreams"].iter().zip(&parts) {
        if let Some(part) = part.filter(|part| !is_empty(part)) {
            field(name, &|out| push_json(out, part));
        }
    }
    for (name, part) in ["MeshGateway", "Expose"].iter().zip(&parts[2..]) {
        match part.filter(|part| matches!(part, Json::Object(_))) {
            Some(part) => field(name, &|out| push_json(out, part)),
            None => field(name, &|out| out.extend_from_slice(b"{}")),
        }
    }
    out.push(b'}');
    let text = String::from_utf8(out).unwrap_or_default();
    if text == NO_PROXY { String::new() } else { text }
}

/// `Connect` as compact JSON, empty where it says nothing, and whether a sidecar was asked for.
pub(super) fn connect(d: &mut Decoder, json: &Json) -> (String, bool) {
    let (mut native, mut sidecar) = (false, false);
    d.opaquely(|d| {
        let name = ("", "structs.ServiceConnect");
        const FIELDS: [&str; 3] = ["Native", "SidecarService", "sidecar_service"];
        d.fields(json, name, &FIELDS, Unknown::Ignore, |d, field, json| match field {
            "Native" => native = d.bool(json),
            _ => sidecar = *json != Json::Null,
        });
    });
    (if native { r#"{"Native":true}"#.to_owned() } else { String::new() }, sidecar)
}

/// What Consul asks of a proxy's registration.
///
/// # Errors
/// Its texts, in its list form.
pub(super) fn validate(service: &NodeService) -> Result<(), String> {
    let mut errors = Vec::new();
    if service.kind == "connect-proxy" {
        if !service.proxy.contains("\"DestinationServiceName\":") {
            errors.push("Proxy.DestinationServiceName must be non-empty for Connect proxy services");
        }
        if service.port == 0 {
            errors.push("Port must be set for a Connect proxy");
        }
        if !service.connect.is_empty() {
            errors.push("A Proxy cannot also be Connect Native, only typical services");
        }
    }
    match errors.len() {
        0 => Ok(()),
        1 => Err(format!("1 error occurred:\n\t* {}\n\n", errors[0])),
        n => Err(format!("{n} errors occurred:\n\t* {}\n\n", errors.join("\n\t* "))),
    }
}

fn is_empty(json: &Json) -> bool {
    match json {
        Json::Null => true,
        Json::Array(items) => items.is_empty(),
        Json::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

fn push_json(out: &mut Vec<u8>, json: &Json) {
    match json {
        Json::Null => out.extend_from_slice(b"null"),
        Json::Bool(value) => crate::json::push_bool(out, *value),
        Json::Number(text) => out.extend_from_slice(text.as_bytes()),
        Json::String(text) => push_string(out, text),
        Json::Array(items) => crate::json::push_list(out, items, push_json),
        Json::Object(entries) => {
            crate::json::push_map(out, entries.iter().map(|(key, json)| (key.as_str(), json)), push_json);
        }
    }
}
