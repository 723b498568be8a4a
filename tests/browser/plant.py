"""What the page is looked at over: a stream with faults on a real Kafka, and a lake of very many sensors."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

DEVICES, SENSORS, PARTITIONS = 4, 5, 2
# Of event time: what models are trained on, and what streams in; the latter begins without faults.
TRAINED_S, STREAMED_S, NORMAL_S = 3_600, 3_600, 600
# So an hour streams in within a minute and a half.
SPEED = 40
# What nobody can read, what could act if it were shown as HTML, and what hides.
POISON = ["not json at all", '<script>window.acted = 1</script><img src=x onerror="window.acted = 1">',
          '{"TS":"2026-01-01T00:00:00Z","Device":"four","Sensor":1,"Value":1}', "\u202eabc\u200b\x07 {"]

QUERY = """SELECT "Device", "Sensor", count(*) AS n, avg("Value") AS mean, stddev("Value") AS stddev,
  min("Value") AS low, max("Value") AS high
  FROM readings GROUP BY "Device", "Sensor", tumble("TS", INTERVAL '5 seconds')"""


class Process:
    """A tidegauge that answers HTTP."""

    def __init__(self, binary, words, log, folder=None):
        self.log = Path(log)
        self.process = subprocess.Popen([binary, *words], stdin=subprocess.DEVNULL,
                                        stdout=self.log.open("wb"), stderr=subprocess.STDOUT, cwd=folder)

    def wait_ready(self, port, seconds=60):
        url = f"http://127.0.0.1:{port}/health/live"
        wait_for(lambda: self._lives() and answers(url), seconds, f"{url} to answer; {self.log}")

    def _lives(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"tidegauge ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")
        return True

    def stop(self):
        """Ends it in order; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def end(self):
        """Nothing of it stays, however it went."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Plant:
    """Twenty sensors on a topic, two sets of models, and the run that scores them."""

    def __init__(self, binary, brokers, work):
        self.binary, self.brokers, self.work = binary, brokers, Path(work)
        # Short: it is in the pictures.
        self.topic = f"sensors-{os.getpid()}"
        self.events = f"{self.topic}-events"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lake = self.work / "lake"
        # Names are as seen from the folder of the work.
        self.config = self.work / "tidegauge.toml"
        self.truth = self.work / "truth.jsonl"
        self.start = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(seconds=STREAMED_S)
        self.run = self.producer = None
        self.config.write_text(self._settings())

    def _settings(self):
        return f"""
[source]
brokers = "{self.brokers}"
topic = "{self.topic}"
group = "{self.topic}"
[event]
time = "TS"
key = [{{ name = "Device", type = "int64" }}, {{ name = "Sensor", type = "int64" }}]
values = ["Value"]
[window]
query = '''
{QUERY}'''
out_of_order = "5s"
late = "keep"
[models]
features = ["mean", "stddev", "low", "high"]
[models.train]
kind = "gaussian"
[events]
[[alerts]]
name = "events"
kind = "kafka"
topic = "{self.events}"
[lake]
url = "lake"
commit_every = "2s"
[http]
listen = "127.0.0.1:{self.port}"
"""

    def begin(self):
        """Trains two sets on the hour before, makes the topic, starts the run."""
        before = self.work / "before.jsonl"
        self.finish(*self._simulate(self.start - timedelta(seconds=TRAINED_S)),
                    "--seconds", str(TRAINED_S), "--speed", "0", "--out", str(before))
        for _ in range(2):
            self.finish("train", str(before), "-c", str(self.config))
        topic = ["--brokers", self.brokers, "--topic", self.topic]
        self.finish(*self._simulate(self.start), *topic, "--create", str(PARTITIONS), "--events", "0")
        made = ["--brokers", self.brokers, "--topic", self.events, "--create", "1", "--events", "0"]
        self.finish(*self._simulate(self.start), *made)
        self.run = Process(self.binary, ["run", "-c", str(self.config), "--log-level", "info"], self.work / "run.log", self.work)
        self.run.wait_ready(self.port)

    def stream(self):
        """Lets the hour come."""
        words = [*self._simulate(self.start), "--brokers", self.brokers, "--topic", self.topic]
        words += ["--seconds", str(STREAMED_S), "--speed", str(SPEED)]
        words += ["--faults", "6", "--faults-after", f"{NORMAL_S}s", "--truth", str(self.truth)]
        self.producer = subprocess.Popen([self.binary, *words], stdin=subprocess.DEVNULL,
                                         stdout=(self.work / "simulate.log").open("wb"), stderr=subprocess.STDOUT)

    def faults(self):
        """What was injected: sensor's key, kind, and when, in microseconds."""
        lines = [json.loads(line) for line in self.truth.read_text().splitlines()]
        return [((str(line["device"]), str(line["sensor"])), line["kind"], us(line["from"]), us(line["to"])) for line in lines]

    def send(self, messages):
        """Publishes these as they are."""
        tool = [str(ROOT / "deploy/kafka/kafka"), "tool", "org.apache.kafka.tools.ConsoleProducer"]
        tool += ["--bootstrap-server", self.brokers, "--topic", self.topic]
        subprocess.run(tool, input="".join(f"{message}\n" for message in messages).encode(), check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def late(self):
        """Readings of sensors that are there, from before all windows that are open."""
        stamp = self.start.strftime("%Y-%m-%dT%H:%M:%SZ")
        return [json.dumps({"TS": stamp, "Device": 1, "Sensor": sensor, "Value": 1.5}) for sensor in (1, 2, 3)]

    def _simulate(self, start):
        words = ["simulate", "--devices", str(DEVICES), "--sensors", str(SENSORS), "--shape", "gaussian", "--seed", "7"]
        return [*words, "--start", start.strftime("%Y-%m-%dT%H:%M:%SZ")]

    def told(self):
        """Messages of events that are in their topic."""
        tool = [str(ROOT / "deploy/kafka/kafka"), "tool", "org.apache.kafka.tools.consumer.ConsoleConsumer"]
        tool += ["--bootstrap-server", self.brokers, "--topic", self.events, "--from-beginning", "--timeout-ms", "8000"]
        told = subprocess.run(tool, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120)
        return [json.loads(line) for line in told.stdout.decode().splitlines() if line.startswith("{")]

    def finish(self, *words):
        return finish(self.binary, *words, folder=self.work)

    def delete_topic(self):
        """Brokers that keep records for ever would keep these."""
        tool = [str(ROOT / "deploy/kafka/kafka"), "tool", "org.apache.kafka.tools.TopicCommand"]
        tool += ["--bootstrap-server", self.brokers, "--delete", "--topic", f"{self.topic}|{self.events}"]
        subprocess.run(tool, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self):
        if self.producer is not None and self.producer.poll() is None:
            self.producer.kill()
            self.producer.wait()
        if self.run is not None:
            self.run.end()


class Many:
    """A lake of 100,000 sensors at rest: simulated, scored by limits, and served."""

    DEVICES, SENSORS = 20_000, 5

    def __init__(self, binary, work):
        self.binary, self.work = binary, Path(work)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = None

    def begin(self):
        config, readings, lake = self.work / "many.toml", self.work / "many.jsonl", self.work / "many"
        config.write_text(f"""
[source]
kind = "files"
paths = ["{readings}"]
[event]
time = "TS"
key = [{{ name = "Device", type = "int64" }}, {{ name = "Sensor", type = "int64" }}]
values = ["Value"]
[window]
query = '''
SELECT "Device", "Sensor", avg("Value") AS mean
  FROM readings GROUP BY "Device", "Sensor", tumble("TS", INTERVAL '1 minute')'''
[models]
features = ["mean"]
[[models.fallback.limits]]
feature = "mean"
min = 5
max = 95
[lake]
url = "{self.work / 'unused'}"
[http]
listen = "127.0.0.1:{self.port}"
""")
        finish(self.binary, "simulate", "--devices", str(self.DEVICES), "--sensors", str(self.SENSORS), "--interval", "60s",
               "--start", "2026-01-01T00:00:00Z", "--seconds", "240", "--speed", "0", "--out", str(readings))
        finish(self.binary, "score", str(readings), "-c", str(config), "-o", str(lake))
        readings.unlink()
        self.serve()

    def serve(self):
        words = ["serve", str(self.work / "many"), "--listen", f"127.0.0.1:{self.port}"]
        self.server = Process(self.binary, words, self.work / "many.log")
        self.server.wait_ready(self.port)

    def stop(self):
        self.server.stop()

    def end(self):
        if self.server is not None:
            self.server.end()


def finish(binary, *words, folder=None):
    ended = subprocess.run([binary, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=folder)
    if ended.returncode != 0:
        raise RuntimeError(f"tidegauge {words[0]}: {ended.stdout}{ended.stderr}")
    return ended.stdout


def us(text):
    """Microseconds of a time such as 2026-01-01T00:00:00.5Z."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 1_000_000 + int(fraction.ljust(6, "0")[:6] or 0)


def ask(url, key=None):
    """The answer to a GET, as JSON."""
    request = urllib.request.Request(url)
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, urllib.error.URLError):
        return False


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(done, seconds, what):
    """Asks a few times a second until it is so; what it was."""
    end = time.monotonic() + seconds
    while True:
        got = done()
        if got:
            return got
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.2)
