//! Functions that ask: the catalog, the keys, this machine. And the notebook.

use super::{Func, Method, Param, bad, func, str_at, variadic};
use crate::context::{Context, Fault, Outcome};
use crate::data::{CATALOG_NODE, CATALOG_SNIPPET_PTR, HEALTH_SERVICE_PTR, KEY_PAIR_PTR, like};
use crate::dep::{self, Dep, Statuses};
use crate::snapshot::Answer;
use crate::template::WrittenFile;
use crate::value::{Text, Value};
use Param::{Any, Bool, Str};

pub(super) static FUNCS: &[Func] = &[
    variadic("service", &[], Str, |context, values| service(context, "health.service", values)),
    variadic("connect", &[], Str, |context, values| service(context, "health.connect", values)),
    variadic("services", &[], Str, services),
    variadic("nodes", &[], Str, nodes),
    variadic("node", &[], Str, node),
    variadic("datacenters", &[], Bool, datacenters),
    func("key", &[Str], |context, values| key(context, &str_at(values, 0).to_str())),
    func("keyExists", &[Str], key_exists),
    func("keyOrDefault", &[Str, Str], key_or_default),
    func("ls", &[Str], |context, values| Ok(list(context, &str_at(values, 0).to_str(), true)?.0)),
    func("tree", &[Str], |context, values| Ok(list(context, &str_at(values, 0).to_str(), false)?.0)),
    func("safeLs", &[Str], |context, values| safe(context, &str_at(values, 0).to_str(), true)),
    func("safeTree", &[Str], |context, values| safe(context, &str_at(values, 0).to_str(), false)),
    func("file", &[Str], file),
    func("env", &[Str], |context, values| {
        Ok(env(context, &str_at(values, 0))?.unwrap_or_else(|| Value::text("")))
    }),
    func("mustEnv", &[Str], must_env),
    func("envOrDefault", &[Str, Str], |context, values| {
        Ok(env(context, &str_at(values, 0))?.unwrap_or_else(|| values[1].clone()))
    }),
    variadic("plugin", &[Str], Str, plugin),
    func("scratch", &[], |context, _| Ok(Value::Scratch(context.scratch.clone()))),
    variadic("writeToFile", &[Str, Str, Str, Str], Str, write_to_file),
    variadic("caRoots", &[], Any, |_, _| unsupported("caRoots", "the service mesh's certificates")),
    variadic("caLeaf", &[], Any, |_, _| unsupported("caLeaf", "the service mesh's certificates")),
    variadic("partitions", &[], Any, |_, _| unsupported("partitions", "admin partitions")),
    variadic("peerings", &[], Any, |_, _| unsupported("peerings", "cluster peering")),
    variadic("exportedServices", &[], Any, |_, _| unsupported("exportedServices", "exported services")),
    variadic("importedServices", &[], Any, |_, _| unsupported("importedServices", "imported services")),
    variadic("sockaddr", &[], Any, |_, _| {
        Err("sockaddr: not supported; {{with node}}{{.Node.Address}}{{end}} gives the agent's address".into())
    }),
    variadic("secret", &[], Any, |_, _| unsupported("secret", "Vault")),
    variadic("secrets", &[], Any, |_, _| unsupported("secrets", "Vault")),
    variadic("pkiCert", &[], Any, |_, _| unsupported("pkiCert", "Vault")),
    variadic("nomadService", &[], Any, |_, _| unsupported("nomadService", "Nomad")),
    variadic("nomadServices", &[], Any, |_, _| unsupported("nomadServices", "Nomad")),
    variadic("nomadVar", &[], Any, |_, _| unsupported("nomadVar", "Nomad")),
    variadic("nomadVarList", &[], Any, |_, _| unsupported("nomadVarList", "Nomad")),
    variadic("nomadVarListSafe", &[], Any, |_, _| unsupported("nomadVarListSafe", "Nomad")),
    variadic("nomadVarExists", &[], Any, |_, _| unsupported("nomadVarExists", "Nomad")),
];

fn unsupported(name: &str, what: &str) -> Outcome {
    Err(Fault::Bad(format!("{name}: not supported: crs has no {what}; use key, file or env instead")))
}

/// All arguments as one text.
fn joined(values: &[Value], between: &str) -> String {
    let parts: Vec<String> = (0..values.len()).map(|at| str_at(values, at).to_str().into_owned()).collect();
    parts.join(between)
}

fn service(context: &mut Context<'_>, what: &str, values: &[Value]) -> Outcome {
    if values.is_empty() || str_at(values, 0).is_empty() {
        return Ok(Value::list(&HEALTH_SERVICE_PTR, Vec::new()));
    }
    let (query, statuses) = dep::health_query(what, &joined(values, "|"))?;
    instances(context, query, &statuses)
}

/// The instances of a query that are in one of the states.
pub(crate) fn instances(context: &mut Context<'_>, query: dep::HealthQuery, statuses: &Statuses) -> Outcome {
    let Some(found) = context.ask_value(Dep::Health(query))? else {
        return Ok(Value::list(&HEALTH_SERVICE_PTR, Vec::new()));
    };
    let Value::List(list) = &found else { return Ok(found) };
    let wanted = |item: &Value| {
        let status = item.get(b"Status").and_then(Value::as_text);
        statuses.accept(status.map_or(&[][..], |text| text))
    };
    if list.items.iter().all(wanted) {
        return Ok(found);
    }
    let items = list.items.iter().filter(|item| wanted(item)).cloned().collect();
    Ok(like(list, items))
}

fn services(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let dep = dep::services_query(&joined(values, ""))?;
    Ok(context.ask_value(dep)?.unwrap_or_else(|| Value::list(&CATALOG_SNIPPET_PTR, Vec::new())))
}

fn nodes(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let dep = dep::nodes_query(&joined(values, ""))?;
    Ok(context.ask_value(dep)?.unwrap_or_else(|| Value::any_list(Vec::new())))
}

fn node(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let dep = dep::node_query(&joined(values, ""))?;
    Ok(context.ask_value(dep)?.unwrap_or(Value::NilPtr(&CATALOG_NODE)))
}

fn datacenters(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let reachable_only = match values {
        [] => false,
        [only] => only.truth(),
        _ => {
            let count = values.len();
            return bad(
                "datacenters",
                format!("wrong number of arguments, expected 0 or 1, but got {count}"),
            );
        }
    };
    let found = context.ask_value(Dep::Datacenters { reachable_only })?;
    Ok(found.unwrap_or_else(|| Value::str_list(Vec::<Text>::new())))
}

/// Waits for the key: one that does not exist is missing.
pub(crate) fn key(context: &mut Context<'_>, text: &str) -> Outcome {
    let Some(dep) = dep::key_query(text)? else { return Ok(Value::text("")) };
    match context.ask(dep.clone())? {
        Some(Answer::Value(value)) => Ok(value.clone()),
        _ => {
            context.missing.insert(dep);
            Ok(Value::text(""))
        }
    }
}

fn key_exists(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let Some(dep) = dep::key_query(&str_at(values, 0).to_str())? else { return Ok(Value::Bool(false)) };
    Ok(Value::Bool(context.ask_value(dep)?.is_some()))
}

fn key_or_default(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let default = values[1].clone();
    let Some(dep) = dep::key_query(&str_at(values, 0).to_str())? else { return Ok(default) };
    Ok(context.ask_value(dep)?.filter(Value::truth).unwrap_or(default))
}

/// The pairs below a prefix, and the question if there is one and it has an answer.
fn list(context: &mut Context<'_>, text: &str, level: bool) -> Result<(Value, Option<Dep>), Fault> {
    let none = || Value::list(&KEY_PAIR_PTR, Vec::new());
    let Some(dep) = dep::tree_query(text)? else { return Ok((none(), None)) };
    let found = context.ask_value(dep.clone())?.unwrap_or_else(none);
    let Value::List(list) = &found else { return Ok((found, Some(dep))) };
    let wanted = |pair: &&Value| {
        let key = pair.get(b"Key").and_then(Value::as_text);
        key.is_some_and(|key| {
            !key.is_empty() && if level { !key.contains(&b'/') } else { !key.ends_with(b"/") }
        })
    };
    let items = list.items.iter().filter(wanted).cloned().collect();
    Ok((like(list, items), Some(dep)))
}

/// As `ls` and `tree`, but an empty list is waited out.
fn safe(context: &mut Context<'_>, text: &str, level: bool) -> Outcome {
    let (found, dep) = list(context, text, level)?;
    if let (false, Some(dep)) = (found.truth(), dep) {
        context.missing.insert(dep);
    }
    Ok(found)
}

fn file(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let path = str_at(values, 0).to_str().trim().to_owned();
    if path.is_empty() {
        return Ok(Value::text(""));
    }
    let sandbox = context.options.sandbox_path.clone();
    Ok(context.ask_value(Dep::File { path, sandbox })?.unwrap_or_else(|| Value::text("")))
}

fn env(context: &mut Context<'_>, name: &Text) -> Result<Option<Value>, Fault> {
    if name.is_empty() {
        return Ok(None);
    }
    context.ask_value(Dep::Env(name.to_str().into_owned()))
}

fn must_env(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let name = str_at(values, 0).to_str().into_owned();
    match context.ask(Dep::Env(name.clone()))? {
        Some(Answer::Value(value)) => Ok(value.clone()),
        Some(_) => bad("mustEnv", format!("the environment has no variable {name:?}")),
        None => Ok(Value::text("")),
    }
}

fn plugin(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let name = str_at(values, 0).to_str().into_owned();
    if name.is_empty() {
        return Ok(Value::text(""));
    }
    let rest = (1..values.len()).map(|at| str_at(values, at).to_str().trim().to_owned());
    let words = std::iter::once(name).chain(rest.filter(|word| !word.is_empty())).collect();
    match context.ask_value(Dep::Plugin(words))? {
        Some(Value::Str(text)) => Ok(Value::text(super::text::trim_space(&text))),
        _ => Ok(Value::text("")),
    }
}

/// `PATH USER GROUP PERMS [append,newline] CONTENT`
fn write_to_file(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let text = |at: usize| str_at(values, at).to_str().into_owned();
    let (flags, content) = match values.len() {
        5 => (String::new(), str_at(values, 4)),
        6 => (text(4), str_at(values, 5)),
        count => return bad("writeToFile", format!("expected 5 or 6 arguments, but got {count}")),
    };
    let mut content = content.to_vec();
    let mut append = false;
    for flag in flags.split(',').map(str::trim).filter(|flag| !flag.is_empty()) {
        match flag {
            "append" => append = true,
            "newline" => content.push(b'\n'),
            other => {
                return bad("writeToFile", format!("unknown flag {other:?}: append and newline are known"));
            }
        }
    }
    let perms = text(3);
    if u32::from_str_radix(&perms, 8).is_err() {
        return bad("writeToFile", format!("{perms:?} are no permissions: give octal digits such as 0644"));
    }
    let limit = context.options.limits.output_bytes;
    let total: usize = context.files.iter().map(|file| file.content.len()).sum();
    if (total + content.len()) as u64 > limit {
        return Err(Fault::Limit(format!("more than {limit} bytes of files")));
    }
    context.files.push(WrittenFile { path: text(0), user: text(1), group: text(2), perms, content, append });
    Ok(Value::text(""))
}

/// What the notebook can do.
pub(super) fn scratch_method(name: &[u8]) -> Option<Method> {
    Some(match name {
        b"Key" => |page, values| {
            let (scratch, key) = page_of("Key", page, values, 1)?;
            Ok(Value::Bool(scratch.has(&key)))
        },
        b"Get" => |page, values| {
            let (scratch, key) = page_of("Get", page, values, 1)?;
            Ok(scratch.get(&key))
        },
        b"Set" => |page, values| set("Set", page, values, false),
        b"SetX" => |page, values| set("SetX", page, values, true),
        b"MapSet" => |page, values| map_set("MapSet", page, values, false),
        b"MapSetX" => |page, values| map_set("MapSetX", page, values, true),
        b"MapValues" => |page, values| {
            let (scratch, key) = page_of("MapValues", page, values, 1)?;
            Ok(scratch.map_values(&key)?)
        },
        _ => return None,
    })
}

fn page_of<'a>(
    name: &str,
    page: &'a Value,
    values: &[Value],
    count: usize,
) -> Result<(&'a crate::scratch::Scratch, Text), Fault> {
    let Value::Scratch(scratch) = page else { return Err("no scratch".into()) };
    if values.len() != count {
        return Err(format!("wrong number of args for {name}: want {count} got {}", values.len()).into());
    }
    match values[0].as_text() {
        Some(key) => Ok((scratch, key.clone())),
        None => Err(format!("wrong type for value; expected string; got {}", values[0].type_name()).into()),
    }
}

fn stored(value: &Value) -> Value {
    if matches!(value, Value::Invalid) { Value::Nil } else { value.clone() }
}

fn set(name: &str, page: &Value, values: &[Value], only_new: bool) -> Outcome {
    let (scratch, key) = page_of(name, page, values, 2)?;
    scratch.set(&key, stored(&values[1]), only_new);
    Ok(Value::text(""))
}

fn map_set(name: &str, page: &Value, values: &[Value], only_new: bool) -> Outcome {
    let (scratch, key) = page_of(name, page, values, 3)?;
    let Some(entry) = values[1].as_text() else {
        return Err(format!("wrong type for value; expected string; got {}", values[1].type_name()).into());
    };
    scratch.map_set(&key, entry, stored(&values[2]), only_new)?;
    Ok(Value::text(""))
}
