#!/usr/bin/env python3
"""Models go round: from scikit-learn and libsvm into tidegauge, and out again to ONNX and libsvm.

scikit-learn and libsvm fit models on drawn rows; tidegauge imports them, trains some itself, and exports all. Then on
10,000 rows a model, near and far: tidegauge decides like scikit-learn; ONNX Runtime, on files that onnx.checker
passes, gives the same scores and labels; libsvm decides the same on standardised rows. Decisions are compared by the
sum of a model's weights, labels where the decision is further than 1e-5 from the boundary.

    pip install scikit-learn onnx onnxruntime libsvm-official
    cargo build -p tidegauge-score --example interchange
    check.py --exporter target/debug/examples/interchange
"""

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import joblib
import numpy as np
import onnx
import onnxruntime
from libsvm.svmutil import svm_load_model, svm_predict, svm_save_model, svm_train
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler
from sklearn.svm import OneClassSVM

ROWS = 10_000
# Differences of decisions, in sums of weights.
TOLERANCE = 1e-9
# As far from the boundary, labels have to be the same.
BOUNDARY = 1e-5


def draw(rng, n, d, level, spread):
    mix = rng.normal(size=(d, d)) / np.sqrt(d) + np.eye(d)
    return level + spread * rng.normal(size=(n, d)) @ mix * np.linspace(0.5, 4, d)


def test_rows(rng, x):
    """Mostly on or near the training rows, some far from them, a few at the ends of the numbers."""
    n, deviation = ROWS - 1000, x.std(0) + 1e-300

    def noise(count, least, most):
        return rng.normal(size=(count, x.shape[1])) * deviation * 10.0 ** rng.uniform(least, most, (count, 1))

    near = x[rng.integers(0, len(x), n)] + noise(n, -5, 0)
    far = x.mean(0) + noise(990, 0, 8)
    ends = np.full((10, x.shape[1]), 1e300) * rng.choice([-1, 1, 0, 1e-100, 1e-200], (10, x.shape[1]))
    return np.vstack([near, far, ends])


def sklearn_models():
    """(name, rows, features, level, spread, unfitted model)"""
    svm = OneClassSVM
    yield "plateau", 80, 1, 50, 1, make_pipeline(StandardScaler(), svm(nu=0.001, gamma=0.01))
    yield "one feature", 500, 1, 50, 1, make_pipeline(StandardScaler(), svm(nu=0.1, gamma=0.5))
    yield "four features", 2000, 4, 50, 1, make_pipeline(StandardScaler(), svm(nu=0.1, gamma=0.25))
    yield "many vectors", 2000, 8, 50, 1, make_pipeline(StandardScaler(), svm(nu=0.5, gamma="scale"))
    yield "many features", 300, 60, 50, 1, make_pipeline(StandardScaler(), svm(nu=0.1, gamma="auto"))
    yield "narrow kernel", 300, 3, 50, 1, make_pipeline(StandardScaler(), svm(nu=0.3, gamma=300.0))
    yield "robust", 1000, 5, -3, 1, make_pipeline(RobustScaler(), svm(nu=0.05, gamma="scale"))
    yield "robust variance", 300, 2, 9, 1, make_pipeline(RobustScaler(unit_variance=True), svm(nu=0.2, gamma=0.3))
    yield "bare", 300, 2, 5, 1, svm(nu=0.2, gamma="scale")
    # Rows far from 0 beside what they vary by: where matrix products lose digits.
    yield "bare far level", 400, 3, 1e3, 1e-2, svm(nu=0.2, gamma="scale")
    # Each support vector is alone: what becomes of scikit-learn's models of unscaled pressures.
    yield "bare pressure", 400, 2, 1e5, 300, svm(nu=0.5, gamma="auto")


def prepare(folder, rng):
    """Writes models and rows; returns the cases, and scikit-learn's models by name."""
    cases, fitted = [], {}

    def case(name, x, model=None):
        test_rows(rng, x).astype("<f8").tofile(folder / f"{name}.rows")
        cases.append({"name": name, "width": x.shape[1], "model": model})

    for i, (name, n, d, level, spread, model) in enumerate(sklearn_models()):
        x = draw(rng, n, d, level, spread)
        fitted[name] = model.fit(x)
        if i % 2:
            joblib.dump(model, folder / f"model_{i}.joblib", compress=("gzip" if i % 4 == 1 else "zlib", 3))
        else:
            (folder / f"model_{i}.pkl").write_bytes(pickle.dumps(model))
        case(name, x, f"model_{i}.joblib" if i % 2 else f"model_{i}.pkl")
    x = draw(rng, 300, 3, 1, 1)
    model = svm_train([1] * len(x), x.tolist(), "-q -s 2 -t 2 -g 0.1 -n 0.2")
    svm_save_model(str(folder / "model_900.model"), model)
    case("libsvm", x, "model_900.model")
    for d in (1, 4, 8):
        x = draw(rng, 1000, d, 20, 1)
        x.astype("<f8").tofile(folder / f"trained {d}.training")
        case(f"trained {d}", x)
    (folder / "cases.json").write_text(json.dumps(cases))
    return cases, fitted


def scaling(path, width):
    """Mean and scale of the lines behind the support vectors."""
    lines = [line.split() for line in path.read_text().splitlines() if line.startswith("# feature ")]
    assert [int(line[2]) for line in lines] == list(range(1, width + 1)), lines
    return np.array([[float(line[3]), float(line[4])] for line in lines]).T


class Check:
    """One model's exports against our decisions `ours` on `rows`."""

    def __init__(self, folder, case, exported):
        self.folder, self.name, self.width = folder, case["name"], case["width"]
        self.threshold, self.mass, self.vectors = exported["threshold"], exported["mass"], exported["vectors"]
        self.rows = np.fromfile(folder / f"{self.name}.rows", "<f8").reshape(ROWS, self.width)
        self.ours = np.fromfile(folder / f"{self.name}.decisions", "<f8")
        # A score is minus the decision; an anomaly is a score of at least the threshold.
        self.labels = np.where(-self.ours >= self.threshold, -1, 1)
        assert len(set(self.labels)) == 2, f"{self.name}: all rows have the same label"
        self.clear = np.abs(self.ours + self.threshold) > BOUNDARY

    def decisions(self, of, found):
        assert np.isfinite(found).all(), f"{self.name}: {of} gives a decision that is no number"
        difference = np.abs(found - self.ours).max() / self.mass
        assert difference <= TOLERANCE, f"{self.name}: {of} differs by {difference:.1e} sums of weights"
        return difference

    def agree(self, of, labels):
        wrong = (labels != self.labels) & self.clear
        assert not wrong.any(), f"{self.name}: {wrong.sum()} labels of {of} differ"
        return int((labels != self.labels).sum())

    def sklearn(self, model):
        difference = self.decisions("scikit-learn", model.decision_function(self.rows))
        self.agree("scikit-learn", model.predict(self.rows))
        return difference

    def onnx(self):
        path = self.folder / f"{self.name}.onnx"
        loaded = onnx.load(path)
        onnx.checker.check_model(loaded, full_check=True)
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        label, scores = session.run(["label", "scores"], {"X": self.rows})
        assert (label.shape, label.dtype) == ((ROWS, 1), np.int64), label
        assert (scores.shape, scores.dtype) == ((ROWS, 1), np.float64), scores
        single = session.run(["scores"], {"X": self.rows[:1]})[0]
        assert abs(single[0, 0] - self.ours[0]) <= TOLERANCE * self.mass, "a single row"
        # Whatever is no finite row is no normal one.
        strange = np.array([[value] * self.width for value in (np.inf, -np.inf, np.nan)])
        assert (session.run(["label"], {"X": strange})[0] == -1).all(), "a row without numbers"
        properties = {entry.key: entry.value for entry in loaded.metadata_props}
        assert json.loads(properties["features"]) == [f"x{i}" for i in range(self.width)], properties
        assert float(properties["threshold"]) == self.threshold, properties
        return self.decisions("ONNX Runtime", scores[:, 0]), self.agree("ONNX Runtime", label[:, 0])

    def libsvm(self):
        path = self.folder / f"{self.name}.libsvm"
        mean, scale = scaling(path, self.width)
        with np.errstate(over="ignore"):
            standardised = np.clip((self.rows - mean) / scale, -1e300, 1e300)
        model = svm_load_model(str(path))
        values = svm_predict([], standardised.tolist(), model, "-q")[2]
        return self.decisions("libsvm", np.ravel(values))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--exporter", required=True, help="the built example `interchange`")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(f"onnx {onnx.__version__}, ONNX Runtime {onnxruntime.__version__}, seed {args.seed}")
    print(f"{'model':16} {'vectors':>7} {'anomalies':>9} {'boundary':>8}   largest difference of decisions from")
    print(f"{'':16} {'':7} {'':9} {'':8} {'scikit-learn':>13} {'ONNX Runtime':>13} {'libsvm':>9}  labels of ONNX")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        cases, fitted = prepare(folder, np.random.default_rng(args.seed))
        subprocess.run([args.exporter, folder], check=True)
        for case, exported in zip(cases, json.loads((folder / "exported.json").read_text())):
            check = Check(folder, case, exported)
            model = fitted.get(check.name)
            theirs = f"{check.sklearn(model):13.1e}" if model else f"{'':13}"
            runtime, differ = check.onnx()
            anomalies, boundary = (check.labels == -1).sum(), (~check.clear).sum()
            print(f"{check.name:16} {check.vectors:7} {anomalies:9} {boundary:8} {theirs} {runtime:13.1e} "
                  f"{check.libsvm():9.1e}  {differ} differ", flush=True)
    print(f"{len(cases)} models, {ROWS} rows each: all agree")


if __name__ == "__main__":
    sys.exit(main())
