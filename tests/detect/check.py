"""Backtests on labelled public data, judged by that data's own scorer.

    check.py --binary TIDEGAUGE [--data FOLDER] [--set nab|skab]

FOLDER (or TIDEGAUGE_DETECT) holds <set>.events.csv.gz, <set>.labels.csv and evaluate.py, whose head says
how it scores. Each set has one configuration for all its series, beside this file. Needs numpy and pandas.
"""

import argparse
import csv
import gzip
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
TRAIN = {
    "nab": ["--train-fraction", "0.15", "--train-rows-max", "750"],
    "skab": ["--train-rows", "400"],
}
COLUMNS = {
    "nab": ["coalesce(novelty, 0)", "coalesce(alarm, false)"],
    "skab": ["coalesce(score, 0)", "coalesce(is_anomaly, false)"],
}


def evaluator(folder):
    spec = importlib.util.spec_from_file_location("evaluate", folder / "evaluate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def predictions(binary, lake, name, path):
    """The lake's verdicts as the scorer wants them: the flags as they are, no threshold of ours."""
    score, flag = COLUMNS[name]
    sql = (f'SELECT window_end, "Device" AS device, "Tag" AS tag, {score} AS score, {flag} AS flag '
           "FROM predictions")
    run = [binary, "query", "--lake", str(lake), sql, "--format", "json"]
    rows = subprocess.run(run, check=True, capture_output=True, text=True).stdout.splitlines()
    with open(path, "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["TS", "Device", "Tag", "score", "is_anomaly", "alarm_score", "alarm"])
        for row in map(json.loads, rows):
            judged = [row["score"], int(row["flag"])]
            writer.writerow([row["window_end"], row["device"], row["tag"], *judged, *judged])
    return len(rows)


def try_set(name, binary, data, folder):
    events = folder / f"{name}.csv"
    with gzip.open(data / f"{name}.events.csv.gz", "rb") as source, open(events, "wb") as out:
        shutil.copyfileobj(source, out)
    lake = folder / f"{name}-lake"
    run = [binary, "backtest", str(events), "-c", str(HERE / f"{name}.toml"), "-o", str(lake),
           *TRAIN[name], "--labels", str(data / f"{name}.labels.csv")]
    start = time.monotonic()
    subprocess.run(run, check=True)
    seconds = time.monotonic() - start
    subprocess.run([binary, "verify", str(lake)], check=True, stdout=subprocess.DEVNULL)
    path = folder / f"{name}-predictions.csv"
    rows = predictions(binary, lake, name, path)
    module = evaluator(data)
    found = module.evaluate(str(data), name, module.read_pred(str(path)))
    print(f"{name}: {rows} windows in {seconds:.1f} s")
    return found


def judge(name, found):
    if name == "nab":
        bars = [("standard", found["nab_standard"]["as_flagged"], 77.0),
                ("low-FP", found["nab_reward_low_FP"]["as_flagged"], 70.0)]
    else:
        outlier = found["skab_outlier"]
        bars = [("F1", outlier["F1"], 0.84), ("- FAR %", -outlier["FAR"], -25.0)]
    for what, value, bar in bars:
        print(f"{name}: {what} {value} (at least {bar})")
    return all(value >= bar for _, value, bar in bars)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--data", default=os.environ.get("TIDEGAUGE_DETECT"))
    parser.add_argument("--set", choices=sorted(TRAIN))
    args = parser.parse_args()
    if not args.data:
        sys.exit("no labelled data: name its folder by --data or TIDEGAUGE_DETECT")
    sets = [args.set] if args.set else sorted(TRAIN)
    with tempfile.TemporaryDirectory() as folder:
        good = [judge(name, try_set(name, args.binary, Path(args.data), Path(folder)))
                for name in sets]
    if not all(good):
        sys.exit("detection is below its bars")


if __name__ == "__main__":
    main()
