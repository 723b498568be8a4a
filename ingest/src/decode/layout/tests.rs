//! What is read by its layout is read as the flat path reads it.

use proptest::prelude::*;
use tidegauge_flow::{KeyColumn, KeySchema, KeyType};

use super::super::fields::Roles;
use super::super::flat;
use super::*;
use crate::mapping::EventMapping;

fn roles() -> Roles {
    let key = KeySchema::new(vec![KeyColumn { name: "Device".into(), kind: KeyType::Int64 }]);
    Roles::new(&EventMapping::new("TS", key.into(), vec!["Value".into()]))
}

/// What the flat path finds, and the layout that it leaves.
fn scanned(text: &str) -> (Option<Fields>, Layout) {
    let (roles, mut layout) = (roles(), Layout::default());
    let mut fields = Fields::new(&roles);
    let found = flat::scan(text, &roles, &mut fields, &mut layout).map(|()| fields);
    (found, layout)
}

fn read(layout: &Layout, text: &str) -> Option<Fields> {
    let mut fields = Fields::new(&roles());
    layout.read(text, &mut fields).then_some(fields)
}

const USUAL: &str = r#"{"TS":"2026-01-01T00:00:00Z","note":"a","Device":2,"Value":84.92}"#;

#[test]
fn an_event_is_read_by_the_layout_of_the_one_before_when_only_its_values_differ() {
    let (_, layout) = scanned(USUAL);
    let same = [
        USUAL,
        r#"{"TS":"","note":"","Device":-0,"Value":1}"#,
        r#"{"TS":"2027-12-31T23:59:59.123456789+01:00","note":"ü€🌊 of 17 bytes and more","Device":12345,"Value":-1.5e-7}"#,
    ];
    for text in same {
        let found = read(&layout, text);
        assert!(found.is_some(), "{text}");
        assert_eq!(found, scanned(text).0, "{text}");
    }
    let others = [
        r#"{"TS":"x","note":"a","Device":2,"Value":null}"#,
        r#"{"TS":"x","note":"a","Device":"2","Value":1}"#,
        r#"{"TS":"x","note":"a\"","Device":2,"Value":1}"#,
        r#"{"TS":"x","note":"a","Device":02,"Value":1}"#,
        r#"{"TS":"x","note":"a","Device":2,"Value":1.}"#,
        r#"{"TS":"x","note":"a","Device":2,"Valu":1}"#,
        r#"{"TS":"x","note":"a","Device":2,"Value": 1}"#,
        r#"{"TS":"x","note":"a","Device":2,"Value":1} "#,
        r#"{"TS":"x","note":"a","Device":2,"Value":1}}"#,
        r#"{"TS":"x","note":"a","Device":2,"Value":1"#,
        r#"{"TS":"x","note":"a","Device":2"#,
        r#"{"TS":"x"#,
        "{\"TS\":\"x\",\"note\":\"\u{1f}\",\"Device\":2,\"Value\":1}",
        "",
    ];
    for text in others {
        assert_eq!(read(&layout, text), None, "{text}");
    }
}

#[test]
fn a_layout_is_not_kept_of_what_could_be_read_otherwise() {
    let cases = [
        r#"{"TS":"x","Device":2,"Value":null}"#,
        r#"{"TS":"x","Device":2,"Value":1,"on":true}"#,
        r#"{"TS":"x","Device":2,"Value":1,"TS":"x"}"#,
        r#"{"TS":"x\n","Device":2,"Value":1}"#,
        r#"{"TS":"x","Device":2,"Value":[1]}"#,
        r#"{}"#,
        r#"{"TS":"x","Device":2,"Value":1}x"#,
    ]
    .map(String::from);
    let many: String = (0..VALUES_MAX).map(|n| format!(r#","f{n}":0"#)).collect();
    let wide = format!(r#"{{"TS":"x"{}}}"#, many);
    let long = format!(r#"{{"TS":"x","{}":1}}"#, "n".repeat(LITERALS_MAX));
    let loose = format!(r#"{{"TS":"x"}}{}"#, " ".repeat(LITERALS_MAX));
    for text in cases.into_iter().chain([wide, long, loose]) {
        let (_, layout) = scanned(&text);
        let kept = layout.values.capacity() <= VALUES_MAX
            && layout.literals.capacity() <= 2 * LITERALS_MAX;
        assert!(kept, "{} values, {} bytes", layout.values.capacity(), layout.literals.capacity());
        assert_eq!(read(&layout, &text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn what_the_layout_accepts_the_flat_path_reads_the_same(
        names in prop::collection::vec(prop::sample::select(vec!["TS", "Device", "Value", "a name that is longer"]), 1..5),
        space in "[ \n]{0,2}",
        values in prop::collection::vec((value(), value()), 5),
        change in prop::option::of((0_usize..80, prop::collection::vec(any::<char>(), 0..2))),
    ) {
        let event = |second: bool| {
            let fields = names.iter().zip(&values).map(|(name, pair)| {
                format!("\"{name}\":{space}{}", if second { &pair.1 } else { &pair.0 })
            });
            format!("{{{}}}{space}", fields.collect::<Vec<_>>().join(","))
        };
        let mut text = event(true);
        if let Some((at, put)) = change {
            let mut chars: Vec<char> = text.chars().collect();
            let at = at.min(chars.len());
            let end = (at + 1).min(chars.len());
            chars.splice(at..end, put);
            text = chars.into_iter().collect();
        }
        let (_, layout) = scanned(&event(false));
        if let Some(found) = read(&layout, &text) {
            prop_assert_eq!(Some(found), scanned(&text).0, "{}", text);
        }
    }

    #[test]
    fn a_text_ends_at_its_quote(text in "[a-z\"\\\\\u{0}-\u{1f}ü€\u{7f}\u{80}]{0,40}") {
        let first = text.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        let expected = first.filter(|at| text.as_bytes()[*at] == b'"');
        prop_assert_eq!(text_length(text.as_bytes()), expected);
    }
}

/// Mostly of two kinds, so that a second event often has the kinds of the first.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
        4 => "\"[a-zü ]{0,20}\"",
        1 => "(true|null|\"\\\\n\"|01|1\\.)",
    ]
}
