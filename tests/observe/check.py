#!/usr/bin/env python3
"""Do the dashboards and alert rules of deploy/ ask for what is there?

A stream with everything that panels show (faults, rejects, late readings, champion, challenger, onset view, drift,
trainings) runs beside a Prometheus with the stack's own rules. Each metric and label of dashboards and rules must be
in a live scrape or in the lake's series, and each panel's query, filled in as Grafana does it, must give numbers.

    check.py --binary target/debug/tidegauge --brokers 127.0.0.1:19092
"""

import argparse
import base64
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from plant import DEPLOY, PATIENCE_S, ROOT, Failed, Plant, fetch, iso, options, wait_for

# Panels are shown for so long.
RANGE_S, STEP_S = 300, 5
# As Grafana: four scrapes at least; here also long enough for what comes every few seconds.
RATE_S = 30

SETTINGS = {
    "models": """
[models]
features = ["mean", "low", "high"]
[models.train]
every = "every minute"
delay = "1s"
[models.challenger]
alias = "candidate"
[models.onset]
features = ["mean"]
rows = 20
fit_every = "1s"
[models.drift]
every = "3s"
[events]
open = 1
of = 1
close = 2
""",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options(parser)
    args = parser.parse_args()
    work = tempfile.mkdtemp(prefix="tidegauge-observe-", dir=args.work)
    for problem in rules_alone(args):
        sys.exit(problem)
    receiver = receive()
    secret = Path(work) / "secret"
    secret.write_text("whsec_" + base64.b64encode(b"no secret at all").decode())
    alerts = f"""
[[alerts]]
name = "pager"
kind = "webhook"
url = "http://127.0.0.1:{receiver.server_port}/"
secret_file = "{secret}"
"""
    plant = Plant(args, Path(work) / "dashboards", {**SETTINGS, "end": alerts})
    try:
        begin(plant)
        problems = judge(plant)
    except BaseException:
        print(f"lake and logs stay in {work}")
        raise
    finally:
        plant.end()
    if problems:
        print("\n".join(problems))
        sys.exit(f"{len(problems)} problems; lake and logs stay in {work}")
    shutil.rmtree(work)


def receive():
    """Somebody who is told of anomaly events, and takes what comes."""
    class Takes(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Takes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def rules_alone(args):
    """What promtool says, and alerts without a page."""
    folder = DEPLOY / "prometheus"
    for words in (["check", "rules", folder / "alerts.yml"], ["test", "rules", folder / "alerts_test.yml"]):
        ended = subprocess.run([args.promtool, *map(str, words)], capture_output=True, text=True)
        if ended.returncode != 0:
            yield f"promtool {words[0]} rules: {ended.stdout}{ended.stderr}"
    text = (folder / "alerts.yml").read_text()
    pages = re.findall(r"runbook_url: .*/([a-z-]+\.md)", text)
    alerts = re.findall(r"alert: (\w+)", text)
    if len(pages) != len(alerts):
        yield "not every alert has a runbook_url"
    for page in pages:
        if not (ROOT / "docs/runbooks" / page).exists():
            yield f"docs/runbooks/{page} is missing"


def begin(plant):
    """Starts everything, and makes trouble of each kind that a panel shows."""
    plant.make_topic()
    plant.train("--set", "models.train.false_alarm_rate=0.02")
    plant.train("--alias", "candidate", "--set", "models.train.false_alarm_rate=0.1")
    plant.run()
    wait_for(plant.metrics, "the run to answer")
    plant.start_prometheus()
    simulator = plant.simulate("--seconds", 900, "--faults", 8, "--faults-after", "5s")
    wait_for(lambda: plant.total("tidegauge_score_rows_total", status="ok") > 50 or simulator.poll(), "scored windows")
    if simulator.poll():
        raise Failed(f"the simulator has ended: {plant.said('simulate')}")
    # Late, of the future, unreadable.
    plant.ok("simulate", *plant.topic_words(), "--start", iso(-200), "--seconds", 5, "--speed", 0)
    plant.ok("simulate", *plant.topic_words(), "--start", iso(200_000), "--seconds", 5, "--speed", 0)
    plant.write_lines(["this is no event", "{}", '{"TS": 1}'])
    for name in ("tidegauge_aggregate_late_total", "tidegauge_ingest_rejects_total",
                 "tidegauge_score_anomalies_total", "tidegauge_score_challenger_rows_total",
                 "tidegauge_score_drift_check_time_seconds", "tidegauge_alerts_sent_total"):
        wait_for(lambda name=name: plant.total(name) > 0, f"{name} to count")


def judge(plant):
    """Asks every panel until all have data or the time is over; what is wrong."""
    dashboards = [json.loads(path.read_text()) for path in sorted((DEPLOY / "grafana/dashboards").glob("*.json"))]
    problems = [f"{d['uid']}: {what}" for d in dashboards for what in shape(d)]
    queries = [query for dashboard in dashboards for query in targets(plant, dashboard)]
    if len(dashboards) != 3 or len(queries) < 60:
        problems.append(f"{len(dashboards)} dashboards with {len(queries)} queries: too few to mean anything")
    problems += unknown(plant, queries)
    waiting, why, end = queries, {}, time.monotonic() + PATIENCE_S
    while waiting and time.monotonic() < end:
        left = []
        for query in waiting:
            why[query["place"]] = ask(plant, query)
            if why[query["place"]]:
                left.append(query)
        waiting = left
        if waiting:
            time.sleep(2)
    problems += [f"{q['place']}: {why[q['place']]}: {q['expr']}" for q in waiting]
    plant.alerts()
    for query, data in (("1+1", "scalar"), ("vector(1)", None)):
        answer = json.loads(fetch(f"{plant.address}/prometheus/api/v1/query?query={query.replace('+', '%2B')}", True))
        if (answer.get("data") or {}).get("resultType") != data:
            problems.append(f"the lake's endpoint says to {query}: {answer}")
    print(f"{len(queries)} queries of {len(dashboards)} dashboards, {len(waiting)} without data")
    return problems


def shape(dashboard):
    """What Grafana would not show, or show wrongly."""
    if dashboard["schemaVersion"] < 41:
        yield f"schemaVersion is {dashboard['schemaVersion']}"
    seen = set()
    for panel in dashboard["panels"]:
        if panel["id"] in seen:
            yield f"two panels have the id {panel['id']}"
        seen.add(panel["id"])
        if panel["type"] in ("graph", "singlestat", "table-old", "grafana-piechart-panel"):
            yield f"{panel['title']} is a panel of old"
        if panel["type"] != "row" and not panel.get("description"):
            yield f"{panel['title']} has no description"
    cells = {}
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        for x in range(grid["x"], grid["x"] + grid["w"]):
            for y in range(grid["y"], grid["y"] + grid["h"]):
                other = cells.setdefault((x, y), panel["title"])
                if other != panel["title"]:
                    yield f"{panel['title']} lies on {other}"
                    return
        if grid["x"] + grid["w"] > 24:
            yield f"{panel['title']} is too wide"


def targets(plant, dashboard):
    """The queries of a dashboard's panels, filled in."""
    values = {"__rate_interval": f"{RATE_S}s", "__range": f"{RANGE_S}s", "__interval": f"{STEP_S}s"}
    for variable in dashboard["templating"]["list"]:
        values[variable["name"]] = value(plant, variable, values)
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            source = target["datasource"]["uid"]
            if source not in ("prometheus", "tidegauge-lake"):
                raise Failed(f"{panel['title']} asks the unknown source {source}")
            place = f"{dashboard['uid']} / {panel['title']} / {target['refId']}"
            labels = re.findall(r"{{\s*(\w+)\s*}}", target.get("legendFormat", ""))
            yield {"place": place, "source": source, "expr": filled(target["expr"], values),
                   "instant": target.get("instant", False), "legend": labels}


def value(plant, variable, values):
    """What Grafana would put in for a variable."""
    if variable["type"] == "constant":
        return variable["query"]
    if variable.get("includeAll"):
        return variable["allValue"]
    text = filled(variable["query"]["query"], values)
    selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", text).groups()
    path, span = f"label/{label}/values", {"start": time.time() - RANGE_S, "end": time.time()}
    found = plant.ask(base(plant, variable["datasource"]["uid"]), path, **{"match[]": selector}, **span)
    if not found:
        raise Failed(f"the variable {variable['name']} has no values")
    return found[0]


def filled(expr, values):
    def put(found):
        name = found[1] or found[2]
        if name not in values:
            raise Failed(f"nothing fills in {name} in {expr}")
        return values[name]
    return re.sub(r"\$(?:{(\w+)}|(\w+))", put, expr)


def base(plant, source):
    return plant.prometheus if source == "prometheus" else f"{plant.address}/prometheus"


def ask(plant, query):
    """Why a query gives no numbers; nothing when it does."""
    now = time.time()
    path, times = "query_range", {"start": now - RANGE_S, "end": now, "step": STEP_S}
    if query["instant"]:
        path, times = "query", {"time": now}
    try:
        result = plant.ask(base(plant, query["source"]), path, query=query["expr"], **times)["result"]
    except Failed as error:
        return str(error)
    samples = [s for line in result for s in line.get("values", [line.get("value")])]
    if not any(math.isfinite(float(number)) for _, number in samples):
        return "no data" if not samples else "nothing but NaN"
    lacking = [label for label in query["legend"] if not all(label in line["metric"] for line in result)]
    return f"its legend names {lacking}, which the series have not" if lacking else None


def unknown(plant, queries):
    """Metrics and labels of queries and rules that neither a scrape nor the lake has."""
    scrape = {}
    for name, labels in re.findall(r"^(\w+)(?:{(.*)})? ", plant.metrics(), re.M):
        scrape.setdefault(name, {"job", "instance"}).update(re.findall(r'(\w+)="', labels))
    scrape["up"] = {"job", "instance"}
    lake = {name: set(plant.ask(f"{plant.address}/prometheus", "labels", **{"match[]": name}))
            for name in plant.ask(f"{plant.address}/prometheus", "label/__name__/values")}
    rules = re.findall(r"expr: (?:>-\n((?: {10}.*\n)+)|(.*)\n)", (DEPLOY / "prometheus/alerts.yml").read_text())
    texts = [(q["place"], q["expr"], lake if q["source"] == "tidegauge-lake" else scrape) for q in queries]
    texts += [("alerts.yml", folded or plain, scrape) for folded, plain in rules]
    if len(rules) < 15:
        yield f"only {len(rules)} expressions were found in alerts.yml"
    for place, text, known in texts:
        names = set(re.findall(r"\b(?:tidegauge|process)_\w+|\bup\b", text))
        if not names:
            yield f"{place} names no metric: {text}"
        for name in names - set(known):
            yield f"{place}: {name} is not there"
        labels = set().union(*(known.get(name, set()) for name in names))
        asked = set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', text))
        for group in re.findall(r"\b(?:by|on)\s*\(([\w, ]*)\)", text):
            asked |= set(re.findall(r"\w+", group))
        for label in asked - labels:
            yield f"{place}: no series of {sorted(names)} has the label {label}"


if __name__ == "__main__":
    main()
