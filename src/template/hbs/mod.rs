//! The Handlebars dialect: the `handlebars` crate as the language, our functions as its helpers.
//!
//! Values are JSON there, so that a record is an object with Go's field names and bytes that are not UTF-8 become
//! U+FFFD. A name that is a function is the function: a field called `key` or `file` is read as `{{this.file}}`.

mod circle;
mod helper;

use std::sync::{Mutex, PoisonError};

use handlebars::{Context as Data, Handlebars, Output, RenderContext, Renderable, Template};

use crate::context::{Context, Fault};
use crate::error::{Stage, TemplateError};
use crate::func;
use crate::template::{Escape, Options};

/// A parsed template and its partials.
pub(crate) struct Set {
    template: Template,
    partials: Vec<(String, Template)>,
    escape: Escape,
    strict: bool,
}

fn failed(name: &str, place: Option<(usize, usize)>, message: String) -> TemplateError {
    let (line, column) = place.unwrap_or((1, 0));
    TemplateError {
        stage: Stage::Parse,
        name: name.to_owned(),
        line,
        column,
        within: String::new(),
        expression: String::new(),
        message,
    }
}

fn compile(name: &str, text: &str) -> Result<Template, TemplateError> {
    circle::check_nesting(text).map_err(|(place, message)| failed(name, Some(place), message))?;
    Template::compile(text).map_err(|error| {
        let place = error.pos().map(|(line, column)| (line, column + 1));
        failed(name, place, error.reason().to_string())
    })
}

pub(crate) fn parse(name: &str, source: &[u8], options: &Options) -> Result<Set, TemplateError> {
    let text = match std::str::from_utf8(source) {
        Ok(text) => text,
        Err(error) => {
            let place = crate::error::place(source, error.valid_up_to());
            return Err(failed(name, Some(place), "a Handlebars template has to be UTF-8".to_owned()));
        }
    };
    let template = compile(name, text)?;
    let mut partials = Vec::new();
    for (partial, text) in &options.partials {
        partials.push((partial.clone(), compile(partial, text)?));
    }
    circle::check(name, text, &options.partials).map_err(|(at, message)| failed(&at, None, message))?;
    Ok(Set { template, partials, escape: options.escape, strict: options.error_on_missing_key })
}

/// Collects the text, up to the limit.
struct Bounded {
    text: String,
    limit: usize,
    passed: bool,
}

impl Output for Bounded {
    fn write(&mut self, part: &str) -> std::io::Result<()> {
        if self.text.len() + part.len() > self.limit {
            self.passed = true;
            return Err(std::io::Error::other("more output than allowed"));
        }
        self.text.push_str(part);
        Ok(())
    }
}

/// What the helpers share while a template is rendered.
pub(crate) struct State<'a> {
    pub(crate) context: Context<'a>,
    /// A limit was passed or the caller stopped it; the crate's own error only has words.
    pub(crate) fault: Option<Fault>,
}

pub(crate) fn render<'a>(
    name: &str,
    _source: &[u8],
    set: &Set,
    context: Context<'a>,
) -> (Context<'a>, Result<Vec<u8>, TemplateError>) {
    let limit = usize::try_from(context.options.limits.output_bytes).unwrap_or(usize::MAX);
    let mut out = Bounded { text: String::new(), limit, passed: false };
    let state = Mutex::new(State { context, fault: None });
    let result = {
        let mut registry = Handlebars::new();
        registry.set_strict_mode(set.strict);
        registry.register_escape_fn(escape(set.escape));
        helper::register(&mut registry, &state);
        for (name, partial) in &set.partials {
            registry.register_template(name, partial.clone());
        }
        run(&registry, &set.template, &mut out)
    };
    let State { context, fault } = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let result = match result {
        Ok(()) => Ok(out.text.into_bytes()),
        Err(error) => {
            let fault = fault
                .or_else(|| out.passed.then(|| Fault::Limit(format!("more than {limit} bytes of output"))));
            let (stage, message) = match fault {
                Some(Fault::Limit(message)) => (Stage::Limit, format!("limit: {message}")),
                Some(Fault::Stopped) => (Stage::Stopped, "stopped: it took too long".to_owned()),
                _ => (Stage::Execute, error.reason().to_string()),
            };
            let within = error.template_name.clone().filter(|within| within != name).unwrap_or_default();
            let column = error.column_no.unwrap_or(0);
            Err(TemplateError {
                stage,
                within,
                ..failed(name, error.line_no.map(|line| (line, column)), message)
            })
        }
    };
    (context, result)
}

/// One lifetime for the registry and what borrows from it.
fn run<'a>(
    registry: &'a Handlebars<'a>,
    template: &'a Template,
    out: &mut Bounded,
) -> Result<(), handlebars::RenderError> {
    let data = Data::wraps(serde_json::Value::Object(serde_json::Map::new()))?;
    inner(registry, template, &data, out)
}

fn inner<'reg: 'rc, 'rc>(
    registry: &'reg Handlebars<'reg>,
    template: &'rc Template,
    data: &'rc Data,
    out: &mut Bounded,
) -> Result<(), handlebars::RenderError> {
    let mut context = RenderContext::new(None);
    template.render(registry, data, &mut context, out)
}

fn escape(kind: Escape) -> fn(&str) -> String {
    match kind {
        Escape::None => handlebars::no_escape,
        Escape::Html => handlebars::html_escape,
        Escape::Json => |text| {
            let mut out = Vec::new();
            func::json_string(&mut out, text.as_bytes(), false);
            let quoted = String::from_utf8_lossy(&out).into_owned();
            quoted[1..quoted.len() - 1].to_owned()
        },
        Escape::Shell => |text| format!("'{}'", text.replace('\'', "'\\''")),
        Escape::Nginx => |text| text.replace('\\', "\\\\").replace('"', "\\\""),
    }
}
