"""Registers the S3 repository and the policy of nightly snapshots. It can run again at any time.

https://www.elastic.co/docs/deploy-manage/tools/snapshot-and-restore/s3-repository
"""

import os

from elasticsearch_setup import Elasticsearch, login

REPOSITORY = "s3"
POLICY = "nightly"


def main() -> None:
    """Registering checks that every node can write to the bucket, so a wrong key or bucket fails here."""
    environment = os.environ
    cluster = Elasticsearch(environment["ELASTICSEARCH_URL"], login(environment), environment.get("CA_FILE"))
    settings = {"bucket": environment["BUCKET"], "region": environment["REGION"], "base_path": environment["BASE_PATH"]}
    cluster.call("PUT", f"/_snapshot/{REPOSITORY}", {"type": "s3", "settings": settings})
    cluster.call("PUT", f"/_slm/policy/{POLICY}", policy(int(environment["KEEP_DAYS"])))
    print(f"repository {REPOSITORY} and policy {POLICY}: applied", flush=True)


def policy(days: int) -> dict:
    """Every night at 1:30 UTC: all indices, and the cluster's state with Kibana's objects and the security's roles."""
    return {
        "name": "<nightly-{now/d}>",
        "schedule": "0 30 1 * * ?",
        "repository": REPOSITORY,
        "config": {"indices": ["*"], "include_global_state": True},
        "retention": {"expire_after": f"{days}d", "min_count": 7},
    }


if __name__ == "__main__":
    main()
