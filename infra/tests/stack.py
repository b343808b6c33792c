"""Translates the template as AWS does and evaluates it for a set of parameters: rules, conditions, resources, policies.

AWS expands Fn::ForEach, translates AWS::Serverless, checks parameters and rules, and evaluates the functions. The translation is
SAM's own (aws-sam-translator). What CloudFormation does with the result is written out here, after
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-reference.html
"""

import copy
import functools
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml
from iam import Grant, Request, decide, grants
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

INFRA = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(INFRA))
import expand  # noqa: E402  (infra is no package)

ACCOUNT, REGION = "123456789012", "eu-central-1"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/stack/51af3dc0-da77-11e4-872e-1234567db123",
    "AWS::StackName": "stack",
    "AWS::URLSuffix": "amazonaws.com",
}
NO_VALUE = object()
# Service and kind in the ARN of a resource, by its type. `Ref` returns the ARN of those in `_REF_IS_ARN`.
_ARNS = {
    "AWS::Events::Rule": ("events", "rule/"),
    "AWS::IAM::Role": ("iam", "role/"),
    "AWS::KMS::Key": ("kms", "key/"),
    "AWS::Lambda::Function": ("lambda", "function:"),
    "AWS::Lambda::LayerVersion": ("lambda", "layer:"),
    "AWS::Logs::LogGroup": ("logs", "log-group:"),
    "AWS::S3::Bucket": ("s3", ""),
    "AWS::SNS::Topic": ("sns", ""),
    "AWS::SQS::Queue": ("sqs", ""),
    "AWS::SecretsManager::Secret": ("secretsmanager", "secret:"),
}
_REF_IS_ARN = {"AWS::Lambda::LayerVersion", "AWS::SNS::Topic", "AWS::SecretsManager::Secret"}


class RefusedError(Exception):
    """CloudFormation refuses the parameters; the text is what it shows."""


class DanglingError(Exception):
    """A name that the stack does not have."""


@dataclass
class Stack:
    """What CloudFormation would make of the template with these parameters."""

    resources: dict[str, dict]
    outputs: dict[str, dict]
    parameters: dict[str, str | list[str]]

    def of_type(self, kind: str) -> dict[str, dict]:
        """The properties of the resources of a type, by name."""
        found = {name: resource for name, resource in self.resources.items() if resource["Type"] == kind}
        return {name: resource.get("Properties", {}) for name, resource in found.items()}

    def mappings(self) -> dict[str, dict]:
        """The event source mappings by topic."""
        mappings = self.of_type("AWS::Lambda::EventSourceMapping").values()
        return {mapping["Topics"][0]: mapping for mapping in mappings}

    def environment(self, function: str) -> dict[str, str]:
        """A function's variables."""
        return self.of_type("AWS::Lambda::Function")[function]["Environment"]["Variables"]

    def role(self, function: str) -> str:
        """The role of a function, by the end of the function's name."""
        functions = self.of_type("AWS::Lambda::Function").values()
        (properties,) = [each for each in functions if each["FunctionName"].endswith(f"-{function}")]
        return properties["Role"].rsplit("/", 1)[1]

    def grants(self, role: str) -> list[Grant]:
        """What a role's statements allow and deny."""
        attached = self.resources[role]["Properties"].get("ManagedPolicyArns", [])
        unknown = set(attached) - set(self.of_type("AWS::IAM::ManagedPolicy"))
        assert not unknown, "AWS's managed policies are not evaluated: write out what is needed"
        return grants({"Statement": self.statements(role)})

    def statements(self, role: str) -> list[dict]:
        """The statements of a role's own policies and of those that are attached to it."""
        properties = self.resources[role]["Properties"]
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        for policy in self.of_type("AWS::IAM::RolePolicy").values():
            if policy["RoleName"] == role:
                documents.append(policy["PolicyDocument"])
        for policy in (self.of_type("AWS::IAM::Policy") | self.of_type("AWS::IAM::ManagedPolicy")).values():
            if role in policy.get("Roles", []):
                documents.append(policy["PolicyDocument"])
        managed = self.of_type("AWS::IAM::ManagedPolicy")
        documents += [
            managed[name]["PolicyDocument"] for name in properties.get("ManagedPolicyArns", []) if name in managed
        ]
        return [statement for document in documents for statement in document["Statement"]]

    def allows(self, role: str, action: str, resource: str, **context: str) -> bool:
        """Whether a role may do this. `context` has the condition keys with `_` for `:`."""
        keys = {name.replace("_", ":", 1): value for name, value in context.items()}
        return decide(self.grants(role), Request(action, resource, keys)) != []

    def actions(self, role: str) -> set[str]:
        """Every action that a role may do on something."""
        return {grant.action for grant in self.grants(role)}


def deploy(**parameters: str) -> Stack:
    """The stack for these parameters; the others have their defaults."""
    # The parameters are checked before the translation, as on AWS.
    values = _checked(source()["Parameters"], parameters)
    gradual, gradual_type = str(values["GradualDeployment"]), str(values["GradualDeploymentType"])
    return _evaluated(_translated(parameters.get("Topics"), gradual, gradual_type), values)


def deploy_account(**parameters: str) -> Stack:
    """The stack of account.yaml for these parameters; the others have their defaults."""
    values = _checked(nested("account.yaml")["Parameters"], parameters)
    return _evaluated(_translated_account(), values)


@functools.cache
def _translated_account() -> dict:
    template = copy.deepcopy(nested("account.yaml"))
    for declaration in template["Parameters"].values():
        declaration.pop("Default", None)
    template["Resources"]["AccountRecords"]["Properties"]["CodeUri"] = "s3://bucket/code.zip"
    template["Transform"] = "AWS::Serverless-2016-10-31"
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION))
    return json.loads(json.dumps(translator.translate(template, dict(PSEUDO))))


def _evaluated(template: dict, values: dict) -> Stack:
    """The stack of a template, with the resources of its nested stacks."""
    evaluation = _Evaluation(template, values)
    evaluation.check_rules()
    resources = evaluation.active("Resources")
    for name, resource in list(resources.items()):
        if resource["Type"] == "AWS::CloudFormation::Stack":
            properties = resource["Properties"]
            inner = nested(Path(properties["TemplateURL"]).name)
            given = {key: str(value) for key, value in properties["Parameters"].items()}
            assert set(given) == set(inner["Parameters"]), f"{name} gets other parameters than its template has"
            part = _evaluated(inner, _checked(inner["Parameters"], given))
            asked = {output for where, output in evaluation.nested_outputs if where == name}
            if not asked <= set(part.outputs):
                raise DanglingError(f"{asked - set(part.outputs)} of {name}")
            resources |= part.resources
    return Stack(resources, evaluation.active("Outputs"), values)


@functools.cache
def document(topics: str | None = None) -> dict:
    """The template after Fn::ForEach, in the long form of its functions."""
    text = (INFRA / "template.yaml").read_text(encoding="utf-8")
    return _load(expand.expand(text, topics.split(",") if topics else expand.default_topics(text)))


@functools.cache
def source() -> dict:
    """The template as it is written."""
    return _load((INFRA / "template.yaml").read_text(encoding="utf-8"))


@functools.cache
def nested(name: str) -> dict:
    """A nested template as it is written."""
    return _load((INFRA / name).read_text(encoding="utf-8"))


def _load(text: str) -> dict:
    return yaml.load(text, Loader=_Loader)


def translated(rules: str) -> dict:
    """The template after SAM, with the rules of topics in this object of S3."""
    return _translated(None, "true", "AllAtOnce", rules)


@functools.cache
def _translated(topics: str | None, gradual: str, gradual_type: str, rules: str = "s3://bucket/rules.zip") -> dict:
    """The template after SAM.

    SAM puts the parameters' values into the properties of functions. Here it gets only those that it needs itself, so that one
    translation serves every other value.
    """
    template = copy.deepcopy(document(topics))
    given = {"GradualDeployment": gradual, "GradualDeploymentType": gradual_type}
    for name, declaration in template["Parameters"].items():
        if name not in given:
            declaration.pop("Default", None)
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/code.zip"
    template["Resources"]["Pipeline"]["Properties"]["ContentUri"] = rules
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Application":
            resource["Properties"]["Location"] = f"https://s3.amazonaws.com/bucket/{resource['Properties']['Location']}"
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION))
    return json.loads(json.dumps(translator.translate(template, {**PSEUDO, **given})))


def _checked(declared: dict, given: dict[str, str]) -> dict[str, str | list[str]]:
    """The parameters' values after the checks of their declarations."""
    unknown = set(given) - set(declared)
    assert not unknown, f"the template has no parameter {unknown}"
    values: dict[str, str | list[str]] = {}
    for name, declaration in declared.items():
        value = str(given.get(name, declaration.get("Default", "")))
        members = (
            [part.strip() for part in value.split(",")] if declaration["Type"] == "CommaDelimitedList" else [value]
        )
        for member in members:
            _check_one(name, declaration, member)
        values[name] = members if declaration["Type"] == "CommaDelimitedList" else value
    return values


def _check_one(name: str, declaration: dict, value: str) -> None:
    allowed = [str(one) for one in declaration.get("AllowedValues", [])]
    pattern = declaration.get("AllowedPattern")
    is_number = declaration["Type"] == "Number"
    wrong = (
        (allowed and value not in allowed)
        or (pattern is not None and not re.fullmatch(pattern, value))
        or len(value) > declaration.get("MaxLength", len(value))
        or len(value) < declaration.get("MinLength", 0)
        or (is_number and "MinValue" in declaration and float(value) < declaration["MinValue"])
        or (is_number and "MaxValue" in declaration and float(value) > declaration["MaxValue"])
    )
    if wrong:
        raise RefusedError(f"{name}: {declaration.get('ConstraintDescription', '')}")


class _Evaluation:
    def __init__(self, template: dict, values: dict) -> None:
        self.template = template
        self.values = values
        self.conditions: dict[str, bool] = {}
        self.nested_outputs: set[tuple[str, str]] = set()

    def check_rules(self) -> None:
        for name, rule in self.template.get("Rules", {}).items():
            if "RuleCondition" in rule and not self.holds(rule["RuleCondition"]):
                continue
            for assertion in rule["Assertions"]:
                if not self.holds(assertion["Assert"]):
                    raise RefusedError(f"{name}: {assertion['AssertDescription']}")

    def active(self, section: str) -> dict[str, dict]:
        entries = self.template.get(section, {})
        chosen = {name: entry for name, entry in entries.items() if self.condition(entry.get("Condition"))}
        return {name: {key: self.value(part) for key, part in entry.items()} for name, entry in chosen.items()}

    def condition(self, name: str | None) -> bool:
        if name is None:
            return True
        if name not in self.conditions:
            if name not in self.template["Conditions"]:
                raise DanglingError(f"condition {name}")
            self.conditions[name] = self.holds(self.template["Conditions"][name])
        return self.conditions[name]

    def holds(self, condition: dict) -> bool:
        ((function, argument),) = condition.items()
        match function:
            case "Condition":
                return self.condition(argument)
            case "Fn::Equals":
                left, right = (self.value(one) for one in argument)
                return left == right if isinstance(left, list) else str(left) == str(right)
            case "Fn::Not":
                return not self.holds(argument[0])
            case "Fn::And":
                assert 2 <= len(argument) <= 10, "And takes two to ten conditions"
                return all(self.holds(one) for one in argument)
            case "Fn::Or":
                assert 2 <= len(argument) <= 10, "Or takes two to ten conditions"
                return any(self.holds(one) for one in argument)
            case "Fn::Contains":
                return str(self.value(argument[1])) in [str(one) for one in self.value(argument[0])]
            case "Fn::EachMemberEquals":
                return all(one == self.value(argument[1]) for one in self.value(argument[0]))
        raise AssertionError(f"{function} is no function for conditions")

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [one for one in (self.value(part) for part in node) if one is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            if function == "Ref":
                return self.reference(argument)
            if function.startswith("Fn::"):
                return self.function(function, argument)
        evaluated = {key: self.value(part) for key, part in node.items() if key != "DependsOn"}
        return {key: part for key, part in evaluated.items() if part is not NO_VALUE}

    def function(self, function: str, argument: Any) -> Any:
        match function:
            case "Fn::If":
                name, then, otherwise = argument
                return self.value(then if self.condition(name) else otherwise)
            case "Fn::Sub":
                text, own = argument if isinstance(argument, list) else (argument, {})
                named = {name: self.value(part) for name, part in own.items()}
                return re.sub(r"\$\{([^!}]+)\}", lambda found: self._substituted(found[1], named), text)
            case "Fn::Join":
                return argument[0].join(str(one) for one in self.value(argument[1]))
            case "Fn::Split":
                return self.value(argument[1]).split(argument[0])
            case "Fn::Select":
                position, listed = argument
                # CloudFormation evaluates all of the list; a null is an error there.
                members = self.value(listed)
                if int(position) >= len(members):
                    raise DanglingError(f"Fn::Select {position} of {members}")
                return members[int(position)]
            case "Fn::GetAtt":
                resource, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
                self.must_exist(resource)
                return self.attribute(resource, attribute)
            case "Fn::FindInMap":
                found = self.template["Mappings"]
                for key in self.value(argument):
                    if key not in found:
                        raise DanglingError(f"Fn::FindInMap {argument}: no {key}")
                    found = found[key]
                return found
        raise AssertionError(f"{function} is unknown")

    def _substituted(self, name: str, named: dict) -> str:
        if name in named:
            return str(named[name])
        if "." in name and not name.startswith("AWS::"):
            return self.function("Fn::GetAtt", name.split(".", 1))
        value = self.reference(name)
        assert isinstance(value, str | int), f"Fn::Sub of the list {name}"
        return str(value)

    def reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.values:
            return self.values[name]
        self.must_exist(name)
        is_arn = self.template["Resources"][name]["Type"] in _REF_IS_ARN
        return self.attribute(name, "Arn") if is_arn else name

    def attribute(self, resource: str, attribute: str) -> str:
        kind = self.template["Resources"][resource]["Type"]
        if attribute not in ("Arn", "TopicArn"):
            return f"{resource}.{attribute}"
        service, place = _ARNS[kind]
        region, account = ("", "") if service == "s3" else ("" if service == "iam" else REGION, ACCOUNT)
        # Secrets Manager adds six letters. A log group's ARN ends with those of its streams, a layer version's with its number.
        end = {"secretsmanager": "-AbCdEf", "logs": ":*", "lambda": ":1" if place == "layer:" else ""}.get(service, "")
        return f"arn:aws:{service}:{region}:{account}:{place}{resource}{end}"

    def must_exist(self, resource: str) -> None:
        declared = self.template["Resources"].get(resource)
        if declared is None or not self.condition(declared.get("Condition")):
            raise DanglingError(resource)


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value below a node that has no parts, an empty list or object too, with its path."""
    if isinstance(node, dict) and node:
        for key, part in node.items():
            yield from leaves(part, f"{path}.{key}")
    elif isinstance(node, list) and node:
        for position, part in enumerate(node):
            yield from leaves(part, f"{path}[{position}]")
    else:
        yield path, node


class _Loader(yaml.SafeLoader):
    pass


def _tagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict:
    if isinstance(node, yaml.ScalarNode):
        argument: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        argument = loader.construct_sequence(node, deep=True)
    else:
        argument = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        argument = argument.split(".", 1) if isinstance(argument, str) else argument
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": argument}


_Loader.add_multi_constructor("!", _tagged)
# A date such as 2012-10-17 stays text, as in CloudFormation.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
