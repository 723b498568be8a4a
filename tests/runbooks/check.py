#!/usr/bin/env python3
"""Do the runbooks help? Each situation is produced on purpose, its alert fires in a Prometheus that has the stack's own
rules, the page's steps are done, and the alert goes. Times of the rules are a twentieth, so that it is over in minutes.

    check.py --binary target/debug/tidegauge --brokers 127.0.0.1:19092 [--only lag-grows]
"""

import argparse
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "observe"))
from plant import DEPLOY, ROOT, Failed, Plant, free_port, iso, options, wait_for  # noqa: E402

SCALE = 20
# Scenarios at a time.
AT_ONCE = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options(parser)
    parser.add_argument("--only", choices=sorted(SCENARIOS), action="append")
    args = parser.parse_args()
    work = tempfile.mkdtemp(prefix="tidegauge-runbooks-", dir=args.work)
    names = args.only or list(SCENARIOS)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        said = list(threads.map(lambda name: play(args, Path(work) / name, name), names))
    failed = [text for text in said if text]
    if failed:
        print("\n\n".join(failed))
        sys.exit(f"{len(failed)} of {len(names)} runbooks did not help; lakes and logs stay in {work}")
    shutil.rmtree(work)


def play(args, work, name):
    """Why a runbook did not help; nothing when it did."""
    text = (ROOT / "docs/runbooks" / f"{name}.md").read_text()
    story = Story(args, work, text)
    try:
        SCENARIOS[name](story)
        print(f"ok: {name}", flush=True)
        return None
    except (Failed, OSError, subprocess.SubprocessError, AssertionError) as error:
        log = story.plant.said()[-3000:] if (work / "run.log").exists() else ""
        return f"NOT: {name}: {type(error).__name__}: {error}\n{log}"
    finally:
        story.end()


class Story:
    """One situation, with its page."""

    def __init__(self, args, work, page):
        self.args, self.work, self.page = args, work, page
        self.plant, self.others = None, []
        self.mounted = None

    def begin(self, settings=None, lake=None, models=False):
        self.plant = Plant(self.args, self.work, settings, lake)
        self.plant.make_topic()
        if models:
            self.plant.train()
        self.process = self.plant.run()
        wait_for(self.plant.metrics, "the run to answer")
        self.plant.start_prometheus(SCALE)
        return self.plant

    def says(self, text):
        """The page must have this step, or the test does what nobody is told to do."""
        if text not in self.page:
            raise Failed(f"the page does not say {text!r}")

    def again(self, *more):
        """Stops the run in order and starts it again."""
        code = self.plant.stop(self.process)
        if code != 0:
            raise Failed(f"the run ended with {code}")
        self.process = self.plant.spawn("run", "-c", self.plant.config, "--log-level", "info", *more, name="run")

    def rows(self, sql):
        printed = self.plant.ok("query", "-c", self.plant.config, "--format", "json", sql)
        return [json.loads(line) for line in printed.splitlines()]

    def end(self):
        if self.plant:
            self.plant.end()
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.mounted)], check=False)


def rejects(story):
    plant = story.begin(models=True)
    plant.simulate()
    wait_for(lambda: plant.alerts()["TidegaugeRejects"] == "inactive", "a quiet start")
    # What grows is seen from a scrape of before it grew: of each of the two lanes, in its place for good.
    seen = "count(count_over_time(tidegauge_ingest_rejects_total{reason='malformed'}[4s]) > 2)"
    wait_for(lambda: [row["value"][1] for row in plant.ask(plant.prometheus, "query", query=seen)["result"]] == ["2"],
             "scrapes of both lanes")
    plant.write_lines(["this is no event"] * 20)
    plant.wait_alert("TidegaugeRejects", "firing")
    story.says("SELECT reason, field, count(*) FROM rejects GROUP BY reason, field")
    found = story.rows("SELECT reason, field, count(*) AS n FROM rejects GROUP BY reason, field")
    assert [row["reason"] for row in found] == ["malformed"] and found[0]["n"] == 20, found
    story.says("CAST(payload AS VARCHAR)")
    shown = story.rows('SELECT "offset", CAST(payload AS VARCHAR) AS payload FROM rejects ORDER BY "offset" DESC LIMIT 5')
    assert shown[0]["payload"] == "this is no event", shown
    # The producer of it has stopped.
    plant.wait_alert("TidegaugeRejects", "inactive")


def late_readings(story):
    plant = story.begin(models=True)
    plant.simulate()
    wait_for(lambda: plant.total("tidegauge_score_rows_total") > 5, "windows")
    # A gateway that is twelve seconds behind.
    plant.simulate("--start", iso(-12), name="behind")
    plant.wait_alert("TidegaugeLateReadings", "firing")
    found = story.rows('SELECT "Device", "Sensor", count(*) AS n, min("TS") AS a, max("TS") AS b FROM late '
                       'GROUP BY "Device", "Sensor" ORDER BY 3 DESC LIMIT 20')
    assert found and found[0]["n"] > 0, found
    story.says("--set window.out_of_order=30s")
    story.again("--set", "window.out_of_order=30s")
    plant.wait_alert("TidegaugeLateReadings", "inactive")
    assert plant.total("tidegauge_aggregate_rows_total") >= 0


def models_missing(story):
    plant = story.begin()
    plant.simulate()
    plant.wait_alert("TidegaugeModelsMissing", "firing")
    story.says("tidegauge models missing -c FILE")
    named = plant.ok("models", "missing", "-c", plant.config)
    assert "1/1" in named or "| 1 " in named, named
    wait_for(lambda: story.rows("SELECT count(*) AS n FROM predictions")[0]["n"] > 6 * 40, "windows to train on")
    story.says("tidegauge train -c FILE --last 7d")
    plant.ok("train", "-c", plant.config, "--last", "7d")
    plant.wait_alert("TidegaugeModelsMissing", "inactive")
    wait_for(lambda: plant.total("tidegauge_score_rows_total", status="ok") > 0, "rows that are judged")


def lanes_waiting(story):
    plant = story.begin(models=True)
    plant.simulate()
    wait_for(lambda: plant.total("tidegauge_sink_commits_total") > 3, "commits")
    config = plant.configure({}, group=f"{plant.topic}-other", port=free_port(), name="other.toml")
    other = plant.run(config, name="other")
    plant.wait_alert("TidegaugeLanesWaiting", "firing")
    story.says("SELECT lane, epoch, kind, writer, committed_at FROM commits ORDER BY committed_at DESC LIMIT 20")
    found = story.rows("SELECT lane, epoch, kind, writer, committed_at FROM commits ORDER BY committed_at DESC LIMIT 20")
    assert len({row["writer"] for row in found}) > 1, found
    assert any(row["kind"] == "open" for row in found), found
    plant.stop(other)
    plant.wait_alert("TidegaugeLanesWaiting", "inactive")
    before = plant.total("tidegauge_sink_commits_total")
    wait_for(lambda: plant.total("tidegauge_sink_commits_total") > before, "commits to go on")
    code = plant.stop(story.process)
    assert code == 0 and "proven" in plant.ok("verify", plant.lake), "the lake is whole"


def disk_nearly_full(story):
    disk = story.work / "disk"
    disk.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(disk)], check=False,
                             stderr=subprocess.DEVNULL)
    if mounted.returncode != 0:
        if os.environ.get("CI"):
            raise Failed("this user may not mount a file system; in CI nothing may be skipped")
        print("skipped: disk-nearly-full: this user may not mount a file system")
        return
    story.mounted = disk
    plant = story.begin(lake=disk / "lake", models=True)
    plant.simulate()
    wait_for(lambda: plant.total("tidegauge_sink_commits_total") > 3, "commits")
    assert plant.alerts()["TidegaugeDiskNearlyFull"] == "inactive", "half of the disk is free"
    filler = disk / "somebody-elses"
    with filler.open("wb") as file:
        file.write(bytes(30 << 20))
    plant.wait_alert("TidegaugeDiskNearlyFull", "firing")
    # Nobody looked: now it is full.
    with filler.open("ab", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
    code = story.process.wait(timeout=120)
    assert code == 1 and "No space left on device" in plant.said(), (code, plant.said()[-1000:])
    story.says("delete what is not tidegauge's")
    filler.unlink()
    story.says("If the process has ended, start it")
    story.process = plant.run()
    plant.wait_alert("TidegaugeDiskNearlyFull", "inactive")
    wait_for(lambda: plant.total("tidegauge_sink_commits_total") > 3, "commits to go on")
    assert plant.stop(story.process) == 0 and "proven" in plant.ok("verify", plant.lake), "the lake is whole"


def lag_grows(story):
    client = f"slow-{os.getpid()}"
    plant = story.begin({"end": f'[source.kafka]\n"client.id" = "{client}"\n'}, models=True)
    plant.simulate(interval="15ms")
    wait_for(lambda: plant.total("tidegauge_ingest_messages_total") > 500, "messages")

    def quota(*words):
        tool = [str(DEPLOY / "kafka/kafka"), "tool", "kafka.admin.ConfigCommand", "--bootstrap-server",
                story.args.brokers, "--alter", "--entity-type", "clients", "--entity-name", client, *words]
        ended = subprocess.run(tool, capture_output=True, text=True, timeout=120)
        if ended.returncode != 0:
            raise Failed(f"{words}: {ended.stdout}{ended.stderr}")

    quota("--add-config", "consumer_byte_rate=3000")
    try:
        plant.wait_alert("TidegaugeLagGrows", "firing")
    finally:
        story.says("--delete-config consumer_byte_rate")
        quota("--delete-config", "consumer_byte_rate")
    plant.wait_alert("TidegaugeLagGrows", "inactive")
    wait_for(lambda: plant.total("tidegauge_ingest_lag_messages") < 2000, "the lag to be worked off")


SCENARIOS = {
    "lag-grows": lag_grows,
    "models-missing": models_missing,
    "late-readings": late_readings,
    "lanes-waiting": lanes_waiting,
    "disk-nearly-full": disk_nearly_full,
    "rejects": rejects,
}

if __name__ == "__main__":
    main()
