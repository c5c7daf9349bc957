//! The table.

use crate::pair::{Pair, Said};

/// How the two are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum As {
    /// Output, exit code, and the first line of complaint.
    Same,
    /// The same, with every id replaced.
    Ids,
    /// Exit code and first line of complaint; the output is a text of our own (help, versions, a random key).
    OwnOutput,
    /// Exit code and output; the complaint is worded differently.
    OwnComplaint,
}
use As::{Ids, OwnComplaint, OwnOutput, Same};

/// A step that prepares for the next row, done by the real program.
const fn before(words: &'static [&'static str]) -> (&'static [&'static str], Option<As>) {
    (words, None)
}

const fn row(words: &'static [&'static str], how: As) -> (&'static [&'static str], Option<As>) {
    (words, Some(how))
}

type Rows = &'static [(&'static [&'static str], Option<As>)];

const GENERAL: Rows = &[
    row(&[], OwnOutput),
    row(&["zz"], OwnOutput),
    row(&["kv"], OwnOutput),
    row(&["kv", "zz"], OwnOutput),
    row(&["-h"], OwnOutput),
    row(&["kv", "--help"], OwnOutput),
    row(&["kv", "get", "-h"], OwnOutput),
    row(&["kv", "get", "x", "-h"], OwnOutput),
    row(&["--version"], OwnOutput),
    row(&["version", "-format=json"], Same),
    row(&["version", "-format", "zz"], Same),
    row(&["kv", "get", "-zz"], Same),
    row(&["kv", "get", "---x"], Same),
    row(&["kv", "get", "-keys=zz"], Same),
    row(&["members", "-token"], Same),
    row(&["keygen"], OwnOutput),
    row(&["catalog", "nodes", "-http-addr=127.0.0.1:1"], Same),
    row(&["kv", "get", "-http-addr", "unix:///nonexistent", "q"], Same),
    row(&["kv", "get", "-http-addr=ftp://x", "q"], Same),
    row(&["kv", "get", "-token-file=/nonexistent", "q"], Same),
];

const KV: Rows = &[
    row(&["kv", "put"], Same),
    row(&["kv", "put", "a", "b", "c"], Same),
    row(&["kv", "put", "a", "b"], Same),
    row(&["kv", "put", "-flags=5", "a/b", "two words"], Same),
    row(&["kv", "put", "--flags", "5", "a/c", ""], Same),
    row(&["kv", "put", "a/d"], Same),
    row(&["kv", "put", "/slash", "-value"], Same),
    row(&["kv", "put", "sp ace/ü?#%", "x"], Same),
    row(&["kv", "get", "sp ace/ü?#%"], Same),
    row(&["kv", "get", "a"], Same),
    row(&["kv", "get", "/a"], Same),
    row(&["kv", "get"], Same),
    row(&["kv", "import", r#"[{"key":"/x","flags":0,"value":""}]"#], Same),
    row(&["kv", "delete", "/slash"], Same),
    row(&["kv", "get", "-detailed", "a"], Same),
    row(&["kv", "get", "-detailed", "a/c"], Same),
    row(&["kv", "get", "-detailed", "-base64", "a"], Same),
    row(&["kv", "get", "-recurse"], Same),
    row(&["kv", "get", "-recurse", "a/"], Same),
    row(&["kv", "get", "-recurse", "none"], Same),
    row(&["kv", "get", "-recurse", "-detailed", "a"], Same),
    row(&["kv", "get", "-recurse", "-base64", "a"], Same),
    row(&["kv", "get", "-keys"], Same),
    row(&["kv", "get", "-keys", "a/"], Same),
    row(&["kv", "get", "-keys", "-separator=", "a"], Same),
    row(&["kv", "get", "-keys", "none"], Same),
    row(&["kv", "get", "-stale", "a"], Same),
    row(&["kv", "get", "-datacenter=nope", "a"], Same),
    row(&["kv", "get", "nokey"], Same),
    row(&["kv", "get", "a", "-keys"], Same),
    row(&["kv", "get", "-base64", "a"], Same),
    row(&["kv", "put", "f", "@value.txt"], Same),
    row(&["kv", "get", "f"], Same),
    row(&["kv", "put", "f", "@/nonexistent"], Same),
    row(&["kv", "put", "-base64", "q", "aGk="], Same),
    row(&["kv", "put", "-flags=zz", "a", "b"], Same),
    row(&["kv", "put", "-flags=-1", "a", "b"], Same),
    row(&["kv", "put", "-cas", "a", "b"], Same),
    row(&["kv", "put", "-cas", "-modify-index=1", "a", "b"], Same),
    row(&["kv", "put", "-acquire", "a", "b"], Same),
    row(&["kv", "put", "-acquire", "-session=zz", "a", "b"], Same),
    row(&["kv", "put", "-release", "-session=zz", "a", "b"], Same),
    row(&["kv", "export"], Same),
    row(&["kv", "export", "a/"], Same),
    row(&["kv", "export", "none"], Same),
    row(&["kv", "export", "a", "b"], Same),
    row(&["kv", "import"], Same),
    row(&["kv", "import", "zz"], Same),
    row(&["kv", "import", "{\"a\""], Same),
    row(&["kv", "import", "@/nonexistent"], Same),
    row(
        &["kv", "import", r#"[{"key":"i/a","flags":5,"value":"aGk="},{"key":"i/b","flags":0,"value":""}]"#],
        Same,
    ),
    row(&["kv", "get", "-recurse", "i/"], Same),
    row(&["kv", "delete"], Same),
    row(&["kv", "delete", "a", "b"], Same),
    row(&["kv", "delete", "nokey"], Same),
    row(&["kv", "delete", "-cas", "q"], Same),
    row(&["kv", "delete", "-cas", "-modify-index=1", "q"], Same),
    row(&["kv", "delete", "-cas", "-modify-index=1", "-recurse", "q"], Same),
    row(&["kv", "delete", "-modify-index=1", "q"], Same),
    row(&["kv", "delete", "q"], Same),
    row(&["kv", "delete", "-recurse", "a"], Same),
    row(&["kv", "get", "-recurse", "a"], Same),
];

const CATALOG: Rows = &[
    row(&["members"], Same),
    row(&["members", "-detailed"], Same),
    row(&["members", "-wan"], Same),
    row(&["members", "-status=failed"], Same),
    row(&["members", "-status=al.*"], Same),
    row(&["members", "-status=("], Same),
    row(&["members", "-segment=x"], Same),
    row(&["members", "extra"], Same),
    row(&["catalog"], OwnOutput),
    row(&["catalog", "datacenters"], Same),
    row(&["catalog", "datacenters", "x"], Same),
    row(&["catalog", "nodes"], Same),
    row(&["catalog", "nodes", "-detailed"], Same),
    row(&["catalog", "nodes", "-service=nope"], Same),
    row(&["catalog", "nodes", "-service=consul", "-detailed"], Same),
    row(&["catalog", "nodes", "-filter=zz"], Same),
    row(&["catalog", "nodes", "-filter", "Node != x"], Same),
    row(&["catalog", "nodes", "-node-meta", "a=b"], Same),
    row(&["catalog", "nodes", "-node-meta=x"], Same),
    row(&["catalog", "nodes", "-near=_agent"], Same),
    row(&["catalog", "nodes", "-datacenter=nope"], Same),
    row(&["catalog", "services"], Same),
    row(&["catalog", "services", "-tags"], Same),
    row(&["catalog", "services", "-node=nope"], Same),
    row(&["catalog", "services", "-node=node-one"], Same),
    row(&["catalog", "services", "-node-meta=a=b"], Same),
    row(&["operator", "raft"], OwnOutput),
    row(&["operator", "raft", "list-peers"], Same),
    row(&["operator", "raft", "remove-peer"], Same),
    row(&["operator", "raft", "remove-peer", "-address=x"], Same),
    row(&["operator", "raft", "remove-peer", "-id=x"], Same),
    row(&["operator", "raft", "remove-peer", "-address=x", "-id=y"], Same),
];

const SERVICES: Rows = &[
    row(&["services"], OwnOutput),
    row(&["services", "register"], Same),
    row(&["services", "register", "s.json"], Same),
    row(&["services", "register", "s.hcl"], Same),
    row(&["services", "register", "nonexistent"], Same),
    row(&["services", "register", "-name=cli", "-id=i1", "-port=5", "-tag=a", "-tag=b", "-meta=x=y"], Same),
    row(&["services", "register", "-name=other", "-tagged-address=lan=1.2.3.4:80", "-address=1.2.3.4"], Same),
    row(&["services", "register", "-port=5"], Same),
    row(&["services", "register", "-name=x", "-meta=bad"], Same),
    row(&["services", "register", "-name=x", "-tagged-address=bad"], Same),
    row(&["services", "register", "-name=x", "-port=zz"], Same),
    row(&["services", "register", "bad.json"], Same),
    row(&["services", "register", "other.json"], Same),
    row(&["services", "register", "-name=q", "s.json"], Same),
    row(&["catalog", "services"], Same),
    row(&["catalog", "services", "-tags"], Same),
    row(&["services", "deregister"], Same),
    row(&["services", "deregister", "-id=i1"], Same),
    row(&["services", "deregister", "s.hcl"], Same),
    row(&["services", "deregister", "nonexistent"], Same),
    row(&["services", "deregister", "-id=x", "s.hcl"], Same),
    row(&["maint"], Same),
    row(&["maint", "-enable", "-reason=because"], Same),
    row(&["maint"], Same),
    row(&["maint", "-enable", "-service=web"], Same),
    row(&["maint"], Same),
    row(&["maint", "-disable", "-service=web"], Same),
    row(&["maint", "-disable"], Same),
    row(&["maint", "-enable", "-disable"], Same),
    row(&["maint", "-service=x"], Same),
    row(&["maint", "-reason=x"], Same),
    row(&["maint", "-enable", "-service=nope"], Same),
];

const CONTROL: Rows = &[
    row(&["reload"], Same),
    row(&["reload", "x"], Same),
    row(&["event"], Same),
    row(&["event", "-name=e"], Ids),
    row(&["event", "-name=e", "payload"], Ids),
    row(&["event", "-name=e", "a", "b"], Same),
    row(&["event", "-name=e", "-tag=x"], Same),
    row(&["event", "-name=e", "-node=("], Same),
    row(&["event", "-name=e", "-service=web", "-tag=x"], Ids),
    row(&["rtt"], Same),
    row(&["rtt", "nope"], Same),
    row(&["rtt", "a", "b", "c"], Same),
    row(&["rtt", "-wan", "a", "b"], Same),
    row(&["rtt", "-wan", "node-one.dc1"], Same),
    row(&["force-leave"], Same),
    row(&["force-leave", "nobody"], Same),
    row(&["force-leave", "-prune", "nobody"], Same),
    row(&["force-leave", "a", "b"], Same),
    row(&["join"], Same),
    row(&["join", "127.0.0.1:1"], Same),
    row(&["join", "-wan", "127.0.0.1:1"], Same),
    row(&["leave", "x"], OwnOutput),
    row(&["monitor", "-log-level=zz"], Same),
];

const WATCH: Rows = &[
    before(&["kv", "put", "wk", "v"]),
    before(&["event", "-name=ev", "payload"]),
    row(&["watch"], Same),
    row(&["watch", "-type=bogus"], Same),
    row(&["watch", "-type=connect_roots"], Same),
    row(&["watch", "-type=key"], Same),
    row(&["watch", "-type=key", "-key=wk"], Same),
    row(&["watch", "-type=key", "-key=none"], Same),
    row(&["watch", "-type=key", "-key=wk", "-service=x"], Same),
    row(&["watch", "-type=keyprefix"], Same),
    row(&["watch", "-type=keyprefix", "-prefix=w"], Same),
    row(&["watch", "-type=keyprefix", "-prefix=none"], Same),
    row(&["watch", "-type=services"], Same),
    row(&["watch", "-type=nodes"], Same),
    row(&["watch", "-type=service"], Same),
    row(&["watch", "-type=service", "-service=web"], Same),
    row(&["watch", "-type=service", "-service=consul", "-passingonly=true"], Same),
    row(&["watch", "-type=service", "-service=web", "-passingonly=zz"], Same),
    row(&["watch", "-type=service", "-service=web", "-tag=nope"], Same),
    row(&["watch", "-type=checks", "-state=passing"], Same),
    row(&["watch", "-type=checks", "-service=web"], Same),
    row(&["watch", "-type=checks"], Same),
    row(&["watch", "-type=checks", "-service=a", "-state=b"], Same),
    row(&["watch", "-type=event", "-name=ev"], Same),
    row(&["watch", "-type=event", "-name=none"], Same),
    row(&["watch", "-type=key", "-key=wk", "exit 3"], Same),
    row(&["watch", "-type=key", "-key=wk", "-shell=false", "nonexistent-program"], Same),
    row(&["watch", "-type=key", "-key=wk", "-http-addr=127.0.0.1:1"], Same),
];

const SNAPSHOT: Rows = &[
    row(&["snapshot"], OwnOutput),
    row(&["snapshot", "save"], Same),
    row(&["snapshot", "save", "a", "b"], Same),
    row(&["snapshot", "save", "/nonexistent/x"], OwnComplaint),
    before(&["snapshot", "save", "real.snap"]),
    row(&["snapshot", "inspect", "real.snap"], Same),
    row(&["snapshot", "inspect"], Same),
    row(&["snapshot", "inspect", "nonexistent"], Same),
    row(&["snapshot", "inspect", "s.json"], Same),
    row(&["snapshot", "restore", "nonexistent"], Same),
    row(&["snapshot", "restore", "s.json"], Same),
    row(&["snapshot", "restore", "real.snap"], Same),
];

const VALIDATE: Rows = &[
    row(&["validate"], Same),
    row(&["validate", "nonexistent"], Same),
    row(&["validate", "-quiet", "nonexistent"], Same),
    row(&["validate", "good"], Same),
    row(&["validate", "-quiet", "good"], Same),
    row(&["validate", "good/a.json", "good"], Same),
    row(&["validate", "-config-format=zz", "good"], Same),
    row(&["validate", "-config-format=json", "good/a.json"], Same),
    row(&["validate", "-config-file=good"], Same),
    row(&["validate", "empty"], Same),
    // The first line of a list of faults is Consul's; the faults carry their places.
    row(&["validate", "bad"], Same),
    row(&["agent", "x"], Same),
    row(&["agent", "-zz"], Same),
    row(&["agent"], Same),
    row(&["agent", "-config-file", "nonexistent"], Same),
    row(&["agent", "-dev", "-config-format", "zz"], Same),
    row(&["agent", "-dev", "-hcl", "x=1"], Same),
    // Go's parsers tell more of why.
    row(&["agent", "-server=zz"], OwnComplaint),
    row(&["agent", "-http-port=x"], OwnComplaint),
];

#[test]
fn answers_like_consul() {
    let Some(pair) = Pair::start() else { return };
    prepare(&pair);
    let mut wrong = Vec::new();
    for rows in [GENERAL, KV, CATALOG, SERVICES, CONTROL, WATCH, SNAPSHOT, VALIDATE] {
        for (words, how) in rows {
            let real = pair.consul(words);
            let Some(how) = how else {
                assert_eq!(real.code, Some(0), "{words:?}: {real:?}");
                continue;
            };
            let ours = pair.crs(words);
            if !fits(*how, &real, &ours) {
                wrong.push(format!("{words:?}\n  consul: {real:?}\n  crs:    {ours:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} command lines differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn fits(how: As, real: &Said, ours: &Said) -> bool {
    let output = match how {
        Same | OwnComplaint => real.stdout == ours.stdout,
        Ids => without_ids(&real.stdout) == without_ids(&ours.stdout),
        OwnOutput => real.stdout.is_empty() == ours.stdout.is_empty(),
    };
    let complaint = match how {
        // A place in brackets behind Consul's words is ours.
        Same | Ids => ours.complaint().starts_with(&real.complaint()),
        OwnOutput => real.stderr.is_empty() == ours.stderr.is_empty(),
        OwnComplaint => !real.stderr.is_empty() && !ours.stderr.is_empty(),
    };
    output && complaint && real.code == ours.code && real.stderr.is_empty() == ours.stderr.is_empty()
}

/// Every UUID replaced by a word.
fn without_ids(text: &str) -> String {
    let is_id = |word: &&str| word.len() == 36 && word.matches('-').count() == 4;
    text.split_inclusive([' ', '\n']).map(|word| if is_id(&word.trim()) { "ID\n" } else { word }).collect()
}

fn prepare(pair: &Pair) {
    let write = |name: &str, text: &str| {
        let path = pair.folder().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("value.txt", "from a file\nof two lines");
    write(
        "s.json",
        r#"{"service":{"name":"web","port":80,"tags":["a","b"],"meta":{"k":"v"},
            "check":{"ttl":"10s","status":"passing","notes":"n"}}}"#,
    );
    write(
        "s.hcl",
        "services { name = \"s1\" } services { name = \"s2\" port = 5 checks = [{ tcp = \"127.0.0.1:1\" interval = \"1h\" }] }",
    );
    write("bad.json", r#"{"service":{"name":"x","bogus":1}}"#);
    write("other.json", r#"{"server":true}"#);
    write("good/a.json", r#"{"data_dir":"/x","bind_addr":"127.0.0.1","log_level":"WARN"}"#);
    write("good/x.txt", "skipped");
    write("bad/b.hcl", "data_dir = \"/x\" bind_addr = \"127.0.0.1\" bogus = 1");
    std::fs::create_dir_all(pair.folder().join("empty")).unwrap();
}
