"""Prints template.yaml, assembled from the parts in infra/template, each of which holds all that there is of one subject.

python3 infra/assemble.py > infra/template.yaml        or `make expand`, which makes what is made of it as well
"""

import re
import sys
import textwrap
from pathlib import Path

FOLDER = Path(__file__).parent / "template"
HEAD = "head.yaml"
# In the order of the template, which is also that of the groups in CloudFormation's console. An anchor (&name) is in the first
# part that needs it.
PARTS = (
    "kafka.yaml",
    "mappings.yaml",
    "schema-registry.yaml",
    "destinations.yaml",
    "search.yaml",
    "documents.yaml",
    "formats.yaml",
    "topic-rules.yaml",
    "presets.yaml",
    "functions.yaml",
    "permissions.yaml",
    "replay.yaml",
    "provisioning.yaml",
    "security.yaml",
    "logs-and-alarms.yaml",
)
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-anatomy.html and, of SAM, Globals.
SECTIONS = ("Parameters", "Rules", "Mappings", "Conditions", "Globals", "Resources", "Outputs")
NOTICE = "# Made from the parts in infra/template by assemble.py. Change those, then `make expand`.\n\n"
SECTION = re.compile(r"^(?P<name>\w+):(?P<value>.*)\n(?P<body>(?:(?: .*)?\n)*)", re.MULTILINE)
NAME = re.compile(r"^  (?P<name>[\w:&{}]+):(?: |$)", re.MULTILINE)
LABEL = "Group"


class PartError(Exception):
    """A part can't become a part of the template."""


def assemble(parts: dict[str, str], head: str) -> str:
    """The template of these parts, which are texts by the names of their files."""
    sections: dict[str, list[str]] = {section: [] for section in SECTIONS}
    groups: list[str] = []
    defined: dict[tuple[str, str], str] = {}
    for file, text in parts.items():
        found = {section["name"]: section for section in SECTION.finditer(text)}
        for name, section in found.items():
            if name == LABEL:
                continue
            if name not in SECTIONS:
                raise PartError(f"{file}: {name} is no section of a part: {', '.join((LABEL, *SECTIONS))}")
            body = section["body"].strip("\n")
            for entry in NAME.findall(body):
                other = defined.setdefault((name, entry), file)
                if other != file:
                    raise PartError(f"{file}: {other} has {entry} in {name} too: give one of them another name")
            sections[name].append(f"  # {file}\n{body}\n")
        if "Parameters" in found:
            if LABEL not in found:
                raise PartError(f"{file}: its parameters need a group: put {LABEL}: with the group's name on top")
            groups.append(_group(found[LABEL]["value"].strip(), NAME.findall(found["Parameters"]["body"])))
    return (
        NOTICE
        + head.split("\n\n", 1)[1].rstrip("\n")
        + "\n  AWS::CloudFormation::Interface:\n    ParameterGroups:\n"
        + "".join(groups)
        + "".join(f"\n{name}:\n" + "\n".join(bodies) for name, bodies in sections.items() if bodies)
    )


def _group(label: str, parameters: list[str]) -> str:
    names = textwrap.fill(", ".join(parameters), width=130, initial_indent=" " * 12, subsequent_indent=" " * 12)
    return f'      - Label: {{default: "{label}"}}\n        Parameters:\n          [\n{names}\n          ]\n'


def read() -> dict[str, str]:
    """The parts of infra/template."""
    files = {file.name for file in FOLDER.glob("*.yaml")} - {HEAD}
    if files != set(PARTS):
        unknown = ", ".join(sorted(files ^ set(PARTS)))
        raise PartError(f"PARTS in assemble.py names other files than infra/template has: {unknown}")
    return {file: (FOLDER / file).read_text(encoding="utf-8") for file in PARTS}


def main() -> int:
    """Prints the template, or the reason why there is none."""
    try:
        text = assemble(read(), (FOLDER / HEAD).read_text(encoding="utf-8"))
    except PartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
