//! Structs of Go: maps whose keys are the fields' names, in order, embedded structs spread among them.

use crate::codec::{DecodeError, Decoder, Encoder, Wire};

/// A struct. Fields are numbered by the order of their names.
pub trait Fields: Default {
    /// The names, sorted; those of embedded structs among them.
    const NAMES: &'static [&'static str];

    /// Appends the value of a field.
    fn put_field(&self, number: usize, out: &mut Encoder);

    /// Reads the value of a field.
    ///
    /// # Errors
    /// If it is of another kind.
    fn take_field(&mut self, number: usize, input: &mut Decoder<'_>) -> Result<(), DecodeError>;
}

/// Appends a struct.
pub fn put_record<T: Fields>(record: &T, out: &mut Encoder) {
    out.map(T::NAMES.len());
    for (number, name) in T::NAMES.iter().enumerate() {
        out.text(name);
        record.put_field(number, out);
    }
}

/// Reads a struct: fields in any order, unknown ones passed over, missing ones at their default.
///
/// # Errors
/// If it is no map, or a field is of another kind.
pub fn take_record<T: Fields>(input: &mut Decoder<'_>) -> Result<T, DecodeError> {
    let mut record = T::default();
    let Some(len) = input.map()? else { return Ok(record) };
    for _ in 0..len {
        let key = input.raw()?;
        match T::NAMES.binary_search_by(|name| name.as_bytes().cmp(key)) {
            Ok(number) => {
                input.enter_field(T::NAMES[number]);
                record.take_field(number, input)?;
            }
            Err(_) => _ = input.skip()?,
        }
    }
    input.leave();
    Ok(record)
}

/// A list that is an empty array where it is empty, not `nil`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed<T>(pub Vec<T>);

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Listed(Vec::new())
    }
}

impl<T: Wire> Wire for Listed<T> {
    fn put(&self, out: &mut Encoder) {
        out.array(self.0.len());
        self.0.iter().for_each(|value| value.put(out));
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Vec::take(input).map(Listed)
    }
}

/// Compares as the codec of Go sorts: byte by byte.
const fn is_before(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() {
        if a[i] != b[i] {
            return a[i] < b[i];
        }
        i += 1;
    }
    a.len() < b.len()
}

/// Whether names stand in the order in which they are written, each once.
pub(crate) const fn is_sorted(names: &[&str]) -> bool {
    let mut i = 1;
    while i < names.len() {
        if !is_before(names[i - 1], names[i]) {
            return false;
        }
        i += 1;
    }
    true
}

/// How many names there are in all parts.
pub(crate) const fn sized(parts: &[&[&str]]) -> usize {
    let (mut part, mut len) = (0, 0);
    while part < parts.len() {
        len += parts[part].len();
        part += 1;
    }
    len
}

/// For each place in the sorted whole: which part, and which of its names.
pub(crate) const fn order<const N: usize>(parts: &[&[&str]]) -> [(usize, usize); N] {
    let mut order = [(0, 0); N];
    let (mut part, mut len) = (0, 0);
    while part < parts.len() {
        let mut own = 0;
        while own < parts[part].len() {
            let name = parts[part][own];
            let mut place = len;
            while place > 0 && is_before(name, parts[order[place - 1].0][order[place - 1].1]) {
                order[place] = order[place - 1];
                place -= 1;
            }
            assert!(
                place == 0 || is_before(parts[order[place - 1].0][order[place - 1].1], name),
                "a field's name occurs twice"
            );
            order[place] = (part, own);
            len += 1;
            own += 1;
        }
        part += 1;
    }
    order
}

/// The names in that order.
pub(crate) const fn names<const N: usize>(
    parts: &[&[&'static str]],
    order: [(usize, usize); N],
) -> [&'static str; N] {
    let mut names = [""; N];
    let mut place = 0;
    while place < N {
        names[place] = parts[order[place].0][order[place].1];
        place += 1;
    }
    names
}

/// Defines structs with their place in messages: each field with its name on the wire, embedded structs after `..`.
macro_rules! record {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[$field_meta:meta])* $key:literal $field:ident: $type:ty, )*
            $( .. $part:ident: $part_type:ty, )*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        $vis struct $name {
            $( $(#[$field_meta])* #[doc = concat!("`", $key, "`")] pub $field: $type, )*
            $( #[doc = "Embedded"] pub $part: $part_type, )*
        }

        impl $name {
            const PARTS: &'static [&'static [&'static str]] = &[
                &[$($key),*],
                $(<$part_type as $crate::codec::Fields>::NAMES),*
            ];
            const ORDER: [(usize, usize); $crate::codec::sized(Self::PARTS)] =
                $crate::codec::order(Self::PARTS);
        }

        impl $crate::codec::Fields for $name {
            const NAMES: &'static [&'static str] = &$crate::codec::names(Self::PARTS, Self::ORDER);

            #[allow(unused_assignments, unused_mut, unused_variables)]
            fn put_field(&self, number: usize, out: &mut $crate::codec::Encoder) {
                let (part, own) = Self::ORDER[number];
                if part == 0 {
                    let mut n = 0;
                    $( if own == n { return $crate::codec::Wire::put(&self.$field, out); } n += 1; )*
                }
                let mut n = 0;
                $( n += 1; if part == n { return $crate::codec::Fields::put_field(&self.$part, own, out); } )*
            }

            #[allow(unused_assignments, unused_mut, unused_variables)]
            fn take_field(
                &mut self,
                number: usize,
                input: &mut $crate::codec::Decoder<'_>,
            ) -> Result<(), $crate::codec::DecodeError> {
                let (part, own) = Self::ORDER[number];
                if part == 0 {
                    let mut n = 0;
                    $( if own == n { self.$field = $crate::codec::Wire::take(input)?; return Ok(()); } n += 1; )*
                }
                let mut n = 0;
                $( n += 1; if part == n { return self.$part.take_field(own, input); } )*
                Ok(())
            }
        }

        impl $crate::codec::Wire for $name {
            fn put(&self, out: &mut $crate::codec::Encoder) {
                $crate::codec::put_record(self, out);
            }

            fn take(
                input: &mut $crate::codec::Decoder<'_>,
            ) -> Result<Self, $crate::codec::DecodeError> {
                $crate::codec::take_record(input)
            }
        }
    )*};
}
pub(crate) use record;
