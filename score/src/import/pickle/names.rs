//! The only names that a pickle may import, and what becomes of a call.

/// What calling a name means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// An instance with these arguments, made by `NEWOBJ` or by a plain call.
    Object,
    /// A class: an instance may be made of it, but a plain call would run its `__init__`.
    Class,
    /// `copyreg._reconstructor(class, base, state)`: an instance of its first argument.
    Reconstruct,
    /// `_codecs.encode(text, "latin1")`: how old protocols write bytes.
    Encode,
    /// A base class or a helper that is only ever an argument.
    Never,
}

/// (module, name, full name, call). scikit-learn and numpy have moved these over the years.
const ALLOWED: &[(&str, &str, &str, Call)] = &[
    ("sklearn.pipeline", "Pipeline", "Pipeline", Call::Class),
    ("sklearn.preprocessing.data", "StandardScaler", "StandardScaler", Call::Class),
    ("sklearn.preprocessing._data", "StandardScaler", "StandardScaler", Call::Class),
    ("sklearn.preprocessing.data", "RobustScaler", "RobustScaler", Call::Class),
    ("sklearn.preprocessing._data", "RobustScaler", "RobustScaler", Call::Class),
    ("sklearn.svm.classes", "OneClassSVM", "OneClassSVM", Call::Class),
    ("sklearn.svm._classes", "OneClassSVM", "OneClassSVM", Call::Class),
    ("numpy.core.multiarray", "_reconstruct", "numpy array", Call::Object),
    ("numpy._core.multiarray", "_reconstruct", "numpy array", Call::Object),
    ("numpy.core.multiarray", "scalar", "numpy scalar", Call::Object),
    ("numpy._core.multiarray", "scalar", "numpy scalar", Call::Object),
    ("numpy.core.numeric", "_frombuffer", "numpy buffer", Call::Object),
    ("numpy._core.numeric", "_frombuffer", "numpy buffer", Call::Object),
    ("numpy", "dtype", "numpy.dtype", Call::Object),
    ("numpy", "ndarray", "numpy.ndarray", Call::Never),
    ("joblib.numpy_pickle", "NumpyArrayWrapper", JOBLIB_ARRAY, Call::Class),
    // The joblib that scikit-learn brought along until 0.22.
    ("sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper", JOBLIB_ARRAY, Call::Class),
    ("collections", "OrderedDict", "OrderedDict", Call::Object),
    ("copyreg", "_reconstructor", "copyreg._reconstructor", Call::Reconstruct),
    ("copy_reg", "_reconstructor", "copyreg._reconstructor", Call::Reconstruct),
    ("_codecs", "encode", "_codecs.encode", Call::Encode),
    ("builtins", "object", "object", Call::Never),
    ("__builtin__", "object", "object", Call::Never),
    ("builtins", "bytes", "bytes", Call::Object),
    ("__builtin__", "bytes", "bytes", Call::Object),
];

/// joblib's description of an array whose bytes follow in the file.
pub(super) const JOBLIB_ARRAY: &str = "joblib array";

/// The full name that stands for an allowed (module, name).
pub(super) fn allowed(module: &str, name: &str) -> Option<&'static str> {
    ALLOWED.iter().find(|(m, n, ..)| *m == module && *n == name).map(|(_, _, full, _)| *full)
}

/// What calling an allowed full name means.
pub(super) fn call(full: &str) -> Call {
    ALLOWED.iter().find(|(_, _, f, _)| *f == full).map_or(Call::Never, |(_, _, _, call)| *call)
}
