"""Stores the functions' Elasticsearch key in LocalStack's Secrets Manager and prints its ARN. Runs in LocalStack's pod."""

import json
import os
import sys
import time
from pathlib import Path

import boto3

NAME = "kafka-to-search/search"
WAIT_S = 180


def main() -> int:
    """Waits for the key: Kubernetes mounts a new Secret in a running pod within a minute or two."""
    file = Path(os.environ.get("SEARCH_KEY_FILE", "/etc/search/api-key"))
    deadline = time.monotonic() + WAIT_S
    while not file.exists():
        if time.monotonic() > deadline:
            print(f"{file} is missing: has the Job elasticsearch-setup run (deploy.sh --elk)?", file=sys.stderr)
            return 1
        time.sleep(2)
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "http://localhost:4566")
    client = boto3.client(
        "secretsmanager",
        endpoint_url=endpoint,
        region_name="us-east-1",
        # LocalStack accepts any credentials.
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    value = json.dumps({"api_key": file.read_text().strip()})
    try:
        secret = client.create_secret(Name=NAME, SecretString=value)
    except client.exceptions.ResourceExistsException:
        secret = client.put_secret_value(SecretId=NAME, SecretString=value)
    print(secret["ARN"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
