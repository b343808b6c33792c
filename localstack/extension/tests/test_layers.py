"""Functions read their layers below /opt, by the paths in their environment variables."""

import io
import json
import sys
import uuid
import zipfile

import pytest

from conftest import BOOTSTRAP, ROLE, finished_stack, zip_of


def zip_of_files(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


@pytest.fixture
def publish(lambda_client):
    """Publishes layer versions of files; returns their ARNs. Without a name, each is a layer of its own."""

    def publish(files: dict[str, str] | bytes, name: str | None = None) -> str:
        content = files if isinstance(files, bytes) else zip_of_files(files)
        layer = name or f"layer-{uuid.uuid4().hex[:8]}"
        return lambda_client.publish_layer_version(LayerName=layer, Content={"ZipFile": content})["LayerVersionArn"]

    return publish


def read(function, variable: str = "FILE", below: str = ""):
    # `os.path.join(path, "")` would end in a slash.
    text, error = function.invoke(do="read", variable=variable, **({"below": below} if below else {}))
    return text if error is None else error


def test_a_function_reads_a_file_of_its_layer(make_function, publish):
    layer = publish({"pipeline.yaml": "topics: []\n"})
    function = make_function({"FILE": "/opt", "OTHER": "https://example.com/opt/x"}, Layers=[layer])
    assert read(function, below="pipeline.yaml") == "topics: []\n"
    variables, _ = function.invoke(do="environment")
    assert variables["OTHER"] == "https://example.com/opt/x"
    assert variables["FILE"] != "/opt"


def test_a_later_layer_replaces_the_files_of_an_earlier_one(make_function, publish):
    one = publish({"both": "one", "folder/one": "one", "kept": "one"})
    two = publish({"both": "two", "folder/two": "two"})
    in_order = make_function({"DIR": "/opt"}, Layers=[one, two])
    names = ("both", "folder/one", "folder/two", "kept")
    assert [read(in_order, "DIR", name) for name in names] == ["two", "one", "two", "one"]
    assert read(make_function({"DIR": "/opt"}, Layers=[two, one]), "DIR", "both") == "one"


def test_each_path_of_a_list_is_below_the_layers(make_function, publish):
    layer = publish({"a": "A", "lib/b": "B"})
    function = make_function({"LIST": "/opt/lib:/usr/lib:/opt", "NAMES": "/option/x,/opt/a"}, Layers=[layer])
    variables, _ = function.invoke(do="environment")
    first, second, third = variables["LIST"].split(":")
    assert (first, second) == (f"{third}/lib", "/usr/lib")
    assert variables["NAMES"] == f"/option/x,{third}/a"
    assert third.endswith("/opt") is False


def test_a_function_without_layers_reads_nothing_of_the_machines_opt(make_function):
    assert read(make_function({"DIR": "/opt"}), "DIR", "pipeline.yaml") == "Unhandled"


def test_a_new_layer_version_takes_effect_with_the_next_configuration(make_function, publish, lambda_client):
    name = f"layer-{uuid.uuid4().hex[:8]}"
    function = make_function({"DIR": "/opt"}, Layers=[publish({"rules": "old"}, name)])
    pid = function.invoke()[0]["pid"]
    assert read(function, "DIR", "rules") == "old"
    new = publish({"rules": "new"}, name)
    assert read(function, "DIR", "rules") == "old", "a published version alone changes no function"
    lambda_client.update_function_configuration(FunctionName=function.name, Layers=[new])
    lambda_client.get_waiter("function_updated_v2").wait(FunctionName=function.name, WaiterConfig={"Delay": 1})
    assert read(function, "DIR", "rules") == "new"
    assert function.invoke()[0]["pid"] != pid


def test_a_function_keeps_a_layer_version_that_was_deleted(make_function, publish, lambda_client):
    layer = publish({"rules": "kept"})
    function = make_function({"DIR": "/opt"}, Layers=[layer])
    name, version = layer.split(":")[-2:]
    lambda_client.delete_layer_version(LayerName=name, VersionNumber=int(version))
    assert read(function, "DIR", "rules") == "kept"


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside"])
def test_a_layer_writes_nothing_outside_opt(publish, lambda_client, name):
    assert_refused(lambda_client, publish({name: "x"}))


def test_a_link_of_a_layer_leads_nowhere_outside_opt(publish, lambda_client, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("out")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, str(tmp_path))
        archive.writestr("out/file", "x")
    assert_refused(lambda_client, publish(buffer.getvalue()))
    assert not list(tmp_path.iterdir())


def test_layers_have_no_more_bytes_together_than_lambda_takes(publish, lambda_client):
    one, two = (publish({name: "0" * 140_000_000}) for name in ("one", "two"))
    assert_refused(lambda_client, one, two)


def assert_refused(lambda_client, *layers: str) -> None:
    """The function can't become active."""
    name = f"function-{uuid.uuid4().hex[:8]}"
    code = {"ZipFile": zip_of("bootstrap", f"#!{sys.executable} -SE\n" + BOOTSTRAP.read_text())}
    lambda_client.create_function(
        FunctionName=name, Role=ROLE, Code=code, Runtime="provided.al2023", Handler="bootstrap", Layers=list(layers)
    )
    with pytest.raises(Exception, match="Waiter FunctionActiveV2 failed"):
        lambda_client.get_waiter("function_active_v2").wait(
            FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
    assert lambda_client.get_function_configuration(FunctionName=name)["State"] == "Failed"


class Stack:
    """A stack with a layer version for each content, as SAM makes it, and a function with an alias of its newest version."""

    def __init__(self, localstack) -> None:
        self.client, self._s3 = localstack.client("cloudformation"), localstack.client("s3")
        self.name = f"stack-{uuid.uuid4().hex[:8]}"
        self._s3.create_bucket(Bucket=self.name)
        package = zip_of("bootstrap", f"#!{sys.executable} -SE\n" + BOOTSTRAP.read_text())
        self._s3.put_object(Bucket=self.name, Key="code", Body=package)

    def template(self, content: str, policy: str) -> str:
        key = f"layer-{content}"
        self._s3.put_object(Bucket=self.name, Key=key, Body=zip_of_files({"rules": content}))
        layer, version = f"Rules{content}", f"Version{content}"
        resources = {
            layer: {
                "Type": "AWS::Lambda::LayerVersion",
                "DeletionPolicy": policy,
                "UpdateReplacePolicy": policy,
                "Properties": {"LayerName": self.name, "Content": {"S3Bucket": self.name, "S3Key": key}},
            },
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "FunctionName": self.name,
                    "Runtime": "provided.al2023",
                    "Handler": "bootstrap",
                    "Role": ROLE,
                    "Code": {"S3Bucket": self.name, "S3Key": "code"},
                    "Layers": [{"Ref": layer}],
                    "Environment": {"Variables": {"DIR": "/opt"}},
                },
            },
            version: {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Function"}}},
            "Alias": {
                "Type": "AWS::Lambda::Alias",
                "Properties": {
                    "Name": "live",
                    "FunctionName": {"Ref": "Function"},
                    "FunctionVersion": {"Fn::GetAtt": [version, "Version"]},
                },
            },
        }
        outputs = {"Layer": {"Value": {"Ref": layer}}}
        return json.dumps({"Resources": resources, "Outputs": outputs})

    def finish(self, status: str) -> str:
        stack = finished_stack(self.client, self.name)
        assert stack["StackStatus"] == status, self.client.describe_stack_events(StackName=self.name)
        (output,) = stack["Outputs"]
        return output["OutputValue"]


@pytest.mark.parametrize(("policy", "n_left"), [("Retain", 2), ("Delete", 1)])
def test_a_stack_update_gives_a_function_and_its_alias_the_new_layer(localstack, lambda_client, policy, n_left):
    stack = Stack(localstack)
    stack.client.create_stack(StackName=stack.name, TemplateBody=stack.template("one", policy))
    first = stack.finish("CREATE_COMPLETE")
    assert first.endswith(f":layer:{stack.name}:1")

    def rules(qualifier: str) -> str:
        event = json.dumps({"do": "read", "variable": "DIR", "below": "rules"})
        response = lambda_client.invoke(FunctionName=stack.name, Qualifier=qualifier, Payload=event)
        return json.loads(response["Payload"].read())

    assert (rules("$LATEST"), rules("live")) == ("one", "one")
    stack.client.update_stack(StackName=stack.name, TemplateBody=stack.template("two", policy))
    assert stack.finish("UPDATE_COMPLETE").endswith(f":layer:{stack.name}:2")
    assert (rules("$LATEST"), rules("live")) == ("two", "two")
    left = lambda_client.list_layer_versions(LayerName=stack.name)["LayerVersions"]
    assert len(left) == n_left
    stack.client.delete_stack(StackName=stack.name)
