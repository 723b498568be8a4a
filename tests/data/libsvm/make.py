"""Makes the golden files of this folder with libsvm, for tests that need no Python.

    pip install libsvm-official==3.37.0
    python make.py

one_class.model: a one-class model with a Gaussian kernel, whose first feature is 0 in some of the support vectors;
decisions.json: rows, and the decision values of the file as libsvm loads it. The others are models of other kinds.
"""

import json
import pathlib
import random

from libsvm.svmutil import svm_load_model, svm_predict, svm_save_model, svm_train

HERE = pathlib.Path(__file__).resolve().parent


def rows(draw, n):
    return [[draw.choice([0.0, draw.gauss(1, 1)]), draw.gauss(50, 4), draw.gauss(-2, 0.5)] for _ in range(n)]


def save(name, labels, x, options):
    path = str(HERE / name)
    svm_save_model(path, svm_train(labels, x, "-q " + options))
    return svm_load_model(path)


def main():
    draw = random.Random(3)
    x = rows(draw, 40)
    ones, signs = [1] * len(x), [1 if row[1] > 50 else -1 for row in x]
    fitted = save("one_class.model", ones, x, "-s 2 -t 2 -g 0.05 -n 0.2")
    test = rows(draw, 10) + [[0.0, 0.0, 0.0], [1e6, -1e6, 1.0]]
    decisions = [values[0] for values in svm_predict([], test, fitted, "-q")[2]]
    content = {"rows": [value for row in test for value in row], "decisions": decisions}
    (HERE / "decisions.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")
    save("linear.model", ones, x, "-s 2 -t 0 -n 0.2")
    save("probability.model", ones * 5, rows(draw, 200), "-s 2 -t 2 -g 0.05 -n 0.05 -b 1")
    save("two_classes.model", signs, x, "-s 0 -t 2 -g 0.05")


if __name__ == "__main__":
    main()
