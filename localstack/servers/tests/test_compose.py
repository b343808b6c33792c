"""The stack for Docker has the same versions as the stack without it."""

from local_stack import paths
from local_stack.versions import pinned


def test_the_containers_have_the_pinned_versions():
    compose = (paths.REPOSITORY / "localstack" / "compose.yaml").read_text()
    localstack = next(
        package for package in pinned()["environments"]["localstack"] if package.startswith("localstack-core")
    )

    assert f"image: apache/kafka:{pinned()['kafka']['version']}\n" in compose
    assert f"image: opensearchproject/opensearch:{pinned()['opensearch']['version']}\n" in compose
    assert f"image: apicurio/apicurio-registry:{pinned()['schema-registry']['version']}\n" in compose
    assert f'"{localstack}"' in compose
