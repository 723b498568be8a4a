//! Reading `/proc`, also with names and texts that are meant to confuse.

use super::{Ticks, parse_boot_seconds, parse_resident_bytes, parse_ticks};

#[test]
fn times_are_found_behind_a_program_name_with_spaces_and_parentheses() {
    let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 1250 34 0 0 20 0 9 0 123456 1 2";
    assert_eq!(parse_ticks(stat), Some(Ticks { cpu: 1284, start: 123_456 }));
}

#[test]
fn texts_of_another_shape_give_no_number() {
    for stat in ["", "7 (a) S 1", "7 a S", "7 (a) S 1 7 7 0 -1 4194560 1 0 0 0 x 34"] {
        assert_eq!(parse_ticks(stat), None, "{stat:?}");
    }
    for stat in ["", "cpu 1 2 3", "btime", "btime soon"] {
        assert_eq!(parse_boot_seconds(stat), None, "{stat:?}");
    }
    for status in ["", "VmRSS:", "VmRSS: 12 pages", "VmSize: 12 kB"] {
        assert_eq!(parse_resident_bytes(status), None, "{status:?}");
    }
}

#[test]
fn boot_time_and_memory_are_read_with_their_units() {
    assert_eq!(parse_boot_seconds("cpu 1 2\nbtime 1763000000\n"), Some(1_763_000_000));
    assert_eq!(parse_resident_bytes("VmSize:\t 9 kB\nVmRSS:\t  2048 kB\n"), Some(2_097_152));
}
