"""One OneClassSVM per sensor with scikit-learn: scikit_learn.py SENSORS WINDOWS PROCESSES"""
import sys
import time
from multiprocessing import Pool

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

SENSORS, WINDOWS, PROCESSES = map(int, sys.argv[1:4])
READINGS = 10


def rows(sensor):
    random = np.random.default_rng(sensor)
    values = random.uniform(10, 100) + random.normal(size=(WINDOWS, READINGS))
    spread = values.std(axis=1, ddof=1)
    counts = np.full(WINDOWS, READINGS)
    return np.column_stack([counts, values.mean(axis=1), spread, values.min(axis=1), values.max(axis=1)])


def fit(data):
    model = make_pipeline(StandardScaler(), OneClassSVM(nu=0.1, gamma=1 / data.shape[1])).fit(data)
    return len(model[-1].support_vectors_)


def main():
    data = [rows(sensor) for sensor in range(SENSORS)]
    with Pool(PROCESSES) as pool:
        begun = time.perf_counter()
        vectors = pool.map(fit, data, chunksize=16)
        seconds = time.perf_counter() - begun
    print(
        f"scikit-learn, one fit each, {PROCESSES} processes: {seconds:.1f} s, {SENSORS / seconds:.0f} models/s,"
        f" {np.mean(vectors):.0f} support vectors on average"
    )


if __name__ == "__main__":
    main()
