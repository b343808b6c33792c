"""Roles match the schemas of both security APIs, and allow and deny the right actions.

https://docs.opensearch.org/latest/security/access-control/api/#create-role,
https://docs.opensearch.org/latest/security/access-control/permissions/ and
https://www.elastic.co/guide/en/elasticsearch/reference/8.19/security-privileges.html
../test_roles_opensearch.py and ../test_elasticsearch_6.py test the roles on real servers.
"""

import re
from fnmatch import fnmatchcase

import pytest

from applied import DEAD_LETTERS, EVENTS, loaded
from shape import check

ACTION = re.compile(r"(indices|cluster):(admin|data|monitor)/[a-z_/]+\*?")
# The built-in action groups that our roles use, as the security plugin defines them.
GROUPS = {
    "cluster_composite_ops_ro": [
        "indices:data/read/mget",
        "indices:data/read/msearch",
        "indices:data/read/mtv",
        "indices:admin/aliases/exists*",
        "indices:admin/aliases/get*",
        "indices:data/read/scroll",
        "indices:admin/resolve/index",
    ],
    "read": ["indices:data/read*", "indices:admin/mappings/fields/get*", "indices:admin/resolve/index"],
}
OPENSEARCH = {
    "description?": str,
    "cluster_permissions": [(ACTION, set(GROUPS))],
    "index_permissions": [
        {
            "index_patterns": [str],
            "dls?": str,
            "fls?": [str],
            "masked_fields?": [str],
            "allowed_actions": [(ACTION, set(GROUPS))],
        }
    ],
    "tenant_permissions?": [{"tenant_patterns": [str], "allowed_actions": [{"kibana_all_read", "kibana_all_write"}]}],
}
ELASTICSEARCH = {
    "cluster?": [{"monitor", "manage_own_api_key"}],
    "indices": [
        {"names": [str], "privileges": [{"read", "view_index_metadata", "create_doc", "index", "auto_configure", "delete"}]}
    ],
    "applications?": [{"application": str, "privileges": [{"space_read"}], "resources": [re.compile("space:[a-z-]+")]}],
}
READING = [
    "indices:data/read/search",
    "indices:data/read/get",
    "indices:data/read/mget[shard]",
    "indices:data/read/scroll",
]
DESTROYING = [
    "indices:data/write/delete",
    "indices:data/write/delete/byquery",
    "indices:data/write/update",
    "indices:data/write/update/byquery",
    "indices:data/write/reindex",
    "indices:admin/delete",
    "indices:admin/close",
    "indices:admin/settings/update",
    "indices:admin/aliases",
    "indices:admin/index_template/put",
    "indices:admin/mappings/get",
]
WRITING = [
    "indices:data/write/bulk[s]",
    "indices:data/write/bulk[s][p]",
    "indices:data/write/index",
    "indices:admin/create",
    "indices:admin/mapping/put",
]


def allows(role: dict, action: str, index: str | None = None) -> bool:
    """Whether the role allows an action on an index, or on the cluster if there is no index."""
    if index is None:
        patterns = role["cluster_permissions"]
    else:
        patterns = [
            pattern
            for each in role["index_permissions"]
            if any(fnmatchcase(index, names) for names in each["index_patterns"])
            for pattern in each["allowed_actions"]
        ]
    patterns = [one for pattern in patterns for one in GROUPS.get(pattern, [pattern])]
    # Brackets are literal in action names.
    return any(re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), action) for pattern in patterns)


EVENT_INDEX, DEAD_INDEX = EVENTS.replace("*", "2026.11.24"), DEAD_LETTERS.replace("*", "2026.11.24")


@pytest.mark.parametrize("name", ["writer", "replayer", "reader"])
def test_roles_match_the_schema(name):
    check(loaded(f"roles/opensearch-{name}.json"), OPENSEARCH)
    check(loaded(f"roles/elasticsearch-{name}.json"), ELASTICSEARCH)


@pytest.mark.parametrize("name", ["writer", "replayer", "reader"])
def test_roles_allow_no_other_index(name):
    opensearch, elasticsearch = loaded(f"roles/opensearch-{name}.json"), loaded(f"roles/elasticsearch-{name}.json")
    patterns = [pattern for each in opensearch["index_permissions"] for pattern in each["index_patterns"]]
    names = [pattern for each in elasticsearch["indices"] for pattern in each["names"]]
    assert set(patterns) == set(names) == {EVENTS, DEAD_LETTERS}


def test_the_writer_can_only_write():
    role = loaded("roles/opensearch-writer.json")
    assert role["cluster_permissions"] == ["indices:data/write/bulk"]
    for index in (EVENT_INDEX, DEAD_INDEX):
        assert all(allows(role, action, index) for action in WRITING)
        assert not any(allows(role, action, index) for action in READING + DESTROYING)
    for each in loaded("roles/elasticsearch-writer.json")["indices"]:
        assert set(each["privileges"]) == {"create_doc", "auto_configure"}
    assert loaded("roles/elasticsearch-writer.json")["cluster"] == []


def test_the_replayer_deletes_only_dead_letters():
    role = loaded("roles/opensearch-replayer.json")
    writer = loaded("roles/opensearch-writer.json")
    assert role["index_permissions"][0] == writer["index_permissions"][0], "it writes as the writer does"
    reads = ["indices:data/read/search", "indices:data/read/mget[shard]"]
    delete = "indices:data/write/delete"
    assert allows(role, "indices:data/read/mget") and allows(role, "indices:data/write/bulk")
    assert all(allows(role, action, DEAD_INDEX) for action in [*reads, delete])
    assert all(allows(role, action, EVENT_INDEX) for action in [*reads, "indices:data/read/field_caps[index]"])
    assert not any(allows(role, action, EVENT_INDEX) for action in DESTROYING)
    assert not any(allows(role, action, DEAD_INDEX) for action in DESTROYING if action != delete)
    both, events, dead = loaded("roles/elasticsearch-replayer.json")["indices"]
    assert both == loaded("roles/elasticsearch-writer.json")["indices"][0]
    assert events == {"names": [EVENTS], "privileges": ["read", "index"]}
    assert dead == {"names": [DEAD_LETTERS], "privileges": ["read", "delete"]}


def test_the_reader_changes_nothing():
    role = loaded("roles/opensearch-reader.json")
    for index in (EVENT_INDEX, DEAD_INDEX):
        assert all(allows(role, action, index) for action in [*READING, "indices:data/read/field_caps"])
        assert not any(allows(role, action, index) for action in DESTROYING[:-1] + WRITING)
    assert not any(allows(role, action) for action in ["indices:data/write/bulk", "cluster:admin/settings/update"])
    (tenant,) = role["tenant_permissions"]
    assert tenant["allowed_actions"] == ["kibana_all_read"]
    (indices,) = loaded("roles/elasticsearch-reader.json")["indices"]
    assert set(indices["privileges"]) == {"read", "view_index_metadata"}
