"""Evaluates a translated template for given parameters, as CloudFormation does.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
REGION, ACCOUNT = "eu-central-1", "123456789012"

_PSEUDO_PARAMETERS = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/events/1",
    "AWS::StackName": "events",
    "AWS::URLSuffix": "amazonaws.com",
}
# Service and kind in the ARN of a resource, by its type. `Ref` returns the ARN of those in `_REF_IS_ARN`.
_ARNS = {
    "AWS::IAM::Role": ("iam", "role/"),
    "AWS::KMS::Key": ("kms", "key/"),
    "AWS::Lambda::Function": ("lambda", "function:"),
    "AWS::Logs::LogGroup": ("logs", "log-group:"),
    "AWS::S3::Bucket": ("s3", ""),
    "AWS::SNS::Topic": ("sns", ""),
    "AWS::SQS::Queue": ("sqs", ""),
    "AWS::SecretsManager::Secret": ("secretsmanager", "secret:"),
}
_REF_IS_ARN = {"AWS::SNS::Topic", "AWS::SecretsManager::Secret"}

# Stands for `AWS::NoValue` until it is left out of what holds it.
_NO_VALUE = object()


def translated(template: Path, parameter_sets: list[dict[str, str]]) -> list[dict]:
    """The template without loops and serverless resources, for each set of parameters, by SAM's own translator."""
    servers = REPOSITORY / "localstack" / "servers"
    command = [servers / "python.sh", servers / "stack.py", "run", "tools", "--", "python"]
    process = subprocess.run(
        [*map(str, command), str(Path(__file__).with_name("translate.py")), str(template)],
        input=json.dumps(parameter_sets),
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
        check=True,
    )
    return json.loads(process.stdout)


class Stack:
    """A template with values for its parameters."""

    def __init__(self, template: dict, parameters: dict[str, str]) -> None:
        self._template = template
        unknown = parameters.keys() - template["Parameters"].keys()
        assert not unknown, f"the template has no parameters {', '.join(sorted(unknown))}"
        self._parameters = {
            name: _parameter(declared, parameters.get(name, declared.get("Default", "")))
            for name, declared in template["Parameters"].items()
        }

    def resources(self, *types: str) -> dict[str, dict]:
        """The properties of the resources of these types whose condition holds, evaluated, by logical id."""
        return {
            name: self.evaluate(resource.get("Properties", {}))
            for name, resource in self._template["Resources"].items()
            if resource["Type"] in types and ("Condition" not in resource or self.condition(resource["Condition"]))
        }

    def condition(self, name: str) -> bool:
        """Whether a condition holds."""
        return self._holds(self._template["Conditions"][name])

    def evaluate(self, value: Any) -> Any:
        """A value without intrinsic functions."""
        match value:
            case {"Ref": "AWS::NoValue"}:
                return _NO_VALUE
            case {"Ref": name}:
                return self._ref(name)
            case {"Fn::If": [condition, then, otherwise]}:
                return self.evaluate(then if self.condition(condition) else otherwise)
            case {"Fn::Sub": [text, variables]}:
                return self._sub(text, self.evaluate(variables))
            case {"Fn::Sub": text}:
                return self._sub(text, {})
            case {"Fn::GetAtt": [name, attribute]}:
                return self._attribute(name, attribute)
            case {"Fn::GetAtt": name}:
                return self._attribute(*name.split(".", 1))
            case {"Fn::Join": [separator, parts]}:
                return separator.join(self.evaluate(parts))
            case {"Fn::Split": [separator, text]}:
                return self.evaluate(text).split(separator)
            case {"Fn::Select": [position, elements]}:
                return self.evaluate(elements)[int(position)]
            case {"Fn::FindInMap": [name, first, second, *default]}:
                found = self._template["Mappings"].get(name, {}).get(self.evaluate(first), {})
                if self.evaluate(second) not in found and default:
                    return self.evaluate(default[0]["DefaultValue"])
                return found[self.evaluate(second)]
            case dict():
                functions = [name for name in value if name.startswith("Fn::")]
                assert not functions, f"not evaluated: {', '.join(functions)}"
                evaluated = {name: self.evaluate(each) for name, each in value.items()}
                return {name: each for name, each in evaluated.items() if each is not _NO_VALUE}
            case list():
                return [each for each in map(self.evaluate, value) if each is not _NO_VALUE]
            case _:
                return value

    def _holds(self, condition: Any) -> bool:
        match condition:
            case {"Condition": name}:
                return self.condition(name)
            case {"Fn::Equals": [first, second]}:
                return str(self.evaluate(first)) == str(self.evaluate(second))
            case {"Fn::Not": [inner]}:
                return not self._holds(inner)
            case {"Fn::And": inner}:
                return all(map(self._holds, inner))
            case {"Fn::Or": inner}:
                return any(map(self._holds, inner))
            case _:
                raise AssertionError(f"not a condition: {condition}")

    def _ref(self, name: str) -> Any:
        if name in _PSEUDO_PARAMETERS:
            return _PSEUDO_PARAMETERS[name]
        if name in self._parameters:
            return self._parameters[name]
        resource = self._template["Resources"][name]
        return self._attribute(name, "Arn") if resource["Type"] in _REF_IS_ARN else name

    def _attribute(self, name: str, attribute: str) -> str:
        resource = self._template["Resources"][name]
        if attribute not in ("Arn", "TopicArn"):
            return f"{name}.{attribute}"
        service, kind = _ARNS[resource["Type"]]
        region, account = ("", "") if service == "s3" else ("" if service == "iam" else REGION, ACCOUNT)
        # Secrets Manager adds six letters. A log group's ARN ends with those of its streams.
        end = {"secretsmanager": "-AbCdEf", "logs": ":*"}.get(service, "")
        return f"arn:aws:{service}:{region}:{account}:{kind}{name}{end}"

    def _sub(self, text: str, variables: dict[str, Any]) -> str:
        def value_of(found: re.Match) -> str:
            name = found[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in variables:
                return str(variables[name])
            return str(self.evaluate({"Fn::GetAtt": name} if "." in name else {"Ref": name}))

        return re.sub(r"\$\{([^}]*)\}", value_of, text)


def _parameter(declared: dict, value: Any) -> Any:
    if declared["Type"] == "CommaDelimitedList" or declared["Type"].startswith("List<"):
        return [part.strip() for part in str(value).split(",")] if value != "" else [""]
    return str(value)
