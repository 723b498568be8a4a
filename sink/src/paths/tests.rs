//! Names go there and back; anything else is not ours.

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

proptest! {
    #[test]
    fn a_file_name_is_parsed_back_whatever_the_lane_is_called(
        lane in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,40}",
        generation in 1_u64.., epoch: u64, n: u32, seed: u64,
    ) {
        let writer = Writer::random(&mut StdRng::seed_from_u64(seed));
        let file = DataFile { generation, lane: lane.clone(), epoch, writer, n };
        let path = file.published(Table::Predictions, "2026-01-31");
        prop_assert_eq!(DataFile::parse(&path), Some(file.clone()));
        prop_assert_eq!(staging_path(&lane, &path), format!("{}{file}", staging_folder(&lane)));
        prop_assert_eq!(date_of(&path), Some("2026-01-31"));
        let state = checkpoint_path(&lane, epoch, writer);
        prop_assert_eq!(checkpoint_of(&state), Some((epoch, writer)));
        prop_assert_eq!(number_of(&record_path(&lane, epoch)), Some(epoch));
    }
}

#[test]
fn names_that_we_do_not_write_are_not_ours() {
    let cases = [
        "part-0.parquet",
        "g1-s-0-00000000000000000007-00000000000000ab-0.csv",
        "g1-s-0-7-00000000000000ab-0.parquet",
        "g01-s-0-00000000000000000007-00000000000000ab-0.parquet",
        "g1-s-0-00000000000000000007-00000000000000AB-0.parquet",
        "g1-s-0-+0000000000000000007-00000000000000ab-0.parquet",
        "g1-s-0-00000000000000000007-00000000000000ab-00.parquet",
        "s-0-00000000000000000007-00000000000000ab-0.parquet",
        "",
    ];
    for case in cases {
        assert_eq!(DataFile::parse(case), None, "{case}");
    }
}

#[test]
fn a_lane_name_that_is_a_path_is_refused() {
    for lane in ["", ".", "..", ".hidden", "a/b", "a b", "ä", &"x".repeat(151)] {
        assert!(check_lane(lane).is_err(), "{lane}");
    }
    for lane in ["sensors-0", "a.b_c-all", "-", &"x".repeat(150)] {
        assert!(check_lane(lane).is_ok(), "{lane}");
    }
}
