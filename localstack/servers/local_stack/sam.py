"""Deploys infra/template.yaml to an instance's LocalStack with the SAM command line, as it is deployed to AWS."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from local_stack import cargo, environments, paths
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.process import run_logged
from local_stack.servers.kafka import KAFKA
from local_stack.servers.localstack import LOCALSTACK
from local_stack.servers.opensearch import OPENSEARCH
from local_stack.servers.schema_registry import SCHEMA_REGISTRY

STACK_NAME = "kafka-to-search"
BUCKET = f"{STACK_NAME}-packages"


def deploy(instance: Instance, overrides: list[str], topics: str | None = None, rules: Path | None = None) -> None:
    """Builds the functions and deploys the template, whose custom resource provisions the cluster.

    `topics` are separated by commas, `rules` is a file like infra/pipeline.yaml. Without them, those of the last deployment stay,
    at first the template's own.
    """
    _require_localstack(instance)
    environment = variables(instance) | build_variables()
    build = instance.folder / "sam"
    logs = instance.folder / "logs"
    # samconfig.toml is for AWS, and for users who start the servers themselves.
    own_configuration = ["--config-file", str(_empty_configuration(instance))]
    take_rules(instance, rules)
    template = expanded_template(instance, topics)
    compile_functions(instance, binaries())
    run_logged(
        "packaging the functions (sam build)",
        ["sam", "build", *own_configuration, "--template-file", str(template), "--build-dir", str(build)],
        logs / "sam-build.log", paths.REPOSITORY, environment,
    )  # fmt: skip
    run_logged(
        "making a bucket for the packages",
        # `sam deploy --resolve-s3` makes one too, but waits half a minute for it.
        ["aws", "--endpoint-url", environment["AWS_ENDPOINT_URL"], "s3", "mb", f"s3://{BUCKET}"],
        logs / "bucket.log", paths.REPOSITORY, environment,
    )  # fmt: skip
    _deploy_built(instance, overrides)


def deploy_rules(instance: Instance, rules: Path) -> None:
    """Deploys other rules of topics with what is built. Nothing is compiled, and the parameters stay."""
    _require_localstack(instance)
    if not (instance.folder / "sam" / "template.yaml").exists():
        raise StackError(f"nothing was deployed to instance `{instance.name}` yet: `stack.py deploy` does")
    take_rules(instance, rules)
    _deploy_built(instance, [])


def take_rules(instance: Instance, rules: Path | None) -> None:
    """Copies the rules of topics into the folder that becomes the layer.

    The choice is kept, so that a later deployment reads the same file as it is then.
    """
    chosen = instance.folder / "rules"
    source = rules or (Path(chosen.read_text()) if chosen.exists() else paths.PIPELINE)
    if not source.is_file():
        raise StackError(f"there is no file {source} with rules of topics")
    if rules:
        chosen.write_text(str(rules.resolve()))
    file = rules_file(instance)
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, file)


def rules_file(instance: Instance) -> Path:
    """The rules of topics that were deployed to the instance."""
    return instance.folder / "pipeline-layer" / "pipeline.yaml"


def _require_localstack(instance: Instance) -> None:
    if not instance.running(LOCALSTACK.name):
        raise StackError(f"LocalStack does not run in instance `{instance.name}`: start it before deploying")


def _deploy_built(instance: Instance, overrides: list[str]) -> None:
    environment = variables(instance) | build_variables()
    parameters = [f"{name}={value}" for name, value in parameter_overrides(instance).items()] + overrides
    own_configuration = ["--config-file", str(_empty_configuration(instance))]
    run_logged(
        f"deploying {STACK_NAME} to LocalStack (sam deploy)",
        [
            "sam", "deploy", *own_configuration, "--template-file", str(instance.folder / "sam" / "template.yaml"),
            "--stack-name", STACK_NAME, "--s3-bucket", BUCKET, "--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND",
            "--on-failure", "DELETE", "--no-confirm-changeset", "--no-fail-on-empty-changeset",
            "--parameter-overrides", *parameters,
        ],
        instance.folder / "logs" / "sam-deploy.log", paths.REPOSITORY, environment,
    )  # fmt: skip


def binaries() -> list[str]:
    """The programs of the template's functions."""
    return re.findall(r"\bBinary: ([\w-]+)", paths.TEMPLATE.read_text())


def expanded_template(instance: Instance, topics: str | None) -> Path:
    """The template with a mapping for each topic written out: LocalStack can't expand `&{Topic}`."""
    chosen = instance.folder / "topics"
    if topics:
        chosen.write_text(topics)
    named = [chosen.read_text()] if chosen.exists() else []
    options = ["--code", str(paths.REPOSITORY), "--rules", str(rules_file(instance).parent)]
    command = [sys.executable, str(paths.EXPAND), *options, *named]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        chosen.unlink(missing_ok=True)
        raise StackError(f"the template can't be expanded: {done.stderr.strip().removeprefix('error: ')}")
    file = instance.folder / "template.yaml"
    file.write_text(done.stdout)
    return file


def deployed_topics(instance: Instance) -> str | None:
    """The topics that were chosen for the instance, separated by commas; None for the template's own."""
    chosen = instance.folder / "topics"
    return chosen.read_text() if chosen.exists() else None


def compile_functions(instance: Instance, binaries: list[str]) -> Path:
    """Builds programs of the functions as `sam build` does, but with visible progress; returns the folder of their folders."""
    environment = variables(instance) | build_variables()
    run_logged(
        f"compiling {', '.join(binaries)}",
        ["cargo", "lambda", "build", "--release", *(word for name in binaries for word in ("--bin", name))],
        instance.folder / "logs" / "cargo-lambda.log", paths.REPOSITORY, environment,
    )  # fmt: skip
    return Path(environment.get("CARGO_TARGET_DIR", paths.cargo_target())) / "lambda"


def _empty_configuration(instance: Instance) -> Path:
    file = instance.folder / "samconfig.toml"
    file.write_text("version = 0.1\n")
    return file


def parameter_overrides(instance: Instance) -> dict[str, str]:
    """The template's parameters that name the instance's servers."""
    registry = SCHEMA_REGISTRY.info(instance) if instance.running(SCHEMA_REGISTRY.name) else None
    return {
        "KafkaBootstrapServers": KAFKA.info(instance)["bootstrap_servers"],
        "SearchEndpoint": OPENSEARCH.environment(instance)["SEARCH_ENDPOINT"],
        # SAM keeps a parameter that it is not given, and takes an empty one only in quotes.
        "FunctionRegistryUrl": registry["endpoint"] if registry else '""',
    }


def run(instance: Instance, command: list[str]) -> int:
    """Runs a command with the tools on PATH and the AWS variables of the instance's LocalStack."""
    environment = variables(instance)
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise StackError(f"no program `{command[0]}` among the tools or on PATH")
    return subprocess.run([program, *command[1:]], env=environment, check=False).returncode


def variables(instance: Instance) -> dict[str, str]:
    """The environment of a command that uses the instance's LocalStack, and cannot reach AWS by mistake."""
    tools, aws = environments.ensure("tools") / "bin", environments.ensure("localstack") / "bin"
    inherited = {name: value for name, value in cargo.outside(os.environ).items() if not name.startswith("AWS_")}
    # `aws` comes with LocalStack. Its folder is last on PATH, because it also has a Python of its own.
    path = os.pathsep.join([str(tools), inherited.get("PATH", os.defpath), str(aws)])
    application = instance.folder / "sam-cli"
    application.mkdir(parents=True, exist_ok=True)
    return {
        **inherited,
        **LOCALSTACK.environment(instance),
        "PATH": path,
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_CHECK_UPDATES": "0",
        "SAM_CLI_POLL_DELAY": "1",  # LocalStack deploys a stack in seconds
        "__SAM_CLI_APP_DIR": str(application),
        # Plain cargo: the functions run on this machine, and can link its C library.
        "CARGO_LAMBDA_COMPILER": os.environ.get("CARGO_LAMBDA_COMPILER", "cargo"),
    }


def build_variables() -> dict[str, str]:
    """Settings that build the functions in a fraction of the time, in a folder apart from the builds for AWS.

    Link-time optimisation takes most of a release build. It pays off at cold starts and where CPU is billed.
    """
    if os.environ.get("STACK_FUNCTIONS_LTO") == "1":
        return {}
    return {
        "CARGO_PROFILE_RELEASE_LTO": "off",
        "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
        "CARGO_TARGET_DIR": str(paths.cargo_target() / "functions"),
    }
