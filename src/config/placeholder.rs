//! `${env:NAME}` and `${file:/path}` in string values.
//!
//! Anything else in `${...}` stays as it is, as in Consul; `$${env:NAME}` stands for the text `${env:NAME}` itself.

/// Looks things up outside: the environment and files belong to the caller.
pub trait Lookup {
    /// The value of an environment variable, if it is set.
    fn env(&self, name: &str) -> Option<String>;

    /// The contents of a file.
    ///
    /// # Errors
    /// In the words of the system.
    fn file(&self, path: &str) -> Result<String, String>;
}

/// Knows nothing: every placeholder is an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLookup;

impl Lookup for NoLookup {
    fn env(&self, _name: &str) -> Option<String> {
        None
    }

    fn file(&self, _path: &str) -> Result<String, String> {
        Err("files are not read here".into())
    }
}

/// Whether a text holds a placeholder (or an escaped one).
pub(crate) fn has_placeholder(text: &str) -> bool {
    text.contains("${env:") || text.contains("${file:")
}

/// Replaces every placeholder. What a file ends with, line breaks, is cut. The result is not searched again.
///
/// # Errors
/// A text for people: what is missing.
pub(crate) fn resolve(text: &str, lookup: &dyn Lookup) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let inner = &from[2..];
        let known = inner.starts_with("env:") || inner.starts_with("file:");
        let Some(end) = inner.find('}').filter(|_| known) else {
            out.push_str(before);
            out.push_str("${");
            rest = inner;
            continue;
        };
        let body = &inner[..end];
        rest = &inner[end + 1..];
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            out.push_str(body);
            out.push('}');
            continue;
        }
        out.push_str(before);
        if let Some(name) = body.strip_prefix("env:") {
            let value =
                lookup.env(name).ok_or_else(|| format!("environment variable {name:?} is not set"))?;
            out.push_str(&value);
        } else if let Some(path) = body.strip_prefix("file:") {
            if !path.starts_with('/') {
                return Err(format!("${{file:{path}}} needs an absolute path"));
            }
            let value = lookup.file(path).map_err(|error| format!("cannot read {path}: {error}"))?;
            out.push_str(value.trim_end_matches(['\n', '\r']));
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Lookup for Fixed {
        fn env(&self, name: &str) -> Option<String> {
            (name == "A").then(|| "${env:A}".into())
        }

        fn file(&self, path: &str) -> Result<String, String> {
            if path == "/t" { Ok("secret\n".into()) } else { Err("no such file or directory".into()) }
        }
    }

    #[test]
    fn replaces_once_and_leaves_the_rest() {
        for (text, wanted) in [
            ("x", Ok("x")),
            ("a${env:A}b", Ok("a${env:A}b")),
            ("${file:/t}", Ok("secret")),
            ("$${env:A}", Ok("${env:A}")),
            ("${NodeName} ${env:A", Ok("${NodeName} ${env:A")),
            ("${env:B}", Err("environment variable \"B\" is not set")),
            ("${file:/u}", Err("cannot read /u: no such file or directory")),
            ("${file:u}", Err("${file:u} needs an absolute path")),
        ] {
            assert_eq!(resolve(text, &Fixed).as_deref().map_err(String::as_str), wanted, "{text}");
        }
    }
}
