"""Every file exists and contains only placeholders that provisioning knows, and their values give valid JSON."""

import json
import re

import pytest

from applied import ENGINES, FOLDER, MONITORS, NUMBERS, PLACEHOLDER, VALUES, filled, loaded

FILES = sorted(
    str(path.relative_to(FOLDER))
    for folder in ("lifecycle", "roles", "monitors", "dashboards")
    for path in (FOLDER / folder).rglob("*")
    if path.suffix in (".json", ".ndjson")
)


def test_the_folder_has_exactly_the_provisioned_files():
    expected = {f"lifecycle/{engine}-{name}.json" for engine in ENGINES for name in ("daily", "dead-letters")}
    expected |= {f"roles/{engine}-{name}.json" for engine in ENGINES for name in ("writer", "replayer", "reader")}
    expected |= {f"monitors/{engine}/{name}.json" for engine in ENGINES for name in MONITORS}
    expected |= {"dashboards/opensearch.ndjson", "dashboards/kibana.ndjson"}
    assert set(FILES) == expected


@pytest.mark.parametrize("path", FILES)
def test_placeholders_are_known_and_their_values_give_valid_json(path):
    text = (FOLDER / path).read_text()
    assert set(PLACEHOLDER.findall(text)) <= VALUES.keys()
    assert "$" not in PLACEHOLDER.sub("", text), "a dollar sign outside a placeholder"
    if path.endswith(".ndjson"):
        assert all(json.loads(line) for line in filled(path).splitlines())
    else:
        loaded(path)


@pytest.mark.parametrize("path", FILES)
def test_no_prefix_is_hard_coded(path):
    """Pipelines with different prefixes can share a cluster."""
    rest = PLACEHOLDER.sub("", (FOLDER / path).read_text())
    assert "microservices" not in rest
    assert PLACEHOLDER.findall((FOLDER / path).read_text()), "the file has no placeholders"


def test_the_templates_have_no_placeholders():
    for name in ("index-template.json", "dead-letter-template.json"):
        assert not PLACEHOLDER.findall((FOLDER / name).read_text())


def test_numbers_have_a_unit_or_are_the_whole_value():
    """`"${RETENTION_DAYS}d"` or `"${RETENTION_DAYS}"`, which becomes a number: never a string of digits by mistake."""
    for path in FILES:
        for name in NUMBERS:
            for found in re.finditer(re.escape("${" + name + "}") + "(.)", (FOLDER / path).read_text()):
                assert found[1] in 'dm" ', f"{path}: {found[0]}"
