"""The lines of the demo's summary."""

from local_stack.commands.publishing import OTHER_TEAMS
from local_stack.commands.summary import conflict_lines


def test_a_rescued_document_is_shown_in_a_few_short_lines():
    source = {
        "orderId": "O-1",
        "customer": "not shown",
        "tags": ["_mappingconflict"],
        "conflict": {"status": {"code": "PAID"}},
        "conflict_reason": "r" * 500,
    }
    lines = conflict_lines({"_index": "microservices-2026.11.28", "_id": "order.events-0-1-2", "_source": source})
    assert lines[:4] == [
        "microservices-2026.11.28/order.events-0-1-2",
        '  orderId: "O-1"',
        '  tags: ["_mappingconflict"]',
        '  conflict: {"status": {"code": "PAID"}}',
    ]
    assert len(lines) == 5
    assert len(lines[4]) < 130


def test_the_demo_has_events_of_other_teams():
    assert len(OTHER_TEAMS.read_text().splitlines()) == 2
