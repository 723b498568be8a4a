//! Ids of events.

use super::*;

#[test]
fn an_id_is_the_same_as_a_text_a_number_or_a_cell_and_nothing_else_passes() {
    let of = |kind, text| id((kind, text));
    let seven = of(Kind::Text, "7").expect("an id");
    assert_eq!(of(Kind::Number, "7"), Ok(seven));
    assert_eq!(of(Kind::Cell, "7"), Ok(seven));
    assert_ne!(of(Kind::Text, "8"), Ok(seven));
    assert_ne!(of(Kind::Text, ""), Ok(seven));
    assert_eq!(of(Kind::Absent, ""), Err(Reason::MissingField));
    assert_eq!(of(Kind::Null, "null"), Err(Reason::NullField));
    for wrong in ["7.0", "7e0"] {
        assert_eq!(of(Kind::Number, wrong), Err(Reason::WrongType));
    }
    assert_eq!(of(Kind::Bool, "true"), Err(Reason::WrongType));
    assert_eq!(of(Kind::Nested, "{}"), Err(Reason::WrongType));
}

#[test]
fn an_ids_digest_is_the_same_for_ever() {
    // Checkpoints hold digests: another function would let duplicates through after an upgrade.
    let digest = id((Kind::Text, "a5f3-17")).expect("an id");
    assert_eq!(digest, 323_000_769_048_382_988_103_958_326_256_775_870_119);
}
