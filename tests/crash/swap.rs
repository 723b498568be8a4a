//! Models that change in a process that dies around it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::UInt64Type;
use tidegauge::pipeline::registry_of;
use tidegauge_flow::Place;
use tidegauge_sink::{Lake, Table, parquet};

use crate::child::{Ended, spawn};
use crate::input;
use crate::lake;
use crate::life::{Crash, Job, Orders, Phase, live};

const STEP: usize = 20;

/// The input's first message that is read with the new models: the epoch that moves the alias ends at
/// half of it, the lane hears of that when the epoch has landed, and announces it with the next one.
const ANNOUNCED: usize = input::COUNT / 2 + STEP;

/// The sets of each epoch's rows, by the offset that the epoch began at.
fn sets(folder: &Path) -> BTreeMap<i64, BTreeSet<u64>> {
    let reader = Lake::read(lake::store(folder)).expect("a lake");
    let view = reader.view().expect("the ledger can be read");
    let records = view.lanes[input::LANE].iter().map(|(record, _)| record);
    let begins: BTreeMap<u64, i64> = records
        .filter_map(|record| Some((record.epoch, record.positions.values().next()?.from)))
        .collect();
    let mut sets = BTreeMap::<i64, BTreeSet<u64>>::new();
    for file in reader.files(Table::Predictions).expect("the ledger can be read") {
        let bytes = reader.fetch(&file).expect("the file is whole");
        for batch in parquet::read(bytes).expect("a parquet file") {
            let column = |name| batch.column_by_name(name).expect("promised").clone();
            let (epochs, of_rows) = (column("epoch"), column("model_set"));
            let (epochs, of_rows) =
                (epochs.as_primitive::<UInt64Type>(), of_rows.as_primitive::<UInt64Type>());
            for row in (0..batch.num_rows()).filter(|row| of_rows.is_valid(*row)) {
                let begin = begins[&epochs.value(row)];
                sets.entry(begin).or_default().insert(of_rows.value(row));
            }
        }
    }
    sets
}

/// The offset after which the lane continues.
fn committed(folder: &Path) -> i64 {
    let reader = Lake::read(lake::store(folder)).expect("a lake");
    let view = reader.view().expect("the ledger can be read");
    let (newest, _) = view.lanes[input::LANE].last().expect("a record");
    *newest.next_positions().values().next().expect("one input")
}

fn offset(message: usize) -> i64 {
    input::messages()[message].offset
}

#[test]
fn fm_46_a_swap_comes_at_one_epoch() {
    let folder = lake::with_sets(2);
    let orders = Orders { job: Job::Swap { step: STEP }, ..Orders::calm(folder.path(), STEP) };
    live(&orders).expect("nothing disturbs it");
    let sets = sets(folder.path());
    assert!(sets.len() > 8, "epochs with rows: {sets:?}");
    for (begin, sets) in sets {
        let expected = if begin >= offset(ANNOUNCED) - 1 { 2 } else { 1 };
        assert_eq!(sets, BTreeSet::from([expected]), "the epoch that begins at {begin}");
    }
}

/// The process dies at each place of each commit around the swap, and before it is started again someone
/// moves the alias back: the epoch that it had begun is read again with the models that it had.
#[test]
fn fm_46_an_epoch_that_died_around_a_swap_is_read_again_with_its_models() {
    let mut replayed = 0;
    for place in Place::ALL {
        for reach in 1..=3 {
            let crash = Crash { place, reach, phase: Phase::Middle };
            let folder = lake::with_sets(2);
            let calm = Orders::calm(folder.path(), STEP);
            let orders =
                Orders { job: Job::Swap { step: STEP }, crash: Some(crash), ..calm.clone() };
            assert_eq!(spawn(&orders), Ended::Crashed, "{crash:?}");
            let back = registry_of(lake::store(folder.path()));
            back.move_alias("champion", 1, 1).expect("moves");
            let begun = committed(folder.path());
            live(&calm).expect("the next process continues");
            for (begin, sets) in sets(folder.path()) {
                let had_them = begin >= offset(ANNOUNCED) - 1 && begin <= begun;
                replayed += u64::from(had_them && begin == begun);
                let expected = if had_them { 2 } else { 1 };
                assert_eq!(sets, BTreeSet::from([expected]), "{crash:?}: {begin} of {begun}");
            }
        }
    }
    assert!(replayed > 15, "epochs that died after the announcement: {replayed}");
}
