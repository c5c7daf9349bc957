//! A new configuration for a running agent: read, compare, apply. A broken one changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crs_config::{Loaded, Reloadable, diff};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::agent::Agent;

/// Reads the configuration again from where it came. Blocks; the error is what an operator reads.
pub type ReadAgain = Arc<dyn Fn() -> Result<Loaded, String> + Send + Sync>;

/// Editors write a file in several steps: wait until they are done.
const QUIET: Duration = Duration::from_millis(250);
/// Network file systems tell nobody of changes, so look now and then.
const LOOK: Duration = Duration::from_secs(30);

/// Reads and applies, one at a time.
pub(crate) struct Reloader {
    read_again: ReadAgain,
    one_at_a_time: Mutex<()>,
}

impl Reloader {
    pub(crate) fn new(read_again: ReadAgain) -> Self {
        Reloader { read_again, one_at_a_time: Mutex::default() }
    }

    pub(crate) async fn reload(&self, agent: &Agent) -> Result<(), String> {
        let _alone = self.one_at_a_time.lock().await;
        info!(target: "agent", "Reloading configuration...");
        let read_again = self.read_again.clone();
        let loaded = match tokio::task::spawn_blocking(move || read_again()).await {
            Ok(loaded) => loaded,
            Err(error) => Err(format!("reading the configuration failed: {error}")),
        };
        let loaded = loaded.inspect_err(|text| {
            error!(target: "agent", error = %text, "Failed to reload configuration, the old one stays");
        })?;
        for warning in &loaded.warnings {
            warn!(target: "agent", "{warning}");
        }
        apply(agent, loaded);
        Ok(())
    }
}

/// Takes over what can be taken over while running; the rest stays as it was, and is named.
fn apply(agent: &Agent, loaded: Loaded) {
    let old = agent.config();
    let new = loaded.config;
    let plan = diff(&old, &new);
    if !plan.needs_restart.is_empty() {
        let keys = plan.needs_restart.join(", ");
        warn!(target: "agent", %keys, "Changed keys take effect only after a restart");
    }
    let mut running = (*old).clone();
    for section in &plan.apply {
        match section {
            Reloadable::Services => running.services.clone_from(&new.services),
            Reloadable::Checks => running.checks.clone_from(&new.checks),
            Reloadable::Watches => running.watches.clone_from(&new.watches),
            Reloadable::NodeMeta => running.node_meta.clone_from(&new.node_meta),
            Reloadable::Tokens => {
                let master = running.acl.tokens.master.clone();
                running.acl.tokens = new.acl.tokens.clone();
                running.acl.tokens.master = master;
            }
            Reloadable::LogLevel => running.log.level = new.log.level,
            Reloadable::DiscardCheckOutput => {
                running.checks_config.discard_output = new.checks_config.discard_output;
            }
            Reloadable::Tls => running.tls.clone_from(&new.tls),
            Reloadable::Limits => {
                let limits = &mut running.limits;
                limits.http_max_conns_per_client = new.limits.http_max_conns_per_client;
                limits.rpc_max_conns_per_client = new.limits.rpc_max_conns_per_client;
                limits.rpc_rate = new.limits.rpc_rate;
                limits.rpc_max_burst = new.limits.rpc_max_burst;
            }
            Reloadable::MetricFilter => {
                running.telemetry.allowed_prefixes.clone_from(&new.telemetry.allowed_prefixes);
                running.telemetry.blocked_prefixes.clone_from(&new.telemetry.blocked_prefixes);
            }
            Reloadable::ConfigEntries => running.config_entries.clone_from(&new.config_entries),
            Reloadable::Templates => running.templates = new.templates.clone(),
        }
    }
    let running = Arc::new(running);
    let parts = agent.parts();
    parts.config.store(running.clone());
    parts.config_version.send_modify(|version| *version += 1);
    parts.log.set_level(running.log.level);
    parts.log.reopen();
    if plan.apply.contains(&Reloadable::NodeMeta) {
        parts.local.touch_node();
    }
    // Also when nothing in them changed: what was deregistered over the API comes back, as in Consul.
    agent.apply_definitions(&old, &running);
    let sections: Vec<String> = plan.apply.iter().map(|section| format!("{section:?}")).collect();
    info!(target: "agent", changed = %sections.join(","), "Configuration reloaded");
}

/// `auto_reload_config`: reloads when the content of a file changed. Watches directories, since editors replace files.
pub(crate) async fn watch_files(agent: Arc<Agent>, paths: Vec<PathBuf>, stop: CancellationToken) {
    use notify::Watcher;
    let (events, mut changed) = mpsc::channel(1);
    let watcher = notify::recommended_watcher(move |_| {
        // One waiting event is as good as many.
        _ = events.try_send(());
    });
    let mut watcher = match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            warn!(target: "agent", %error, "Cannot watch the configuration files; looking at them every 30s");
            None
        }
    };
    let mut directories: Vec<PathBuf> = paths.iter().map(|path| directory_of(path)).collect();
    directories.sort();
    directories.dedup();
    for directory in &directories {
        if let Some(Err(error)) =
            watcher.as_mut().map(|watcher| watcher.watch(directory, notify::RecursiveMode::NonRecursive))
        {
            warn!(target: "agent", path = %directory.display(), %error, "Cannot watch a configuration directory");
        }
    }
    let mut seen = fingerprint(&paths);
    loop {
        tokio::select! {
            _ = changed.recv(), if watcher.is_some() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
        // Until nothing has happened for a moment.
        while let Ok(Some(())) = tokio::time::timeout(QUIET, changed.recv()).await {}
        let now = fingerprint(&paths);
        if now != seen {
            seen = now;
            // Its error is in the log; the next change of a file tries again.
            _ = agent.reload().await;
        }
    }
}

fn directory_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.to_owned();
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// What the files say, so that a file that was only touched does not reload. Names and contents go into one number.
fn fingerprint(paths: &[PathBuf]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    let mut one = |path: &Path| {
        path.hash(&mut hasher);
        match std::fs::read(path) {
            Ok(content) => content.hash(&mut hasher),
            // Not readable now: its time tells when that changes.
            Err(_) => std::fs::metadata(path)
                .and_then(|meta| meta.modified())
                .unwrap_or(SystemTime::UNIX_EPOCH)
                .hash(&mut hasher),
        }
    };
    for path in paths {
        let mut files: Vec<PathBuf> = match path.read_dir() {
            Ok(entries) => {
                entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect()
            }
            Err(_) => vec![path.clone()],
        };
        files.sort();
        files.retain(|file| {
            path.is_file() || file.extension().is_some_and(|ext| ext == "json" || ext == "hcl")
        });
        files.iter().for_each(|file| one(file));
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_content_counts() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.json");
        let paths = [dir.path().to_owned()];
        let empty = fingerprint(&paths);
        std::fs::write(&file, "{}").unwrap();
        let first = fingerprint(&paths);
        assert_ne!(first, empty);
        std::fs::write(dir.path().join("a.json~"), "x").unwrap();
        std::fs::write(&file, "{}").unwrap();
        assert_eq!(fingerprint(&paths), first);
        std::fs::write(&file, "{ }").unwrap();
        assert_ne!(fingerprint(&paths), first);
        assert_eq!(directory_of(&file), dir.path());
    }
}
