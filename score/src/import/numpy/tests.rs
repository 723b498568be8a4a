//! Arrays of every layout that numpy writes, by their numbers.

use super::*;

#[test]
fn arrays_of_every_order_and_type_have_numpy_s_numbers() {
    for file in ["arrays_2.pkl", "arrays_5.pkl", "arrays.joblib"] {
        let path = format!("../tests/data/sklearn/pickles/{file}");
        let bytes = std::fs::read(path).expect("golden file");
        let pickle = Pickle::read(&bytes).expect("reads");
        let arrays = pickle.items(pickle.root()).expect("a list");
        assert_eq!(arrays.len(), 7, "{file}");
        let exact = [1.5, -2.0, 3.0, 4.0, 5.0, -6.0];
        let whole = [1.0, -2.0, 3.0, 4.0, 5.0, -6.0];
        let positive = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let expected = [exact, exact, exact, exact, whole, whole, positive];
        for (i, (value, data)) in arrays.iter().zip(expected).enumerate() {
            let found = array(&pickle, *value).expect("an array");
            let array = Array { shape: vec![2, 3], data: data.to_vec() };
            assert_eq!(found, array, "{file}, array {i}");
        }
    }
}

#[test]
fn bytes_that_don_t_fit_the_shape_are_refused() {
    let path = "../tests/data/seedlike/models/model_1_1";
    let good = std::fs::read(path).expect("golden file");
    // The shape of dual_coef_ is (1, 2): BININT1 1, BININT1 2, TUPLE2.
    let shape = b"K\x01K\x02\x86";
    let at = good.windows(shape.len()).position(|w| w == shape).expect("the shape is there");
    for (rows, says) in [(3, "16 bytes don't fit the shape [3, 2]"), (0, "shape [0, 2]")] {
        let mut bytes = good.clone();
        bytes[at + 1] = rows;
        let error = crate::import::sklearn::read(&bytes).expect_err("it does not fit");
        assert!(error.contains(says), "{error}");
    }
}
