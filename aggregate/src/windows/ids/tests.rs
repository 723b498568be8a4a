//! Events that come more than once.

use proptest::prelude::*;

use crate::windows::Windows;
use crate::windows::tests::{Rows, batch, collect, query, sensors, settings};

const S: i64 = 1_000_000_000;

proptest! {
    /// Each event comes one to three times, somewhere, cut into batches and saved in between.
    #[test]
    fn fm_40_an_event_that_comes_again_counts_once(
        copies in prop::collection::vec((0i64..60, 0i64..3), 1..150),
        cuts in prop::collection::vec(1usize..20, 1..20),
    ) {
        let query = query(r#"sum("Value") AS s"#, "", r#"hop("TS", INTERVAL '5 seconds', INTERVAL '10 seconds')"#);
        let mut sensors = sensors();
        let mut windows = Windows::new(query.clone(), settings(100 * S), 1);
        let mut duplicates = 0;
        let mut rest = copies.as_slice();
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            rest = later;
            // The id is of the sensor: another one may use the same.
            let events: Vec<_> = now.iter().map(|(id, device)| (*device, *id * S / 2, *id as f64)).collect();
            let mut readings = batch(&events, &mut sensors);
            readings.id = now.iter().map(|(id, _)| *id as u128).collect();
            let pushed = windows.push(0, &readings, &sensors).expect("pushes");
            prop_assert_eq!(pushed.aggregated + pushed.duplicate, now.len() as u64);
            duplicates += pushed.duplicate;
            let bytes = windows.checkpoint(&sensors).expect("saves");
            (windows, sensors) = Windows::restore(&bytes, query.clone(), settings(100 * S), 1000, None).expect("restores");
            if rest.is_empty() {
                break;
            }
        }
        let mut once = copies.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(duplicates as usize, copies.len() - once.len());
        let mut plain = Windows::new(query, settings(100 * S), 1);
        let events: Vec<_> = once.iter().map(|(id, device)| (*device, *id * S / 2, *id as f64)).collect();
        let mut others = crate::windows::tests::sensors();
        let readings = batch(&events, &mut others);
        plain.push(0, &readings, &others).expect("pushes");
        let (mut found, mut expected) = (Rows::new(), Rows::new());
        windows.drain();
        plain.drain();
        collect(windows.close(&sensors).expect("closes"), &mut found);
        collect(plain.close(&others).expect("closes"), &mut expected);
        prop_assert_eq!(found, expected);
    }
}
