//! What holds for every message.

use proptest::prelude::*;

use super::*;

/// JSON-like text: mostly an event, sometimes with a part of it changed.
fn json_like() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        r#""TS""#,
        r#""Device""#,
        r#""Tag""#,
        r#""Value""#,
        r#""x""#,
        r#""T\u0061g""#,
    ]);
    let value = prop_oneof![
        Just(TIME.to_owned()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
        "\"[a-zü ]{0,5}(\\\\n|\\\\u00e9|\\\\ud83c)?\"",
        "(true|false|null|NaN|[0-9+.eE-]{1,5}|\\[\\]|\\{\"TS\":1\\}|\\[1, \"\\]\"\\])",
    ];
    let field = (name, "[ \n]?", value).prop_map(|(name, space, v)| format!("{name}{space}:{v}"));
    (prop::collection::vec(field, 0..6), "[,]?", "[ }x]{0,2}")
        .prop_map(|(fields, comma, end)| format!("{{{}{comma}}}{end}", fields.join(", ")))
}

proptest! {
    #[test]
    fn any_bytes_give_one_reading_or_one_reject(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = json(&bytes);
        let _ = decode(&mapping(), Format::Csv(Arc::new(columns())), Some(&bytes));
    }

    #[test]
    fn any_event_with_some_bytes_changed_gives_one_reading_or_one_reject(
        at in 0_usize..80,
        bytes in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut payload = event(TIME, "2", r#""a\n""#, "84.92");
        let at = at.min(payload.len());
        let end = (at + bytes.len()).min(payload.len());
        payload.splice(at..end, bytes);
        let _ = json(&payload);
    }

    #[test]
    fn a_message_is_read_the_same_whatever_was_read_before(
        messages in prop::collection::vec(json_like(), 1..8),
        usual in any::<bool>(),
    ) {
        let mapping = Arc::new(EventMapping { values: vec!["Value".into(), "x".into()], ..mapping() });
        let mut used = Decoder::new(mapping.clone(), Format::Json);
        let good = format!(r#"{{"TS":{TIME},"Device":2,"Tag":"a","Value":1,"x":2}}"#);
        let half = format!(r#"{{"TS":{TIME},"Device":2,"Tag":"b\n","Value":3,"x":true}}"#);
        let last = if usual { good.clone() } else { good.replace(":2}", ":null}") };
        let other = good.replace("\"a\",\"Value\":1", "\"b c\",\"Value\":-2.5e3");
        let alike = [good.clone(), other.clone(), last.clone(), half, good, other, last];
        let before = messages.into_iter().chain(alike);
        for text in before {
            let payload = Some(text.as_bytes());
            let message = Message { offset: 0, timestamp_ms: None, payload };
            let read = |decoder: &mut Decoder| {
                let take = |d: Decoded<'_>| Ok(format!("{d:?}"));
                decoder.read(&message, NOW_NS, take)
            };
            let mut fresh = Decoder::new(mapping.clone(), Format::Json);
            prop_assert_eq!(read(&mut used), read(&mut fresh), "{}", text);
        }
    }

    #[test]
    fn the_quick_path_finds_what_the_full_parser_finds(text in json_like()) {
        let roles = Roles::new(&mapping());
        let (mut quick, mut full) = (Fields::new(&roles), Fields::new(&roles));
        let judged = json::scan_fully(&text, 128, &roles, &mut full);
        if flat::scan(&text, &roles, &mut quick, &mut Layout::default()).is_some() {
            prop_assert_eq!(judged, Ok(()), "{}", &text);
            prop_assert_eq!(quick, full, "{}", text);
        } else if judged.is_ok() {
            prop_assert!(text.contains(['\\', '[']) || text.matches('{').count() > 1, "{}", text);
        }
        let valid = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        // A tree can't hold 1e999 and checks escapes in fields that are not mapped.
        if valid {
            prop_assert_eq!(judged, Ok(()), "{}", text);
        }
    }

    #[test]
    fn cells_are_those_of_the_csv_crate(
        cells in prop::collection::vec("[a\",\n ü]{0,6}", 5),
        always in any::<bool>(),
    ) {
        let style = if always { ::csv::QuoteStyle::Always } else { ::csv::QuoteStyle::Necessary };
        let mut writer = ::csv::WriterBuilder::new().quote_style(style).from_writer(Vec::new());
        writer.write_record(&cells).expect("memory does not fail");
        let record = writer.into_inner().expect("memory does not fail");
        let text = str::from_utf8(&record).expect("cells are UTF-8");
        let roles = Roles::new(&mapping());
        let mut fields = Fields::new(&roles);
        prop_assert_eq!(csv::scan(text, &columns(), &mut fields), Ok(()));
        for (slot, column) in [(0, 0), (1, 2), (2, 3), (3, 4)] {
            let (kind, found) = fields.get(text, slot);
            let expected = cells[column].as_str();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(kind == Kind::Null, expected.is_empty());
        }
        let mut end = RecordEnd::default();
        prop_assert_eq!(end.find(&record), Some(record.len() - 1));
    }
}
