"""Compares a lake with what DuckDB computes from the same events. Knows nothing of tidegauge's code."""

import json
import re
from pathlib import Path

import duckdb

EXPECTED = """
CREATE TABLE expected AS
WITH readings AS (
  SELECT Device, Sensor, Value, epoch_ns(TS) AS ns
  FROM read_json('{events}', format = 'newline_delimited',
    columns = {{TS: 'TIMESTAMP_NS', Device: 'BIGINT', Sensor: 'BIGINT', Value: 'DOUBLE'}}))
SELECT Device, Sensor, (ns + 4999999999) // 5000000000 * 5000000 AS end_us,
  count(*) AS n, avg(Value) AS mean, min(Value) AS low, max(Value) AS high, stddev_samp(Value) AS spread
FROM readings GROUP BY ALL
"""

FOUND = """
CREATE TABLE found AS
SELECT Device, Sensor, epoch_us(window_end) AS end_us, n, mean, low, high, spread, n_readings
FROM read_parquet({files})
"""

# A standard deviation below 1e-7 of the mean is noise of the arithmetic.
WRONG = """
SELECT count(*) FROM expected e JOIN found f USING (Device, Sensor, end_us)
WHERE e.n <> f.n OR e.n <> f.n_readings OR e.low <> f.low OR e.high <> f.high
  OR abs(e.mean - f.mean) > 1e-9 * abs(e.mean)
  OR (e.n > 1) <> (f.spread IS NOT NULL)
  OR (e.n > 1 AND abs(e.spread - f.spread) > greatest(1e-9 * e.spread, 1e-7 * abs(e.mean)))
"""


def live_files(lake):
    """The prediction files that the ledger names: the newest summary and the records after it."""
    lake = Path(lake)
    files, covered = [], {}
    summaries = sorted((lake / "_tidegauge" / "summaries").glob("*.json"))
    if summaries:
        summary = json.loads(summaries[-1].read_text())["body"]
        live = [entry["file"] for entry in summary["files"]]
        files += [f["path"] for f in live if f["table"] == "predictions"]
        covered = {lane["lane"]: lane["to"] for lane in summary["lanes"]}
    for folder in (lake / "_tidegauge" / "ledger").iterdir():
        for path in folder.iterdir():
            if not re.fullmatch(r"\d{20}\.json", path.name) or int(path.stem) <= covered.get(folder.name, 0):
                continue
            record = json.loads(path.read_text())["body"]
            files += [f["path"] for f in record["files"] if f["table"] == "predictions"]
    return sorted(str(lake / f) for f in files)


def judge(events, lake):
    """Returns the figures; `lost`, `twice`, `wrong` and `strange` are to be 0."""
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute(EXPECTED.format(events=events))
    files = live_files(lake)
    db.execute(FOUND.format(files=json.dumps(files).replace('"', "'")))

    def one(sql):
        return db.execute(sql).fetchone()[0]

    return {
        "events": int(one("SELECT sum(n) FROM expected")),
        "windows": one("SELECT count(*) FROM expected"),
        "rows": one("SELECT count(*) FROM found"),
        "files": len(files),
        "lost": one("SELECT count(*) FROM expected ANTI JOIN found USING (Device, Sensor, end_us)"),
        "twice": one("SELECT count(*) - count(DISTINCT (Device, Sensor, end_us)) FROM found"),
        "wrong": one(WRONG),
        "strange": one("SELECT count(*) FROM found ANTI JOIN expected USING (Device, Sensor, end_us)"),
        "readings": int(one("SELECT coalesce(sum(n_readings), 0) FROM found")),
    }
