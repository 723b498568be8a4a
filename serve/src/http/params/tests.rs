//! What is read of a query string, and what the refusals say.

use super::Params;
use crate::console::KeyValue;

#[test]
fn parameters_are_read_by_their_names() {
    let params =
        Params::read(Some("key=1&key=b%2Fc&limit=5&search=a+b"), &["key", "limit", "search"])
            .expect("all are known");
    assert_eq!(params.key(), Some(vec![KeyValue::Int(1), KeyValue::Text("b/c".to_owned())]));
    assert_eq!(params.limit(), Ok(5));
    assert_eq!(params.text("search"), Some("a b"));
    let none = Params::read(None, &[]).expect("nothing is fine");
    assert_eq!((none.key(), none.limit()), (None, Ok(100)));
}

#[test]
fn numbers_that_are_not_written_as_such_are_texts() {
    for text in ["007", "%2B7", "-0", "1.0", "9223372036854775808"] {
        let params = Params::read(Some(&format!("key={text}")), &["key"]).expect("known");
        let key = params.key().expect("a key");
        assert!(matches!(key.as_slice(), [KeyValue::Text(_)]), "{text}: {key:?}");
    }
}

#[test]
fn refusals_name_the_parameter_and_what_is_allowed() {
    let limit = |text: &str| {
        let params = Params::read(Some(text), &["limit"])?;
        params.limit()
    };
    let cases = [
        ("limt=1", "\"limt\" is not a parameter here: allowed are limit"),
        ("limit=0", "\"limit\" is \"0\", allowed is a whole number from 1 to 1000"),
        ("limit=1001", "from 1 to 1000"),
        ("limit=x", "\"limit\" is \"x\""),
        ("limit=1&limit=1", "\"limit\" is given too often"),
    ];
    for (query, expected) in cases {
        let refusal = limit(query).expect_err(expected);
        assert_eq!(refusal.status, 400);
        assert!(refusal.error.contains(expected), "{} does not say {expected}", refusal.error);
    }
    let error = Params::read(Some("a=1"), &[]).expect_err("none is known").error;
    assert_eq!(error, "\"a\" is not a parameter here: none is");
    let words = Params::read(Some("order=up"), &["order"]).expect("known");
    let error = words.word("order", &[("asc", 1), ("desc", 2)]).expect_err("no such word").error;
    assert_eq!(error, "\"order\" is \"up\", allowed: asc, desc");
}
