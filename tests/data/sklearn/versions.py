"""Writes files of the installed scikit-learn and joblib into versions/, with the decisions that they give.

    pip install scikit-learn==0.24.2 joblib==1.0.1
    python versions.py

Run once with each version that is to be kept; needs Python 3.6 or later. Kept are
    0.19.2 (Python 3.6, joblib 0.11 that it brings along), 0.24.2 and 1.0.2 (Python 3.9), 1.9.1 (Python 3.11).

<version>.json: rows, and the decisions of each file. standard.pkl: StandardScaler and OneClassSVM; robust.pkl:
RobustScaler and OneClassSVM; bare.pkl: OneClassSVM alone; the same in the files of joblib, by their compression.
centre.pkl and spread.pkl: RobustScaler that only centres or only scales.
"""

import json
import pathlib
import pickle

import numpy as np
import sklearn
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler
from sklearn.svm import OneClassSVM

try:
    # Where users of that time took it from; its files name that place.
    from sklearn.externals import joblib
except ImportError:
    import joblib

FOLDER = pathlib.Path(__file__).resolve().parent / "versions"


def piped(scaler, x):
    return Pipeline([("scaler", scaler), ("svm", OneClassSVM(nu=0.1, gamma=0.5))]).fit(x)


def models(x):
    return {
        "standard": piped(StandardScaler(), x),
        "robust": piped(RobustScaler(quantile_range=(10.0, 90.0)), x),
        "centre": piped(RobustScaler(with_scaling=False), x),
        "spread": piped(RobustScaler(with_centering=False), x),
        "bare": OneClassSVM(nu=0.2, gamma=0.01).fit(x),
    }


def main():
    rng = np.random.RandomState(19)
    x = np.array([12.0, 60.0]) + rng.standard_normal((40, 2)) * [1.5, 3.0]
    rows = np.vstack([x[:6], x[6:12] + rng.standard_normal((6, 2)) * 4, [[12.0, 60.0], [500.0, -500.0]]])
    FOLDER.mkdir(exist_ok=True)
    version = sklearn.__version__
    decisions = {}
    for name, model in models(x).items():
        (FOLDER / "{}_{}.pkl".format(version, name)).write_bytes(pickle.dumps(model))
        decisions[name] = np.ravel(model.decision_function(rows)).tolist()
        if name == "robust":
            for ending, compress in [("joblib", 0), ("joblib.z", ("zlib", 3)), ("joblib.gz", ("gzip", 9))]:
                joblib.dump(model, str(FOLDER / "{}_{}.{}".format(version, name, ending)), compress=compress)
    content = {"version": version, "rows": rows.ravel().tolist(), "decisions": decisions}
    (FOLDER / "{}.json".format(version)).write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
