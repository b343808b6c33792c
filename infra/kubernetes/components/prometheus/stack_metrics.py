"""Metrics of the stack for Prometheus: Kafka lag, Logstash's queues, Elasticsearch, certificates.

The lag is that of the last stack-report, which is at most five minutes old in a healthy stack; `stack_report_age_seconds` says
how old. A source that does not respond has no samples, and `stack_source_up` is 0 for it.
"""

import calendar
import json
import os
import socket
import ssl
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = 9114
REPORT = {
    "size": 500,
    "sort": [{"@timestamp": {"order": "desc", "unmapped_type": "date"}}],
    "query": {"bool": {"filter": [{"range": {"@timestamp": {"gte": "now-1h"}}}]}},
}
# Name and help of each metric. All are gauges, but for the counters of Logstash's events.
HELP = {
    "stack_source_up": "Whether a source of these metrics responded.",
    "stack_report_age_seconds": "Age of the last report of the CronJob stack-report.",
    "stack_consumer_lag_records": "Records that a consumer group has not read, by partition.",
    "stack_dead_letters": "Documents in the dead-letter indices.",
    "stack_disk_used_percent": "How full the disk of an Elasticsearch node is.",
    "stack_elasticsearch_status": "State of the cluster: 0 green, 1 yellow, 2 red.",
    "stack_logstash_queue_bytes": "Size of the persistent queue of a pipeline.",
    "stack_logstash_queue_max_bytes": "Size at which Logstash stops reading.",
    "stack_logstash_dead_letter_queue_bytes": "Size of the dead letter queue of a pipeline.",
    "stack_logstash_dead_letters_dropped": "Events that a full dead letter queue did not take: they are lost.",
    "stack_logstash_events_out_total": "Events that a pipeline has written since its start.",
    "stack_certificate_expiry_timestamp_seconds": "When a certificate ends.",
}
Samples = list[tuple[str, dict[str, str], float]]


def collect(fetch, logstash_hosts, certificates: Path) -> Samples:
    """All samples. `fetch(url path, body)` asks Elasticsearch; `logstash_hosts()` are the addresses of Logstash's pods."""
    samples: Samples = []
    for source, read in (
        ("report", lambda: report(fetch("/stack-report-*/_search?ignore_unavailable=true", REPORT))),
        ("elasticsearch", lambda: elasticsearch(fetch("/_cluster/health", None))),
        ("logstash", lambda: [sample for host in logstash_hosts() for sample in logstash(host, logstash_stats(host))]),
        ("certificates", lambda: expiries(certificates)),
    ):
        try:
            samples += read()
            up = 1.0
        except (OSError, ValueError, KeyError) as error:
            print(f"{source}: {error}", flush=True)
            up = 0.0
        samples.append(("stack_source_up", {"source": source}, up))
    return samples


def report(response: dict) -> Samples:
    """The documents of the last run."""
    documents = [hit["_source"] for hit in response["hits"]["hits"]]
    if not documents:
        return []
    last = documents[0]["@timestamp"]
    # The report writes UTC.
    age = time.time() - calendar.timegm(time.strptime(last[:19], "%Y-%m-%dT%H:%M:%S"))
    samples: Samples = [("stack_report_age_seconds", {}, max(0.0, age))]
    for document in (each for each in documents if each["@timestamp"] == last):
        if document["kind"] == "lag":
            labels = {"group": document["group"], "topic": document["topic"], "partition": str(document["partition"])}
            samples.append(("stack_consumer_lag_records", labels, document["lag"]))
        elif document["kind"] == "dead_letters":
            samples.append(("stack_dead_letters", {}, document["total"]))
        elif document["kind"] == "disk":
            samples.append(("stack_disk_used_percent", {"node": document["node"]}, document["used_percent"]))
    return samples


def elasticsearch(health: dict) -> Samples:
    """The state of the cluster."""
    return [("stack_elasticsearch_status", {}, ("green", "yellow", "red").index(health["status"]))]


def logstash(host: str, stats: dict) -> Samples:
    """The queues of each pipeline of a pod."""
    samples: Samples = []
    for name, pipeline in stats["pipelines"].items():
        labels = {"pod": stats.get("name", host), "pipeline": name}
        queue, dead = pipeline.get("queue") or {}, pipeline.get("dead_letter_queue") or {}
        for metric, value in (
            ("stack_logstash_queue_bytes", queue.get("queue_size_in_bytes")),
            ("stack_logstash_queue_max_bytes", queue.get("max_queue_size_in_bytes")),
            ("stack_logstash_dead_letter_queue_bytes", dead.get("queue_size_in_bytes")),
            ("stack_logstash_dead_letters_dropped", dead.get("dropped_events")),
            ("stack_logstash_events_out_total", (pipeline.get("events") or {}).get("out")),
        ):
            if value is not None:
                samples.append((metric, labels, value))
    return samples


def expiries(folder: Path) -> Samples:
    """The end of each certificate, in FOLDER/NAME/tls.crt."""
    samples: Samples = []
    for path in sorted(folder.glob("*/tls.crt")):
        decoded = ssl._ssl._test_decode_cert(str(path))
        end = ssl.cert_time_to_seconds(decoded["notAfter"])
        samples.append(("stack_certificate_expiry_timestamp_seconds", {"name": path.parent.name}, end))
    return samples


def text(samples: Samples) -> str:
    """The text format of Prometheus: https://prometheus.io/docs/instrumenting/exposition_formats/."""
    lines = []
    for metric, words in HELP.items():
        mine = [(labels, value) for name, labels, value in samples if name == metric]
        if not mine:
            continue
        kind = "counter" if metric.endswith("_total") else "gauge"
        lines += [f"# HELP {metric} {words}", f"# TYPE {metric} {kind}"]
        for labels, value in mine:
            pairs = ",".join(f'{name}="{escaped(content)}"' for name, content in labels.items())
            lines.append(f"{metric}{{{pairs}}} {value:.15g}" if pairs else f"{metric} {value:.15g}")
    return "\n".join(lines) + "\n"


def escaped(content: str) -> str:
    """The value of a label."""
    return content.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def logstash_stats(host: str) -> dict:
    """The statistics of a pod."""
    with urllib.request.urlopen(f"http://{host}:9600/_node/stats/pipelines", timeout=5) as response:
        return json.load(response)


def addresses(name: str) -> list[str]:
    """The pods behind a headless Service."""
    return sorted({found[4][0] for found in socket.getaddrinfo(name, 9600, socket.AF_INET, socket.SOCK_STREAM)})


def main() -> None:
    """Serves /metrics. Each request collects anew."""
    from elasticsearch_setup import Elasticsearch

    environment = os.environ
    url, ca_file = environment["ELASTICSEARCH_URL"], environment.get("CA_FILE")
    cluster = Elasticsearch(url, f"ApiKey {environment['API_KEY']}", ca_file)

    def fetch(path: str, body: dict | None) -> dict:
        try:
            return cluster.call("POST" if body else "GET", path, body)
        except SystemExit as error:
            raise OSError(str(error)) from error

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/healthz":
                data = b"ok\n"
            else:
                hosts = environment.get("LOGSTASH_HOSTS", "logstash-headless")
                data = text(collect(fetch, lambda: addresses(hosts), Path("/certificates"))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    ThreadingHTTPServer(("0.0.0.0", PORT), Handler).serve_forever()


if __name__ == "__main__":
    main()
