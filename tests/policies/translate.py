"""Translates the template as SAM CLI does: prints, for each set of parameters on standard input, what CloudFormation would get.

It runs in the environment of the deployment tools, which have SAM's own translator:
`stack.py run tools -- python tests/policies/translate.py infra/expanded.yaml < sets.json`.
"""

import json
import os
import sys
from pathlib import Path

# Both are read when SAM's modules are imported or used, and neither causes a call.
os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
os.environ.setdefault("SAM_CLI_TELEMETRY", "0")

from samcli.lib.cfn_language_extensions.api import process_template
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator


def translated(text: str, parameters: dict[str, str]) -> dict:
    """The template without loops and serverless resources. Intrinsic functions stay."""
    template = json.loads(json.dumps(yaml_parse(text)))  # without SAM's own kinds of dictionaries
    transforms = template.get("Transform", [])
    if "AWS::LanguageExtensions" in (transforms if isinstance(transforms, list) else [transforms]):
        template = process_template(template, parameter_values=parameters)
    # Packaging uploads the functions' code and the nested template.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Application":
            resource["Properties"]["Location"] = "https://s3.amazonaws.com/bucket/key"
    return Translator({}, Parser()).translate(template, parameters)


def main() -> None:
    text = Path(sys.argv[1]).read_text()
    json.dump([translated(text, parameters) for parameters in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
