//! Rules, and how those of several policies join into one answer.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use crate::{Access, Resource};

/// What a rule grants. Ordered by precedence where policies disagree: what stands later wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Grant {
    /// `read`
    Read,
    /// `list`: reading all keys under a prefix; only for keys.
    List,
    /// `write`: reading as well.
    Write,
    /// `deny`: beats everything else said of the same name by other policies.
    Deny,
}

impl Grant {
    fn covers(self, access: Access) -> bool {
        match self {
            Grant::Read => access == Access::Read,
            Grant::List => access != Access::Write,
            Grant::Write => true,
            Grant::Deny => false,
        }
    }
}

/// What a rule is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Extent {
    /// Exactly this name.
    Exact,
    /// Every name that begins so.
    Prefix,
    /// The resource has no names (`acl`, `keyring`, `operator`).
    Whole,
}

/// One line of a policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Of which kind.
    pub resource: Resource,
    /// How the name is meant.
    pub extent: Extent,
    /// The name; empty with [`Extent::Whole`].
    pub name: String,
    /// What it grants.
    pub grant: Grant,
}

/// The rules of all policies of a token, arranged for look-ups. Within one resource the exact rule beats every prefix,
/// the longest prefix beats the shorter ones; where several policies speak of the same name, the grant of higher
/// precedence holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleSet {
    by_resource: HashMap<Resource, Names>,
}

#[derive(Clone, Debug, Default)]
struct Names {
    exact: HashMap<Box<str>, Grant>,
    prefixes: BTreeMap<Box<str>, Grant>,
}

impl RuleSet {
    pub(crate) fn new<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Self {
        let mut set = RuleSet::default();
        for rule in rules {
            let names = set.by_resource.entry(rule.resource).or_default();
            let name = Box::from(rule.name.as_str());
            let grant = match rule.extent {
                Extent::Exact | Extent::Whole => names.exact.entry(name).or_insert(rule.grant),
                Extent::Prefix => names.prefixes.entry(name).or_insert(rule.grant),
            };
            *grant = (*grant).max(rule.grant);
        }
        set
    }

    /// What the rules say of a name; `None`: nothing.
    pub(crate) fn allows(&self, resource: Resource, name: &str, access: Access) -> Option<bool> {
        let names = self.by_resource.get(&resource)?;
        let grant = names.exact.get(name).copied().or_else(|| names.longest_prefix(name))?;
        Some(grant.covers(access))
    }

    /// What the rules say of writing all names that begin so: the rule for the prefix must grant it, and no rule
    /// below may take it back. `None`: the default decides, and nothing below contradicts a yes.
    pub(crate) fn allows_writing_tree(&self, resource: Resource, prefix: &str) -> Option<bool> {
        let names = self.by_resource.get(&resource)?;
        let below = |name: &str| name.starts_with(prefix);
        let taken_back = names.exact.iter().any(|(name, grant)| below(name) && !grant.covers(Access::Write))
            || names
                .prefixes
                .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
                .take_while(|(name, _)| below(name))
                .any(|(_, grant)| !grant.covers(Access::Write));
        if taken_back {
            return Some(false);
        }
        names.longest_prefix(prefix).map(|grant| grant.covers(Access::Write))
    }
}

impl Names {
    fn longest_prefix(&self, name: &str) -> Option<Grant> {
        // The longest rule that begins `name` sorts at or below it. A miss in between shares only a part with the
        // name, so the next candidate is that part or shorter.
        let mut upper = name;
        loop {
            let (prefix, grant) =
                self.prefixes.range::<str, _>((Bound::Unbounded, Bound::Included(upper))).next_back()?;
            let shared = prefix.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
            if shared == prefix.len() {
                return Some(*grant);
            }
            upper = &name[..name.floor_char_boundary(shared)];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(extent: Extent, name: &str, grant: Grant) -> Rule {
        Rule { resource: Resource::Key, extent, name: name.to_owned(), grant }
    }

    #[test]
    fn exact_beats_prefix_and_the_longest_prefix_wins() {
        let set = RuleSet::new(&[
            rule(Extent::Prefix, "", Grant::Read),
            rule(Extent::Prefix, "foo/", Grant::Write),
            rule(Extent::Prefix, "foo/private/", Grant::Deny),
            rule(Extent::Exact, "foo/private/mine", Grant::Write),
        ]);
        let says = |name, access| set.allows(Resource::Key, name, access).unwrap();
        assert!(says("bar", Access::Read) && !says("bar", Access::Write));
        assert!(says("foo/x", Access::Write));
        assert!(!says("foo/private/x", Access::Read));
        assert!(says("foo/private/mine", Access::Write));
        assert!(!says("foo", Access::Write));
        assert_eq!(set.allows(Resource::Node, "bar", Access::Read), None);
    }

    #[test]
    fn where_policies_disagree_deny_wins_then_write() {
        let both = |a, b| {
            let set = RuleSet::new(&[rule(Extent::Exact, "k", a), rule(Extent::Exact, "k", b)]);
            [Access::Read, Access::List, Access::Write].map(|access| set.allows(Resource::Key, "k", access))
        };
        assert_eq!(both(Grant::Write, Grant::Deny), [Some(false); 3]);
        assert_eq!(both(Grant::Read, Grant::Write), [Some(true); 3]);
        assert_eq!(both(Grant::List, Grant::Read), [Some(true), Some(true), Some(false)]);
    }

    #[test]
    fn a_tree_is_writable_only_if_nothing_below_takes_it_back() {
        let set = RuleSet::new(&[
            rule(Extent::Prefix, "a/", Grant::Write),
            rule(Extent::Prefix, "a/b/", Grant::Read),
            rule(Extent::Prefix, "c/", Grant::Write),
            rule(Extent::Exact, "d/x", Grant::Deny),
        ]);
        let says = |prefix| set.allows_writing_tree(Resource::Key, prefix);
        assert_eq!(says("a/"), Some(false));
        assert_eq!(says("a/c"), Some(true));
        assert_eq!(says("c/"), Some(true));
        assert_eq!(says("d/"), Some(false));
        assert_eq!(says("e/"), None);
    }

    proptest! {
        #[test]
        fn the_longest_prefix_is_the_one_a_scan_finds(
            prefixes in prop::collection::btree_map("[aé/]{0,4}", 0..2u8, 0..8), name in "[aé/]{0,6}"
        ) {
            let rules: Vec<Rule> = prefixes
                .iter()
                .map(|(name, grant)| {
                    rule(Extent::Prefix, name, if *grant == 0 { Grant::Read } else { Grant::Write })
                })
                .collect();
            let set = RuleSet::new(&rules);
            let scanned = rules.iter().filter(|rule| name.starts_with(&rule.name)).max_by_key(|rule| rule.name.len());
            for access in [Access::Read, Access::Write] {
                prop_assert_eq!(
                    set.allows(Resource::Key, &name, access),
                    scanned.map(|rule| rule.grant.covers(access))
                );
            }
        }
    }
}
