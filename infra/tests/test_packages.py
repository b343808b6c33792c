"""The packages are the same whenever they are made, and packaged.yaml deploys them for both architectures."""

import copy
import io
import platform
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import expand
import package
import pytest
import release
import stack
import start_packages
from samcli.lib.cfn_language_extensions.sam_integration import expand_language_extensions
from samcli.lib.package.language_extensions_packaging import merge_language_extensions_s3_uris
from samcli.yamlhelper import yaml_parse

TEXT = (stack.INFRA / "template.yaml").read_text(encoding="utf-8")
PACKAGED = (stack.INFRA / "packaged.yaml").read_text(encoding="utf-8")
FUNCTIONS = {
    "IndexEvents": "index-events",
    "ReplayDeadLetters": "replay-dead-letters",
    "ProvisionCluster": "provision-cluster",
}


def test_the_packaged_template_is_current():
    assert expand.package(TEXT) == PACKAGED, "run `make expand`"


def test_the_packaged_template_differs_in_the_code_alone():
    packaged, source = yaml_parse(PACKAGED), yaml_parse(TEXT)
    assert packaged["Parameters"].pop("Architecture")["AllowedValues"] == list(package.TARGETS)
    del source["Parameters"]["Architecture"], source["Globals"]["Function"]["CodeUri"]
    for name in FUNCTIONS:
        del packaged["Resources"][name]["Properties"]["CodeUri"], source["Resources"][name]["Metadata"]
    assert packaged == source


def test_the_rules_of_topics_are_a_file_beside_each_template_so_that_a_change_needs_no_build():
    for template in (yaml_parse(TEXT), yaml_parse(PACKAGED)):
        assert template["Resources"]["Pipeline"]["Properties"]["ContentUri"] == "pipeline-layer"
    (linked,) = (stack.INFRA / "pipeline-layer").iterdir()
    assert linked.resolve() == stack.INFRA / "pipeline.yaml"
    assert "pipeline.yaml" in release.FILES and release.LINKS == {"pipeline-layer/pipeline.yaml": "../pipeline.yaml"}


@pytest.mark.parametrize(("given", "architecture"), [({}, "x86_64"), ({"Architecture": "arm64"}, "arm64")])
def test_sam_uploads_the_packages_of_the_architecture(given, architecture):
    made = expand_language_extensions(yaml_parse(PACKAGED), {"AWS::Region": stack.REGION, **given}, enabled=True)
    exported = copy.deepcopy(made.expanded_template)
    for name, program in FUNCTIONS.items():
        properties = exported["Resources"][name]["Properties"]
        assert properties["CodeUri"] == f"packages/{architecture}/{program}.zip"
        properties["CodeUri"] = f"s3://bucket/{program}"
    deployed = merge_language_extensions_s3_uris(made.original_template, exported)
    for name, program in FUNCTIONS.items():
        assert deployed["Resources"][name]["Properties"]["CodeUri"] == f"s3://bucket/{program}"


@pytest.mark.parametrize("architecture", package.TARGETS)
def test_a_template_for_an_older_sam_names_the_packages_of_one_architecture(architecture):
    template = yaml_parse(expand.expand(expand.package(TEXT, architecture), ["a.events"]))
    assert template["Parameters"]["Architecture"]["AllowedValues"] == [architecture]
    for name, program in FUNCTIONS.items():
        assert template["Resources"][name]["Properties"]["CodeUri"] == f"packages/{architecture}/{program}.zip"


def test_topics_and_packages_need_an_architecture():
    command = [sys.executable, str(stack.INFRA / "expand.py"), "a,b", "--packaged"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "") and "--packaged arm64" in done.stderr


def test_the_programs_are_those_of_the_template():
    assert package.functions(TEXT) == list(FUNCTIONS.values())


def test_a_program_makes_the_same_zip_at_any_time(tmp_path, monkeypatch):
    files = [tmp_path / name for name in ("one.zip", "two.zip")]
    for file, time in zip(files, (1_000_000_000, 2_000_000_000), strict=True):
        monkeypatch.setattr("time.time", lambda time=time: time)
        package.zip_program(b"\x7fELF" * 1000, file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_zip_holds_the_program_as_an_executable_bootstrap(tmp_path):
    package.zip_program(b"\x7fELF", tmp_path / "one.zip")
    with zipfile.ZipFile(io.BytesIO((tmp_path / "one.zip").read_bytes())) as archive:
        (entry,) = archive.infolist()
        assert (entry.filename, archive.read(entry)) == ("bootstrap", b"\x7fELF")
        assert (entry.external_attr >> 16, entry.create_system) == (0o100755, 3)


def elf(machine: int, libraries: bytes = b"\0GLIBC_2.17\0GLIBC_2.34\0") -> bytes:
    """The start of a program as the linker lays it out: e_machine stands at byte 18."""
    return b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + b"\x03\0" + machine.to_bytes(2, "little") + libraries


@pytest.mark.parametrize(("machine", "architecture"), [(62, "x86_64"), (183, "arm64")])
def test_a_program_is_packaged_for_its_own_architecture_alone(machine, architecture):
    package.check_program("index-events", elf(machine), architecture)
    (other,) = package.TARGETS.keys() - {architecture}
    with pytest.raises(
        package.PackageError, match=f"index-events is no program for {other}: .*{package.TARGETS[other]}"
    ):
        package.check_program("index-events", elf(machine), other)
    with pytest.raises(package.PackageError, match="is no program for"):
        package.check_program("index-events", b"#!/bin/sh", architecture)


def test_a_program_that_needs_a_newer_c_library_than_lambda_has_is_not_packaged():
    with pytest.raises(package.PackageError, match="needs glibc 2.39, and Amazon Linux 2023 has 2.34"):
        package.check_program("index-events", elf(62, b"\0GLIBC_2.34\0GLIBC_2.39\0GLIBC_2.4\0"), "x86_64")


def test_the_machines_own_programs_have_the_header_that_packages_are_checked_by():
    own = package.MACHINES[platform.machine().lower()]
    header = Path(sys.executable).resolve().read_bytes()[:64]
    package.check_program("python", header, own)


def test_the_command_line_is_built_for_a_linux_machines_own_architecture():
    both = list(package.TARGETS)
    assert package.machine_architecture(both, "x86_64", "Linux") == "x86_64"
    assert package.machine_architecture(both, "aarch64", "Linux") == "arm64"
    assert package.machine_architecture(["arm64"], "x86_64", "Linux") is None
    assert package.machine_architecture(both, "arm64", "Darwin") is None
    assert package.machine_architecture(both, "riscv64", "Linux") is None


def test_the_command_line_is_a_program_of_the_workspace_with_these_features():
    manifest = tomllib.loads((stack.INFRA.parent / "cli" / "Cargo.toml").read_text(encoding="utf-8"))
    assert manifest["package"]["name"] == package.COMMAND_LINE
    assert set(package.COMMAND_LINE_FEATURES.split(",")) <= manifest["features"].keys()
    assert {"default", "simulate"} <= manifest["features"].keys() and "simulate" in manifest["features"]["default"]


def test_the_function_of_the_account_is_a_program_of_the_workspace_with_these_features():
    folder = stack.INFRA.parent / "functions" / package.ACCOUNT
    manifest = tomllib.loads((folder / "Cargo.toml").read_text(encoding="utf-8"))
    assert manifest["package"]["name"] == package.ACCOUNT and (folder / "src" / "main.rs").exists()
    assert set(package.ACCOUNT_FEATURES.split(",")) <= manifest["features"].keys()


def test_the_zip_of_the_command_line_holds_it_under_its_own_name(tmp_path):
    package.zip_program(b"\x7fELF", tmp_path / "one.zip", package.COMMAND_LINE)
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        (entry,) = archive.infolist()
        assert (entry.filename, entry.external_attr >> 16) == ("kafka-to-search", 0o100755)


def test_checksums_are_those_that_sha256sum_checks(tmp_path):
    (tmp_path / "arm64").mkdir()
    (tmp_path / "arm64" / "b.zip").write_bytes(b"two")
    (tmp_path / "a.json").write_bytes(b"one")
    (tmp_path / "SHA256SUMS").write_text(package.checksums(tmp_path), encoding="utf-8")
    done = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "a.json: OK\narm64/b.zip: OK\n"


def test_an_architecture_without_its_standard_library_is_reported_with_the_fix(tmp_path):
    assert package.missing_targets(["x86_64", "arm64"], tmp_path) == [
        "Rust's standard library for x86_64: rustup target add x86_64-unknown-linux-gnu",
        "Rust's standard library for arm64: rustup target add aarch64-unknown-linux-gnu",
    ]
    library = tmp_path / "aarch64-unknown-linux-gnu" / "lib" / "libstd-1.rlib"
    library.parent.mkdir(parents=True)
    library.touch()
    assert len(package.missing_targets(["x86_64", "arm64"], tmp_path)) == 1


def test_an_unknown_architecture_is_refused():
    command = [sys.executable, str(stack.INFRA / "package.py"), "x86_64", "sparc"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "no architecture sparc: give x86_64 or arm64" in done.stderr


def test_a_bill_of_materials_names_the_program_and_neither_time_nor_folder(tmp_path):
    made = {
        "serialNumber": "urn:uuid:1",
        "metadata": {"timestamp": "now", "component": {"bom-ref": f"path+{tmp_path.as_uri()}/functions/a#0.1.0"}},
        "components": [{"name": "tokio"}],
    }
    one, same, other = (package.bill_of_materials(made, tmp_path, program) for program in (b"a", b"a", b"b"))
    assert one == same and one["serialNumber"] != other["serialNumber"] != made["serialNumber"]
    assert one["metadata"]["component"] == {
        "bom-ref": "path+file:///kafka-to-search/functions/a#0.1.0",
        "hashes": [{"alg": "SHA-256", "content": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}],
    }
    assert "timestamp" not in one["metadata"] and one["components"] == [{"name": "tokio"}]


# A function of one invocation: ARGUMENTS are its response and the document that it writes.
PROGRAM = """#!{python}
import json, os, urllib.request
api = f"http://{{os.environ['AWS_LAMBDA_RUNTIME_API']}}/2018-06-01/runtime/invocation"
event = json.load(urllib.request.urlopen(f"{{api}}/next"))
((record,),) = event["records"].values()
lines = [{{"create": {{}}}}, {{"kafka_topic": record["topic"], "total": {total}}}]
body = "".join(json.dumps(line) + "\\n" for line in lines).encode()
urllib.request.urlopen(os.environ["SEARCH_ENDPOINT"] + "/_bulk", body)
urllib.request.urlopen(f"{{api}}/1/response", b"{{}}")
"""


def started(folder, program: str) -> str:
    archive = folder / "index-events.zip"
    package.zip_program(program.encode(), archive)
    return start_packages.start(archive, package.MACHINES[platform.machine().lower()])


def test_it_is_known_how_to_start_each_packaged_function():
    assert {"index-events", *start_packages.REFUSED} == {*package.functions(TEXT), package.ACCOUNT}


def test_a_packaged_program_that_indexes_its_event_is_started(tmp_path):
    assert started(tmp_path, PROGRAM.format(python=sys.executable, total=9.5)) == "{}, with one document written"


def test_a_packaged_program_that_loses_its_event_or_does_not_start_is_reported(tmp_path):
    with pytest.raises(start_packages.StartError, match="and it wrote .*8.5"):
        started(tmp_path, PROGRAM.format(python=sys.executable, total=8.5))
    with pytest.raises(start_packages.StartError, match="it ended by itself: wrong processor"):
        started(tmp_path, "#!/bin/sh\necho wrong processor\nexit 3\n")


def test_a_program_of_another_processor_needs_an_emulator_and_says_which(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    own = package.MACHINES[platform.machine().lower()]
    (other,) = package.TARGETS.keys() - {own}
    with pytest.raises(start_packages.StartError, match="install qemu-user-static and the C library"):
        start_packages.start(tmp_path / "index-events.zip", other)
