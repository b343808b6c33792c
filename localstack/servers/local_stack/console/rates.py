"""Rates by second from the poller's counters, and how long each partition has not moved. Pure: the caller has the clock."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

SECONDS = 120  # that the page draws


@dataclass
class _Series:
    delivered: deque = field(default_factory=lambda: deque(maxlen=SECONDS))
    published: deque = field(default_factory=lambda: deque(maxlen=SECONDS))
    counted: int | None = None
    ends: dict[int, int] = field(default_factory=dict)


class Rates:
    """Events a second by mapping: what was published to Kafka, and what the function processed."""

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}
        self._at_s: float | None = None

    def record(self, now_s: float, mappings: list[dict]) -> None:
        """Adds the second that ends now, from the mappings of the poller's status."""
        elapsed = now_s - self._at_s if self._at_s is not None else None
        self._at_s = now_s
        for gone in self._series.keys() - {mapping["uuid"] for mapping in mappings}:
            # Disabled, deleted, or not yet seen by a poller that was started again.
            self._add(self._series[gone], None, None, None, {})
        for mapping in mappings:
            series = self._series.setdefault(mapping["uuid"], _Series())
            ends = {each["partition"]: each["end"] for each in mapping["partitions"] if each["end"] is not None}
            self._add(series, elapsed, mapping["counts"]["delivered"], mapping["uuid"], ends)

    def silence(self, now_s: float) -> None:
        """Adds a second in which the poller did not respond: nothing is known about it."""
        self.record(now_s, [])

    def of(self, uuid: str) -> dict[str, list[float | None]]:
        """The rates of a mapping, oldest first; None where nothing is known."""
        series = self._series.get(uuid, _Series())
        return {"delivered": list(series.delivered), "published": list(series.published)}

    @staticmethod
    def _add(series: _Series, elapsed: float | None, counted: int | None, uuid: str | None, ends: dict) -> None:
        delivered = published = None
        if elapsed and uuid is not None:
            if series.counted is not None and counted is not None:
                # A poller that was started again counts from 0.
                grown = counted - series.counted if counted >= series.counted else counted
                delivered = round(grown / elapsed, 1)
            # Only partitions that were read before: a new one would count all that it ever held.
            known = ends.keys() & series.ends.keys()
            if known:
                published = round(max(0, sum(ends[each] - series.ends[each] for each in known)) / elapsed, 1)
        series.delivered.append(delivered)
        series.published.append(published)
        series.counted, series.ends = counted, ends


class Progress:
    """Since when each partition has had records waiting without moving."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, int], tuple[int | None, float]] = {}

    def record(self, now_s: float, mappings: list[dict]) -> None:
        """Takes the partitions of the poller's status."""
        seen = {}
        for mapping in mappings:
            for each in mapping["partitions"]:
                if lag(each):
                    key = (mapping["uuid"], each["partition"])
                    committed, since = self._since.get(key, (None, now_s))
                    seen[key] = (each["committed"], since if committed == each["committed"] else now_s)
        self._since = seen

    def stuck_s(self, now_s: float, uuid: str, partition: int) -> float:
        """For how long a partition has not moved although records wait; 0 if none wait."""
        known = self._since.get((uuid, partition))
        return now_s - known[1] if known else 0.0


def lag(partition: Mapping) -> int | None:
    """Records of a partition that are not done; None while it is not known."""
    if partition["end"] is None or partition["committed"] is None:
        return None
    return max(0, partition["end"] - partition["committed"])
