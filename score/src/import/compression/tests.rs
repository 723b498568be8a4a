//! What is unpacked, what is refused by name, and that nothing unpacks without end.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::*;

fn zlib(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn error(bytes: &[u8]) -> String {
    unpack(bytes).expect_err("it is refused")
}

#[test]
fn zlib_and_gzip_are_unpacked_and_everything_else_stays_as_it_is() {
    let content = b"\x80\x04N.".repeat(50);
    assert_eq!(*unpack(&zlib(&content)).expect("unpacks"), content);
    assert_eq!(*unpack(&gzip(&content)).expect("unpacks"), content);
    let halves = [gzip(&content[..90]), gzip(&content[90..])].concat();
    assert_eq!(*unpack(&halves).expect("unpacks"), content);
    assert!(matches!(unpack(&content), Ok(Cow::Borrowed(_))));
    assert!(matches!(unpack(b""), Ok(Cow::Borrowed(_))));
}

#[test]
fn other_compressions_are_refused_by_name_with_what_to_do() {
    // How the files begin that joblib 1.6 writes.
    let cases: [(&[u8], &str); 4] = [
        (b"BZh31AY&SY\xa4\xd3", "bzip2"),
        (b"\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4", "xz"),
        (b"]\x00\x00@\x00\xff\xff\xff\xff\xff\xff\xff", "lzma"),
        (b"\x04\x22\x4d\x18\x60\x40\x82\x1a", "lz4"),
    ];
    for (bytes, name) in cases {
        let says = error(bytes);
        assert!(says.contains(&format!("compressed by {name};")), "{says}");
        assert!(says.contains("joblib.dump(model, path, compress=3)"), "{says}");
    }
}

#[test]
fn damaged_files_and_those_that_unpack_to_too_much_are_refused() {
    let content = b"\x80\x04N.".repeat(500);
    for (name, packed) in [("zlib", zlib(&content)), ("gzip", gzip(&content))] {
        for cut in [2, 9, packed.len() / 2, packed.len() - 1] {
            let says = error(&packed[..cut]);
            assert!(says.contains(&format!("compressed by {name} and damaged")), "{cut}: {says}");
        }
        let mut changed = packed.clone();
        // The check sum at the end of zlib's files, and before the length at that of gzip's.
        let at = changed.len() - if name == "zlib" { 1 } else { 5 };
        changed[at] ^= 1;
        assert!(error(&changed).contains("damaged"), "{name}");
    }
    for packed in [zlib(&content), gzip(&content)] {
        assert_eq!(unpack_within(&packed, content.len()).expect("just fits"), content);
        let says = unpack_within(&packed, content.len() - 1).expect_err("one byte too much");
        assert!(says.contains("unpacks to more than 1999 bytes"), "{says}");
    }
}
