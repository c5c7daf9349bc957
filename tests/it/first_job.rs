//! The first job, whole: a file in the configuration directory, a reload, a check that follows a real server, and a
//! real nginx that the template watcher reloads so that it routes to a service registered a moment ago.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::{CRS, crs};
use crs_testkit::{Client, Json, Subject, Web, eventually, signal};

/// A process of the test's own that ends with it.
struct Process(Child);

impl Process {
    fn start(command: &mut Command, log: &Path) -> Process {
        let file = fs::File::create(log).unwrap();
        let err = file.try_clone().unwrap();
        Process(command.stdin(Stdio::null()).stdout(file).stderr(err).spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = signal(self.0.id(), 15);
        for _ in 0..100 {
            if self.0.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const TEMPLATE: &str = r#"# rendered: do not edit
{{range services}}{{$name := .Name}}{{if ne $name "consul"}}
upstream {{$name}} {
{{range service $name}}  server {{.Address}}:{{.Port}};
{{else}}  server 127.0.0.1:65535; # force a 502
{{end}}}
{{end}}{{end}}
server {
  listen LISTEN;
  location = /alive { return 200 "alive"; }
{{range services}}{{$name := .Name}}{{if ne $name "consul"}}  location /{{$name}}/ { proxy_pass http://{{$name}}; }
{{end}}{{end}}}
"#;

struct Nginx {
    folder: PathBuf,
    listen: String,
    _process: Process,
}

fn nginx_program() -> &'static str {
    ["/usr/sbin/nginx", "/usr/bin/nginx"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("run tests/run once")
}

fn start_nginx(folder: &Path, ip: Ipv4Addr) -> Nginx {
    fs::create_dir_all(folder.join("temp")).unwrap();
    let listen = format!("{ip}:8080");
    fs::write(
        folder.join("sites.conf"),
        format!("server {{ listen {listen}; location = /alive {{ return 200 \"alive\"; }} }}\n"),
    )
    .unwrap();
    fs::write(
        folder.join("nginx.conf"),
        "pid nginx.pid;\nerror_log error.log;\nworker_processes 1;\nevents {}\nhttp {\n  access_log off;\n  \
         client_body_temp_path temp/a;\n  proxy_temp_path temp/b;\n  fastcgi_temp_path temp/c;\n  uwsgi_temp_path temp/d;\n  \
         scgi_temp_path temp/e;\n  include sites.conf;\n}\n",
    )
    .unwrap();
    let process = Process::start(
        Command::new(nginx_program()).arg("-p").arg(folder).args([
            "-e",
            "error.log",
            "-c",
            "nginx.conf",
            "-g",
            "daemon off;",
        ]),
        &folder.join("out.log"),
    );
    Nginx { folder: folder.to_path_buf(), listen, _process: process }
}

/// What nginx answers on `path`: status and body.
fn ask(nginx: &Nginx, path: &str) -> Result<(u16, String), String> {
    let mut client = Client::new(nginx.listen.parse().unwrap());
    client
        .try_send(&crs_testkit::Request::new("GET", path).header("Connection", "close"))
        .map(|reply| (reply.code(), reply.body()))
        .map_err(|error| error.to_string())
}

#[track_caller]
fn comes_to(subject: &Subject, target: &str, fits: impl Fn(&Json) -> bool) {
    let mut client = subject.client();
    eventually(Duration::from_secs(15), target, || {
        let value = client.get(target).value();
        if fits(&value) { Ok(()) } else { Err(value) }
    });
}

#[track_caller]
fn routes_to(nginx: &Nginx, path: &str, status: u16, body: &str) {
    eventually(Duration::from_secs(20), &format!("nginx answers {status} {body:?} on {path}"), || match ask(
        nginx, path,
    ) {
        Ok((code, text)) if code == status && (body.is_empty() || text == body) => Ok(()),
        other => Err(format!(
            "{other:?}\n{}",
            fs::read_to_string(nginx.folder.join("sites.conf")).unwrap_or_default()
        )),
    });
}

fn watcher(subject: &Subject, nginx: &Nginx) -> Process {
    let source = nginx.folder.join("sites.ctmpl");
    fs::write(&source, TEMPLATE.replace("LISTEN", &nginx.listen)).unwrap();
    let config = nginx.folder.join("watcher.hcl");
    let reload = format!("kill -HUP $(cat {})", nginx.folder.join("nginx.pid").display());
    fs::write(
        &config,
        format!(
            "consul {{\n  address = \"{}\"\n}}\ntemplate {{\n  source = \"{}\"\n  destination = \"{}\"\n  command = \"{reload}\"\n}}\n",
            subject.http(),
            source.display(),
            nginx.folder.join("sites.conf").display(),
        ),
    )
    .unwrap();
    Process::start(
        Command::new(CRS).args(["template", "-config"]).arg(config),
        &nginx.folder.join("watcher.log"),
    )
}

#[test]
fn s2_25_a_real_nginx_routes_to_what_registered_a_moment_ago() {
    let subject = crs().server().start();
    let first = Web::start(subject.address());
    first.answer(200, "from nginx.json");

    // the operator's part: a file, a reload
    let service = format!(
        r#"{{"service":{{"name":"nginx","tags":["web"],"address":"{}","port":{},
          "check":{{"http":"http://{}/","interval":"1s"}}}}}}"#,
        first.address().ip(),
        first.address().port(),
        first.address()
    );
    subject.write_config("nginx.json", &service);
    let reloaded = subject.run(&["reload"]);
    assert_eq!(String::from_utf8_lossy(&reloaded.stdout), "Configuration reload triggered\n");
    comes_to(&subject, "/v1/catalog/service/nginx", |value| {
        value.at(0).get("ServicePort").number() == Some(first.address().port().into())
            && value.at(0).get("ServiceTags").to_string() == r#"["web"]"#
            && value.at(0).get("Node").text() == Some("node-one")
    });
    comes_to(&subject, "/v1/health/service/nginx?passing", |value| value.len() == 1);

    // nginx and the watcher that writes its configuration
    let folder = subject.folder().join("nginx");
    let nginx = start_nginx(&folder, subject.address());
    routes_to(&nginx, "/alive", 200, "alive");
    let _watcher = watcher(&subject, &nginx);
    routes_to(&nginx, "/nginx/", 200, "from nginx.json");

    // another service registers itself and is reachable a moment later
    let second = Web::start(subject.address());
    second.answer(200, "just registered");
    let body = format!(
        r#"{{"Name":"shop","Address":"{}","Port":{},"Check":{{"HTTP":"http://{}/","Interval":"1s","Status":"passing"}}}}"#,
        second.address().ip(),
        second.address().port(),
        second.address()
    );
    subject.client().put("/v1/agent/service/register", body).ok();
    routes_to(&nginx, "/shop/", 200, "just registered");

    // its check goes down and up with it, and so does the route
    second.answer(500, "broken");
    routes_to(&nginx, "/shop/", 502, "");
    routes_to(&nginx, "/nginx/", 200, "from nginx.json");
    second.answer(200, "mended");
    routes_to(&nginx, "/shop/", 200, "mended");

    // gone from the catalog, gone from nginx
    subject.client().put("/v1/agent/service/deregister/shop", "").ok();
    routes_to(&nginx, "/shop/", 404, "");
    routes_to(&nginx, "/alive", 200, "alive");
}
