"""A tag makes a release of both architectures, and the workflows run what people run."""

import hashlib
import io
import re
import tarfile

import package
import pytest
import release
import stack
import yaml

REPOSITORY = stack.INFRA.parent
CHANGELOG = "# Changelog\n\n## Unreleased\n\n- new\n\n## 1.2.0 (2026-11-28)\n\n- one\n  more\n\n## 1.1.0\n\n- old\n"


def workflow(name: str) -> dict:
    return yaml.safe_load((REPOSITORY / ".github" / "workflows" / name).read_text(encoding="utf-8"))


@pytest.fixture
def infra(tmp_path):
    """A folder with the templates and packages of both architectures."""
    for name in release.FILES:
        (tmp_path / name).write_bytes((stack.INFRA / name).read_bytes())
    for architecture in package.TARGETS:
        folder = tmp_path / "packages" / architecture
        folder.mkdir(parents=True)
        package.zip_program(architecture.encode(), folder / "index-events.zip")
        (folder / "index-events.cdx.json").write_text("{}")
    sums = package.checksums(tmp_path / "packages")
    (tmp_path / "packages" / "SHA256SUMS").write_text(sums, encoding="utf-8")
    return tmp_path


def test_the_notes_are_the_versions_section_of_the_changelog():
    assert release.notes(CHANGELOG, "v1.2.0") == "- one\n  more\n"
    assert release.notes(CHANGELOG, "v1.1.0") == "- old\n"


@pytest.mark.parametrize("version", ["v1.3.0", "v1.2", "v11.1.0"])
def test_a_version_without_notes_is_no_release(version):
    with pytest.raises(release.ReleaseError, match="has no section"):
        release.notes(CHANGELOG, version)


def test_a_tag_names_the_version_of_the_workspace():
    manifest = (REPOSITORY / "Cargo.toml").read_text(encoding="utf-8")
    own = re.search(r'^version = "(.+)"$', manifest, re.MULTILINE)[1]
    release.check_version(manifest, f"v{own}")
    with pytest.raises(release.ReleaseError, match="must be the same"):
        release.check_version(manifest, f"v{own}9")


def test_a_bundle_deploys_without_the_repository(infra):
    assert release.bundle(infra, "v1.2.0") == release.bundle(infra, "v1.2.0")
    with tarfile.open(fileobj=io.BytesIO(release.bundle(infra, "v1.2.0"))) as archive:
        files = {entry.name: archive.extractfile(entry).read() for entry in archive.getmembers()}
    root = "kafka-to-search-v1.2.0/"
    # The layer's file is the one that the user edits.
    assert files[f"{root}pipeline-layer/pipeline.yaml"] == files[f"{root}pipeline.yaml"]
    assert {name.removeprefix(root) for name in files} == {
        *release.FILES,
        *release.LINKS,
        "packages/SHA256SUMS",
        *(f"packages/{each}/index-events{kind}" for each in package.TARGETS for kind in release.KINDS),
    }
    for line in files[f"{root}packages/SHA256SUMS"].decode().splitlines():
        digest, path = line.split("  ")
        assert hashlib.sha256(files[f"{root}packages/{path}"]).hexdigest() == digest


def test_a_release_has_each_package_and_sbom_with_its_checksum(infra):
    written = {file.name: file.read_bytes() for file in release.write(infra, "v1.2.0")}
    sums = dict(line.split("  ")[::-1] for line in written.pop("SHA256SUMS").decode().splitlines())
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in written.items()}
    assert set(written) == {
        "kafka-to-search-v1.2.0.tar.gz",
        *(f"index-events-v1.2.0-{each}{kind}" for each in package.TARGETS for kind in release.KINDS),
    }


def test_a_release_needs_both_architectures(infra):
    sums = infra / "packages" / "SHA256SUMS"
    sums.write_text("".join(line for line in sums.read_text().splitlines(keepends=True) if "arm64" not in line))
    with pytest.raises(release.ReleaseError, match="no packages for arm64: run `make package`"):
        release.write(infra, "v1.2.0")


def test_a_release_needs_what_a_change_needs():
    (steps,) = (job["steps"] for job in workflow("ci.yaml")["jobs"].values())
    assert steps[-1]["run"] == ".ci/run"
    jobs = workflow("release.yaml")["jobs"]
    assert jobs["check"]["uses"] == "./.github/workflows/ci.yaml" and jobs["release"]["needs"] == "check"
    # YAML reads the key `on` as true.
    assert workflow("release.yaml")[True] == {"push": {"tags": ["v*"]}}


def test_the_release_installs_both_targets_and_makes_every_package():
    script = "\n".join(step.get("run", "") for step in workflow("release.yaml")["jobs"]["release"]["steps"])
    assert all(target in script for target in package.TARGETS.values())
    assert re.search(r"^make package$", script, re.MULTILINE), "without ARCHITECTURES"
    assert "gh release create" in script and "infra/packages/release/*" in script


@pytest.mark.parametrize("name", ["ci.yaml", "release.yaml"])
def test_a_workflow_may_write_only_where_it_says_so(name):
    assert workflow(name)["permissions"] == {"contents": "read"}
    writing = [job for job, made in workflow(name)["jobs"].items() if "permissions" in made]
    assert writing == (["release"] if name == "release.yaml" else [])
