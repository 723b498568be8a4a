//! Interning against a plain list of keys.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::key::KeyColumn;

fn schema() -> Arc<KeySchema> {
    Arc::new(KeySchema::new(vec![
        KeyColumn { name: "Device".into(), kind: KeyType::Int64 },
        KeyColumn { name: "Tag".into(), kind: KeyType::String },
    ]))
}

proptest! {
    #[test]
    fn numbers_follow_first_sight_and_survive_a_checkpoint(keys in prop::collection::vec((0i64..20, "[a-c]{0,2}"), 0..200)) {
        let mut sensors = Sensors::new(schema(), u32::MAX);
        let mut seen: Vec<(i64, String)> = Vec::new();
        for (device, tag) in &keys {
            let id = sensors.intern(&[KeyPart::Int(*device), KeyPart::Str(tag)]).expect("no limit");
            let expected = seen.iter().position(|k| k == &(*device, tag.clone())).unwrap_or_else(|| {
                seen.push((*device, tag.clone()));
                seen.len() - 1
            });
            prop_assert_eq!(id as usize, expected);
        }
        let batch = sensors.to_batch().expect("columns fit");
        let restored = Sensors::from_batch(schema(), u32::MAX, &batch).expect("same schema");
        for id in 0..sensors.len() as u32 {
            prop_assert_eq!(restored.key(id), sensors.key(id));
            prop_assert_eq!(restored.find(&sensors.key(id)), Some(id));
        }
    }
}

#[test]
fn a_full_directory_still_knows_its_sensors() {
    let mut sensors = Sensors::new(schema(), 1);
    let first = [KeyPart::Int(1), KeyPart::Str("a")];
    assert_eq!(sensors.intern(&first), Some(0));
    assert_eq!(sensors.intern(&[KeyPart::Int(1), KeyPart::Str("b")]), None);
    assert_eq!(sensors.intern(&first), Some(0));
    assert_eq!(sensors.len(), 1);
}

#[test]
fn a_checkpoint_with_other_columns_or_a_key_twice_is_refused() {
    let mut sensors = Sensors::new(schema(), 10);
    sensors.intern(&[KeyPart::Int(1), KeyPart::Str("a")]);
    let batch = sensors.to_batch().expect("columns fit");
    let other =
        Arc::new(KeySchema::new(vec![KeyColumn { name: "Id".into(), kind: KeyType::Int64 }]));
    assert!(Sensors::from_batch(other, 10, &batch).is_err());
    let twice =
        arrow::compute::concat_batches(&batch.schema(), [&batch, &batch]).expect("same schema");
    assert!(Sensors::from_batch(schema(), 10, &twice).is_err());
}
