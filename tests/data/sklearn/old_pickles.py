"""Writes tests/data/seedlike: 15 models in the layout of scikit-learn 0.19.2, readings and their labels.

    python3 old_pickles.py [FOLDER]

Plain Python 3, no packages. The models have the published parameters of the original system's models (mean,
scale, support vectors, weights, intercept); the pickles name the same classes in the same structure
(protocol 3). The readings are seeded draws in the ranges of the original sensors. Labels are computed here
with plain arithmetic: 1 is an anomaly (f <= 0), `tie` is |f| < 1e-9, where the last bits decide.
"""

import math
import pathlib
import pickle
import random
import struct
import sys
import types

# sensor: mean, scale, rows seen, support vectors (standardised), weight of each, intercept
TABLE = {
    "1_1": (12.377965440356743, 1.359883687643532, 299, [1.325138742391935, -1.7412999816624468], 0.01495, -0.028558312472700954),
    "1_2": (34.74803333333333, 2.737038510872655, 250, [0.1395547286416834], 0.025, -0.024999999999999904),
    "1_3": (62.56600241545894, 1.400910052442491, 276, [-0.7894885282110867, 1.7303020849302984], 0.0138, -0.02675102756023396),
    "1_4": (82.47314745972737, 1.3468691442303644, 269, [1.58653314572269, -1.8213703018114407], 0.01345, -0.025425238552689453),
    "1_5": (105.07489117983964, 2.787497539554542, 291, [-0.06632873292838325], 0.0291, -0.02909999999999988),
    "2_1": (12.460461988304093, 1.3872388014396904, 285, [-0.822109349248673, 1.8162251582648246], 0.01425, -0.027541819810867195),
    "2_2": (34.96876941457587, 2.726065927861432, 279, [1.108274952027389, -1.8080154864201807], 0.01395, -0.02676263772547234),
    "2_3": (62.62301558752998, 1.3536187727463331, 278, [0.7217574343238738, -1.9303925448880102], 0.0139, -0.026855881768464936),
    "2_4": (82.47400584795322, 1.418955648538532, 285, [-1.5039270960661528, 1.7731309323431967], 0.01425, -0.027048984423279653),
    "2_5": (104.92303482587064, 2.726188524343669, 268, [0.1419436589487222], 0.0268, -0.026799999999999893),
    "3_1": (12.594016203703704, 1.2967638214756214, 288, [1.8245294610424754, -1.9926652493769337], 0.0144, -0.026847483158111463),
    "3_2": (34.98583621683967, 2.924904958167547, 289, [1.2527462722945792, -1.7011958637989497], 0.01445, -0.027692570203542596),
    "3_3": (62.42917274939173, 1.3629729344175878, 274, [-1.2393296350477647, 1.856843365484517], 0.0137, -0.02614766365885724),
    "3_4": (82.61787069988138, 1.3659164041258336, 281, [-0.1082575034861051], 0.0281, -0.028099999999999885),
    "3_5": (105.17114472123369, 2.7143210376712066, 281, [-0.8919890785324887, 1.775344630162362], 0.01405, -0.027135119858384023),
}
RANGES = {1: (10, 15), 2: (30, 40), 3: (60, 65), 4: (80, 85), 5: (100, 110)}
GAMMA, NU, ROWS = 0.01, 0.0001, 3000


def stub(module, name):
    """A class that pickles under the name of one that is not installed here."""
    names = module.split(".")
    for i in range(1, len(names) + 1):
        sys.modules.setdefault(".".join(names[:i]), types.ModuleType(".".join(names[:i])))
    made = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, made)
    return made


Pipeline = stub("sklearn.pipeline", "Pipeline")
StandardScaler = stub("sklearn.preprocessing.data", "StandardScaler")
OneClassSVM = stub("sklearn.svm.classes", "OneClassSVM")
ndarray = stub("numpy", "ndarray")
dtype = stub("numpy", "dtype")
_reconstruct = stub("numpy.core.multiarray", "_reconstruct")


class Dtype:
    def __init__(self, name):
        self.name = name

    def __reduce__(self):
        return dtype, (self.name, 0, 1), (3, "<", None, None, None, -1, -1, 0)


F8, I4 = Dtype("f8"), Dtype("i4")


class Array:
    def __init__(self, shape, of, values):
        self.shape, self.of = shape, of
        self.data = struct.pack("<%d%s" % (len(values), "d" if of is F8 else "i"), *values)

    def __reduce__(self):
        return _reconstruct, (ndarray, (0,), b"b"), (1, self.shape, self.of, False, self.data)


def with_state(made, **state):
    made.__dict__.update(state, _sklearn_version="0.19.2")
    return made


def model(mean, scale, seen, vectors, weight, intercept):
    n = len(vectors)
    dual, none = Array((1, n), F8, [weight] * n), Array((0,), F8, [])
    scaler = with_state(
        StandardScaler(), with_mean=True, with_std=True, copy=True, mean_=Array((1,), F8, [mean]), n_samples_seen_=seen,
        var_=Array((1,), F8, [scale * scale]), scale_=Array((1,), F8, [scale]))
    svm = with_state(
        OneClassSVM(), _impl="one_class", kernel="rbf", degree=3, gamma=GAMMA, coef0=0.0, tol=0.001, C=0.0, nu=NU, epsilon=0.0,
        shrinking=True, probability=False, cache_size=200, class_weight=None, verbose=False, max_iter=-1, random_state=None,
        _sparse=False, class_weight_=none, _gamma=GAMMA, support_=Array((n,), I4, list(range(n))),
        support_vectors_=Array((n, 1), F8, vectors),
        # The original's is uninitialised memory; a reader must not look at it.
        n_support_=Array((2,), I4, [-640156840, 32724]),
        dual_coef_=dual, intercept_=Array((1,), F8, [intercept]), probA_=none, probB_=none, fit_status_=0, shape_fit_=(seen, 1),
        _intercept_=Array((1,), F8, [intercept]), _dual_coef_=dual)
    return with_state(Pipeline(), steps=[("scaler", scaler), ("classifier", svm)], memory=None)


def decision(value, mean, scale, _, vectors, weight, intercept):
    z = (value - mean) / scale
    return sum(weight * math.exp(-GAMMA * (z - v) ** 2) for v in vectors) + intercept


def readings():
    """Rows (time, device, sensor, value) on a 5-second grid, about 39 % of it filled, one in ten rows a value
    with a long fraction, and now and then exactly a support vector."""
    draw, rows, second = random.Random(20180828), [], 0
    while len(rows) < ROWS:
        second += 5
        for device in (1, 2, 3):
            for sensor in range(1, 6):
                kind = draw.random()
                if kind > 0.39:
                    continue
                mean, scale, _, vectors, _, _ = TABLE[f"{device}_{sensor}"]
                value = draw.uniform(*RANGES[sensor])
                value = value if kind < 0.04 else round(value, 2)
                if draw.random() < 0.004:
                    value = round(mean + scale * draw.choice(vectors), 2)
                rows.append((stamp(second), device, sensor, value))
    return rows[:ROWS]


def stamp(second):
    second += 23 * 3600
    day, second = 28 + second // 86400, second % 86400
    return f"2018-08-{day} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.000"


def label(device, sensor, value):
    f = decision(value, *TABLE[f"{device}_{sensor}"])
    return "tie" if abs(f) < 1e-9 else "1" if f <= 0 else "0"


def main(folder):
    (folder / "models").mkdir(parents=True, exist_ok=True)
    for sensor, row in TABLE.items():
        (folder / "models" / f"model_{sensor}").write_bytes(pickle.dumps(model(*row), protocol=3))
    rows = readings()
    lines = [f"{ts},{device},{sensor},{value!r}" for ts, device, sensor, value in rows]
    (folder / "readings.csv").write_text("\n".join(["TS,Device,Sensor,Value", *lines, ""]))
    labels = [f"{ts},{device},{sensor},{label(device, sensor, value)}" for ts, device, sensor, value in rows]
    (folder / "labels.csv").write_text("\n".join(["TS,Device,Sensor,Label", *labels, ""]))


if __name__ == "__main__":
    default = pathlib.Path(__file__).resolve().parent.parent / "seedlike"
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default)
