//! The engine from outside: what later releases added, limits, junk, and that rendering depends on nothing but its snapshot.

use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use crate::{
    Answer, Dep, DepSnapshot, Dialect, Escape, Limits, Options, Rendered, Stage, Template, TemplateError,
    Value, decode, render, render_until,
};

fn parse_with(text: &str, dialect: Dialect, options: Options) -> Result<Template, TemplateError> {
    Template::parse("t", text.as_bytes(), dialect, options)
}

fn go(text: &str) -> String {
    let template = parse_with(text, Dialect::Go, Options::default()).unwrap();
    shown(render(&template, &catalog()).unwrap())
}

fn hbs(text: &str) -> String {
    let template = parse_with(text, Dialect::Handlebars, Options::default()).unwrap();
    shown(render(&template, &catalog()).unwrap())
}

fn go_error(text: &str) -> TemplateError {
    match parse_with(text, Dialect::Go, Options::default()) {
        Ok(template) => render(&template, &catalog()).unwrap_err(),
        Err(error) => error,
    }
}

fn shown(rendered: Rendered) -> String {
    assert!(rendered.missing.is_empty(), "{:?}", rendered.missing);
    String::from_utf8(rendered.output.unwrap()).unwrap()
}

fn health(name: &str) -> Dep {
    Dep::Health(crate::HealthQuery { name: name.to_owned(), passing: true, ..Default::default() })
}

fn key(path: &str) -> Dep {
    Dep::Key { path: path.to_owned(), dc: String::new() }
}

fn catalog() -> DepSnapshot {
    let mut snapshot = DepSnapshot::new();
    let mut put = |dep: Dep, body: &str| {
        let value = decode(&dep, body.as_bytes()).unwrap();
        snapshot.insert(dep, Answer::Value(value));
    };
    put(Dep::Services { dc: String::new() }, r#"{"web":["v1","eu"],"consul":[]}"#);
    put(
        health("web"),
        r#"[{"Node":{"Node":"b","Address":"10.0.0.2","Meta":null},"Service":{"ID":"w2","Service":"web","Port":81,
            "Tags":["eu"],"Meta":{"shard":"7","weight":"2"},"Weights":{"Passing":3,"Warning":1}},"Checks":[]},
           {"Node":{"Node":"a","Address":"10.0.0.1","Meta":{}},"Service":{"ID":"w1","Service":"web","Port":80,
            "Tags":["v1","eu"],"Meta":{"shard":"12"},"Address":"10.9.0.1"},
            "Checks":[{"CheckID":"c","Status":"passing"}]}]"#,
    );
    put(
        Dep::Tree { prefix: "app".to_owned(), dc: String::new() },
        r#"[{"Key":"app/db/host","Value":"aA==","LockIndex":0},{"Key":"app/db/port","Value":"NTQ=","LockIndex":0},
            {"Key":"app/name","Value":"eA==","LockIndex":0}]"#,
    );
    snapshot.insert(key("name"), Answer::Value(Value::text("shop")));
    snapshot.insert(key("gone"), Answer::Absent);
    snapshot.insert(Dep::Env("HOME".to_owned()), Answer::Value(Value::text("/root")));
    snapshot.insert(Dep::Env("NONE".to_owned()), Answer::Absent);
    snapshot
}

#[test]
fn functions_of_later_releases() {
    let cases = [
        (r#"{{trim "!" "!!a!b!!"}} {{trimPrefix "ab" "abc"}} {{trimSuffix "c" "abc"}}"#, "a!b c ab"),
        (r#"{{minimum 2 5}} {{5 | maximum 2}} {{minimum 1.5 2}}"#, "2 5 1.5"),
        (r#"{{sha256Hex "abc" | printf "%.8s"}}"#, "ba7816bf"),
        (r#"{{md5sum "" | printf "%.8s"}}"#, "d41d8cd9"),
        (r#"{{range $k, $v := "a:1\nb:2\n" | splitToMap "\n" ":"}}{{$k}}={{$v}} {{end}}"#, "a=1 b=2 "),
        (r#"{{toUnescapedJSON "<&>"}}"#, r#""<&>""#),
        (r#"{{envOrDefault "NONE" "x"}} {{envOrDefault "HOME" "x"}} {{mustEnv "HOME"}}"#, "x /root /root"),
        (r#"{{range $p, $l := service "web" | byPort}}{{$p}}:{{len $l}} {{end}}"#, "80:1 81:1 "),
        (
            r#"{{range $g, $l := service "web" | byMeta "shard|int,weight"}}{{$g}} {{end}}"#,
            "00007_2 00012__no_weight_ ",
        ),
        (r#"{{range service "web"}}{{.Weights.Passing}} {{.NodeDatacenter}}{{end}}"#, "0 3 "),
        (r#"{{range safeTree "app"}}{{.Key}} {{end}}"#, "db/host db/port name "),
        (
            r#"{{$a := tree "app" | explode}}{{$b := parseJSON `{"db":{"host":"z","new":1},"top":2}`}}{{$b | mergeMap $a | toJSON}} {{$b | mergeMapWithOverride $a | toJSON}}"#,
            r#"{"db":{"host":"h","new":1,"port":"54"},"name":"x","top":2} {"db":{"host":"z","new":1,"port":"54"},"name":"x","top":2}"#,
        ),
        (r#"{{scratch.MapSet "m" "a/b" 1}}{{scratch.Get "m" | explodeMap | toJSON}}"#, r#"{"a":{"b":1}}"#),
        (r#"{{with ""}}a{{else with "x"}}b{{.}}{{else}}c{{end}}"#, "bx"),
        (r#"{{range service "web"}}{{.Tags.Contains "v1"}} {{end}}"#, "true false "),
        (r#"{{hmacSHA256Hex "what do ya want for nothing?" "Jefe" | len}}"#, "64"),
    ];
    for (text, expected) in cases {
        assert_eq!(go(text), expected, "{text}");
    }
}

#[test]
fn the_language_in_corners_that_no_golden_case_has() {
    let cases = [
        (r"{{$x := 1}}{{range $i, $e := loop 2}}{{$x = $e}}{{end}}{{$x}}", "1"),
        (r"{{range $k, $v := parseJSON `{}`}}x{{else}}none{{end}}", "none"),
        (r#"{{define "t"}}{{$}}{{end}}{{$y := 5}}{{template "t" $y}}"#, "5"),
        (
            "{{printf `%-6.2f|%+d|%x|% x|%#o|%q|%c|%U` 3.14159 5 `hi` `hi` 8 `a\tb` 0x263A 0x263A}}",
            "3.14  |+5|6869|68 69|010|\"a\\tb\"|☺|U+263A",
        ),
        ("{{printf `%v %v %v %v` 1e6 123456.0 1e-4 0.00001}}", "1e+06 123456 0.0001 1e-05"),
        ("{{printf `%6d|%06d|%-6d|%x` -42 -42 -42 -42}}", "   -42|-00042|-42   |-2a"),
        ("{{printf `%5t|%5v|%s` true nil true}}", " true|<nil>|%!s(bool=true)"),
        ("{{printf `%08.3f|%+.1e|%g|%G` 3.14159 12345.678 1e100 1e-7}}", "0003.142|+1.2e+04|1e+100|1E-07"),
        (r"{{1 | printf `%d %d` 2}}", "2 1"),
        (r"{{(index (service `web`) 0).Address}} {{(service `web` | len)}}", "10.9.0.1 2"),
        ("{{- 3}} {{3 -}}\n x", "3 3x"),
        (r"{{if and}}{{end}}x", ""),
    ];
    for (text, expected) in cases {
        if expected.is_empty() {
            assert_eq!(go_error(text).stage, Stage::Execute);
            continue;
        }
        assert_eq!(go(text), expected, "{text}");
    }
}

#[test]
fn errors_name_place_and_expression() {
    let error = go_error("one\n  {{range service \"web\"}}{{.Adress}}{{end}}");
    assert_eq!((error.line, error.column, error.expression.as_str()), (2, 28, ".Adress"));
    assert!(error.to_string().starts_with("t:2:28: at <.Adress>: can't evaluate field Adress"), "{error}");
    assert!(error.message.contains("did you mean \"Address\""), "{error}");
    let error = go_error("{{define \"in\"}}\n{{index . 3}}{{end}}{{template \"in\" (split \",\" \"a\")}}");
    assert_eq!((error.line, error.within.as_str()), (2, "in"));
    assert!(go_error("{{keyOrDefalt \"a\"}}").message.contains("did you mean \"keyOrDefault\""));
    assert!(go_error("{{secret \"a\"}}").message.contains("not supported"));
    let error =
        Template::parse("p.hbs", b"a\n{{#if x}}", Dialect::Handlebars, Options::default()).unwrap_err();
    assert_eq!((error.stage, error.name.as_str()), (Stage::Parse, "p.hbs"));
}

#[test]
fn what_is_missing_is_asked_for_and_is_no_error() {
    let template = parse_with(
        "{{key \"name\"}}{{key \"gone\"}}{{key \"new\"}}{{env \"UNKNOWN\"}}",
        Dialect::Go,
        Options::default(),
    )
    .unwrap();
    let snapshot = catalog();
    let rendered = render(&template, &snapshot).unwrap();
    assert!(rendered.output.is_none());
    assert_eq!(rendered.used.len(), 4);
    let missing: Vec<String> = rendered.missing.iter().map(ToString::to_string).collect();
    assert_eq!(missing, ["kv.get(gone)", "kv.get(new)", "env(UNKNOWN)"]);
    let awaited: Vec<String> = rendered.awaited(&snapshot).map(ToString::to_string).collect();
    assert_eq!(awaited, ["kv.get(gone)"]);
    // an error may come from what is not known yet
    let template = parse_with("{{(key \"new\" | parseJSON).a.b}}", Dialect::Go, Options::default()).unwrap();
    assert!(render(&template, &snapshot).unwrap().output.is_none());
}

#[test]
fn handlebars_has_the_same_functions() {
    let cases = [
        (r#"{{#each (service "web")}}{{Address}}:{{Port}} {{/each}}"#, "10.9.0.1:80 10.0.0.2:81 "),
        (r#"{{#each (service "none" status="any")}}x{{else}}nobody{{/each}}"#, "nobody"),
        (r#"{{key "name"}} {{key "gone" default="5"}} {{toUpper (key "name")}}"#, "shop 5 SHOP"),
        (r#"{{#if (keyExists "gone")}}a{{else}}b{{/if}}"#, "b"),
        (
            r#"{{#each (byKey (tree "app"))}}{{@key}}: {{#each this}}{{@key}}={{Value}} {{/each}}{{/each}}"#,
            "db: host=h port=54 ",
        ),
        (r#"{{#with (explode (tree "app"))}}{{db.port}}{{/with}}"#, "54"),
        (
            r#"{{#each (split "," "a,b")}}{{@index}}{{this}}{{/each}} {{join "-" (split "," "a,b")}}"#,
            "0a1b a-b",
        ),
        (r#"{{add 1 2}} {{#if (eq (len (service "web")) 2)}}two{{/if}} {{divide 2 7}}"#, "3 two 3"),
        (r#"{{#let n=(key "name")}}{{n}}{{n}}{{/let}}"#, "shopshop"),
        (r#"{{set "k" 5}}{{get "k"}} {{#each (loop 3)}}{{this}}{{/each}}"#, "5 012"),
        (
            r#"{{#each (services) as |s|}}{{s.Name}}:{{#each (service "web")}}{{s.Name}}{{/each}} {{/each}}"#,
            "consul:consulconsul web:webweb ",
        ),
        (r#"{{{print "<b>"}}} {{toJSON (services)}}"#, "<b> "),
        (
            "{{#*inline \"row\"}}[{{this}}]{{/inline}}{{#each (split \",\" \"a,b\")}}{{> row}}{{/each}}",
            "[a][b]",
        ),
    ];
    for (text, expected) in cases {
        let found = match parse_with(text, Dialect::Handlebars, Options::default()) {
            Ok(_) => {
                let mut snapshot = catalog();
                let any = Dep::Health(crate::HealthQuery { name: "none".to_owned(), ..Default::default() });
                let empty = decode(&any, b"[]").unwrap();
                snapshot.insert(any, Answer::Value(empty));
                let template = parse_with(text, Dialect::Handlebars, Options::default()).unwrap();
                shown(render(&template, &snapshot).unwrap())
            }
            Err(error) => panic!("{text}: {error}"),
        };
        assert!(
            found == expected || (text.contains("toJSON") && found.starts_with(expected)),
            "{text}: {found}"
        );
    }
}

#[test]
fn handlebars_options_partials_and_strictness() {
    let with = |change: &dyn Fn(&mut Options)| {
        let mut options = Options::default();
        change(&mut options);
        options
    };
    let text = |text: &str, options: Options| {
        let template = parse_with(text, Dialect::Handlebars, options)?;
        render(&template, &catalog()).map(shown)
    };
    assert_eq!(
        text(
            "{{> p}}",
            with(&|o| {
                o.partials.insert("p".into(), "in {{key \"name\"}}".into());
            })
        )
        .unwrap(),
        "in shop"
    );
    for (escape, expected) in [
        (Escape::None, "a\"<\\'b"),
        (Escape::Json, "a\\\"<\\\\'b"),
        (Escape::Shell, "'a\"<\\'\\''b'"),
        (Escape::Nginx, "a\\\"<\\\\'b"),
        (Escape::Html, "a&quot;&lt;\\&#x27;b"),
    ] {
        assert_eq!(
            text("{{print \"a\\\"<\\\\'b\"}}", with(&|o| o.escape = escape)).unwrap(),
            expected,
            "{escape:?}"
        );
    }
    assert!(text("{{nothing.here}}", with(&|o| o.error_on_missing_key = true)).is_err());
    assert_eq!(text("{{nothing.here}}", Options::default()).unwrap(), "");
    let circle = with(&|o| {
        o.partials.insert("a".into(), "{{> b}}".into());
        o.partials.insert("b".into(), "{{~> a}}".into());
    });
    let error = text("{{> a}}", circle).unwrap_err();
    assert!(error.message.contains("a -> b -> a"), "{error}");
    assert!(text("{{#*inline \"x\"}}{{> x}}{{/inline}}{{> x}}", Options::default()).is_err());
    let denied = with(&|o| o.function_denylist = vec!["env*".into()]);
    assert!(text("{{env \"HOME\"}}", denied.clone()).unwrap_err().message.contains("disabled"));
    assert!(
        parse_with("{{envOrDefault \"a\" \"b\"}}", Dialect::Go, denied)
            .unwrap_err()
            .message
            .contains("disabled")
    );
    assert!(
        text("{{service \"web\" colour=\"red\"}}", Options::default())
            .unwrap_err()
            .message
            .contains("no option")
    );
}

#[test]
fn limits_hold() {
    let limits = Limits { steps: 100_000, output_bytes: 1 << 20, work_bytes: 8 << 20, depth: 20 };
    let options = Options { limits, ..Options::default() };
    let cases = [
        "{{range loop 0 1000000000000}}{{end}}",
        "{{define \"a\"}}{{template \"a\" .}}{{end}}{{template \"a\" 1}}",
        "{{define \"a\"}}{{executeTemplate \"a\"}}{{end}}{{template \"a\"}}",
        "{{range loop 100000}}0123456789012345678901234567890123456789{{end}}",
        "{{$s := \"0123456789\"}}{{range loop 64}}{{$s = print $s $s}}{{end}}",
        "{{indent 1000000000000 \"x\\ny\"}}",
        "{{range loop 10000}}{{printf \"%1000000d\" 1}}{{end}}",
        "{{$s := replaceAll \"\" \"0123456789\" \"0123456789\"}}{{range loop 9}}{{$s = $s | replaceAll \"0\" $s}}{{end}}",
        "{{range loop 30000}}{{scratch.MapSet \"m\" (print .) (print . .)}}{{scratch.Get \"m\" | toJSON | len}}{{end}}",
    ];
    for text in cases {
        let template = parse_with(text, Dialect::Go, options.clone()).unwrap();
        let error = render(&template, &catalog()).unwrap_err();
        assert_eq!(error.stage, Stage::Limit, "{text}: {error}");
    }
    for text in ["{{#each (loop 100000000)}}x{{/each}}", "{{#each (loop 90000)}}0123456789012345{{/each}}"] {
        let template = parse_with(text, Dialect::Handlebars, options.clone()).unwrap();
        assert_eq!(render(&template, &catalog()).unwrap_err().stage, Stage::Limit, "{text}");
    }
    let deep = format!("{}1{}", "{{".to_owned() + &"(".repeat(5000), ")".repeat(5000) + "}}");
    assert_eq!(parse_with(&deep, Dialect::Go, Options::default()).unwrap_err().stage, Stage::Parse);
    assert!(parse_with(&deep, Dialect::Handlebars, Options::default()).is_err());
    let deep = "{{if 1}}".repeat(5000) + &"{{end}}".repeat(5000);
    assert!(parse_with(&deep, Dialect::Go, Options::default()).is_err());
    let deep = "{{#if a}}".repeat(5000) + &"{{/if}}".repeat(5000);
    assert!(parse_with(&deep, Dialect::Handlebars, Options::default()).is_err());
}

#[test]
fn a_caller_can_stop_it() {
    let template = parse_with("{{range loop 100000000}}{{end}}", Dialect::Go, Options::default()).unwrap();
    let asked = AtomicBool::new(false);
    let stop = || asked.swap(true, Ordering::Relaxed);
    assert_eq!(render_until(&template, &catalog(), Some(&stop)).unwrap_err().stage, Stage::Stopped);
}

#[test]
fn files_are_asked_for_and_handed_back() {
    let text = r#"{{key "name" | writeToFile "/x/y" "" "" "0640" "append,newline"}}done"#;
    let template = parse_with(text, Dialect::Go, Options::default()).unwrap();
    let rendered = render(&template, &catalog()).unwrap();
    assert_eq!(rendered.files.len(), 1);
    let file = &rendered.files[0];
    assert_eq!((file.path.as_str(), file.content.as_slice(), file.append), ("/x/y", &b"shop\n"[..], true));
}

#[test]
fn regular_expressions_are_gos() {
    let cases = [
        (r#"{{regexMatch `^\d+$` "٣"}}"#, "false"),
        (r#"{{regexReplaceAll `\w` "x" "aé1"}}"#, "xéx"),
        (
            r#"{{regexMatch `a{,2}` "a{,2}"}} {{regexMatch `^{$` "{"}} {{regexMatch `x{2}` "xx"}}"#,
            "true true true",
        ),
        (
            r#"{{regexMatch `[[a]` "["}} {{regexMatch `[a&&b]` "&"}} {{regexMatch `[]a]` "]"}}"#,
            "true true true",
        ),
        (r#"{{regexMatch `\Qa.b\E+` "a.bb"}} {{regexMatch `[[:alpha:]\d]+` "a1"}}"#, "true true"),
        (r#"{{regexMatch `\x{263a}\pL\p{Lu}` "☺aB"}}"#, "true"),
        (r#"{{"a-b" | regexReplaceAll "(.)-(.)" "${2}_$1"}}"#, "b_a"),
    ];
    for (text, expected) in cases {
        assert_eq!(go(text), expected, "{text}");
    }
}

#[test]
fn yaml_is_folded_and_nested_as_the_original_does() {
    let text = r#"{{parseJSON `{"k10":1,"k2":[[1,2],{"a":[]}],"long":"aaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbb cccccccccccccccccccc dddddddddddddddddddd eeeeeeee f"}` | toYAML}}"#;
    let expected = "k2:\n- - 1\n  - 2\n- a: []\nk10: 1\nlong: aaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbb cccccccccccccccccccc dddddddddddddddddddd\n  eeeeeeee f";
    assert_eq!(go(text), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Pieces of the language in any order: an error at most, never a panic.
    #[test]
    fn junk_never_panics(pieces in prop::collection::vec(prop::sample::select(vec![
        "{{", "}}", "{{-", "-}}", " ", "if", "else", "end", "range", "with", "define \"a\"", "template \"a\"", "block \"b\"",
        "$x", ":=", "=", ",", "|", "(", ")", ".", ".A", ".B.C", "\"s\"", "'c'", "`r`", "1", "-1", "1.5", "0x1p4", "3i", "nil",
        "true", "and", "or", "not", "eq", "index", "slice", "len", "printf", "print", "service", "services", "key", "tree", "loop",
        "split", "join", "toJSON", "toYAML", "toTOML", "parseJSON", "explode", "byKey", "byTag", "scratch.Set", "timestamp",
        "/*", "*/", "break", "continue", "é", "\u{0}", "\n", "%d", "{", "}", "#", ">", "/", "regexMatch", "indent", "\"[\"",
        "{{#if", "{{/if}}", "{{#each", "{{/each}}", "(services)", "this", "../", "@key", "{{>", "{{{", "}}}", "as |a b|", "{{!--",
    ]), 0..24), spaced in any::<bool>()) {
        let text = pieces.join(if spaced { " " } else { "" });
        let limits = Limits { steps: 20_000, output_bytes: 1 << 16, work_bytes: 1 << 20, depth: 10 };
        for dialect in [Dialect::Go, Dialect::Handlebars] {
            let options = Options { limits: limits.clone(), ..Options::default() };
            if let Ok(template) = parse_with(&text, dialect, options) {
                let snapshot = catalog();
                let first = render(&template, &snapshot);
                let again = render(&template, &snapshot);
                prop_assert_eq!(first.map(|r| (r.output, r.used)).ok(), again.map(|r| (r.output, r.used)).ok());
            }
        }
    }

    /// Any bytes, too.
    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for dialect in [Dialect::Go, Dialect::Handlebars] {
            if let Ok(template) = Template::parse("t", &bytes, dialect, Options::default()) {
                let _ = render(&template, &DepSnapshot::new());
            }
        }
    }

    /// Formats with any verb and operand.
    #[test]
    fn printf_never_panics(format in "[%a-zA-Z0-9 +#.*\\[\\]-]{0,20}", number in any::<i64>(), float in any::<f64>()) {
        let text = format!("{{{{printf `{format}` {number} {float:?} `t` nil}}}}");
        if let Ok(template) = parse_with(&text, Dialect::Go, Options::default()) {
            let _ = render(&template, &DepSnapshot::new());
        }
    }

    /// What the server says may be of any shape.
    #[test]
    fn answers_of_any_shape_decode_or_fail(body in "[\\[\\]{}\":,a-zA-Z0-9]{0,60}") {
        for dep in [health("web"), key("a"), Dep::Services { dc: String::new() }] {
            let _ = decode(&dep, body.as_bytes());
        }
    }

    /// JSON that a template writes reads back as the same text.
    #[test]
    fn json_round_trips(text in any::<String>()) {
        let mut snapshot = DepSnapshot::new();
        snapshot.insert(key("k"), Answer::Value(Value::text(text.as_str())));
        let template = parse_with("{{key \"k\" | toJSON}}", Dialect::Go, Options::default()).unwrap();
        let out = render(&template, &snapshot).unwrap().output.unwrap();
        let back: String = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(back, text);
    }
}

#[test]
fn a_template_without_text_is_empty_and_known() {
    assert_eq!(go(""), "");
    assert_eq!(hbs(""), "");
}
