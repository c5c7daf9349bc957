//! Our functions as Handlebars helpers, with named options where a text would have to hold a small language.

use std::sync::{Mutex, PoisonError};

use handlebars::{
    BlockContext, BlockParams, Context as Data, Handlebars, Helper, HelperDef, HelperResult, JsonRender as _,
    Output, RenderContext, RenderError, RenderErrorReason, Renderable as _, ScopedJson,
};
use serde_json::Value as Json;

use super::State;
use crate::context::{Context, Fault, Outcome};
use crate::dep::{self, Dep, HealthQuery};
use crate::func::{self, Func, Run};
use crate::go::call_comparison;
use crate::snapshot::Answer;
use crate::value::{Text, Value};

/// Registers everything that may be used.
pub(super) fn register<'reg>(registry: &mut Handlebars<'reg>, state: &'reg Mutex<State<'_>>) {
    for func in func::all() {
        registry.register_helper(func.name, Box::new(Function { func, state }));
    }
    registry.register_helper("set", Box::new(Function { func: &SET, state }));
    registry.register_helper("get", Box::new(Function { func: &GET, state }));
    registry.register_helper("let", Box::new(Let));
}

static SET: Func = Func {
    name: "set",
    params: &[func::Param::Str, func::Param::Any],
    rest: None,
    run: Run::Call(|context, values| {
        if let Some(key) = values[0].as_text() {
            context.scratch.set(key, values[1].clone(), false);
        }
        Ok(Value::text(""))
    }),
};

static GET: Func = Func {
    name: "get",
    params: &[func::Param::Str],
    rest: None,
    run: Run::Call(|context, values| {
        Ok(values[0].as_text().map_or(Value::Nil, |key| context.scratch.get(key)))
    }),
};

struct Function<'s, 'a> {
    func: &'static Func,
    state: &'s Mutex<State<'a>>,
}

fn error(name: &str, message: impl std::fmt::Display) -> RenderError {
    RenderErrorReason::Other(format!("{name}: {message}")).into()
}

impl HelperDef for Function<'_, '_> {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Data,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let name = self.func.name;
        let mut values = Vec::with_capacity(helper.params().len());
        for param in helper.params() {
            values.push(func::from_json(param.value(), true));
        }
        let hash: Vec<(&str, &Json)> =
            helper.hash().iter().map(|(name, value)| (*name, value.value())).collect();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.context.options.denied(name) {
            return Err(error(name, "is disabled by function_denylist"));
        }
        let result = match state.context.step() {
            Ok(()) if hash.is_empty() => run(self.func, &mut state.context, values),
            Ok(()) => with_options(name, &mut state.context, &values, &hash),
            Err(fault) => Err(fault),
        };
        let result = result.and_then(|value| {
            if let Value::Range(from, to) = value {
                // a list is made of it here, number by number
                let count = usize::try_from(to.saturating_sub(from)).unwrap_or(0);
                state.context.work(count.saturating_mul(32))?;
            }
            Ok(value)
        });
        match result {
            Ok(value) => Ok(ScopedJson::Derived(func::to_json(&value))),
            Err(fault) => {
                let message = match &fault {
                    Fault::Bad(message) | Fault::Limit(message) => message.clone(),
                    Fault::Stopped => "stopped".to_owned(),
                };
                if !matches!(fault, Fault::Bad(_)) {
                    state.fault = Some(fault);
                }
                let message = message
                    .strip_prefix(name)
                    .map_or(message.as_str(), |rest| rest.strip_prefix(": ").unwrap_or(&message));
                Err(error(name, message))
            }
        }
    }
}

fn run(func: &'static Func, context: &mut Context<'_>, values: Vec<Value>) -> Outcome {
    func.check_count(values.len())?;
    let mut arguments = Vec::with_capacity(values.len());
    for (at, value) in values.into_iter().enumerate() {
        arguments.push(func.coerce(at, value)?);
    }
    match func.run {
        Run::Call(run) | Run::Builtin(run) => run(context, &arguments),
        Run::Compare(comparison) => Ok(call_comparison(comparison, &arguments)?),
        Run::And | Run::Or => {
            let or = matches!(func.run, Run::Or);
            let decides = arguments.iter().find(|value| value.truth() == or);
            Ok(decides.or(arguments.last()).cloned().unwrap_or(Value::Nil))
        }
        Run::ExecuteTemplate => Err("is of the Go dialect; use a partial: {{> name}}".into()),
    }
}

/// The options of a helper, each taken once.
struct Options<'h> {
    given: Vec<(&'h str, &'h Json)>,
}

impl Options<'_> {
    fn text(&mut self, name: &str) -> String {
        self.value(name).map(|json| json.render()).unwrap_or_default()
    }

    fn value(&mut self, name: &str) -> Option<Json> {
        let at = self.given.iter().position(|(key, _)| *key == name)?;
        Some(self.given.remove(at).1.clone())
    }

    fn done(self) -> Result<(), Fault> {
        match self.given.first() {
            None => Ok(()),
            Some((name, _)) => Err(Fault::Bad(format!("has no option {name:?}"))),
        }
    }
}

/// `{{service "web" tag="v1" status="any"}}`
fn with_options(name: &str, context: &mut Context<'_>, values: &[Value], hash: &[(&str, &Json)]) -> Outcome {
    let mut options = Options { given: hash.to_vec() };
    let first = || values.first().and_then(Value::as_text).cloned().unwrap_or_else(|| Text::from(""));
    let first = first().to_str().into_owned();
    match name {
        "service" | "connect" => {
            let query = HealthQuery {
                name: first,
                tag: options.text("tag"),
                dc: options.text("dc"),
                near: options.text("near"),
                filter: options.text("filter"),
                passing: false,
                connect: name == "connect",
            };
            let statuses = dep::status_list(&options.text("status"))?;
            options.done()?;
            let query = HealthQuery { passing: statuses.is_passing_only(), ..query };
            func::instances(context, query, &statuses)
        }
        "key" => {
            let dc = options.text("dc");
            let default = options.value("default");
            let required = options.value("required").is_some_and(|json| json == Json::Bool(true));
            options.done()?;
            let path = first.strip_prefix('/').unwrap_or(&first).to_owned();
            let dep = Dep::Key { path, dc };
            match (context.ask(dep.clone())?, default) {
                (Some(Answer::Value(value)), None) => Ok(value.clone()),
                (Some(Answer::Value(value)), Some(_)) if value.truth() => Ok(value.clone()),
                (Some(_), Some(default)) | (None, Some(default)) => Ok(func::from_json(&default, true)),
                (Some(_), None) if required => {
                    Err(Fault::Bad(format!("{dep} does not exist and is required")))
                }
                (_, None) => {
                    context.missing.insert(dep);
                    Ok(Value::text(""))
                }
            }
        }
        "services" | "nodes" | "node" | "ls" | "tree" | "safeLs" | "safeTree" | "keyExists"
        | "keyOrDefault" => {
            let mut text = first;
            for (mark, option) in [('@', "dc"), ('~', "near")] {
                let value = options.text(option);
                if !value.is_empty() {
                    text.push(mark);
                    text.push_str(&value);
                }
            }
            options.done()?;
            let mut values = values.to_vec();
            let whole = Value::text(text);
            match values.first_mut() {
                Some(slot) => *slot = whole,
                None => values.push(whole),
            }
            let func = func::find(name).ok_or("is not there")?;
            run(func, context, values)
        }
        _ => {
            options.done()?;
            Err("takes no options".into())
        }
    }
}

/// `{{#let name=value}}...{{/let}}`
struct Let;

impl HelperDef for Let {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        data: &'rc Data,
        context: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let mut params = BlockParams::new();
        for (name, value) in helper.hash() {
            params.add_value(name, value.value().clone())?;
        }
        let mut block = match context.block() {
            // what was `this` stays `this`
            Some(outer) => {
                let mut block = BlockContext::new();
                *block.base_path_mut() = outer.base_path().clone();
                if let Some(value) = outer.base_value() {
                    block.set_base_value(value.clone());
                }
                block
            }
            None => BlockContext::new(),
        };
        block.set_block_params(params);
        context.push_block(block);
        let result = match helper.template() {
            Some(template) => template.render(registry, data, context, out),
            None => Ok(()),
        };
        context.pop_block();
        result
    }
}
