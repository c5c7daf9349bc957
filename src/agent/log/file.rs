//! The log file, rotated by age and size.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crs_config::Log;

/// The name in a directory that was given without one.
const DEFAULT_NAME: &str = "crs.log";

pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    opened: SystemTime,
    written: u64,
    rotate_after: Duration,
    rotate_bytes: u64,
    keep: i64,
}

impl LogFile {
    pub(super) fn open(config: &Log) -> Result<Option<LogFile>, String> {
        let Some(path) = &config.file else { return Ok(None) };
        let is_directory = path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/');
        let path = if is_directory { path.join(DEFAULT_NAME) } else { path.clone() };
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory).map_err(|error| {
                format!("Failed to make the log directory {}: {error}", directory.display())
            })?;
        }
        let (file, written) = append_to(&path)
            .map_err(|error| format!("Failed to open the log file {}: {error}", path.display()))?;
        Ok(Some(LogFile {
            path,
            file,
            opened: SystemTime::now(),
            written,
            rotate_after: config.rotate_duration,
            rotate_bytes: config.rotate_bytes,
            keep: config.rotate_max_files,
        }))
    }

    /// Errors are nowhere to be told but on the console, where the line stands as well.
    pub(super) fn write(&mut self, line: &str) {
        let old = !self.rotate_after.is_zero()
            && self.opened.elapsed().is_ok_and(|elapsed| elapsed >= self.rotate_after);
        let full = self.rotate_bytes > 0 && self.written >= self.rotate_bytes;
        if (old || full) && self.written > 0 {
            self.rotate();
        }
        if self.file.write_all(format!("{line}\n").as_bytes()).is_ok() {
            self.written += line.len() as u64 + 1;
        }
    }

    /// Opens the path anew: it may have been moved away.
    pub(super) fn reopen(&mut self) {
        if let Ok((file, written)) = append_to(&self.path) {
            (self.file, self.written, self.opened) = (file, written, SystemTime::now());
        }
    }

    fn rotate(&mut self) {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let (stem, extension) = parts(&self.path);
        let old = self.path.with_file_name(format!("{stem}-{nanos}{extension}"));
        if std::fs::rename(&self.path, &old).is_ok() {
            self.reopen();
            self.prune(&stem, &extension);
        } else {
            // Try again after as long, not with every line.
            (self.opened, self.written) = (SystemTime::now(), 0);
        }
    }

    fn prune(&self, stem: &str, extension: &str) {
        let keep = match self.keep {
            0 => return,
            keep => usize::try_from(keep).unwrap_or(0),
        };
        let Some(entries) = self.path.parent().and_then(|directory| directory.read_dir().ok()) else {
            return;
        };
        let ours = |name: &str| {
            let number = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-'));
            let number = number.and_then(|rest| rest.strip_suffix(extension));
            number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        };
        let mut old: Vec<PathBuf> = entries
            .flatten()
            .filter(|entry| entry.file_name().to_str().is_some_and(ours))
            .map(|entry| entry.path())
            .collect();
        old.sort();
        let excess = old.len().saturating_sub(keep);
        for path in old.into_iter().take(excess) {
            _ = std::fs::remove_file(path);
        }
    }
}

fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let extension = text(path.extension());
    let extension = if extension.is_empty() { extension } else { format!(".{extension}") };
    (text(path.file_stem()), extension)
}

fn append_to(path: &Path) -> std::io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    let written = file.metadata()?.len();
    Ok((file, written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_rotated_and_only_so_many_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let config = Log {
            file: Some(dir.path().join("sub/a.log")),
            rotate_bytes: 10,
            rotate_max_files: 2,
            ..Log::default()
        };
        let mut file = LogFile::open(&config).unwrap().unwrap();
        for n in 0..5 {
            file.write(&format!("line number {n}"));
        }
        let names = |directory: PathBuf| {
            let mut names: Vec<String> = directory
                .read_dir()
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let found = names(dir.path().join("sub"));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("a-") && found[2] == "a.log");
        let last = std::fs::read_to_string(dir.path().join("sub/a.log")).unwrap();
        assert_eq!(last, "line number 4\n");
    }

    #[test]
    fn a_directory_gets_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let config = Log { file: Some(dir.path().to_owned()), ..Log::default() };
        LogFile::open(&config).unwrap().unwrap().write("x");
        assert_eq!(std::fs::read_to_string(dir.path().join(DEFAULT_NAME)).unwrap(), "x\n");
    }
}
