"""The processes of a soak on one Kafka: simulated sensors, a champion, and the run that is watched."""

import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

DEVICES, SENSORS = 40, 5
PARTITIONS = 4
# Three readings a window.
INTERVAL_S, WINDOW_MINUTES = 100, 5
COMMIT_EVERY_S = 2
# Days of this share stay: dates of the first third are deleted as soon as maintenance comes by, later
# ones become the files of their days. So both happen, and memory is compared where the same happens.
KEPT = 2 / 3
CHAMPION_DAYS = 3

QUERY = f"""SELECT "Device", "Sensor", count(*) AS n, avg("Value") AS mean, min("Value") AS low,
  max("Value") AS high
  FROM readings GROUP BY "Device", "Sensor", tumble("TS", INTERVAL '{WINDOW_MINUTES} minutes')"""


class Plant:
    """One topic, one lake, one process that scores and fits anew."""

    def __init__(self, args, work):
        self.args = args
        self.work = Path(work)
        self.lake = self.work / "lake"
        self.log = self.work / "run.log"
        self.config = self.work / "tidegauge.toml"
        self.topic = f"soak-{int(time.time())}-{os.getpid()}"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        seconds = args.minutes * 60
        self.event_seconds = int(args.weeks * 7 * 86400)
        self.speed = self.event_seconds / seconds
        self.kept_days = max(1, int(args.weeks * 7 * KEPT))
        now = datetime.now(timezone.utc)
        self.start = now - timedelta(seconds=self.event_seconds, hours=2)
        self.run = self.producer = None
        self.config.write_text(self._settings())

    def _settings(self):
        return f"""
[source]
brokers = "{self.args.brokers}"
topic = "{self.topic}"
group = "{self.topic}"
[event]
time = "TS"
key = [{{ name = "Device", type = "int64" }}, {{ name = "Sensor", type = "int64" }}]
values = ["Value"]
[window]
query = '''
{QUERY}'''
out_of_order = "60s"
[models]
features = ["state(mean)"]
[models.train]
rows_max = 500
[models.onset]
features = ["onset(mean)"]
rows = 300
fit_every = "1s"
[lake]
url = "{self.lake}"
commit_every = "{COMMIT_EVERY_S}s"
maintain_every = "1m"
compact_after = "1m"
keep_replaced = "1m"
keep_ledger = "5m"
keep_predictions = "{self.kept_days}d"
[http]
listen = "127.0.0.1:{self.port}"
"""

    def begin(self):
        """Trains the champion on days before, makes the topic, then lets events come."""
        before = self.work / "before.jsonl"
        early = self.start - timedelta(days=CHAMPION_DAYS)
        days = ["--seconds", str(CHAMPION_DAYS * 86400), "--speed", "0", "--out", str(before)]
        self._finish(*self._simulate(early), *days)
        print(self._finish("train", str(before), "-c", str(self.config)).splitlines()[-1])
        topic = ["--brokers", self.args.brokers, "--topic", self.topic, "--compression", "lz4"]
        made = ["--create", str(PARTITIONS), "--events", "0"]
        self._finish(*self._simulate(self.start), *topic, *made)
        out = self.log.open("wb")
        self.run = self._spawn("run", "-c", str(self.config), "--log-level", "info", out=out)
        wait_for(lambda: self.metrics() is not None, 60, "the run to answer")
        speed = ["--speed", str(self.speed), "--seconds", str(self.event_seconds)]
        faults = ["--faults", "0.01", "--truth", str(self.work / "truth.jsonl")]
        out = (self.work / "simulate.log").open("wb")
        events = [*self._simulate(self.start), *topic, *speed, *faults]
        self.producer = self._spawn(*events, out=out)

    def _simulate(self, start):
        words = ["simulate", "--devices", str(DEVICES), "--sensors", str(SENSORS)]
        words += ["--interval", f"{INTERVAL_S}s", "--jitter", "30s", "--shape", "gaussian"]
        return [*words, "--start", start.strftime("%Y-%m-%dT%H:%M:%SZ")]

    def _spawn(self, *words, out):
        command = [self.args.binary, *words]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def _finish(self, *words):
        command = [self.args.binary, *words]
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if ended.returncode != 0:
            raise RuntimeError(f"tidegauge {words[0]}: {ended.stdout}{ended.stderr}")
        return ended.stdout

    def sent(self):
        """How many events the producer says that it has sent; it must have ended."""
        return int(re.search(r"^(\d+) events in", (self.work / "simulate.log").read_text(), re.M)[1])

    def read(self):
        """How many messages the run says that it has read; it must have ended."""
        return int(re.search(r"^read (\d+) messages \(0 rejected, 0 late\)", self.log.read_text(), re.M)[1])

    def metrics(self):
        """The text of /metrics; None without an answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as page:
                return page.read().decode()
        except (OSError, urllib.error.URLError):
            return None

    def stop(self):
        """Ends the run in order."""
        self.run.send_signal(signal.SIGTERM)
        if self.run.wait(timeout=120) != 0:
            raise RuntimeError(f"the run ended with {self.run.returncode}: {self.log}")

    def verify(self):
        return self._finish("verify", str(self.lake)).strip()

    def delete_topic(self):
        """Brokers that keep records for ever would keep these."""
        tool = [str(ROOT / "deploy/kafka/kafka"), "tool", "org.apache.kafka.tools.TopicCommand"]
        tool += ["--bootstrap-server", self.args.brokers, "--delete", "--topic", self.topic]
        subprocess.run(tool, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self):
        """Nothing of it stays, however it went."""
        for process in (self.producer, self.run):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def wait_for(done, seconds, what):
    """Asks once a second until it is so."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds} s in vain for {what}")
        time.sleep(1)
