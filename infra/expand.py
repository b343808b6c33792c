"""Prints template.yaml with its Fn::ForEach blocks expanded, for SAM CLIs before 1.160 and for LocalStack, which takes no &{Topic}.

    python3 infra/expand.py > infra/expanded.yaml         for the topics that template.yaml names by default
    python3 infra/expand.py orders,payments > mine.yaml   for others; keep it in infra/, because it names the code's folder
    python3 infra/expand.py --packaged > infra/packaged.yaml       with Fn::ForEach, and the zips of `make package` as code
    python3 infra/expand.py orders,payments --packaged arm64 > …   both: expanded, with the zips of one architecture

CloudFormation's own expansion is described in
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-foreach.html
"""

import argparse
import re
import sys
from pathlib import Path

TEMPLATE = Path(__file__).parent / "template.yaml"
# A block is a name, the loop's variable, the list, and a body that is indented by four more spaces.
BLOCK = re.compile(
    r"^(?P<indent> *)Fn::ForEach::\w+:\n *- (?P<variable>\w+)\n *- !Ref Topics\n"
    r"(?P<body>(?P=indent)  - .*\n(?:(?P=indent)    .*\n|\n)+)",
    re.MULTILINE,
)
PARAMETER = re.compile(r"^  Topics:\n(?:    .*\n)+", re.MULTILINE)
DEFAULT = re.compile(r"^  Topics:\n(?:    .*\n)*?    Default: (.+)\n", re.MULTILINE)
TRANSFORM = re.compile(r"^  - AWS::LanguageExtensions.*\n", re.MULTILINE)
FUNCTION = re.compile(
    r"^    Metadata:\n      BuildMethod: rust-cargolambda\n      BuildProperties: \{Binary: (?P<program>[\w-]+)\}\n    Properties:\n",
    re.MULTILINE,
)
CODE = "    CodeUri: ..\n"
RULES = "      ContentUri: pipeline-layer\n"
ARCHITECTURE = re.compile(r"^  Architecture:\n(?:    .*\n)+", re.MULTILINE)
ARCHITECTURES = ("x86_64", "arm64")
NOTICE = "# Made from template.yaml by expand.py, for SAM CLIs before 1.160 and for LocalStack. Change the parts in infra/template, then `make expand`.\n"
PACKAGED_NOTICE = "# Made from template.yaml by expand.py, for deploying what `make package` or a release made. Change the parts in infra/template, then `make expand`.\n"


class ExpandError(Exception):
    """The topics or the template can't be expanded."""


def default_topics(template: str) -> list[str]:
    """The topics that the template names by default."""
    found = DEFAULT.search(template)
    if not found:
        raise ExpandError("the template has no parameter Topics with a default")
    return found[1].split(",")


def expand(template: str, topics: list[str]) -> str:
    """The template for exactly these topics. Its parameter Topics takes no others."""
    if "" in topics:
        raise ExpandError("a topic is empty: separate the topics with single commas")
    names = [logical_name(topic) for topic in topics]
    for topic, name in zip(topics, names, strict=True):
        if names.count(name) > 1:
            raise ExpandError(
                f"{topic} and another topic have the same letters and digits, from which CloudFormation makes the names of "
                "their mappings: give one of them a stack of its own"
            )
    text, n_blocks = BLOCK.subn(lambda block: _expanded(block, topics), template)
    if n_blocks != template.count("Fn::ForEach::"):
        raise ExpandError("a Fn::ForEach block of the template is not laid out as expand.py reads it")
    text = TRANSFORM.sub("", PARAMETER.sub(lambda _: _fixed_parameter(topics), text))
    text = text.replace("!Ref Topics", f"[{', '.join(topics)}]")  # only rules still have it
    return NOTICE + text


def package(template: str, architecture: str | None = None) -> str:
    """The template with the zips below `packages` as code, in place of what `sam build` makes.

    SAM CLIs from 1.160 on put the parameter Architecture into the zips' names. Others, and LocalStack, need it here.
    """
    chosen = architecture or "${Architecture}"
    sub = "" if architecture else "!Sub "
    text, n_functions = FUNCTION.subn(
        lambda found: f"    Properties:\n      CodeUri: {sub}packages/{chosen}/{found['program']}.zip\n", template
    )
    if n_functions != template.count("AWS::Serverless::Function") or text.count(CODE) != 1:
        raise ExpandError("a function of the template is not laid out as expand.py reads it")
    allowed = [architecture] if architecture else list(ARCHITECTURES)
    text = ARCHITECTURE.sub(lambda _: _packaged_architecture(allowed), text.replace(CODE, ""))
    return PACKAGED_NOTICE + text


def logical_name(topic: str) -> str:
    """What &{Topic} stands for."""
    return re.sub(r"[^a-zA-Z0-9]", "", topic)


def _expanded(block: re.Match, topics: list[str]) -> str:
    indent, variable = block["indent"], block["variable"]
    lines = block["body"].rstrip("\n").split("\n")
    lines[0] = lines[0].replace("- ", "  ", 1)
    body = "\n".join(line.removeprefix("    ") for line in lines)
    if not body.startswith(indent):
        raise ExpandError("the body of a Fn::ForEach block is not indented by four spaces")
    copies = (
        re.sub(rf"!Ref {variable}\b", topic, body)
        .replace(f"${{{variable}}}", topic)
        .replace(f"&{{{variable}}}", logical_name(topic))
        for topic in topics
    )
    return "\n\n".join(copies) + "\n" + "\n" * (len(block["body"]) - len(block["body"].rstrip("\n")) - 1)


def _fixed_parameter(topics: list[str]) -> str:
    joined = ",".join(topics)
    return f"""  Topics:
    Type: String
    Default: {joined}
    AllowedValues: ["{joined}"]
    ConstraintDescription: This template was expanded for {joined}. For other topics, run expand.py with their names.
    Description: The topics that this template was expanded for.
"""


def _packaged_architecture(allowed: list[str]) -> str:
    return f"""  Architecture:
    Type: String
    Default: {allowed[0]}
    AllowedValues: [{", ".join(allowed)}]
    ConstraintDescription: The packages are for {" and ".join(allowed)}.
    Description: The functions' processors. A package for each is in packages.
"""


def main() -> int:
    """Prints the expanded template, or the reason why it can't be expanded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("topics", nargs="?", help="topics, separated by commas (default: those of template.yaml)")
    parser.add_argument(
        "--packaged", nargs="?", const="", choices=["", *ARCHITECTURES], help="take the zips in packages as code"
    )
    parser.add_argument("--code", help="the folder with Cargo.toml, if the output is not kept in infra/")
    parser.add_argument("--rules", metavar="FOLDER", help="a folder with another pipeline.yaml, the rules of topics")
    arguments = parser.parse_args()
    template = TEMPLATE.read_text(encoding="utf-8")
    try:
        topics = arguments.topics.split(",") if arguments.topics else default_topics(template)
        if arguments.packaged == "" and arguments.topics:
            raise ExpandError(
                f"name the architecture of the packages: --packaged {' or --packaged '.join(ARCHITECTURES)}"
            )
        if arguments.packaged is not None:
            template = package(template, arguments.packaged or None)
        keeps_loops = arguments.packaged == "" and not arguments.topics
        text = template if keeps_loops else expand(template, topics)
    except ExpandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if arguments.code:
        text = text.replace("CodeUri: ..\n", f"CodeUri: {Path(arguments.code).resolve()}\n")
        text = text.replace(
            "Location: monitoring.yaml\n", f"Location: {TEMPLATE.parent.resolve() / 'monitoring.yaml'}\n"
        )
    rules = arguments.rules or (TEMPLATE.with_name("pipeline-layer") if arguments.code else None)
    if rules:
        text = text.replace(RULES, f"      ContentUri: {Path(rules).resolve()}\n")
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
