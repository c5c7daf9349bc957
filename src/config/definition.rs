//! Services and checks: from keys to [`ServiceSpec`] and [`CheckSpec`], with Consul's default ids and names.

use std::collections::BTreeMap;
use std::time::Duration;

use crs_types::{
    CheckId, CheckKind, CheckSpec, CheckStatus, Secret, ServiceAddress, ServiceId, ServiceName, ServiceSpec,
    Weights,
};

use crate::check::{CheckDraft, SHORTEST_DEREGISTER, SHORTEST_INTERVAL};
use crate::raw::{At, RawBlock, RawField};
use crate::reading::{Place, Reading};
use crate::value::{Kind, Value};

/// The reading of one block of a list, whose keys are named below `path`.
struct Inside<'a> {
    block: &'a RawBlock,
    path: String,
}

impl<'a> Inside<'a> {
    fn str_at(&self, name: &str) -> Option<&'a At<String>> {
        match self.block.fields.get(name) {
            Some(RawField::Str(at)) => Some(at),
            _ => None,
        }
    }

    fn text(&self, name: &str) -> String {
        self.str_at(name).map(|at| at.value.clone()).unwrap_or_default()
    }

    fn int(&self, name: &str) -> Option<&'a At<i64>> {
        match self.block.fields.get(name) {
            Some(RawField::Int(at)) => Some(at),
            _ => None,
        }
    }

    fn bool(&self, name: &str) -> bool {
        matches!(self.block.fields.get(name), Some(RawField::Bool(at)) if at.value)
    }

    fn texts(&self, name: &str) -> Vec<String> {
        match self.block.fields.get(name) {
            Some(RawField::Strs(items)) => items.iter().map(|at| at.value.clone()).collect(),
            _ => Vec::new(),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    fn place(&self, name: &str) -> Place {
        match self.block.fields.get(name) {
            Some(RawField::Str(at)) => at.pos.clone(),
            Some(RawField::Int(at)) => at.pos.clone(),
            Some(RawField::Bool(at)) => at.pos.clone(),
            Some(RawField::Any(value)) => Some(value.pos.clone()),
            _ => self.block.pos.clone(),
        }
    }
}

/// All services and checks of the files.
pub(crate) fn services_and_checks(
    reading: &mut Reading<'_>,
    local_scripts: bool,
) -> (Vec<ServiceSpec>, Vec<CheckSpec>) {
    let root = &reading.raw.root;
    let mut services: Vec<ServiceSpec> = Vec::new();
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    for name in ["services", "service"] {
        for block in root.blocks(name) {
            let Some(spec) = service(reading, block, name, local_scripts) else { continue };
            let id = spec.id.as_str().to_owned();
            if let Some(first) = places.get(&id) {
                let first = first.as_ref().map(|pos| format!(", first at {pos}")).unwrap_or_default();
                let key = format!("{name}.id");
                reading.error(&key, block.pos.clone(), format!("duplicate service id {id:?}{first}"));
                continue;
            }
            places.insert(id, block.pos.clone());
            services.push(spec);
        }
    }
    let mut checks: Vec<CheckSpec> = Vec::new();
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    for spec in services.iter().flat_map(|service| &service.checks) {
        places.insert(spec.id.as_str().to_owned(), None);
    }
    for name in ["checks", "check"] {
        for block in root.blocks(name) {
            let inside = Inside { block, path: name.to_owned() };
            let Some(mut spec) = check(reading, &inside, local_scripts) else { continue };
            if spec.name.is_empty() {
                reading.error(
                    &inside.key("name"),
                    block.pos.clone(),
                    "Check missing Name field: name cannot be empty",
                );
                continue;
            }
            if spec.id.is_empty() {
                spec.id = CheckId::from(spec.name.as_str());
            }
            let id = spec.id.as_str().to_owned();
            if let Some(first) = places.get(&id) {
                let first = first.as_ref().map(|pos| format!(", first at {pos}")).unwrap_or_default();
                reading.error(
                    &inside.key("id"),
                    block.pos.clone(),
                    format!("duplicate check id {id:?}{first}"),
                );
                continue;
            }
            places.insert(id, block.pos.clone());
            checks.push(spec);
        }
    }
    (services, checks)
}

fn service(
    reading: &mut Reading<'_>,
    block: &RawBlock,
    path: &str,
    local_scripts: bool,
) -> Option<ServiceSpec> {
    let inside = Inside { block, path: path.to_owned() };
    let name = inside.text("name");
    if name.is_empty() && !reading.is_poisoned(&inside.key("name")) {
        reading.error(
            &inside.key("name"),
            inside.place("name"),
            "Service missing Name field: name cannot be empty",
        );
        return None;
    }
    let id = match inside.text("id") {
        id if id.is_empty() => name.clone(),
        id => id,
    };
    if !is_dns_label(&name) {
        reading.warn(&inside.key("name"), inside.place("name"), format!(
            "Service name {name:?} will not be discoverable via DNS due to invalid characters. Valid characters \
             include all alpha-numerics and dashes."
        ));
    }
    let tags = inside.texts("tags");
    for tag in tags.iter().filter(|tag| !is_dns_label(tag)) {
        reading.warn(&inside.key("tags"), inside.place("tags"), format!(
            "Service tag {tag:?} will not be discoverable via DNS due to invalid characters. Valid characters \
             include all alpha-numerics and dashes."
        ));
    }
    let address = inside.text("address");
    if matches!(address.as_str(), "0.0.0.0" | "::" | "[::]") {
        let text =
            format!("Invalid service address: {address} of service {id} is no address others can reach");
        reading.error(&inside.key("address"), inside.place("address"), text);
    }
    let meta = match block.fields.get("meta") {
        Some(RawField::StrMap(map)) => {
            let map: BTreeMap<String, String> =
                map.iter().map(|(key, at)| (key.clone(), at.value.clone())).collect();
            if let Err(why) = check_metadata(&map) {
                let text = format!("invalid meta for service {name}: {why}");
                reading.error(&inside.key("meta"), block.pos.clone(), text);
            }
            Some(map)
        }
        _ => None,
    };
    let mut weights = Weights::default();
    if let Some(given) = block.block("weights") {
        let given = Inside { block: given, path: inside.key("weights") };
        let fault = |reading: &mut Reading<'_>, which: &str, text: &str| {
            let text = format!("Invalid weight definition for service {name}: {text}");
            reading.error(&given.key(which), given.place(which), text);
        };
        if let Some(at) = given.int("passing") {
            weights.passing = at.value;
            if at.value < 1 {
                fault(reading, "passing", "Passing must be greater than 0");
            }
        }
        if let Some(at) = given.int("warning") {
            weights.warning = at.value;
            if at.value < 0 {
                fault(reading, "warning", "Warning must be greater or equal than 0");
            }
        }
    }
    let mut checks = Vec::new();
    let blocks: Vec<(&str, &RawBlock)> = ["checks", "check"]
        .into_iter()
        .flat_map(|name| block.blocks(name).iter().map(move |block| (name, block)))
        .collect();
    for (n, (which, one)) in blocks.iter().enumerate() {
        let one = Inside { block: one, path: inside.key(which) };
        let Some(mut spec) = check(reading, &one, local_scripts) else { continue };
        spec.service_id = ServiceId::from(id.as_str());
        if spec.id.is_empty() {
            spec.id = match blocks.len() {
                1 => format!("service:{id}").into(),
                _ => format!("service:{id}:{}", n + 1).into(),
            };
        }
        if spec.name.is_empty() {
            spec.name = format!("Service '{name}' check");
        }
        if let Some(other) = checks.iter().find(|other: &&CheckSpec| other.id == spec.id) {
            let text = format!("duplicate check id {:?} in service {id}", other.id.as_str());
            reading.error(&one.key("id"), one.place("id"), text);
            continue;
        }
        checks.push(spec);
    }
    Some(ServiceSpec {
        kind: inside.text("kind"),
        id: ServiceId::from(id),
        name: ServiceName::from(name),
        tags,
        address,
        tagged_addresses: tagged_addresses(reading, &inside),
        meta,
        port: inside.int("port").map_or(0, |at| at.value),
        weights,
        enable_tag_override: inside.bool("enable_tag_override"),
        proxy: compact(block.fields.get("proxy")),
        connect: compact(block.fields.get("connect")),
        token: Secret::new(inside.text("token")),
        checks,
    })
}

fn compact(field: Option<&RawField>) -> String {
    match field {
        Some(RawField::Any(value)) => value.to_json().to_string(),
        _ => String::new(),
    }
}

fn tagged_addresses(reading: &mut Reading<'_>, inside: &Inside<'_>) -> BTreeMap<String, ServiceAddress> {
    let mut found = BTreeMap::new();
    let Some(RawField::Any(value)) = inside.block.fields.get("tagged_addresses") else { return found };
    let path = inside.key("tagged_addresses");
    let mismatch = |reading: &mut Reading<'_>, key: &str, value: &Value, wanted: &str| {
        let found = match value.kind {
            Kind::String(_) => "string",
            Kind::Bool(_) => "bool",
            Kind::Int(_) | Kind::Float(_) => "float64",
            _ => "slice",
        };
        let text = format!("'{key}' expected type '{wanted}', got unconvertible type '{found}'");
        reading.error(key, Some(value.pos.clone()), text);
    };
    let Some(map) = value.as_map() else {
        reading.error(&path, Some(value.pos.clone()), format!("'{path}' expected a map"));
        return found;
    };
    for entry in map.iter() {
        let here = format!("{path}[{}]", entry.key);
        let Some(fields) = entry.value.as_map() else {
            reading.error(&here, Some(entry.value.pos.clone()), format!("'{here}' expected a map"));
            continue;
        };
        let mut address = ServiceAddress::default();
        for field in fields.iter() {
            let key = format!("{here}.{}", field.key);
            match (field.key.to_lowercase().as_str(), &field.value.kind) {
                ("address", Kind::String(text)) => address.address = text.clone(),
                ("port", Kind::Int(port)) => address.port = *port,
                ("address", _) => mismatch(reading, &key, &field.value, "string"),
                ("port", _) => mismatch(reading, &key, &field.value, "int"),
                _ => {
                    let text = format!("invalid config key {path}.{}.{}", entry.key, field.key);
                    reading.error(&key, Some(field.pos.clone()), text);
                }
            }
        }
        found.insert(entry.key.clone(), address);
    }
    found
}

fn check(reading: &mut Reading<'_>, inside: &Inside<'_>, local_scripts: bool) -> Option<CheckSpec> {
    let id = inside.text("id");
    let mut draft = CheckDraft {
        http: inside.text("http"),
        method: inside.text("method"),
        header: match inside.block.fields.get("header") {
            Some(RawField::StrLists(lists)) => lists.clone(),
            _ => BTreeMap::new(),
        },
        body: inside.text("body"),
        tls_skip_verify: inside.bool("tls_skip_verify"),
        tcp: inside.text("tcp"),
        args: inside.texts("args"),
        docker_container_id: inside.text("docker_container_id"),
        shell: inside.text("shell"),
        grpc: inside.text("grpc"),
        grpc_use_tls: inside.bool("grpc_use_tls"),
        alias_node: inside.text("alias_node"),
        alias_service: inside.text("alias_service"),
        ..CheckDraft::default()
    };
    let mut bad = false;
    let mut duration = |reading: &mut Reading<'_>, name: &str| -> Duration {
        let Some(at) = inside.str_at(name) else { return Duration::ZERO };
        // Consul names the key so in this one place.
        let found = reading.parse_duration(&format!("check[{id}].{name}"), at);
        bad |= found.is_none();
        found.unwrap_or_default()
    };
    draft.interval = duration(reading, "interval");
    draft.timeout = duration(reading, "timeout");
    draft.ttl = duration(reading, "ttl");
    draft.deregister_critical_service_after = duration(reading, "deregister_critical_service_after");
    let mut number = |reading: &mut Reading<'_>, name: &str, what: &str| -> u32 {
        let Some(at) = inside.int(name) else { return 0 };
        u32::try_from(at.value).unwrap_or_else(|_| {
            reading.error(
                &inside.key(name),
                at.pos.clone(),
                format!("Invalid check: {what} must be positive"),
            );
            bad = true;
            0
        })
    };
    draft.output_max_size_bytes = number(reading, "output_max_size", "MaxOutputMaxSize") as usize;
    draft.success_before_passing = number(reading, "success_before_passing", "SuccessBeforePassing");
    draft.failures_before_critical = number(reading, "failures_before_critical", "FailuresBeforeCritical");
    // A key that could not be read hides what kind of check was meant.
    bad |= reading.raw.poisoned.iter().any(|key| key.starts_with(&format!("{}.", inside.path)));
    let status = match inside.str_at("status") {
        None => None,
        Some(at) => match at.value.as_str() {
            "" => None,
            word @ ("passing" | "warning" | "critical") => Some(CheckStatus::from(word)),
            _ => {
                let text = "Status for checks must 'passing', 'warning', 'critical'";
                reading.error(&inside.key("status"), at.pos.clone(), text);
                return None;
            }
        },
    };
    if bad {
        return None;
    }
    let interval_place = inside.place("interval");
    if !draft.interval.is_zero() && draft.interval < SHORTEST_INTERVAL {
        let key = inside.key("interval");
        reading.warn(&key, interval_place, "interval is below the minimum of 1s; 1s is used");
    }
    let after = draft.deregister_critical_service_after;
    if !after.is_zero() && after < SHORTEST_DEREGISTER {
        let key = inside.key("deregister_critical_service_after");
        let place = inside.place("deregister_critical_service_after");
        reading.warn(&key, place, "deregister_critical_service_after is below the minimum of 1m; 1m is used");
    }
    let mut spec = match draft.finish() {
        Ok(spec) => spec,
        Err(fault) => {
            reading.error(&inside.path, inside.block.pos.clone(), format!("Invalid check: {fault}"));
            return None;
        }
    };
    if matches!(spec.kind, CheckKind::Script(_) | CheckKind::Docker { .. }) && !local_scripts {
        reading.error(
            &inside.key("args"),
            inside.block.pos.clone(),
            "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or \
             'enable_local_script_checks' to true",
        );
    }
    spec.id = CheckId::from(id);
    spec.name = inside.text("name");
    spec.notes = inside.text("notes");
    spec.service_id = ServiceId::from(inside.text("service_id"));
    spec.token = Secret::new(inside.text("token"));
    spec.status = status;
    Some(spec)
}

fn is_dns_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Consul's rules for the pairs that describe a node or a service.
///
/// # Errors
/// Consul's text.
pub fn check_metadata(meta: &BTreeMap<String, String>) -> Result<(), String> {
    if meta.len() > 64 {
        return Err("Node metadata cannot contain more than 64 key/value pairs".into());
    }
    for (key, value) in meta {
        let fault = if key.is_empty() {
            "Key cannot be blank"
        } else if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            "Key contains invalid characters"
        } else if key.len() > 128 {
            "Key is too long (limit: 128 characters)"
        } else if key.starts_with("consul-") {
            "Key prefix 'consul-' is reserved for internal use"
        } else if value.len() > 512 {
            "Value is too long (limit: 512 characters)"
        } else {
            continue;
        };
        return Err(format!("Couldn't load metadata pair ('{key}', '{value}'): {fault}"));
    }
    Ok(())
}
