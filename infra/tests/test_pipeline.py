"""The rules of topics reach every function as a layer, and a changed file reaches versions, aliases and the cluster."""

import copy
import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
import stack
from combinations import SOURCES, TARGETS
from samcli.lib.package.artifact_exporter import Template
from samcli.lib.package.code_signer import CodeSigner
from samcli.lib.package.uploaders import Uploaders
from samcli.lib.providers.provider import Stack
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_layer_provider import SamLayerProvider
from samcli.lib.utils.hash import file_checksum

BASE = SOURCES["self-managed, SCRAM-512"] | TARGETS["no login"]
FUNCTIONS = ("IndexEvents", "ReplayDeadLetters", "ProvisionCluster")
ARN = f"arn:aws:lambda:{stack.REGION}:{stack.ACCOUNT}:layer:"


def layers(function: str, **parameters: str) -> list[str]:
    return stack.deploy(**BASE, **parameters).of_type("AWS::Lambda::Function")[function]["Layers"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_reads_the_file_of_the_layer(function):
    made = stack.deploy(**BASE)
    ((name, layer),) = made.of_type("AWS::Lambda::LayerVersion").items()
    assert layer["LayerName"] == "stack-pipeline"
    assert layers(function) == [f"{ARN}{name}:1"]
    assert made.environment(function)["PIPELINE_FILE"] == "/opt/pipeline.yaml"
    assert made.outputs["PipelineLayerArn"]["Value"] == f"{ARN}{name}:1"


@pytest.mark.parametrize("n", range(1, 5))
def test_the_users_layers_come_first_so_that_none_replaces_the_file(n):
    given = [f"{ARN}own-{number}:7" for number in range(n)]
    made = layers("IndexEvents", LayerArns=",".join(given))
    assert made[:-1] == given and "Pipeline" in made[-1]


@pytest.mark.parametrize("given", [",".join([f"{ARN}own:1"] * 5), f"{ARN}a:1, {ARN}b:1", f"{ARN}a", f"{ARN}a:1,"])
def test_more_layers_than_lambda_takes_are_refused_with_the_limit(given):
    with pytest.raises(stack.RefusedError, match="one to four layer versions.*five layers"):
        layers("IndexEvents", LayerArns=given)


def test_a_changed_file_is_a_new_layer_version_and_a_new_version_of_each_function_with_an_alias():
    old, new = (stack.translated(f"s3://bucket/{name}")["Resources"] for name in ("old", "new"))

    def named(resources: dict, kind: str) -> set[str]:
        return {name for name, resource in resources.items() if resource["Type"] == kind}

    for kind, n in (("AWS::Lambda::LayerVersion", 1), ("AWS::Lambda::Version", 1)):
        assert len(named(new, kind) - named(old, kind)) == n, kind
    (version,) = named(new, "AWS::Lambda::Version") - named(old, "AWS::Lambda::Version")
    assert version.startswith("IndexEventsVersion")
    (layer,) = named(new, "AWS::Lambda::LayerVersion")
    # The resource that provisions the cluster is updated: it names the new layer version.
    assert new["SearchCluster"]["Properties"]["PipelineLayer"] == {"Ref": layer}
    assert new["ProvisionCluster"]["Properties"]["Layers"][-1] == {"Ref": layer}
    assert new[layer]["DeletionPolicy"] == "Delete", "CloudFormation deletes it after the functions have the next one"


def test_the_function_that_provisions_has_its_rules_before_it_runs():
    properties = stack.document()["Resources"]["SearchCluster"]["Properties"]
    assert properties["ServiceToken"] == {"Fn::GetAtt": ["ProvisionCluster", "Arn"]}, "not a version with older rules"


def test_sam_deploys_the_file_as_it_is_now_and_builds_nothing_of_it():
    layer = stack.source()["Resources"]["Pipeline"]
    # `sam build` copies and builds layers with a BuildMethod: a change would need it again.
    assert "Metadata" not in layer
    template = Stack("", "", str(stack.INFRA / "expanded.yaml"), {}, stack.document())
    (built,) = SamLayerProvider([template]).get_all()
    assert built.build_method is None
    for function in SamFunctionProvider([template]).get_all():
        assert [each.name for each in function.layers][-1] == "Pipeline"


@pytest.mark.parametrize("folder", [".", ".aws-sam/build"])
def test_the_layers_zip_has_the_file_at_its_top_wherever_sam_is_started(tmp_path, monkeypatch, folder):
    # As `sam build` leaves it: the path of a layer that it does not build is made relative to its own folder.
    layer = copy.deepcopy(stack.source()["Resources"]["Pipeline"])
    template = tmp_path / folder / "template.json"
    template.parent.mkdir(parents=True, exist_ok=True)
    properties = layer["Properties"]
    properties["ContentUri"] = os.path.relpath(tmp_path / properties["ContentUri"], template.parent)
    template.write_text(json.dumps({"Resources": {"Pipeline": layer}}), encoding="utf-8")
    shutil.copytree(stack.INFRA / "pipeline-layer", tmp_path / "pipeline-layer", symlinks=True)
    (tmp_path / "pipeline.yaml").write_text("topics: [] # edited\n", encoding="utf-8")
    zips = []

    class Bucket:
        bucket_name, prefix, kms_key_id, version = "bucket", None, None, None

        def upload_with_dedup(self, file, *_, **__):
            zips.append(Path(file).read_bytes())
            return "s3://bucket/layer"

        def file_checksum(self, file):
            return file_checksum(file)

    monkeypatch.chdir(tmp_path)
    signer = CodeSigner(None, {})
    exported = Template(str(template), str(tmp_path), Uploaders(Bucket(), None), signer).export()
    assert exported["Resources"]["Pipeline"]["Properties"]["ContentUri"] == "s3://bucket/layer"
    with zipfile.ZipFile(io.BytesIO(zips[0])) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"pipeline.yaml": b"topics: [] # edited\n"}
