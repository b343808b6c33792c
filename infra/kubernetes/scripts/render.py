"""Writes the copies of infra/elk's files that the manifests contain: render.py [--check]

kustomize cannot read files outside the folder it builds, so the files of infra/elk are copied. `--check` changes
nothing and fails if a copy differs from its source.
"""

import re
import sys
import textwrap
from pathlib import Path

KUBERNETES = Path(__file__).resolve().parent.parent
INFRA = KUBERNETES.parent
LOGSTASH = INFRA / "elk" / "logstash"
PIPELINES = ("logstash.conf", "dead-letters.conf")


def main() -> int:
    """Writes the files, or compares them with `--check`."""
    if sys.argv[1:] not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    differ = []
    for path, text in rendered().items():
        if path.exists() and path.read_text() == text:
            continue
        if sys.argv[1:]:
            differ.append(path.relative_to(INFRA.parent))
        else:
            path.write_text(text)
            print(f"wrote {path.relative_to(INFRA.parent)}")
    for path in differ:
        print(f"{path} differs from its source: run python3 infra/kubernetes/scripts/render.py", file=sys.stderr)
    return 1 if differ else 0


def rendered() -> dict[Path, str]:
    """Every file that this script generates, with its text."""
    pipelines = {name: (LOGSTASH / "pipeline" / name).read_text() for name in PIPELINES}
    settings = {
        KUBERNETES / "elk" / "logstash" / path.name: heading("infra/elk/logstash") + path.read_text()
        for path in sorted((LOGSTASH / "config").glob("*.yml"))
    }
    return {
        **settings,
        KUBERNETES / "elk" / "logstash-configmap.yaml": heading("infra/elk/logstash")
        + config_map("logstash-pipeline", "logstash-config", pipelines),
        KUBERNETES / "overlays" / "production" / "logstash-pipeline.yaml": heading("infra/elk/logstash")
        + config_map("logstash-pipeline", "logstash-config", {name: for_production(text) for name, text in pipelines.items()}),
    }


def for_production(text: str) -> str:
    """The pipeline without the lines for dev and with the lines for production."""
    lines = [line for line in text.splitlines() if not line.endswith("#[dev]")]
    return "\n".join(re.sub(r"^(\s*)#\[production\] ", r"\1", line) for line in lines) + "\n"


def heading(source: str) -> str:
    """The comment that names the source of a generated file."""
    return f"# Generated from {source} by scripts/render.py: change the source and run the script.\n"


def config_map(name: str, step: str, files: dict[str, str]) -> str:
    """A ConfigMap that holds whole files."""
    data = "".join(f"  {file}: |\n{textwrap.indent(text, '    ')}" for file, text in files.items())
    return (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  labels:\n    kafka-to-search/step: {step}\n"
        f"data:\n{data}"
    )


if __name__ == "__main__":
    sys.exit(main())
