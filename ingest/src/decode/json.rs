//! One JSON object per message: the mapped fields are found, the rest is checked and skipped.
//!
//! *Why raw values*: the number's own text decides about integers, exact times and infinities; and
//! serde_json skips a raw value without recursion, so no message can exhaust the stack.

use std::fmt;

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::{Fields, Kind, Roles};
use super::flat;
use super::layout::Layout;
use crate::reject::Reason;

/// Puts the mapped fields of `text`, which has a byte that is no white space.
///
/// # Errors
/// `TooDeep`, `Malformed` or `NotAnObject`.
pub(crate) fn scan(
    text: &str,
    depth_max: usize,
    roles: &Roles,
    fields: &mut Fields,
    layout: &mut Layout,
) -> Result<(), Reason> {
    if layout.read(text, fields) {
        return Ok(());
    }
    fields.clear();
    if depth_max > 0 && flat::scan(text, roles, fields, layout).is_some() {
        return Ok(());
    }
    fields.clear();
    scan_fully(text, depth_max, roles, fields)
}

/// As [`scan`], for any JSON.
pub(super) fn scan_fully(
    text: &str,
    depth_max: usize,
    roles: &Roles,
    fields: &mut Fields,
) -> Result<(), Reason> {
    if deeper_than(text.as_bytes(), depth_max) {
        return Err(Reason::TooDeep);
    }
    let mut json = serde_json::Deserializer::from_str(text);
    if !text.trim_start_matches(WHITE_SPACE).starts_with('{') {
        let valid = IgnoredAny::deserialize(&mut json).and_then(|_| json.end());
        return Err(valid.map_or(Reason::Malformed, |()| Reason::NotAnObject));
    }
    let object = Object { text, roles, fields };
    json.deserialize_map(object).and_then(|()| json.end()).map_err(|_| Reason::Malformed)
}

/// JSON's own white space, which is less than Unicode's.
pub(super) const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Whether objects and arrays are nested more than `depth_max` levels. In text that is no JSON, the
/// brackets outside of what looks like a string count.
fn deeper_than(text: &[u8], depth_max: usize) -> bool {
    // So many levels need so many bytes: the usual event is done here.
    if text.len() <= depth_max {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > depth_max {
            return true;
        }
    }
    false
}

struct Object<'a, 't> {
    text: &'t str,
    roles: &'a Roles,
    fields: &'a mut Fields,
}

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut hint = 0;
        while let Some(slot) = map.next_key_seed(Name { roles: self.roles, hint })? {
            let Some(slot) = slot else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let raw: &'de RawValue = map.next_value()?;
            put(self.fields, slot, self.text, raw.get()).map_err(serde::de::Error::custom)?;
            hint = slot + 1;
        }
        Ok(())
    }
}

/// Notes the raw JSON `raw`, a part of `text`, as the field `slot`.
fn put(fields: &mut Fields, slot: usize, text: &str, raw: &str) -> Result<(), serde_json::Error> {
    let start = raw.as_ptr().addr() - text.as_ptr().addr();
    let end = start + raw.len();
    let kind = match raw.as_bytes().first() {
        Some(b'"') if raw.contains('\\') => {
            let unescaped: String = serde_json::from_str(raw)?;
            fields.put_unescaped(slot, Kind::Text, &unescaped);
            return Ok(());
        }
        Some(b'"') => {
            fields.put(slot, Kind::Text, start + 1..end - 1);
            return Ok(());
        }
        Some(b'n') => Kind::Null,
        Some(b't' | b'f') => Kind::Bool,
        Some(b'{' | b'[') => Kind::Nested,
        _ => Kind::Number,
    };
    fields.put(slot, kind, start..end);
    Ok(())
}

/// Looks a field's name up, whether it has escapes or not.
struct Name<'a> {
    roles: &'a Roles,
    hint: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Option<usize>, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.roles.find(name.as_bytes(), self.hint))
    }
}
