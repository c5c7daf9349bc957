//! What a Handlebars text may not do, because nothing later would stop it: nest without end, include itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

/// Blocks and sub-expressions inside one another.
const MAX_NESTING: usize = 60;

type Placed = ((usize, usize), String);

/// Bounds the depth that the grammar and the rendering will go down.
pub(super) fn check_nesting(text: &str) -> Result<(), Placed> {
    let bytes = text.as_bytes();
    let (mut blocks, mut parens, mut tags) = (0_usize, 0_usize, 0_usize);
    for at in 0..bytes.len() {
        match bytes[at] {
            b'{' if bytes[at..].starts_with(b"{{") => {
                let mark = bytes[at + 2..].iter().find(|byte| **byte != b'~');
                match mark {
                    Some(b'#') => blocks += 1,
                    Some(b'/') => blocks = blocks.saturating_sub(1),
                    _ => {}
                }
                parens = 0;
                tags = 1;
            }
            b'}' if bytes[at..].starts_with(b"}}") => tags = 0,
            b'(' | b'[' if tags > 0 => parens += 1,
            b')' | b']' => parens = parens.saturating_sub(1),
            _ => {}
        }
        if blocks > MAX_NESTING || parens > MAX_NESTING {
            return Err((crate::error::place(bytes, at), format!("nested deeper than {MAX_NESTING}")));
        }
    }
    Ok(())
}

fn pattern(text: &str) -> Regex {
    // constants of this file; the tests use each of them
    #[allow(clippy::expect_used)]
    Regex::new(text).expect("constant pattern")
}

static INLINE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"(?s)\{\{~?#\*\s*inline\s+["']([^"']*)["']\s*~?\}\}(.*?)\{\{~?/\s*inline\s*~?\}\}"#)
});
static INCLUDE: LazyLock<Regex> = LazyLock::new(|| pattern(r#"\{\{~?#?>\s*(\(|["']?)([^\s"'~}()]*)"#));

/// The names that a text includes.
fn includes(text: &str) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    for found in INCLUDE.captures_iter(text) {
        if &found[1] == "(" {
            return Err("a partial is included by its name; a computed name is not supported".to_owned());
        }
        names.insert(found[2].to_owned());
    }
    Ok(names)
}

/// Refuses partials that include one another in a circle, of which rendering would find no end.
pub(super) fn check(
    main: &str,
    text: &str,
    partials: &BTreeMap<String, String>,
) -> Result<(), (String, String)> {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let texts =
        std::iter::once((main.to_owned(), text)).chain(partials.iter().map(|(n, t)| (n.clone(), t.as_str())));
    for (name, text) in texts {
        let fail = |message: String| (name.clone(), message);
        for inline in INLINE.captures_iter(text) {
            graph.entry(inline[1].to_owned()).or_default().extend(includes(&inline[2]).map_err(fail)?);
        }
        // inline definitions are nodes of their own
        let rest = INLINE.replace_all(text, "");
        graph.entry(name.clone()).or_default().extend(includes(&rest).map_err(fail)?);
    }
    let mut done = BTreeSet::new();
    for name in graph.keys() {
        follow(name, &graph, &mut Vec::new(), &mut done).map_err(|message| (main.to_owned(), message))?;
    }
    Ok(())
}

fn follow<'a>(
    name: &'a str,
    graph: &'a BTreeMap<String, BTreeSet<String>>,
    path: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Result<(), String> {
    if path.contains(&name) {
        return Err(format!("partials include one another in a circle: {} -> {name}", path.join(" -> ")));
    }
    if path.len() > MAX_NESTING {
        return Err(format!("partials include one another more than {MAX_NESTING} deep"));
    }
    if !done.insert(name) {
        return Ok(());
    }
    path.push(name);
    for next in graph.get(name).into_iter().flatten() {
        if let Some((next, _)) = graph.get_key_value(next.as_str()) {
            if path.contains(&next.as_str()) {
                return Err(format!(
                    "partials include one another in a circle: {} -> {next}",
                    path.join(" -> ")
                ));
            }
            follow(next, graph, path, done)?;
        }
    }
    path.pop();
    Ok(())
}
