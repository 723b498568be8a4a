#!/usr/bin/env python3
"""Weeks of simulated sensors in an hour, with models that are fitted anew all the time: does anything
stand still, leak or grow?

A producer sends the readings of 200 sensors to Kafka, weeks of them in the time that is given; one
`tidegauge run` makes windows of five minutes, scores them by a trained champion and by onset models that
it fits anew beside the stream, publishes these, commits every two seconds, compacts the lake and deletes
days that are too old. It is looked at once a second and tells a line every half a minute. It fails when a
lane stands still, memory or registry grow, a fit fails, an event is not read exactly once, or the lake is
not proven. Linux only.

    soak.py --binary target/release/tidegauge --brokers 127.0.0.1:19092 --minutes 60 --weeks 6
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from plant import COMMIT_EVERY_S, DEVICES, PARTITIONS, ROOT, SENSORS, Plant, wait_for
from watch import Lanes, Sample, stalls, total

TELL_EVERY_S = 30
# A lane commits every two seconds, by a thread of its own; longer without a commit is a stall.
GAP_MAX_S = 30
# A lane's loop stands still for a commit while models are put in force: no longer than this.
STALL_MAX_S = 1.0
# Of the memory that the middle third needs, what the last third may need more; shorter runs than this
# still learn their sensors.
GROWTH_MAX, GROWTH_MINUTES = 0.10, 20
# The registry keeps the sets of 100 moves of an alias and the newest 100, and looks every ten
# publications; a lineage is a chain of few sets.
SETS_MAX, MOVES_MAX = 240, 120
# How long the last events may take to be read.
READ_MAX_S = 60


def main():
    args = arguments()
    work = tempfile.mkdtemp(prefix="tidegauge-soak-", dir=args.work)
    plant = Plant(args, work)
    try:
        plant.begin()
        samples, last, lanes = watch(plant)
        plant.stop()
        problems = judge(plant, samples, last, lanes)
    except BaseException:
        print(f"lake and logs stay in {work}")
        raise
    finally:
        plant.end()
        plant.delete_topic()
    if problems:
        sys.exit(f"{len(problems)} problems; lake and logs stay in {work}")
    shutil.rmtree(work)


def watch(plant):
    """Looks until all is sent and read; the samples, the last page of metrics, the lanes."""
    begun, told, lanes, samples = time.monotonic(), 0.0, Lanes(), []
    print(f"{plant.args.weeks:g} weeks of {DEVICES * SENSORS} sensors at {plant.speed:.0f} times their speed,"
          f" {PARTITIONS} lanes, commits every {COMMIT_EVERY_S} s")
    print(Sample.HEAD, flush=True)
    text = None
    while plant.producer.poll() is None:
        text = plant.metrics()
        if plant.run.poll() is not None or text is None:
            raise RuntimeError(f"the run is gone or does not answer: {plant.run.returncode}")
        lanes.look(text)
        if time.monotonic() - begun - told >= TELL_EVERY_S:
            told = time.monotonic() - begun
            samples.append(Sample.take(told, plant, text, lanes))
            print(samples[-1], flush=True)
        time.sleep(1)
    wait_for(lambda: total(plant.metrics(), "tidegauge_ingest_lag_messages") == 0, READ_MAX_S,
             "the last events to be read")
    return samples, plant.metrics(), lanes


def judge(plant, samples, last, lanes):
    """Says what was seen; what is wrong with it."""
    problems = []

    def expect(is_so, what):
        print(("ok: " if is_so else "NOT: ") + what)
        if not is_so:
            problems.append(what)

    end = samples[-1]
    counts = stalls(last)
    print("stops of lanes for a commit, at most so many seconds:",
          ", ".join(f"{bound:g}: {count:.0f}" for bound, count in counts.items()))
    expect(len(lanes) == PARTITIONS and lanes.longest_s <= GAP_MAX_S,
           f"each of {len(lanes)} lanes commits, the longest pause is {lanes.longest_s:.1f} s, at most {GAP_MAX_S} s")
    expect(end.stall_max_s <= STALL_MAX_S,
           f"no lane stood still for more than {end.stall_max_s:g} s for a commit, at most {STALL_MAX_S:g} s")
    third = len(samples) // 3
    middle, newest = samples[third:2 * third], samples[2 * third:]
    for name in ("rss_mb", "anon_mb") if plant.args.minutes >= GROWTH_MINUTES else ():
        of = [statistics.median(getattr(sample, name) for sample in part) for part in (middle, newest)]
        grown = of[1] / of[0] - 1
        expect(grown <= GROWTH_MAX, f"{name}: {of[0]:.1f} in the middle third, {of[1]:.1f} in the last, "
               f"{grown:+.1%}, at most {GROWTH_MAX:+.0%}")
    sets, moves = max(s.sets for s in samples), max(s.moves for s in samples)
    expect(sets <= SETS_MAX and moves <= MOVES_MAX,
           f"at most {sets} model sets and {moves} moves of aliases, allowed are {SETS_MAX} and {MOVES_MAX}")
    refits = end.fitted // (DEVICES * SENSORS)
    expect(end.fitted > 0 and end.failed == 0,
           f"{end.fitted} models fitted anew, {refits} for each sensor, {end.failed} failed")
    for name in ("tidegauge_ingest_rejects_total", "tidegauge_aggregate_late_total",
                 "tidegauge_score_reload_failures_total"):
        expect(total(last, name) == 0, f"{name} is {total(last, name):.0f}")
    expect(plant.read() == plant.sent(), f"{plant.sent()} events sent, {plant.read()} read")
    alarms, rows = (total(last, f"tidegauge_score_{name}_total") for name in ("alarms", "rows"))
    print(f"{rows:.0f} windows scored, {alarms:.0f} alarms of the onset view")
    print(plant.verify())
    return problems


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target/release/tidegauge"))
    parser.add_argument("--brokers", required=True, help="Kafka's bootstrap address")
    parser.add_argument("--minutes", type=float, default=60, help="wall time, 2 at least")
    parser.add_argument("--weeks", type=float, default=6, help="event time")
    parser.add_argument("--work", type=Path, help="where lake and logs are made [default: a temporary folder]")
    args = parser.parse_args()
    if args.minutes < 2:
        parser.error("--minutes is 2 at least")
    return args


if __name__ == "__main__":
    main()
