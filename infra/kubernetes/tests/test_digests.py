"""scripts/digests.py pins images by digest beside their tags. There is no registry here: a stand-in for docker responds."""

import os
import re
import shutil
import subprocess
import sys

import yaml
from conftest import KUBERNETES, build
from test_manifests import containers, workloads
from test_probes import script

DIGEST = "sha256:" + "0" * 64


def copy(tmp_path):
    """A copy of the manifests. Returns its folder and a way to run the script there with a stand-in for docker."""
    for folder in ("base", "components", "infrastructure", "elk", "functions", "scripts"):
        shutil.copytree(KUBERNETES / folder, tmp_path / folder)

    def run(*arguments: str, output: str = DIGEST, status: int = 0):
        script(tmp_path / "bin" / "docker", f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\necho {output}\nexit {status}\n')
        environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        command = [sys.executable, "-B", tmp_path / "scripts" / "digests.py", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def test_every_foreign_image_gets_its_digest_beside_its_tag(tmp_path):
    run = copy(tmp_path)
    before = (tmp_path / "base" / "kustomization.yaml").read_text()
    assert run().returncode == 0
    images = yaml.safe_load((tmp_path / "base" / "kustomization.yaml").read_text())["images"]
    assert len(images) == len(yaml.safe_load(before)["images"])
    for image in images:
        own = image["name"].startswith("kafka-to-search/")
        assert image.get("digest") == (None if own else DIGEST), image
    asked = re.findall(r"inspect --format \S+ (\S+)$", (tmp_path / "calls").read_text(), re.MULTILINE)
    assert asked == [f"{image['name']}:{image['newTag']}" for image in images if "digest" in image]
    used = {container["image"] for workload in workloads(build(tmp_path / "base")) for container in containers(workload)}
    assert all(image.endswith(f"@{DIGEST}") for image in used if not image.startswith("kafka-to-search/"))
    for component in ("prometheus", "snapshots"):
        for image in yaml.safe_load((tmp_path / "components" / component / "kustomization.yaml").read_text())["images"]:
            assert image["digest"] == DIGEST, f"{component}: without a digest, it would take that of the base away"
    # Again, with another digest; and back.
    other = DIGEST.replace("0", "1")
    assert run(output=other).returncode == 0
    assert DIGEST not in (tmp_path / "base" / "kustomization.yaml").read_text()
    assert run("--remove").returncode == 0
    for file in ("base/kustomization.yaml", *(f"components/{name}/kustomization.yaml" for name in ("prometheus", "snapshots"))):
        assert (tmp_path / file).read_text() == (KUBERNETES / file).read_text()


def test_what_is_no_digest_changes_nothing(tmp_path):
    run = copy(tmp_path)
    before = (tmp_path / "base" / "kustomization.yaml").read_text()
    for done in (run(output="latest"), run(status=1), run("--nonsense")):
        assert done.returncode != 0 and done.stderr
    assert (tmp_path / "base" / "kustomization.yaml").read_text() == before
