"""Makes the golden files of this folder with scikit-learn, for tests that need no Python.

    pip install scikit-learn
    python make.py                  models.json, training.json and the files in pickles/
    cargo run -p tidegauge-score --example export_trained -- tests/data/sklearn/training.json trained.json
    python make.py trained.json     adds scikit-learn's kernel values of the models that were trained by us

models.json: fitted models' parameters and decision values. training.json: rows, and the decisions of a fit with
tol 1e-10 on the standardised rows. trained.json: our vectors and weights, decisions by numpy and
sklearn.metrics.pairwise.rbf_kernel. pickles/: files of this version in several protocols.
"""

import json
import pathlib
import pickle
import sys
import warnings

import joblib
import numpy as np
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

HERE = pathlib.Path(__file__).resolve().parent


def dump(name, content):
    (HERE / name).write_text(json.dumps(content, separators=(",", ":")) + "\n")


def rows(rng, n, d, level=50.0):
    mix = rng.normal(size=(d, d)) / np.sqrt(d) + np.eye(d)
    return level + rng.normal(size=(n, d)) @ mix * np.linspace(0.5, 4, d)


def pipeline(nu, gamma, tol=1e-3):
    return Pipeline([("scaler", StandardScaler()), ("svm", OneClassSVM(nu=nu, gamma=gamma, tol=tol))])


def test_rows(rng, x, n=40):
    near = x[rng.integers(0, len(x), n)] + rng.normal(size=(n, x.shape[1])) * x.std(0)
    far = x.mean(0) + x.std(0) * 1e3
    return np.vstack([near, x.mean(0), far])


def models():
    cases = []
    for seed, (n, d, nu, gamma) in enumerate([(60, 1, 0.1, 0.5), (80, 1, 0.001, 0.01), (120, 2, 0.3, 0.1), (150, 4, 0.1, 0.25), (100, 8, 0.05, "scale"), (90, 17, 0.2, "auto"), (64, 3, 0.9, 2.0)]):
        rng = np.random.default_rng(seed)
        x = rows(rng, n, d)
        fitted = pipeline(nu, gamma).fit(x)
        scaler, svm = fitted[0], fitted[1]
        test = test_rows(rng, x)
        cases.append({
            "name": f"n={n} d={d} nu={nu} gamma={gamma}", "mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist(), "gamma": float(svm._gamma),
            "rho": -float(svm.intercept_[0]), "alpha": svm.dual_coef_[0].tolist(), "vectors": svm.support_vectors_.ravel().tolist(),
            "rows": test.ravel().tolist(), "decisions": fitted.decision_function(test).tolist()})
    dump("models.json", cases)


def training():
    cases = []
    for seed, (n, d, nu, gamma) in enumerate([(100, 1, 0.1, 1.0), (200, 2, 0.1, 0.5), (250, 4, 0.1, 0.25), (150, 4, 0.01, 0.25), (120, 3, 0.5, 1.0), (200, 8, 0.05, 0.125)]):
        rng = np.random.default_rng(100 + seed)
        x = rows(rng, n, d).round(6)
        fitted = pipeline(nu, gamma, tol=1e-10).fit(x)
        test = test_rows(rng, x, 25).round(6)
        cases.append({
            "name": f"n={n} d={d} nu={nu} gamma={gamma}", "width": d, "nu": nu, "gamma": gamma, "training": x.ravel().tolist(),
            "rows": test.ravel().tolist(), "decisions": fitted.decision_function(test).tolist(), "mass": float(fitted[1].dual_coef_.sum())})
    dump("training.json", cases)


def pickles():
    rng = np.random.default_rng(7)
    x = rows(rng, 60, 2)
    test = test_rows(rng, x, 10)
    folder = HERE / "pickles"
    folder.mkdir(exist_ok=True)
    piped, bare = pipeline(0.1, "scale").fit(x), OneClassSVM(nu=0.2, gamma=0.01).fit(x)
    for protocol in range(6):
        (folder / f"pipeline_{protocol}.pkl").write_bytes(pickle.dumps(piped, protocol=protocol))
    (folder / "bare_5.pkl").write_bytes(pickle.dumps(bare, protocol=5))
    joblib.dump(piped, folder / "pipeline.joblib", compress=0)
    (folder / "linear.pkl").write_bytes(pickle.dumps(OneClassSVM(kernel="linear").fit(x)))
    from scipy.sparse import csr_matrix
    (folder / "sparse.pkl").write_bytes(pickle.dumps(OneClassSVM(gamma=0.1).fit(csr_matrix(x))))
    named = OneClassSVM(nu=0.2, gamma=0.01).fit(x)
    named.feature_names_in_ = np.array(["mean", "stddev"], dtype=object)
    (folder / "named.pkl").write_bytes(pickle.dumps(named))
    grid = np.array([[1.5, -2.0, 3.0], [4.0, 5.0, -6.0]])
    arrays = [grid, np.asfortranarray(grid), grid.astype(">f8"), grid.astype("f4"), grid.astype("i2"), grid.astype(">i8"), abs(grid).astype("u1")]
    (folder / "arrays_2.pkl").write_bytes(pickle.dumps(arrays, protocol=2))
    (folder / "arrays_5.pkl").write_bytes(pickle.dumps(arrays, protocol=5))
    joblib.dump(arrays, folder / "arrays.joblib", compress=0)
    dump("pickles.json", {"rows": test.ravel().tolist(), "pipeline": piped.decision_function(test).tolist(), "bare": bare.decision_function(test).tolist()})


def trained(path):
    cases = json.loads(pathlib.Path(path).read_text())
    for case in cases:
        d = len(case["mean"])
        z = (np.array(case["rows"]).reshape(-1, d) - case["mean"]) / case["scale"]
        kernel = rbf_kernel(z, np.array(case["vectors"]).reshape(-1, d), gamma=case["gamma"])
        case["decisions"] = (kernel @ np.array(case["alpha"]) - case["rho"]).tolist()
    dump("trained.json", cases)


if __name__ == "__main__":
    warnings.simplefilter("error")
    if len(sys.argv) > 1:
        trained(sys.argv[1])
    else:
        models()
        training()
        pickles()
