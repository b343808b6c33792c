"""What the report is made of."""

from local_stack.commands.publishing import OTHER_TEAMS
from local_stack.commands.summary import read_lag

TABLE = """\
MAPPING                               TOPIC             PARTITION  COMMITTED  END  LAG
492a1929-485a-4e4a-9595-b5f58ad23fbb  inventory.events  0          531        531  0
492a1929-485a-4e4a-9595-b5f58ad23fbb  inventory.events  1          187        190  3
9eb4e7ab-c0ad-4182-b504-b39301a41b3d  inventory.events  1          -          190  190
"""


def test_the_lag_is_read_from_the_table_of_the_poller():
    assert read_lag(TABLE) == {("inventory.events", 0): 0, ("inventory.events", 1): 193}
    assert read_lag("") == {}


def test_the_demo_has_events_of_other_teams():
    assert len(OTHER_TEAMS.read_text().splitlines()) == 2
