"""What scikit-learn needs for one row: scikit_learn.py VECTORS FEATURES

A pipeline of StandardScaler and OneClassSVM per sensor, with about that many support vectors; one call of
predict per row, and one call for many rows of a sensor. Prints lines of the benchmark's table.
"""
import sys
import time

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

VECTORS, FEATURES = int(sys.argv[1]), int(sys.argv[2])
SENSORS, ROWS = 40, 500


def main():
    random = np.random.default_rng(1)
    data = random.normal(size=(SENSORS, ROWS, FEATURES)) * 3 + 50
    models = [
        make_pipeline(StandardScaler(), OneClassSVM(nu=VECTORS / ROWS, gamma=1 / FEATURES)).fit(rows)
        for rows in data
    ]
    vectors = np.mean([len(model[-1].support_vectors_) for model in models])

    begun = time.perf_counter()
    for model, rows in zip(models, data):
        for row in range(0, ROWS, 5):
            model.predict(rows[row : row + 1])
    tell("scikit-learn, one call per row", (time.perf_counter() - begun) / (SENSORS * ROWS / 5), vectors)

    begun = time.perf_counter()
    for model, rows in zip(models, data):
        model.predict(rows)
    tell(f"scikit-learn, calls of {ROWS} rows", (time.perf_counter() - begun) / (SENSORS * ROWS), vectors)


def tell(what, seconds, vectors):
    nanos = seconds * 1e9
    print(f"{SENSORS:>10}  {what:<38}{nanos:>12.1f}{nanos / vectors:>12.2f}")


main()
