//! The Go dialect against the bytes of a real consul-template: `tests/data/template-golden`, whose README says what its
//! files mean. The server is real Consul or crs: `CRS_TEST_SERVER=consul|crs` (default: Consul where its binary is).

#![allow(clippy::unwrap_used, unreachable_pub)]

mod samples;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use server::Server;

/// How long a case that waits may show that it does not end.
const BLOCKS: Duration = Duration::from_secs(2);
/// How long any other case may take.
const LIMIT: Duration = Duration::from_secs(20);

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/template-golden")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect()
}

struct Case<'a> {
    name: &'a str,
    folder: &'a Path,
    server: &'a Server,
}

impl Case<'_> {
    fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }

    /// Runs the case; `None` when it did not end in time.
    fn run(&self, limit: Duration) -> Option<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crs"));
        command
            .current_dir(self.folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C.UTF-8")
            .args(["template", &format!("-consul-addr={}", self.server.http()), "-once"]);
        if self.file("hcl").exists() {
            command.arg(format!("-config={}.hcl", self.name));
        } else {
            command.arg(format!("-template={0}.ctmpl:{0}.rendered", self.name));
        }
        command.args(lines(&self.file("args")));
        for pair in lines(&self.file("env")) {
            let (name, value) = pair.split_once('=').unwrap();
            command.env(name, value);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + limit;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(child.wait_with_output().unwrap())
    }

    /// What is wrong, if anything.
    fn check(&self) -> Result<(), String> {
        let rendered = self.file("rendered");
        let failure = lines(&self.file("err"));
        let blocks = failure.iter().any(|line| line == "blocks");
        let output = self.run(if blocks { BLOCKS } else { LIMIT });
        let text = fs::read(&rendered).ok();
        let Some(output) = output else {
            return match (blocks, text) {
                (true, None) => Ok(()),
                (true, Some(_)) => Err("waits, but has written a file".to_owned()),
                (false, _) => Err("does not end".to_owned()),
            };
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code();
        if code == Some(0) {
            let dry = lines(&self.file("args")).iter().any(|flag| flag == "-dry");
            let text = if dry { Some(output.stdout) } else { text };
            let wanted =
                [self.file("out"), self.file("alt")].into_iter().filter_map(|path| fs::read(path).ok());
            let wanted: Vec<Vec<u8>> = wanted.collect();
            let text = text.unwrap_or_default();
            return if wanted.contains(&text) {
                Ok(())
            } else {
                let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let wanted: Vec<String> = wanted.iter().map(|bytes| shown(bytes)).collect();
                Err(format!("rendered\n{}\nwanted\n{}", shown(&text), wanted.join("\nor\n")))
            };
        }
        if failure.is_empty() {
            return Err(format!("ended with {code:?}: {said}"));
        }
        if blocks {
            return Err(format!("ended with {code:?} where it should wait: {said}"));
        }
        if text.is_some() {
            return Err("failed, but has written a file".to_owned());
        }
        for line in &failure {
            if let Some(number) = line.strip_prefix("exit ")
                && code.map(|code| code.to_string()).as_deref() != Some(number)
            {
                return Err(format!("ended with {code:?}, wanted {number}: {said}"));
            }
            if let Some(part) = line.strip_prefix("says ")
                && !said.contains(part)
            {
                return Err(format!("does not say {part:?}: {said}"));
            }
        }
        Ok(())
    }
}

#[test]
fn golden() {
    let folder = tempfile::tempdir().unwrap();
    copy(&data(), folder.path());
    let Some(server) = Server::start(folder.path()) else { return };
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .filter_map(|entry| {
            Some(entry.unwrap().path().file_name()?.to_str()?.strip_suffix(".ctmpl")?.to_owned())
        })
        .collect();
    names.sort();
    if let Ok(only) = std::env::var("CRS_GOLDEN") {
        names.retain(|name| name.contains(&only));
    }
    assert!(!names.is_empty());
    let failed: Vec<String> = names
        .iter()
        .filter_map(|name| {
            let case = Case { name, folder: folder.path(), server: &server };
            case.check().err().map(|error| format!("== {name}: {error}"))
        })
        .collect();
    println!("{} of {} golden cases pass", names.len() - failed.len(), names.len());
    assert!(failed.is_empty(), "{} of {} fail:\n{}", failed.len(), names.len(), failed.join("\n"));
}

#[test]
fn samples() {
    let folder = tempfile::tempdir().unwrap();
    copy(&data(), folder.path());
    let Some(server) = Server::start(folder.path()) else { return };
    samples::check(&server, folder.path());
}
