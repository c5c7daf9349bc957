//! The ready-made templates: the same bytes from both dialects, accepted by the programs they are for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::Server;

const SAMPLES: [&str; 5] =
    ["nginx.conf", "haproxy.cfg", "prometheus-file-sd.json", "hosts", "systemd-environment"];

/// Renders all samples and has them checked.
pub fn check(server: &Server, folder: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut command = Command::new(env!("CARGO_BIN_EXE_crs"));
    command.current_dir(folder).args(["template", &format!("-consul-addr={}", server.http()), "-once"]);
    for name in SAMPLES {
        for ending in ["ctmpl", "hbs"] {
            let from = source.join(format!("{name}.{ending}"));
            command.arg(format!("-template={}:sample-{ending}/{name}", from.display()));
        }
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in SAMPLES {
        let read = |ending: &str| fs::read_to_string(folder.join(format!("sample-{ending}/{name}"))).unwrap();
        assert_eq!(read("ctmpl"), read("hbs"), "{name}");
        assert!(read("ctmpl").len() > 50, "{name}");
    }
    let rendered = |name: &str| folder.join("sample-ctmpl").join(name);
    nginx(folder, &rendered("nginx.conf"));
    haproxy(&rendered("haproxy.cfg"));
    prometheus(folder, &rendered("prometheus-file-sd.json"));
    hosts(&rendered("hosts"));
}

/// A program of Debian's; `None`, with a word, where it is absent.
fn program(names: &[PathBuf]) -> Option<PathBuf> {
    let found = names.iter().find(|path| path.exists()).cloned();
    if found.is_none() {
        #[allow(clippy::print_stderr)]
        {
            eprintln!("SKIPPED: none of {names:?} is there");
        }
    }
    found
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}

fn nginx(folder: &Path, file: &Path) {
    let Some(nginx) = program(&["/usr/sbin/nginx".into()]) else { return };
    let whole = format!(
        "pid {0}/nginx.pid; error_log stderr; events {{}} http {{ access_log off; \
         client_body_temp_path {0}/t1; proxy_temp_path {0}/t2; fastcgi_temp_path {0}/t3; \
         uwsgi_temp_path {0}/t4; scgi_temp_path {0}/t5; include {1}; }}",
        folder.display(),
        file.display()
    );
    let path = folder.join("whole.conf");
    fs::write(&path, whole).unwrap();
    run(Command::new(nginx).arg("-t").arg("-p").arg(folder).arg("-c").arg(&path));
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains("server 10.20.0.12:3000"), "{text}");
}

fn haproxy(file: &Path) {
    let Some(haproxy) = program(&["/usr/sbin/haproxy".into()]) else { return };
    run(Command::new(haproxy).arg("-c").arg("-f").arg(file));
}

fn prometheus(folder: &Path, file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3);
    let peers = std::env::var_os("CRS_PEERS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers"), PathBuf::from);
    let Some(promtool) = program(&[peers.join("bin/promtool"), "/usr/bin/promtool".into()]) else { return };
    let config =
        format!("scrape_configs: [{{job_name: x, file_sd_configs: [{{files: ['{}']}}]}}]", file.display());
    let path = folder.join("prometheus.yml");
    fs::write(&path, config).unwrap();
    run(Command::new(promtool).args(["check", "config"]).arg(path));
}

/// Every line is an address and names.
fn hosts(file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut count = 0;
    for line in lines {
        let mut words = line.split_whitespace();
        assert!(words.next().is_some_and(|word| word.parse::<std::net::IpAddr>().is_ok()), "{line}");
        assert!(words.next().is_some(), "{line}");
        count += 1;
    }
    assert!(count > 8, "{text}");
}
