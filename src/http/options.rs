//! The parameters that all reads share: consistency, waiting, cache.

use std::time::Duration;

use crs_types::{Consistency, Datacenter, Index, QueryOptions, parse_duration};
use http::HeaderMap;
use http::header::CACHE_CONTROL;

use crate::api::Settings;
use crate::error::Failure;
use crate::params::{Params, go_quote, parse_uint};

/// What of a read's options is HTTP's own business.
#[derive(Clone, Debug)]
pub(crate) struct ReadOptions {
    pub(crate) query: QueryOptions,
    /// `?cached`.
    pub(crate) cached: bool,
}

/// Reads them in Consul's order, so that of several mistakes the same one is named.
///
/// # Errors
/// Consul's texts, 400.
pub(crate) fn read_options(
    params: &Params,
    headers: &HeaderMap,
    settings: &Settings,
    discovery: bool,
) -> Result<ReadOptions, Failure> {
    let mut query = QueryOptions { datacenter: datacenter(params), ..QueryOptions::default() };
    let mut stale = params.has("stale");
    let consistent = params.has("consistent");
    let cached = params.has("cached");
    let mut defaults = !(stale || consistent || cached || params.has("leader"));
    let max_stale = params.get("max_stale");
    if !max_stale.is_empty() {
        let Some(age) = signed_duration(max_stale) else {
            return Err(Failure::bad_request(format!("Invalid max_stale value {}", go_quote(max_stale))));
        };
        if age > Duration::ZERO {
            query.max_stale = Some(age);
            stale = true;
            defaults = false;
        }
    }
    if defaults && discovery && settings.discovery_max_stale > Duration::ZERO {
        query.max_stale = Some(settings.discovery_max_stale);
        stale = true;
    }
    if stale && consistent {
        return Err(Failure::bad_request("Cannot specify ?stale with ?consistent, conflicting semantics."));
    }
    if cached && consistent {
        return Err(Failure::bad_request("Cannot specify ?cached with ?consistent, conflicting semantics."));
    }
    query.consistency = match (stale, consistent) {
        (true, _) => Consistency::Stale,
        (false, true) => Consistency::Consistent,
        (false, false) => Consistency::Default,
    };
    check_cache_control(headers)?;
    let wait = params.get("wait");
    if !wait.is_empty() {
        let Some(wait) = signed_duration(wait) else {
            return Err(Failure::bad_request("Invalid wait time"));
        };
        query.wait = Some(wait).filter(|wait| *wait > Duration::ZERO);
    }
    let index = params.get("index");
    if !index.is_empty() {
        query.min_index = Index(parse_uint(index).map_err(|_| Failure::bad_request("Invalid index"))?);
    }
    Ok(ReadOptions { query, cached })
}

/// `?dc=`; `None` for the agent's own.
pub(crate) fn datacenter(params: &Params) -> Option<Datacenter> {
    Some(params.get("dc")).filter(|dc| !dc.is_empty()).map(Datacenter::from)
}

/// Go's durations have a sign; what is negative counts as zero.
fn signed_duration(text: &str) -> Option<Duration> {
    match text.strip_prefix('-') {
        Some(rest) if !rest.starts_with(['+', '-']) => parse_duration(rest).ok().map(|_| Duration::ZERO),
        Some(_) => None,
        None => parse_duration(text).ok(),
    }
}

fn check_cache_control(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(value) = headers.get(CACHE_CONTROL) else { return Ok(()) };
    let text = value.to_str().unwrap_or("").to_ascii_lowercase();
    for field in text.split(',') {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        if matches!(name.trim(), "max-age" | "stale-if-error") && field.contains('=') {
            value.parse::<i64>().map_err(|_| Failure::bad_request("Invalid Cache-Control header."))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<ReadOptions, Failure> {
        read_options(&Params::parse(Some(query)), &HeaderMap::new(), &Settings::default(), true)
    }

    #[test]
    fn mistakes_are_named_in_consuls_words() {
        for (query, text) in [
            ("index=zz", "Invalid index"),
            ("index=-1", "Invalid index"),
            ("wait=1", "Invalid wait time"),
            ("wait=zz&index=zz", "Invalid wait time"),
            ("stale&consistent", "Cannot specify ?stale with ?consistent, conflicting semantics."),
            ("max_stale=10s&consistent", "Cannot specify ?stale with ?consistent, conflicting semantics."),
            ("cached&consistent", "Cannot specify ?cached with ?consistent, conflicting semantics."),
            ("max_stale=abc", "Invalid max_stale value \"abc\""),
        ] {
            assert_eq!(read(query).unwrap_err(), Failure::bad_request(text), "{query}");
        }
    }

    #[test]
    fn presence_counts_and_values_do_not() {
        assert_eq!(read("stale=false").unwrap().query.consistency, Consistency::Stale);
        assert_eq!(read("consistent").unwrap().query.consistency, Consistency::Consistent);
        assert_eq!(read("max_stale=0s").unwrap().query.consistency, Consistency::Default);
        assert_eq!(read("index=5&wait=").unwrap().query.min_index, Index(5));
        assert_eq!(read("wait=-5s").unwrap().query.wait, None);
        assert!(read("cached").unwrap().cached);
    }

    #[test]
    fn cache_control_is_read_where_it_is_given() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, value.parse().unwrap());
            read_options(&Params::default(), &headers, &Settings::default(), true)
        };
        assert!(with("max-age=5, stale-if-error=30, must-revalidate").is_ok());
        assert!(with("no-cache").is_ok());
        assert_eq!(with("max-age=zz").unwrap_err().text, "Invalid Cache-Control header.");
    }

    #[test]
    fn discovery_reads_may_be_stale_by_default() {
        let settings = Settings { discovery_max_stale: Duration::from_secs(5), ..Settings::default() };
        let read = |query: &str, discovery| {
            read_options(&Params::parse(Some(query)), &HeaderMap::new(), &settings, discovery).unwrap().query
        };
        assert_eq!(read("", true).consistency, Consistency::Stale);
        assert_eq!(read("", false).consistency, Consistency::Default);
        assert_eq!(read("leader", true).consistency, Consistency::Default);
    }
}
