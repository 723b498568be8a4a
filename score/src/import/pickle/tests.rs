//! What the machine builds, what it refuses, and that nothing makes it fall.

use proptest::prelude::*;

use super::*;

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(format!("../tests/data/sklearn/pickles/{name}"))
        .expect("the golden file is there")
}

fn error(bytes: &[u8]) -> String {
    Pickle::read(bytes).expect_err("it is refused").to_string()
}

#[test]
fn plain_values_of_old_and_new_protocols_are_read() {
    let cases: [(&[u8], Value); 14] = [
        (b"N.", Value::None),
        (b"I01\n.", Value::Bool(true)),
        (b"I-7\n.", Value::Int(-7)),
        (b"L12L\n.", Value::Int(12)),
        (b"L99999999999999999999L\n.", Value::BigInt),
        (b"F-1.5\n.", Value::Float(-1.5)),
        (b"\x80\x02\x88.", Value::Bool(true)),
        (b"J\xff\xff\xff\xff.", Value::Int(-1)),
        (b"M\x01\x02.", Value::Int(513)),
        (b"\x8a\x02\x00\xff.", Value::Int(-256)),
        (b"\x8a\x00.", Value::Int(0)),
        (b"\x8a\x09\0\0\0\0\0\0\0\0\x01.", Value::BigInt),
        (b"G\x3f\xf8\0\0\0\0\0\0.", Value::Float(1.5)),
        (b"\x80\x04\x95\0\0\0\0\0\0\0\0K\x05.", Value::Int(5)),
    ];
    for (bytes, value) in cases {
        assert_eq!(Pickle::read(bytes).expect("reads").root(), value, "{bytes:?}");
    }
    let texts: [&[u8]; 5] = [
        b"V\\u00e4\xe4b\n.",
        b"X\x05\0\0\0\xc3\xa4\xc3\xa4b.",
        b"S'\\xc3\\xa4\\xc3\\xa4b'\n.",
        b"U\x05\xc3\xa4\xc3\xa4b.",
        b"\x8c\x05\xc3\xa4\xc3\xa4b.",
    ];
    for bytes in texts {
        let pickle = Pickle::read(bytes).expect("reads");
        assert_eq!(pickle.text(pickle.root()), Some("ääb"), "{bytes:?}");
    }
    let pickle = Pickle::read(b"}(X\x01\0\0\0aK\x01X\x01\0\0\0aK\x02u.").expect("reads");
    assert_eq!(pickle.get(pickle.root(), "a"), Some(Value::Int(2)));
    let pickle = Pickle::read(b"](K\x01K\x02e.").expect("reads");
    assert_eq!(pickle.items(pickle.root()), Some(&[Value::Int(1), Value::Int(2)][..]));
}

#[test]
fn nothing_but_models_may_be_imported_and_nothing_is_called() {
    let imports = [
        (&b"cposix\nsystem\n(X\x02\0\0\0idtR."[..], "posix.system"),
        (b"cbuiltins\neval\n.", "builtins.eval"),
        (b"\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"csklearn.svm._classes\nSVC\n.", "sklearn.svm._classes.SVC"),
        (b"cos\nPipeline\n.", "os.Pipeline"),
        (b"csklearn.pipeline\nPipeline.__init__\n.", "sklearn.pipeline.Pipeline.__init__"),
    ];
    for (bytes, name) in imports {
        assert!(error(bytes).contains(&format!("import {name}, which is refused")), "{name}");
    }
    let calls = [
        (&b"csklearn.pipeline\nPipeline\n)R."[..], "Pipeline"),
        (b"cbuiltins\nobject\n)R.", "object"),
        (b"ccopyreg\n_reconstructor\n(cbuiltins\nobject\nNtR.", "copyreg._reconstructor"),
        (b"c_codecs\nencode\n)R.", "_codecs.encode"),
    ];
    for (bytes, name) in calls {
        assert!(error(bytes).contains(&format!("call {name}, which is refused")), "{name}");
    }
    // An instance by INST or OBJ, a persistent id, an extension code: not even read.
    for bytes in [&b"(iposix\nsystem\n."[..], b"(cbuiltins\nobject\no.", b"Pid\n.", b"\x82\x01."] {
        assert!(error(bytes).contains("not one that models use"), "{bytes:?}");
    }
}

#[test]
fn broken_pickles_are_refused_where_they_break() {
    let cases: [(&[u8], &str); 13] = [
        (b"", "ends in the middle"),
        (b"K", "ends in the middle"),
        (b"X\xff\xff\xff\xffabc.", "ends in the middle"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc.", "ends in the middle"),
        (b"\x8b\xff\xff\xff\xff.", "ends in the middle"),
        (b".", "the stack is empty"),
        (b"(.", "the stack is empty"),
        (b"0.", "a POP of an empty stack"),
        (b"t.", "there is no mark"),
        (b"h\x05.", "the memo has no 5"),
        (b"NNb.", "a state for something that is no instance"),
        (b"\x80\x06N.", "protocol 6 is newer than 5"),
        (b"X\x01\0\0\0\xff.", "not UTF-8"),
    ];
    for (bytes, says) in cases {
        assert!(error(bytes).contains(says), "{bytes:?}: {}", error(bytes));
    }
}

#[test]
fn depth_and_cycles_cost_nothing_and_too_many_values_are_refused() {
    let mut deep = vec![b')'; 1];
    deep.extend(vec![0x85; 1_000_000]);
    deep.push(b'.');
    assert!(Pickle::read(&deep).is_ok());
    let cycle = Pickle::read(b"]q\x00h\x00a.").expect("reads");
    assert_eq!(cycle.items(cycle.root()), Some(&[cycle.root()][..]));
    let mut many = vec![b'N'; MAX_VALUES + 1];
    many.push(b'.');
    assert!(error(&many).contains("values"));
    let mut bomb = b"Vaaaaaaaa\np0\n0".to_vec();
    bomb.extend(b"c_codecs\nencode\n(g0\nVlatin1\ntR0".repeat(1000));
    bomb.extend(b"N.");
    assert!(Pickle::read(&bomb).is_ok());
}

const FILES: [&str; 5] =
    ["pipeline_0.pkl", "pipeline_2.pkl", "pipeline_5.pkl", "pipeline.joblib", "sparse.pkl"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_files_and_arbitrary_bytes_never_panic(
        file in prop::sample::select(FILES.to_vec()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        keep_whole in any::<bool>(),
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut bytes = golden(file);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if !keep_whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        // Whatever comes of it: an error, or a model whose numbers were checked.
        let _ = crate::import::sklearn::read(&bytes);
        let _ = crate::import::sklearn::read(&noise);
    }
}
