"""The stack for Docker runs the versions of the stack without it."""

import paths
from versions import pinned


def test_the_containers_have_the_pinned_versions():
    compose = (paths.REPOSITORY / "localstack" / "compose.yaml").read_text()
    localstack = next(asked for asked in pinned()["environments"]["localstack"] if asked.startswith("localstack-core"))

    assert f"image: apache/kafka:{pinned()['kafka']['version']}\n" in compose
    assert f"image: opensearchproject/opensearch:{pinned()['opensearch']['version']}\n" in compose
    assert f'"{localstack}"' in compose
