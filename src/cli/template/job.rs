//! One template on its way from its source to its destination.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use crs_template::{Answer, Dep, DepSnapshot, Rendered, Template, TemplateError, render_until};

use super::local::{self, Stamp};
use super::settings::{Block, OnEmpty, Wait};
use super::write::Shape;

/// The largest template that is read.
const MAX_SOURCE_BYTES: u64 = 16 << 20;
/// How often this machine's own answers may lead to further questions of its own.
const MAX_ROUNDS: usize = 64;
/// How long one rendering may take: the other templates wait meanwhile.
const RENDER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3);

/// Why a template gives nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// The template itself or its data.
    #[error("{0}")]
    Template(#[from] TemplateError),
    /// The template's file.
    #[error("{path}: cannot read the template: {reason}")]
    Source { path: String, reason: String },
    /// A rule about how much there has to be.
    #[error("{name}: {dep} has {count} instances, min_instances asks for {wanted}")]
    TooFew { name: String, dep: String, count: usize, wanted: usize },
}

/// What a rendering came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A text for the destination, and files beside it.
    Text(Vec<u8>, Vec<crs_template::WrittenFile>),
    /// Something is not known yet.
    Waiting,
    /// The rule about empty answers keeps the file as it is.
    Kept(String),
}

/// A template and where it stands.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) block: Block,
    template: Option<Template>,
    /// Files it is made of, and how they looked when it was read.
    sources: Vec<(PathBuf, Stamp)>,
    /// What the last rendering asked for.
    pub(crate) used: BTreeSet<Dep>,
    pub(crate) missing: BTreeSet<Dep>,
    /// Has to be rendered, as soon as its wait is over.
    pub(crate) dirty: bool,
    /// The first change that has not been rendered yet, and the latest.
    changed: Option<(Instant, Instant)>,
    /// Was rendered once.
    pub(crate) rendered: bool,
    /// The last error told, so that it is told once.
    pub(crate) told: Option<String>,
    /// Waits since, and whether that was told.
    pub(crate) waiting: Option<(Instant, bool)>,
}

impl Job {
    pub(crate) fn new(block: Block) -> Job {
        Job {
            block,
            template: None,
            sources: Vec::new(),
            used: BTreeSet::new(),
            missing: BTreeSet::new(),
            dirty: true,
            changed: None,
            rendered: false,
            told: None,
            waiting: None,
        }
    }

    /// How its file is to be.
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            perms: self.block.perms,
            user: self.block.user.clone(),
            group: self.block.group.clone(),
            create_dirs: self.block.create_dest_dirs,
            backup: self.block.backup,
        }
    }

    /// Reads and parses the template anew.
    pub(crate) fn read(&mut self) -> Result<(), JobError> {
        self.template = None;
        self.sources.clear();
        let name = self.block.name();
        let text = match (&self.block.contents, &self.block.source) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(path)) => {
                self.sources.push((path.clone(), local::stamp(path)));
                read_file(path).map_err(|reason| JobError::Source { path: name.clone(), reason })?
            }
            (None, None) => Vec::new(),
        };
        let mut options = self.block.options.clone();
        if let Some(folder) = &self.block.partials {
            self.sources.push((folder.clone(), local::stamp(folder)));
            let listing = fs::read_dir(folder).map_err(|error| JobError::Source {
                path: folder.display().to_string(),
                reason: error.to_string(),
            })?;
            for entry in listing.flatten() {
                let path = entry.path();
                let Some(stem) = path.file_stem().filter(|_| path.is_file()) else { continue };
                if !matches!(path.extension().and_then(|e| e.to_str()), Some("hbs" | "handlebars")) {
                    continue;
                }
                self.sources.push((path.clone(), local::stamp(&path)));
                let text = read_file(&path)
                    .map_err(|reason| JobError::Source { path: path.display().to_string(), reason })?;
                let text = String::from_utf8_lossy(&text).into_owned();
                options.partials.insert(stem.to_string_lossy().into_owned(), text);
            }
        }
        self.template = Some(Template::parse(&name, &text, self.block.dialect, options)?);
        Ok(())
    }

    /// Did one of its files change since it was read?
    pub(crate) fn is_outdated(&self) -> bool {
        self.sources.iter().any(|(path, stamp)| local::stamp(path) != *stamp)
    }

    /// Notes a change of its data.
    pub(crate) fn touch(&mut self, now: Instant) {
        self.dirty = true;
        let first = self.changed.map_or(now, |(first, _)| first);
        self.changed = Some((first, now));
    }

    /// When its wait is over; `None`: at once.
    pub(crate) fn due(&self) -> Option<Instant> {
        let Wait { min, max } = self.block.wait?;
        let (first, last) = self.changed?;
        // the first rendering after a start does not wait: there is nothing to calm down from
        if !self.rendered {
            return None;
        }
        Some((last + min).min(first + max))
    }

    /// Renders from what is known; this machine's own questions are answered on the way.
    pub(crate) async fn render(&mut self, snapshot: &mut DepSnapshot) -> Result<Outcome, JobError> {
        self.dirty = false;
        self.changed = None;
        if self.template.is_none() {
            self.read()?;
        }
        let Some(template) = self.template.clone() else { return Ok(Outcome::Waiting) };
        snapshot.now = Some(std::time::SystemTime::now());
        // programs run once per rendering, as their output may differ each time
        for dep in self.used.iter().filter(|dep| matches!(dep, Dep::Plugin(_))) {
            snapshot.remove(dep);
        }
        for _ in 0..MAX_ROUNDS {
            let started = Instant::now();
            let stop = move || started.elapsed() > RENDER_TIMEOUT;
            let rendered = match render_until(&template, snapshot, Some(&stop)) {
                Ok(rendered) => rendered,
                Err(error) => return Err(error.into()),
            };
            let own: Vec<Dep> = rendered
                .missing
                .iter()
                .filter(|dep| !dep.is_remote() && snapshot.get(dep).is_none())
                .cloned()
                .collect();
            if own.is_empty() {
                return self.finish(rendered, snapshot);
            }
            for dep in own {
                if let Some(answer) = local::answer(&dep).await {
                    snapshot.insert(dep, answer);
                }
            }
        }
        Ok(Outcome::Waiting)
    }

    fn finish(&mut self, rendered: Rendered, snapshot: &DepSnapshot) -> Result<Outcome, JobError> {
        self.used = rendered.used;
        self.missing = rendered.missing;
        let Some(text) = rendered.output else { return Ok(Outcome::Waiting) };
        self.waiting = None;
        if let Some((dep, count)) = self.too_few(snapshot) {
            let wanted = self.block.min_instances.max(1);
            let name = self.block.name();
            if self.block.on_empty == OnEmpty::Fail {
                return Err(JobError::TooFew { name, dep, count, wanted });
            }
            return Ok(Outcome::Kept(format!(
                "{dep} has {count} instances, at least {wanted} are asked for"
            )));
        }
        Ok(Outcome::Text(text, rendered.files))
    }

    /// The first service with fewer instances than asked for.
    fn too_few(&self, snapshot: &DepSnapshot) -> Option<(String, usize)> {
        let wanted = match (self.block.min_instances, self.block.on_empty) {
            (0, OnEmpty::Render) => return None,
            (wanted, _) => wanted.max(1),
        };
        self.used.iter().find_map(|dep| match (dep, snapshot.get(dep)) {
            (Dep::Health(_), Some(Answer::Value(value))) => {
                let count = value.as_items().map_or(0, <[_]>::len);
                (count < wanted).then(|| (dep.to_string(), count))
            }
            _ => None,
        })
    }
}

fn read_file(path: &std::path::Path) -> Result<Vec<u8>, String> {
    let meta = fs::metadata(path).map_err(|error| error.to_string())?;
    if meta.len() > MAX_SOURCE_BYTES {
        return Err(format!("has {} bytes, more than the {MAX_SOURCE_BYTES} that are read", meta.len()));
    }
    fs::read(path).map_err(|error| error.to_string())
}
