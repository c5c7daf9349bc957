//! Questions that this machine answers itself: environment, files, programs, time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crs_template::{Answer, Dep, Value};

use super::command;

/// How long a `plugin` may take.
const PLUGIN_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest file that a template may read.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Answers a question of this machine.
pub(crate) async fn answer(dep: &Dep) -> Option<Answer> {
    Some(match dep {
        Dep::Env(name) => match std::env::var_os(name) {
            Some(value) => {
                use std::os::unix::ffi::OsStrExt as _;
                Answer::Value(Value::text(value.as_bytes()))
            }
            None => Answer::Absent,
        },
        Dep::File { path, sandbox } => match read(path, sandbox) {
            Ok(text) => Answer::Value(Value::text(text)),
            Err(reason) => Answer::Failed(format!("file({path}): {reason}")),
        },
        Dep::Plugin(words) => match command::output(words, PLUGIN_TIMEOUT).await {
            Ok(text) => Answer::Value(Value::text(text)),
            Err(reason) => Answer::Failed(reason),
        },
        _ => return None,
    })
}

fn read(path: &str, sandbox: &str) -> Result<Vec<u8>, String> {
    let place = resolve(Path::new(path), sandbox)?;
    let meta = fs::metadata(&place).map_err(|error| error.to_string())?;
    if meta.len() > MAX_FILE_BYTES {
        return Err(format!("has {} bytes, more than the {MAX_FILE_BYTES} that are read", meta.len()));
    }
    if meta.is_dir() {
        return Err("is a folder".to_owned());
    }
    fs::read(&place).map_err(|error| error.to_string())
}

/// The file behind all links; with a sandbox, an error when that lies outside of it.
fn resolve(path: &Path, sandbox: &str) -> Result<PathBuf, String> {
    let real = fs::canonicalize(path).map_err(|error| error.to_string())?;
    if sandbox.is_empty() {
        return Ok(real);
    }
    let fence = fs::canonicalize(sandbox).map_err(|error| format!("sandbox {sandbox:?}: {error}"))?;
    if real.starts_with(&fence) { Ok(real) } else { Err(format!("lies outside of the sandbox {sandbox:?}")) }
}

/// What tells that a file changed without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stamp(Option<(u64, u64, SystemTime)>);

/// The stamp of a file as it is now.
pub(crate) fn stamp(path: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::metadata(path).ok();
    Stamp(meta.and_then(|meta| Some((meta.ino(), meta.len(), meta.modified().ok()?))))
}
