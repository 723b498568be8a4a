#!/usr/bin/env python3
"""Drives the live page with Chromium, over the real binary and a real Kafka.

A simulated plant streams an hour of sensors with faults within a minute and a half; the page must show
what happens, without a console error, a request to another host, or an element that a keyboard does not
reach. Then a lake of 100,000 sensors is served, listed and scrolled through. Every wait is for a condition
and has an end.

    check.py --binary target/debug/tidegauge --brokers 127.0.0.1:19092 --axe node_modules/axe-core/axe.min.js

`--screenshots docs/images` also writes the pictures of the documentation.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import access
import many as many_sensors
import operate
import pictures
import reach
import watch
from browser import Watched
from plant import POISON, ROOT, Many, Plant, ask, wait_for

READ_MAX_S = 240


def main():
    args = arguments()
    work = Path(tempfile.mkdtemp(prefix="tidegauge-browser-"))
    problems = []

    def expect(is_so, what):
        print(("ok: " if is_so else "NOT: ") + what, flush=True)
        if not is_so:
            problems.append(what)

    try:
        with Watched(args.chromium, args.axe.read_text()).open() as browser:
            stages = {"plant": lambda: over_plant(args, work, browser, expect), "many": lambda: over_many(args, work, browser, expect)}
            for name, stage in stages.items():
                if args.only in (None, name):
                    stage()
            for problem in browser.problems:
                expect(False, problem)
            expect(not browser.problems, "no console error, no request to another host")
    except BaseException:
        print(f"lakes and logs stay in {work}")
        raise
    if problems:
        sys.exit(f"{len(problems)} problems; lakes and logs stay in {work}")
    shutil.rmtree(work)


def over_plant(args, work, browser, expect):
    plant = Plant(args.binary, args.brokers, work)
    try:
        plant.begin()
        begun = time.monotonic()
        plant.stream()
        watch.overview_moves(plant, browser, expect)
        watch.fault_shows_up(plant, browser, expect)
        if args.screenshots:
            pictures.take_moving(plant, browser, args.screenshots)
        plant.send([*POISON, *plant.late()])
        wait_for(lambda: plant.producer.poll() is not None, READ_MAX_S, "the stream to end")
        wait_for(lambda: settled(plant), READ_MAX_S, "the last events to be committed")
        print(f"the stream was read {time.monotonic() - begun:.0f} s after it began")
        watch.event_shows_up(plant, browser, expect)
        watch.rejects_and_late(plant, browser, expect)
        watch.ledger(plant, browser, expect)
        watch.times_and_themes(plant, browser, expect)
        watch.lost_and_found(plant, browser, expect)
        operate.promote_and_roll_back(plant, browser, expect)
        operate.by_keyboard(plant, browser, expect)
        operate.refusal(plant, browser, expect)
        access.keys(plant, browser, expect)
        views = view_names(plant)
        watch.phone(plant, browser, expect, views)
        reach.keyboard(plant, browser, expect, views)
        reach.axe(plant, browser, expect, views)
        if args.screenshots:
            pictures.take(plant, browser, views, args.screenshots)
        expect(plant.run.stop() == 0, "the run ends in order")
    finally:
        plant.end()
        plant.delete_topic()


def over_many(args, work, browser, expect):
    many = Many(args.binary, work)
    try:
        many.begin()
        many_sensors.listed(many, browser, expect)
        many_sensors.searched(many, browser, expect)
        many_sensors.scrolled(many, browser, expect)
        many_sensors.at_rest(many, browser, expect)
        many_sensors.reconnects(many, browser, expect)
    finally:
        many.end()


def settled(plant):
    overview = ask(f"{plant.url}/api/v1/overview")
    return overview["process"]["lag"] == 0 and overview["rejected"] >= len(POISON) and overview["late"] >= 3


def view_names(plant):
    """Each view, one sensor's among them: one that has anomalies."""
    key = ask(f"{plant.url}/api/v1/anomalies?limit=1")["rows"][0]["key"]
    sensor = "sensor?" + "&".join(f"key={part}" for part in key) + "&range=all"
    return ["overview", "sensors", sensor, "anomalies", "events", "lanes", "models", "rejects", "rejects?show=late"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target/debug/tidegauge"))
    parser.add_argument("--brokers", required=True, help="Kafka's bootstrap address")
    parser.add_argument("--axe", required=True, type=Path, help="axe.min.js of the package axe-core")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--only", choices=["plant", "many"], help="one part of it")
    parser.add_argument("--screenshots", type=Path, metavar="DIR", help="write the documentation's pictures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
