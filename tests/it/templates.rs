//! `crs template` from outside: files, commands, waiting, and a server that goes away.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::common::{CRS, crs};
use crs_testkit::{Subject, eventually, signal};

/// A folder with templates, and the watcher that renders them.
struct Bench {
    folder: PathBuf,
    child: Option<Child>,
}

impl Bench {
    fn new(subject: &Subject) -> Bench {
        let folder = subject.folder().join("templates");
        fs::create_dir_all(&folder).unwrap();
        Bench { folder, child: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn command(&self, subject: &Subject, arguments: &[&str]) -> Command {
        let mut command = Command::new(CRS);
        command.args(["template", "-consul-addr", &subject.http().to_string()]).args(arguments);
        for name in
            ["CONSUL_HTTP_ADDR", "CRS_HTTP_ADDR", "CONSUL_TOKEN", "CONSUL_HTTP_TOKEN", "CRS_HTTP_TOKEN"]
        {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    fn once(&self, subject: &Subject, arguments: &[&str]) -> Output {
        self.command(subject, arguments).arg("-once").output().unwrap()
    }

    fn watch(&mut self, subject: &Subject, arguments: &[&str]) {
        let log = fs::File::create(self.path("watcher.log")).unwrap();
        let err = log.try_clone().unwrap();
        self.child = Some(self.command(subject, arguments).stdout(log).stderr(err).spawn().unwrap());
    }

    #[track_caller]
    fn comes_to(&self, name: &str, text: &str) {
        eventually(Duration::from_secs(15), &format!("{name} holds {text:?}"), || {
            let now = self.read(name);
            if now == text { Ok(()) } else { Err(format!("{now:?}\n{}", self.read("watcher.log"))) }
        });
    }

    fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_none()))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = signal(child.id(), 15);
            for _ in 0..100 {
                if child.try_wait().is_ok_and(|status| status.is_some()) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn put(subject: &Subject, key: &str, value: &str) {
    subject.client().put(&format!("/v1/kv/{key}"), value).ok();
}

#[test]
fn a_change_of_a_key_renders_again_and_runs_the_command() {
    let subject = crs().start();
    let mut bench = Bench::new(&subject);
    put(&subject, "colour", "red");
    let source = bench.file("in.ctmpl", "colour = {{key \"colour\"}}\n");
    let (out, ran) = (bench.path("out"), bench.path("ran"));
    bench.watch(
        &subject,
        &["-template", &format!("{source}:{}:echo run >> {}", out.display(), ran.display())],
    );
    bench.comes_to("out", "colour = red\n");
    bench.comes_to("ran", "run\n");
    put(&subject, "colour", "blue");
    bench.comes_to("out", "colour = blue\n");
    bench.comes_to("ran", "run\nrun\n");
}

#[test]
fn the_same_text_writes_nothing_and_runs_nothing() {
    let subject = crs().start();
    let mut bench = Bench::new(&subject);
    put(&subject, "a", "1");
    put(&subject, "sign", "0");
    let source = bench.file("in.ctmpl", "{{with key \"sign\"}}{{end}}a = {{key \"a\"}}\n");
    let other = bench.file("other.ctmpl", "{{key \"sign\"}}");
    let (out, ran) = (bench.path("out"), bench.path("ran"));
    bench.watch(
        &subject,
        &[
            "-template",
            &format!("{source}:{}:echo run >> {}", out.display(), ran.display()),
            "-template",
            &format!("{other}:{}", bench.path("sign").display()),
        ],
    );
    bench.comes_to("out", "a = 1\n");
    bench.comes_to("ran", "run\n");
    let before = fs::metadata(&out).unwrap();
    put(&subject, "sign", "1");
    bench.comes_to("sign", "1");
    put(&subject, "sign", "2");
    bench.comes_to("sign", "2");
    let after = fs::metadata(&out).unwrap();
    assert_eq!(
        (before.ino(), before.mtime_nsec()),
        (after.ino(), after.mtime_nsec()),
        "the file was written again"
    );
    assert_eq!(bench.read("ran"), "run\n");
}

#[test]
fn the_file_keeps_its_mode_and_is_replaced_whole() {
    let subject = crs().start();
    let bench = Bench::new(&subject);
    put(&subject, "a", "new");
    let source = bench.file("in.ctmpl", "{{key \"a\"}}");
    bench.file("out", "old");
    let out = bench.path("out");
    fs::set_permissions(&out, fs::Permissions::from_mode(0o600)).unwrap();
    let inode = fs::metadata(&out).unwrap().ino();
    let output = bench.once(&subject, &["-template", &format!("{source}:{}", out.display())]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(bench.read("out"), "new");
    let now = fs::metadata(&out).unwrap();
    assert_eq!(now.permissions().mode() & 0o777, 0o600);
    assert_ne!(now.ino(), inode, "written in place: a reader could see half of it");
    let left: Vec<String> = fs::read_dir(&bench.folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(left.len(), 2, "something was left behind: {left:?}");
}

#[test]
fn a_server_that_goes_away_leaves_the_last_good_file() {
    let mut subject = crs().server().start();
    let mut bench = Bench::new(&subject);
    put(&subject, "a", "1");
    let source = bench.file("in.ctmpl", "{{key \"a\"}}\n{{range service \"gone\"}}{{.Port}}{{end}}");
    bench.watch(
        &subject,
        &["-consul-retry-attempts=0", "-template", &format!("{source}:{}", bench.path("out").display())],
    );
    bench.comes_to("out", "1\n");
    subject.kill();
    // long enough for an attempt or two to fail
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(bench.read("out"), "1\n");
    assert!(bench.runs(), "{}", bench.read("watcher.log"));
    subject.launch();
    subject.wait_ready();
    put(&subject, "a", "2");
    bench.comes_to("out", "2\n");
}

#[test]
fn waiting_gathers_changes() {
    let subject = crs().start();
    let mut bench = Bench::new(&subject);
    put(&subject, "a", "0");
    let source = bench.file("in.ctmpl", "{{key \"a\"}}");
    bench.watch(
        &subject,
        &[
            "-wait=500ms:5s",
            "-template",
            &format!("{source}:{}:echo run >> {}", bench.path("out").display(), bench.path("ran").display()),
        ],
    );
    bench.comes_to("out", "0");
    for number in 1..=10 {
        put(&subject, "a", &number.to_string());
        std::thread::sleep(Duration::from_millis(50));
    }
    bench.comes_to("out", "10");
    let runs = bench.read("ran").lines().count();
    assert!(runs <= 3, "{runs} runs for one burst of changes");
}

#[test]
fn a_command_that_hangs_is_ended() {
    let subject = crs().start();
    let mut bench = Bench::new(&subject);
    put(&subject, "a", "1");
    let source = bench.file("in.ctmpl", "{{key \"a\"}}");
    let config = bench.file(
        "c.hcl",
        &format!(
            "template {{\n source = \"{source}\"\n destination = \"{}\"\n command = \"sleep 60\"\n command_timeout = \"300ms\"\n error_fatal = false\n}}\n",
            bench.path("out").display()
        ),
    );
    let start = std::time::Instant::now();
    bench.watch(&subject, &["-config", &config]);
    bench.comes_to("out", "1");
    eventually(Duration::from_secs(10), "a word about the timeout", || {
        let log = bench.read("watcher.log");
        if log.contains("did not end within 300ms and was killed") { Ok(()) } else { Err(log) }
    });
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn s2_27_a_directory_of_configurations() {
    let subject = crs().start();
    let mut bench = Bench::new(&subject);
    put(&subject, "a", "1");
    for name in ["one", "two", "three"] {
        let source = bench.file(&format!("{name}.ctmpl"), &format!("{name} {{{{key \"a\"}}}}\n"));
        bench.file(
            &format!("conf/{name}.hcl"),
            &format!(
                "template {{\n  source = \"{source}\"\n  destination = \"{}\"\n}}\n",
                bench.path(&format!("{name}.out")).display()
            ),
        );
    }
    let folder = format!("{}/", bench.path("conf").display());
    bench.watch(&subject, &[&format!("-config={folder}")]);
    for name in ["one", "two", "three"] {
        bench.comes_to(&format!("{name}.out"), &format!("{name} 1\n"));
    }
}

#[test]
fn s2_28_flags_of_the_post() {
    let subject = crs().start();
    let bench = Bench::new(&subject);
    put(&subject, "a", "1");
    let source = bench.file("in.ctmpl", "{{key \"a\"}}");
    let output = bench.once(
        &subject,
        &[
            "-consul-auth=user:pass",
            "-consul-retry",
            "-consul-retry-attempts=3",
            "-consul-retry-backoff=100ms",
            "-consul-ssl-verify=true",
            "-consul-token=any",
            "-kill-signal=SIGINT",
            "-log-level=info",
            "-max-stale=1s",
            &format!("-pid-file={}", bench.path("pid").display()),
            "-reload-signal=SIGHUP",
            "-retry=5s",
            "-syslog-facility=LOCAL0",
            "-wait=1s",
            "-template",
            &format!("{source}:{}", bench.path("out").display()),
        ],
    );
    // -consul-ssl-verify turns TLS on, which this agent does not speak: only the flags themselves are judged here
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(13), "{err}");
    assert!(!err.contains("flag provided but not defined"), "{err}");
}

#[test]
fn s2_29_a_token_from_the_environment() {
    let subject = crs().start();
    let bench = Bench::new(&subject);
    let web = crs_testkit::Web::start(subject.address());
    web.answer(200, "[]");
    web.headers("Content-Type: application/json\r\nX-Consul-Index: 1\r\n");
    for name in ["CONSUL_TOKEN", "CONSUL_HTTP_TOKEN", "CRS_HTTP_TOKEN"] {
        let source = bench.file("in.ctmpl", "{{range nodes}}{{.Node}}{{end}}");
        let output = Command::new(CRS)
            .args(["template", "-once", "-consul-addr", &web.address().to_string(), "-template"])
            .arg(format!("{source}:{}", bench.path("out").display()))
            .env(name, format!("token-of-{name}"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let seen = web.seen().pop().unwrap().to_lowercase();
        assert!(
            seen.contains(&format!("x-consul-token: token-of-{}", name.to_lowercase())),
            "{name}: {seen}"
        );
    }
}

#[test]
fn handlebars_has_the_same_data() {
    let subject = crs().file("web.json", r#"{"service":{"name":"web","port":80,"tags":["a","b"]}}"#).start();
    let bench = Bench::new(&subject);
    put(&subject, "a", "<1>");
    let mut client = subject.client();
    eventually(Duration::from_secs(10), "web in the catalog", || {
        let value = client.get("/v1/catalog/service/web").value();
        if value.len() == 1 { Ok(()) } else { Err(value) }
    });
    let source = bench.file(
        "in.hbs",
        "{{key \"a\"}}\n{{#each (service \"web\")}}{{Name}}:{{Port}}{{#each Tags}} {{this}}{{/each}}\n{{/each}}",
    );
    let output = bench.once(&subject, &["-template", &format!("{source}:{}", bench.path("out").display())]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(bench.read("out"), "<1>\nweb:80 a b\n");
}

#[test]
fn a_template_that_does_not_parse_says_where() {
    let subject = crs().start();
    let bench = Bench::new(&subject);
    let source = bench.file("in.ctmpl", "line one\n{{range services}\n");
    let output = bench.once(&subject, &["-template", &format!("{source}:{}", bench.path("out").display())]);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(14), "{err}");
    assert!(err.contains("in.ctmpl"), "{err}");
    assert!(!bench.path("out").exists());
}
