//! `pid_file`: there while the agent runs.

use std::path::{Path, PathBuf};

pub(crate) struct PidFile(PathBuf);

impl PidFile {
    pub(crate) fn write(path: &Path) -> Result<PidFile, String> {
        std::fs::write(path, std::process::id().to_string())
            .map_err(|error| format!("Could not open pid file {}: {error}", path.display()))?;
        Ok(PidFile(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        _ = std::fs::remove_file(&self.0);
    }
}
