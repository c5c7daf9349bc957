//! Brings configuration files, the environment and the machine's addresses to the pure reader.

use std::path::Path;

use crs_config::{Config, Format, Lookup, Source};

/// Largest file behind a `${file:...}` placeholder, bytes.
const MAX_PLACEHOLDER_BYTES: u64 = 1 << 20;

/// Files and directories in the order in which they were named.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    paths: Vec<String>,
}

/// What was found at the paths.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Files to read, in order.
    pub(crate) files: Vec<Source>,
    /// What was left out, in Consul's words.
    pub(crate) skipped: Vec<String>,
}

impl Paths {
    /// One more file or directory.
    pub(crate) fn add(&mut self, path: &str) {
        self.paths.push(path.to_owned());
    }

    /// Reads them: files as named, directories in lexical order and not below. `format` forces how.
    ///
    /// # Errors
    /// In Consul's words, naming the path.
    pub(crate) fn read(&self, format: Option<Format>) -> Result<Found, String> {
        let mut found = Found::default();
        for path in &self.paths {
            let failed = |error: std::io::Error| {
                format!("config: Open failed on {path}. open {path}: {}", crs_client::system_text(&error))
            };
            if std::fs::metadata(path).map_err(failed)?.is_dir() {
                let mut names = Vec::new();
                for entry in std::fs::read_dir(path).map_err(failed)? {
                    let entry = entry.map_err(failed)?;
                    // A link to a file counts as the file; one that leads nowhere is a mistake.
                    let file = entry.path();
                    let shown = file.display();
                    let kind = std::fs::metadata(&file).map_err(|error| {
                        let text = crs_client::system_text(&error);
                        format!("config: Open failed on {shown}. open {shown}: {text}")
                    })?;
                    if kind.is_file() {
                        names.push(entry.file_name().to_string_lossy().into_owned());
                    }
                }
                names.sort();
                for name in names {
                    found.add(&Path::new(path).join(name).to_string_lossy(), format)?;
                }
            } else {
                found.add(path, format)?;
            }
        }
        Ok(found)
    }
}

impl Found {
    fn add(&mut self, path: &str, format: Option<Format>) -> Result<(), String> {
        let Some(format) = format.or_else(|| Format::of_name(path)) else {
            self.skipped.push(format!(
                "skipping file {path}, extension must be .hcl or .json, or config format must be set"
            ));
            return Ok(());
        };
        let bytes = std::fs::read(path).map_err(|error| {
            format!("config: ReadFile failed on {path}: open {path}: {}", crs_client::system_text(&error))
        })?;
        self.files.push(Source::new(path, format, bytes));
        Ok(())
    }
}

/// What only the file system can tell of a configuration.
///
/// # Errors
/// A data directory that is none, certificates that are not there; naming key and path.
pub(crate) fn look_at_files(config: &Config) -> Result<(), String> {
    if let Some(dir) = config.data_dir.as_ref().filter(|dir| dir.exists() && !dir.is_dir()) {
        return Err(format!("data_dir {:?} is not a directory", dir.display().to_string()));
    }
    let tls = &config.tls;
    let missing: Vec<String> = [
        ("ca_file", &tls.ca_file),
        ("ca_path", &tls.ca_path),
        ("cert_file", &tls.cert_file),
        ("key_file", &tls.key_file),
    ]
    .into_iter()
    .filter_map(|(key, path)| {
        let path = path.as_ref()?;
        let error = std::fs::metadata(path).err()?;
        Some(format!("{key}: open {}: {}", path.display(), crs_client::system_text(&error)))
    })
    .collect();
    match missing.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        all => Err(format!("{} errors occurred:\n\t* {}", all.len(), all.join("\n\t* "))),
    }
}

/// The process's environment and the file system.
pub(crate) fn lookup() -> impl Lookup {
    Outside
}

struct Outside;

impl Lookup for Outside {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let text = |error: std::io::Error| crs_client::system_text(&error);
        let size = std::fs::metadata(path).map_err(text)?.len();
        if size > MAX_PLACEHOLDER_BYTES {
            return Err(format!(
                "it has {size} bytes, more than the {MAX_PLACEHOLDER_BYTES} that a value may have"
            ));
        }
        std::fs::read_to_string(path).map_err(text)
    }
}
