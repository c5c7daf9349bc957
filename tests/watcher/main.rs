//! The template watcher from outside: the real binary against a stand-in for the agent.

#![allow(clippy::unwrap_used, clippy::type_complexity, unreachable_pub)]

mod agent;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use agent::Agent;
use crs_testkit::signal;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// Asks until it comes true.
fn eventually<T, E: std::fmt::Display>(patience: Duration, ask: impl FnMut() -> Result<T, E>) -> T {
    crs_testkit::eventually(patience, "what the case waits for", ask)
}

struct Bench {
    folder: TempDir,
    agent: Agent,
}

impl Bench {
    fn new() -> Bench {
        Bench { folder: tempfile::tempdir().unwrap(), agent: Agent::start() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crs"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("CONSUL_HTTP_ADDR", self.agent.address())
            .arg("template")
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn start(&self, arguments: &[&str]) -> Watcher {
        let log = fs::File::create(self.path("log")).unwrap();
        let child = self.command(arguments).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Watcher { child }
    }

    fn until(&self, name: &str, expected: &str) {
        eventually(PATIENCE, || {
            let found = self.read(name);
            if found == expected {
                Ok(())
            } else {
                Err(format!("{name}: {found:?}; log: {}", self.read("log")))
            }
        });
    }

    fn until_log(&self, part: &str) {
        eventually(PATIENCE, || {
            let log = self.read("log");
            if log.contains(part) { Ok(()) } else { Err(format!("no {part:?} in the log: {log}")) }
        });
    }
}

struct Watcher {
    child: Child,
}

impl Watcher {
    fn signal(&self, number: i32) {
        signal(self.child.id(), number).unwrap();
    }

    fn code(&mut self) -> i32 {
        eventually(PATIENCE, || match self.child.try_wait().unwrap() {
            Some(status) => Ok(status.code().unwrap_or(-1)),
            None => Err("still runs"),
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn one_question_serves_all_templates_and_a_command_runs_once_per_pass() {
    let bench = Bench::new();
    bench.agent.key("k", "one");
    bench.write("a.ctmpl", "a {{key \"k\"}}");
    bench.write("b.hbs", "b {{key \"k\"}}");
    bench.write("c.ctmpl", "c");
    let arguments: Vec<String> = ["a.ctmpl:a", "b.hbs:b", "c.ctmpl:c"]
        .iter()
        .map(|t| format!("-template={t}:echo ran >> ran"))
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let _watcher = bench.start(&arguments);
    bench.until("a", "a one");
    bench.until("b", "b one");
    eventually(PATIENCE, || if bench.read("ran").is_empty() { Err("not yet") } else { Ok(()) });
    let before = bench.read("ran").lines().count();
    assert!((1..=2).contains(&before), "{before}");
    bench.agent.key("k", "two");
    bench.until("a", "a two");
    bench.until("b", "b two");
    bench.until("ran", &"ran\n".repeat(before + 1));
    // the index moves on, the answer does not: nothing is written, nothing runs
    let inode = fs::metadata(bench.path("a")).unwrap().ino();
    bench.agent.key("k", "two");
    eventually(PATIENCE, || {
        let asked = bench.agent.requests("/v1/kv/k");
        if asked >= 4 { Ok(()) } else { Err(format!("{asked} requests")) }
    });
    assert_eq!(bench.agent.requests("/v1/kv/k"), 4);
    assert_eq!(fs::metadata(bench.path("a")).unwrap().ino(), inode);
    assert_eq!(bench.read("ran").lines().count(), before + 1);
}

#[test]
fn a_check_that_fails_keeps_the_old_file() {
    let bench = Bench::new();
    bench.agent.key("k", "good");
    bench.write(
        "c.hcl",
        "template { contents = \"{{key \\\"k\\\"}}\" destination = \"out\" check = \"grep -q good {file}\"\n\
         command = \"echo ran >> ran\" }",
    );
    let _watcher = bench.start(&["-config=c.hcl"]);
    bench.until("ran", "ran\n");
    bench.agent.key("k", "bad");
    bench.until_log("the check refused the new text");
    assert_eq!((bench.read("out").as_str(), bench.read("ran").as_str()), ("good", "ran\n"));
    bench.agent.key("k", "good again");
    bench.until("ran", "ran\nran\n");
    assert_eq!(bench.read("out"), "good again");
    let left: Vec<_> = fs::read_dir(bench.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".crs-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_command_that_fails_can_take_the_file_back() {
    let bench = Bench::new();
    bench.agent.key("k", "old");
    bench.write(
        "c.json",
        r#"{"template": {"contents": "{{key \"k\"}}", "destination": "out", "rollback": true,
            "command": "cat out >> seen; ! grep -q broken out"}}"#,
    );
    let _watcher = bench.start(&["-config=c.json"]);
    bench.until("seen", "old");
    bench.agent.key("k", "broken");
    bench.until_log("is back to what it was");
    assert_eq!((bench.read("out").as_str(), bench.read("seen").as_str()), ("old", "oldbrokenold"));
    bench.agent.key("k", "new");
    bench.until("out", "new");
}

#[test]
fn trouble_of_the_server_changes_no_file() {
    let bench = Bench::new();
    bench.agent.set(
        "/v1/health/service/web",
        200,
        r#"[{"Node":{"Node":"n","Address":"10.0.0.1"},"Service":{"Port":1}}]"#,
    );
    bench.write("t.ctmpl", "{{range service \"web\"}}{{.Address}}{{end}}");
    let _watcher = bench.start(&[
        "-template=t.ctmpl:out",
        "-consul-retry-backoff=20ms",
        "-consul-retry-max-backoff=50ms",
    ]);
    bench.until("out", "10.0.0.1");
    bench.agent.down(true);
    let asked = bench.agent.requests("/v1/health/service/web");
    eventually(PATIENCE, || {
        if bench.agent.requests("/v1/health/service/web") > asked + 5 { Ok(()) } else { Err("few requests") }
    });
    assert_eq!(bench.read("out"), "10.0.0.1");
    bench.agent.down(false);
    bench.agent.set(
        "/v1/health/service/web",
        200,
        r#"[{"Node":{"Node":"n","Address":"10.0.0.2"},"Service":{"Port":1}}]"#,
    );
    bench.until("out", "10.0.0.2");
}

#[test]
fn too_few_instances_keep_the_file() {
    let bench = Bench::new();
    let one = |address: &str| {
        format!(r#"{{"Node":{{"Node":"{address}","Address":"{address}"}},"Service":{{"Port":1}}}}"#)
    };
    let path = "/v1/health/service/web";
    bench.agent.set(path, 200, &format!("[{},{}]", one("10.0.0.1"), one("10.0.0.2")));
    bench.write(
        "c.hcl",
        "template { contents = \"{{range service \\\"web\\\"}}{{.Address}} {{end}}\" destination = \"out\"\n\
         min_instances = 2 on_empty = \"keep\" }",
    );
    let _watcher = bench.start(&["-config=c.hcl"]);
    bench.until("out", "10.0.0.1 10.0.0.2 ");
    bench.agent.set(path, 200, "[]");
    bench.until_log("has 0 instances, at least 2");
    assert_eq!(bench.read("out"), "10.0.0.1 10.0.0.2 ");
    bench.agent.set(path, 200, &format!("[{},{}]", one("10.0.0.3"), one("10.0.0.4")));
    bench.until("out", "10.0.0.3 10.0.0.4 ");
}

#[test]
fn an_error_in_one_template_leaves_the_others_alone() {
    let bench = Bench::new();
    bench.agent.key("k", "1");
    bench.write("bad.ctmpl", "{{key \"k\"}}{{if}}");
    bench.write("loop.ctmpl", "{{range loop 0 1000000000000}}{{end}}");
    bench.write("good.ctmpl", "{{key \"k\"}}");
    bench.write("bad", "last good");
    let _watcher =
        bench.start(&["-template=bad.ctmpl:bad", "-template=loop.ctmpl:loop", "-template=good.ctmpl:good"]);
    bench.until("good", "1");
    bench.until_log("bad.ctmpl:1:");
    bench.until_log("loop.ctmpl:1:9: at <loop 0 1000000000000>");
    assert_eq!(bench.read("bad"), "last good");
    // the template is mended while the watcher runs
    bench.write("bad.ctmpl", "{{key \"k\"}} mended");
    bench.until("bad", "1 mended");
    assert_eq!(bench.read("log").matches("bad.ctmpl:1:").count(), 1, "{}", bench.read("log"));
}

#[test]
fn files_keep_their_shape() {
    let bench = Bench::new();
    bench.agent.key("k", "new");
    bench.write("t.ctmpl", "{{key \"k\"}}");
    bench.write("real", "old");
    fs::set_permissions(bench.path("real"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("real", bench.path("link")).unwrap();
    bench.write(
        "c.hcl",
        "template { source = \"t.ctmpl\" destination = \"link\" backup = true }\n\
                          template { source = \"t.ctmpl\" destination = \"deep/er/new\" perms = 0600 }",
    );
    let output = bench.run(&["-config=c.hcl", "-once"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(fs::symlink_metadata(bench.path("link")).unwrap().file_type().is_symlink());
    let mode = |name: &str| fs::metadata(bench.path(name)).unwrap().mode() & 0o7777;
    assert_eq!((bench.read("real").as_str(), mode("real")), ("new", 0o640));
    assert_eq!((bench.read("real.bak").as_str(), mode("deep/er/new")), ("old", 0o600));
    bench.agent.key("k", "newer");
    assert!(bench.run(&["-config=c.hcl", "-once"]).status.success());
    assert_eq!((bench.read("real.bak").as_str(), bench.read("real.old.bak").as_str()), ("new", "old"));
}

#[test]
fn configuration_errors_end_with_15_and_say_what_to_do() {
    let bench = Bench::new();
    bench.write("nginx.hcl", "template { source = \"a\" destination = \"b\" }");
    bench.write(
        "typo.hcl",
        "consul { adress = \"x\" }\ntemplate {\n  source = \"a\"\n  destnation = \"b\"\n}",
    );
    bench.write(
        "agent.json",
        r#"{"server": true, "pid_file": "agent.pid", "services": [],
        "template": {"contents": "from the agent's directory", "destination": "out"}}"#,
    );
    let cases: [(&[&str], i32, &[&str]); 7] = [
        (&["-config=nginx.hcl:test.out"], 15, &["-template \"nginx.hcl:test.out\""]),
        (&["-config=typo.hcl"], 15, &["typo.hcl:1", "consul.address", "typo.hcl:4", "\"destination\""]),
        (&["-config=absent.hcl"], 15, &["absent.hcl"]),
        (&["-once"], 15, &["no template"]),
        (&["-template=a:b", "-wait=xx"], 15, &["wait"]),
        (&["-nonsense"], 13, &["nonsense"]),
        (&["-template=absent.ctmpl:b", "-once"], 14, &["absent.ctmpl"]),
    ];
    for (arguments, code, parts) in cases {
        let output = bench.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        for part in parts {
            assert!(said(&output).contains(part), "{arguments:?}: {part:?} in {}", said(&output));
        }
    }
    // the agent's own keys are not the watcher's
    assert!(bench.run(&["-config=agent.json", "-once"]).status.success());
    assert_eq!(bench.read("out"), "from the agent's directory");
    assert!(!bench.path("agent.pid").exists());
}

#[test]
fn a_directory_is_read_whole_and_again_at_sighup() {
    let bench = Bench::new();
    bench.agent.key("k", "v");
    bench.write("conf/a.hcl", "template { contents = \"a {{key \\\"k\\\"}}\" destination = \"a\" }");
    bench.write("conf/sub/b.json", r#"{"template": [{"contents": "b", "destination": "b"}]}"#);
    bench.write("conf/ignored.ctmpl", "{{nonsense");
    let mut watcher = bench.start(&["-config=conf"]);
    bench.until("a", "a v");
    bench.until("b", "b");
    bench.write("conf/c.hcl", "template { contents = \"c {{key \\\"k\\\"}}\" destination = \"c\" }");
    watcher.signal(1);
    bench.until("c", "c v");
    // One answer and the question that waits for the next; a reload asks nothing anew.
    eventually(PATIENCE, || match bench.agent.requests("/v1/kv/k") {
        2 => Ok(()),
        n => Err(format!("{n} requests")),
    });
    bench.write("conf/c.hcl", "template { nonsense = 1 }");
    watcher.signal(1);
    bench.until_log("the old one goes on");
    bench.agent.key("k", "w");
    bench.until("c", "c w");
    watcher.signal(15);
    assert_eq!(watcher.code(), 0);
}

#[test]
fn a_child_is_started_told_of_changes_and_ends_with_us() {
    let bench = Bench::new();
    bench.agent.key("k", "1");
    bench.write("t.ctmpl", "{{key \"k\"}}");
    bench.write(
        "child.sh",
        "trap 'echo reload $(cat out) >> log2' HUP\ntrap 'echo bye >> log2; exit 7' TERM\n\
                             echo start $(cat out) >> log2\nwhile :; do sleep 0.05; done\n",
    );
    let mut watcher =
        bench.start(&["-template=t.ctmpl:out", "-exec=exec sh child.sh", "-exec-reload-signal=SIGHUP"]);
    bench.until("log2", "start 1\n");
    bench.agent.key("k", "2");
    bench.until("log2", "start 1\nreload 2\n");
    watcher.signal(2);
    assert_eq!(watcher.code(), 12);
    assert_eq!(bench.read("log2"), "start 1\nreload 2\nbye\n");
    // its end is ours
    let output = bench.run(&["-template=t.ctmpl:out", "-exec=exit 5"]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
}

#[test]
fn changes_within_the_wait_are_rendered_together() {
    let bench = Bench::new();
    bench.agent.key("k", "0");
    bench.write("t.ctmpl", "{{key \"k\"}}");
    let _watcher = bench.start(&["-template=t.ctmpl:out:cat out >> seen; echo >> seen", "-wait=1s:30s"]);
    bench.until("seen", "0\n");
    for number in 1..=5 {
        let before = bench.agent.requests("/v1/kv/k");
        bench.agent.key("k", &number.to_string());
        eventually(PATIENCE, || {
            if bench.agent.requests("/v1/kv/k") > before { Ok(()) } else { Err("not seen") }
        });
    }
    bench.until("seen", "0\n5\n");
}

#[test]
fn a_key_that_is_waited_for_is_named() {
    let bench = Bench::new();
    bench.write("t.ctmpl", "{{key \"absent\"}}");
    let _watcher = bench.start(&["-template=t.ctmpl:out", "-once"]);
    bench.until_log("waits for kv.get(absent), which does not exist");
    bench.agent.key("absent", "there");
    bench.until("out", "there");
}

#[test]
fn tokens_come_from_where_they_may() {
    let bench = Bench::new();
    bench.agent.key("k", "v");
    bench.write("t.ctmpl", "{{key \"k\"}}");
    bench.write("token", " from-file \n");
    let cases: [(&[&str], &[(&str, &str)], &str); 4] = [
        (&[], &[("CONSUL_TOKEN", "a")], "a"),
        (&[], &[("CONSUL_HTTP_TOKEN", "b"), ("CRS_HTTP_TOKEN", "c")], "c"),
        (&["-consul-token=d"], &[("CONSUL_HTTP_TOKEN", "b")], "d"),
        (&["-consul-token-file=token"], &[], "from-file"),
    ];
    for (arguments, variables, expected) in cases {
        let output = bench
            .command(&["-template=t.ctmpl:out", "-once"])
            .args(arguments)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(bench.agent.tokens().last().map(String::as_str), Some(expected));
    }
}

#[test]
fn commands_are_bounded_and_their_children_with_them() {
    let bench = Bench::new();
    bench.write("c.hcl", "template { contents = \"x\" destination = \"out\" command = \"sleep 300 & echo $! > pid; sleep 300\"\n\
                          command_timeout = \"300ms\" }");
    let output = bench.run(&["-config=c.hcl", "-once"]);
    assert_eq!(output.status.code(), Some(14));
    assert!(said(&output).contains("did not end within 300ms"), "{}", said(&output));
    let pid = bench.read("pid");
    eventually(PATIENCE, || {
        let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        if state.is_empty() || state.contains(") Z") { Ok(()) } else { Err(state) }
    });
}

#[test]
fn groups_are_replaced_together_or_not_at_all() {
    let bench = Bench::new();
    bench.agent.key("k", "1");
    let block = |name: &str| {
        format!(
            "template {{ contents = \"{name} {{{{key \\\"k\\\"}}}}\" destination = \"{name}\" template_group = \"g\"\n\
             check = \"! grep -q 'b 2' {{file}}\" command = \"echo ran >> ran\" }}\n"
        )
    };
    bench.write("c.hcl", &(block("a") + &block("b")));
    let _watcher = bench.start(&["-config=c.hcl"]);
    bench.until("ran", "ran\n");
    bench.agent.key("k", "2");
    bench.until_log("the check refused");
    assert_eq!((bench.read("a").as_str(), bench.read("b").as_str()), ("a 1", "b 1"));
    bench.agent.key("k", "3");
    bench.until("ran", "ran\nran\n");
    assert_eq!((bench.read("a").as_str(), bench.read("b").as_str()), ("a 3", "b 3"));
}

#[test]
fn a_dry_run_shows_and_writes_nothing() {
    let bench = Bench::new();
    bench.agent.key("k", "new");
    bench.write("t.ctmpl", "same\n{{key \"k\"}}\n");
    bench.write("out", "same\nold\n");
    let output = bench.run(&["-template=t.ctmpl:out:touch ran", "-once", "-dry"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "> out\nsame\nnew\n");
    let output = bench.run(&["-template=t.ctmpl:out", "-once", "-dry", "-diff"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "--- out\n+++ out (new)\n@@ -1,2 +1,2 @@\n same\n-old\n+new\n"
    );
    assert!(!bench.path("ran").exists());
    assert_eq!(bench.read("out"), "same\nold\n");
    let output = bench.run(&["-template=t.ctmpl:out", "-once", "-explain"]);
    assert!(said(&output).contains("kv.get(k): index"), "{}", said(&output));
    assert!(Path::new(&bench.path("out")).exists());
}
