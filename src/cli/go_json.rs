//! JSON with the fields in the order in which Consul's client declares them: what programs behind `watch` are used to.

use serde_json::Value;

/// The fields of a record in order; fields that it does not name follow by name. Lists of records have the record's
/// shape.
pub(crate) struct Shape {
    fields: &'static [(&'static str, &'static Shape, Absent)],
}

/// What stands for a field that an answer leaves out.
#[derive(Clone, Copy)]
enum Absent {
    /// Nothing.
    Omit,
    Null,
    Empty,
    False,
    Time,
}

use Absent::{Empty, False, Null, Omit, Time};

/// No order of its own.
pub(crate) const ANY: Shape = Shape { fields: &[] };

/// A pair of the key/value store.
pub(crate) const KV_PAIR: Shape = Shape {
    fields: &[
        ("Key", &ANY, Omit),
        ("CreateIndex", &ANY, Omit),
        ("ModifyIndex", &ANY, Omit),
        ("LockIndex", &ANY, Omit),
        ("Flags", &ANY, Omit),
        ("Value", &ANY, Null),
        ("Session", &ANY, Empty),
    ],
};

/// A node.
pub(crate) const NODE: Shape = Shape {
    fields: &[
        ("ID", &ANY, Omit),
        ("Node", &ANY, Omit),
        ("Address", &ANY, Omit),
        ("Datacenter", &ANY, Omit),
        ("TaggedAddresses", &ANY, Omit),
        ("Meta", &ANY, Omit),
        ("CreateIndex", &ANY, Omit),
        ("ModifyIndex", &ANY, Omit),
    ],
};

const DEFINITION: Shape = Shape {
    fields: &[
        ("Interval", &ANY, Time),
        ("Timeout", &ANY, Time),
        ("DeregisterCriticalServiceAfter", &ANY, Time),
        ("HTTP", &ANY, Empty),
        ("Header", &ANY, Null),
        ("Method", &ANY, Empty),
        ("Body", &ANY, Empty),
        ("TLSSkipVerify", &ANY, False),
        ("TCP", &ANY, Empty),
    ],
};

/// A check.
pub(crate) const CHECK: Shape = Shape {
    fields: &[
        ("Node", &ANY, Omit),
        ("CheckID", &ANY, Omit),
        ("Name", &ANY, Omit),
        ("Status", &ANY, Omit),
        ("Notes", &ANY, Omit),
        ("Output", &ANY, Omit),
        ("ServiceID", &ANY, Omit),
        ("ServiceName", &ANY, Omit),
        ("ServiceTags", &ANY, Omit),
        ("Type", &ANY, Omit),
        ("Definition", &DEFINITION, Omit),
        ("CreateIndex", &ANY, Omit),
        ("ModifyIndex", &ANY, Omit),
    ],
};

const WEIGHTS: Shape = Shape { fields: &[("Passing", &ANY, Omit), ("Warning", &ANY, Omit)] };

const ADDRESS: Shape = Shape { fields: &[("Address", &ANY, Omit), ("Port", &ANY, Omit)] };

const ADDRESSES: Shape = Shape {
    fields: &[
        ("lan", &ADDRESS, Omit),
        ("lan_ipv4", &ADDRESS, Omit),
        ("lan_ipv6", &ADDRESS, Omit),
        ("wan", &ADDRESS, Omit),
        ("wan_ipv4", &ADDRESS, Omit),
        ("wan_ipv6", &ADDRESS, Omit),
    ],
};

const PROXY: Shape = Shape {
    fields: &[
        ("DestinationServiceName", &ANY, Omit),
        ("DestinationServiceID", &ANY, Omit),
        ("LocalServiceAddress", &ANY, Omit),
        ("LocalServicePort", &ANY, Omit),
        ("Config", &ANY, Omit),
        ("Upstreams", &ANY, Omit),
        ("MeshGateway", &ANY, Omit),
        ("Expose", &ANY, Omit),
    ],
};

const SERVICE: Shape = Shape {
    fields: &[
        ("Kind", &ANY, Omit),
        ("ID", &ANY, Omit),
        ("Service", &ANY, Omit),
        ("Tags", &ANY, Omit),
        ("Meta", &ANY, Omit),
        ("Port", &ANY, Omit),
        ("Address", &ANY, Omit),
        ("TaggedAddresses", &ADDRESSES, Omit),
        ("Weights", &WEIGHTS, Omit),
        ("EnableTagOverride", &ANY, Omit),
        ("CreateIndex", &ANY, Omit),
        ("ModifyIndex", &ANY, Omit),
        ("ContentHash", &ANY, Omit),
        ("Proxy", &PROXY, Omit),
        ("Connect", &ANY, Omit),
    ],
};

/// An instance of a service with its node and checks.
pub(crate) const SERVICE_ENTRY: Shape =
    Shape { fields: &[("Node", &NODE, Omit), ("Service", &SERVICE, Omit), ("Checks", &CHECK, Omit)] };

/// A user event.
pub(crate) const EVENT: Shape = Shape {
    fields: &[
        ("ID", &ANY, Omit),
        ("Name", &ANY, Omit),
        ("Payload", &ANY, Null),
        ("NodeFilter", &ANY, Omit),
        ("ServiceFilter", &ANY, Omit),
        ("TagFilter", &ANY, Omit),
        ("Version", &ANY, Omit),
        ("LTime", &ANY, Omit),
    ],
};

/// Prints a value, laid out with `indent` or on one line.
pub(crate) fn print(value: &Value, shape: &Shape, indent: Option<&str>) -> String {
    let mut out = String::new();
    Printer { indent, out: &mut out }.value(value, shape, 0);
    out
}

struct Printer<'a> {
    indent: Option<&'a str>,
    out: &'a mut String,
}

impl Printer<'_> {
    fn newline(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(indent, depth));
        }
    }

    fn value(&mut self, value: &Value, shape: &Shape, depth: usize) {
        match value {
            Value::Array(items) if !items.is_empty() => {
                self.out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        self.out.push(',');
                    }
                    self.newline(depth + 1);
                    self.value(item, shape, depth + 1);
                }
                self.newline(depth);
                self.out.push(']');
            }
            Value::Object(map) => {
                let time = Value::from("0s");
                let (empty, null, no) = (Value::from(""), Value::Null, Value::from(false));
                let mut fields: Vec<(&str, &Value, &Shape)> = Vec::new();
                for (name, inner, absent) in shape.fields {
                    let standing = match absent {
                        Omit => None,
                        Null => Some(&null),
                        Empty => Some(&empty),
                        False => Some(&no),
                        Time => Some(&time),
                    };
                    fields.extend(map.get(*name).or(standing).map(|value| (*name, value, *inner)));
                }
                for (name, value) in map {
                    if !shape.fields.iter().any(|(known, _, _)| known == name) {
                        fields.push((name, value, &ANY));
                    }
                }
                if fields.is_empty() {
                    self.out.push_str("{}");
                    return;
                }
                self.out.push('{');
                for (n, (name, value, inner)) in fields.into_iter().enumerate() {
                    if n > 0 {
                        self.out.push(',');
                    }
                    self.newline(depth + 1);
                    self.out.push_str(&Value::from(name).to_string());
                    self.out.push_str(if self.indent.is_some() { ": " } else { ":" });
                    self.value(value, inner, depth + 1);
                }
                self.newline(depth);
                self.out.push('}');
            }
            other => self.out.push_str(&other.to_string()),
        }
    }
}
