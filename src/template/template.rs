//! Templates and their renderings, whichever the dialect.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::context::{Context, Limits};
use crate::dep::Dep;
use crate::error::TemplateError;
use crate::snapshot::{Answer, DepSnapshot};
use crate::{go, hbs};

/// The language of a template.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// consul-template's.
    Go,
    /// Handlebars.
    Handlebars,
}

impl Dialect {
    /// By the ending of a file name: `.hbs` and `.handlebars` are Handlebars, everything else is Go.
    pub fn of_file(name: &str) -> Dialect {
        if name.ends_with(".hbs") || name.ends_with(".handlebars") {
            Dialect::Handlebars
        } else {
            Dialect::Go
        }
    }

    /// By its name in a configuration: `go`, `hbs`, `handlebars`.
    pub fn by_name(name: &str) -> Option<Dialect> {
        match name {
            "go" => Some(Dialect::Go),
            "hbs" | "handlebars" => Some(Dialect::Handlebars),
            _ => None,
        }
    }
}

/// How a Handlebars template's `{{x}}` treats its text. `{{{x}}}` never escapes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Escape {
    /// As it is.
    #[default]
    None,
    /// For HTML.
    Html,
    /// For the inside of a JSON string.
    Json,
    /// One word of a POSIX shell.
    Shell,
    /// For the inside of a double-quoted nginx parameter.
    Nginx,
}

impl Escape {
    /// By its name in a configuration.
    pub fn by_name(name: &str) -> Option<Escape> {
        Some(match name {
            "none" => Escape::None,
            "html" => Escape::Html,
            "json" => Escape::Json,
            "shell" => Escape::Shell,
            "nginx" => Escape::Nginx,
            _ => return None,
        })
    }
}

/// Settings of one template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Go dialect: what opens an action.
    pub left_delimiter: String,
    /// Go dialect: what closes an action.
    pub right_delimiter: String,
    /// A field of a map that has no such entry is an error (Go), and so is an unknown name (Handlebars).
    pub error_on_missing_key: bool,
    /// Functions that may not be used; `*` stands for any text.
    pub function_denylist: Vec<String>,
    /// `file` reads only below this folder; empty: anywhere.
    pub sandbox_path: String,
    /// Handlebars: how `{{x}}` is escaped.
    pub escape: Escape,
    /// Handlebars: partials by name.
    pub partials: BTreeMap<String, String>,
    /// Bounds of each rendering.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            left_delimiter: "{{".to_owned(),
            right_delimiter: "}}".to_owned(),
            error_on_missing_key: false,
            function_denylist: Vec::new(),
            sandbox_path: String::new(),
            escape: Escape::None,
            partials: BTreeMap::new(),
            limits: Limits::default(),
        }
    }
}

impl Options {
    /// Is the function on the denylist?
    pub(crate) fn denied(&self, name: &str) -> bool {
        self.function_denylist.iter().any(|pattern| glob(pattern.as_bytes(), name.as_bytes()))
    }
}

/// Does the pattern, in which `*` stands for any text, cover the whole name?
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|at| glob(rest, &name[at..])),
        Some((byte, rest)) => name.first() == Some(byte) && glob(rest, &name[1..]),
    }
}

/// A parsed template. Cheap to clone, may be rendered from several threads at once.
#[derive(Clone)]
pub struct Template {
    name: Arc<str>,
    source: Arc<[u8]>,
    options: Arc<Options>,
    body: Body,
}

#[derive(Clone)]
enum Body {
    Go(Arc<go::Set>),
    Handlebars(Arc<hbs::Set>),
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Template {
    /// Reads a template. The name appears in messages: usually the file.
    ///
    /// # Errors
    /// The text is no template of that dialect; the error says where.
    pub fn parse(
        name: &str,
        text: &[u8],
        dialect: Dialect,
        options: Options,
    ) -> Result<Template, TemplateError> {
        let body = match dialect {
            Dialect::Go => Body::Go(Arc::new(go::parse(name, text, &options)?)),
            Dialect::Handlebars => Body::Handlebars(Arc::new(hbs::parse(name, text, &options)?)),
        };
        Ok(Template { name: name.into(), source: text.into(), options: Arc::new(options), body })
    }

    /// The name it was parsed under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The settings it was parsed with.
    pub fn options(&self) -> &Options {
        &self.options
    }
}

/// A file that a template wants written beside its own output (`writeToFile`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WrittenFile {
    /// Where.
    pub path: String,
    /// Owner by name or number; empty: the process's.
    pub user: String,
    /// Group by name or number; empty: the process's.
    pub group: String,
    /// Octal, such as `0644`.
    pub perms: String,
    /// What.
    pub content: Vec<u8>,
    /// Behind what is there, as opposed to in its place.
    pub append: bool,
}

/// The result of a rendering.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The text; `None` while something is missing.
    pub output: Option<Vec<u8>>,
    /// Every question that was asked, answered or not.
    pub used: BTreeSet<Dep>,
    /// Questions without an answer yet, and keys that `key` waits for because they do not exist.
    pub missing: BTreeSet<Dep>,
    /// Files beside the output; empty while something is missing.
    pub files: Vec<WrittenFile>,
}

impl Rendered {
    /// The keys among the missing that the server has answered about: they do not exist.
    pub fn awaited<'a>(&'a self, snapshot: &'a DepSnapshot) -> impl Iterator<Item = &'a Dep> {
        self.missing.iter().filter(|dep| snapshot.get(dep).is_some())
    }
}

/// Renders a template from what is known. A function of its arguments: the same snapshot gives the same bytes.
///
/// # Errors
/// The template met data it cannot handle, passed a limit or was stopped. While anything is missing an error of the
/// first kind is not reported: it may only come from the data that is not there yet.
pub fn render(template: &Template, snapshot: &DepSnapshot) -> Result<Rendered, TemplateError> {
    render_until(template, snapshot, None)
}

/// [`render`], which asks every few thousand steps whether to stop.
///
/// # Errors
/// As [`render`].
pub fn render_until(
    template: &Template,
    snapshot: &DepSnapshot,
    stop: Option<&(dyn Fn() -> bool + Send + Sync)>,
) -> Result<Rendered, TemplateError> {
    let context = Context::new(snapshot, &template.options, stop);
    let (context, result) = match &template.body {
        Body::Go(set) => go::render(&template.name, &template.source, set, context),
        Body::Handlebars(set) => hbs::render(&template.name, &template.source, set, context),
    };
    let Context { used, missing, files, .. } = context;
    match result {
        Ok(output) if missing.is_empty() => Ok(Rendered { output: Some(output), used, missing, files }),
        Ok(_) => Ok(Rendered { output: None, used, missing, files: Vec::new() }),
        Err(error) if waits(&error, &missing, snapshot) => {
            Ok(Rendered { output: None, used, missing, files: Vec::new() })
        }
        Err(error) => Err(error),
    }
}

/// An error while questions are open may come from their having no answer. An error while all are answered, or
/// while the only open ones are keys known not to exist, is real.
fn waits(error: &TemplateError, missing: &BTreeSet<Dep>, snapshot: &DepSnapshot) -> bool {
    error.stage == crate::error::Stage::Execute
        && missing.iter().any(|dep| !matches!(snapshot.get(dep), Some(Answer::Failed(_))))
}
