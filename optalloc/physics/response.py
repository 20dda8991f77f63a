"""Response time of a request at an edge site: round trip + transfer + queueing and service.

For an M/M/1 queue of service rate mu and arrival rate lambda (both in work/s): ``queueing + service
= 1 / (mu - lambda)``; so a limit on the response time is a limit on the load, linear in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor

from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Lookup


@dataclass(frozen=True)
class Site:
    """What a site does with requests.

    Parameters
    ----------
    service_rate
        mu, requests/s.
    round_trip_s
        Seconds there and back.
    up, down
        Bytes/s of the way there and back; infinite by default.

    Raises
    ------
    InstanceError
        For rates that are not above 0 and a negative round trip.
    """

    service_rate: float
    round_trip_s: float = 0.0
    up: float = float("inf")
    down: float = float("inf")

    def __post_init__(self) -> None:
        wrong = [
            (name, f"expected above 0, got {value:g}")
            for name, value in (
                ("service_rate", self.service_rate),
                ("up", self.up),
                ("down", self.down),
            )
            if not value > 0
        ]
        if not self.round_trip_s >= 0:
            wrong.append(("round_trip_s", f"expected at least 0 s, got {self.round_trip_s:g}"))
        if wrong:
            raise InstanceError(wrong, "the site")

    def transfer_s(self, request_bytes: float = 0.0, answer_bytes: float = 0.0) -> float:
        """Seconds of the round trip and of the bytes in both directions."""
        return self.round_trip_s + request_bytes / self.up + answer_bytes / self.down

    def response_s(
        self, arrival_rate: float, request_bytes: float = 0.0, answer_bytes: float = 0.0
    ) -> float:
        """Mean response time of a request; infinite where the site cannot keep up."""
        left = self.service_rate - arrival_rate
        queueing = 1 / left if left > 0 else float("inf")
        return self.transfer_s(request_bytes, answer_bytes) + queueing

    def most_load(
        self, limit_s: float, request_bytes: float = 0.0, answer_bytes: float = 0.0
    ) -> float:
        """Largest arrival rate with a mean response time within a limit: ``mu - 1/(T - tau)``.

        Returns
        -------
        float
            Requests/s; negative where even an idle site is too slow.
        """
        left = limit_s - self.transfer_s(request_bytes, answer_bytes)
        return self.service_rate - 1 / left if left > 0 else float("-inf")


def chord_loads(capacity: int, error: float, last: float) -> list[int]:
    """Whole loads from 0 on between which chords of ``load / (capacity - load)`` are near enough.

    That is the mean number of requests waiting and served, in work/s as in requests/s. A chord from
    utilisation a to b is above it by at most ``(sqrt(b) - sqrt(a))**2 / ((1 - a) * (1 - b))`` of
    it; at whole loads it never is where they are neighbours.

    Parameters
    ----------
    capacity
        What the node serves, at least 1.
    error
        Largest relative error.
    last
        Utilisation below 1 beyond which there is no load any more.
    """
    loads, end = [0], int(last * capacity)
    while loads[-1] < end:
        a = loads[-1] / capacity
        c = error * (1 - a)
        b = ((a**0.5 + (c * (1 + c - a)) ** 0.5) / (1 + c)) ** 2
        loads.append(min(max(loads[-1] + 1, floor(b * capacity)), end))
    return loads


def delay_table(
    by: str,
    sites: Mapping[str, Site],
    request_bytes: float = 0.0,
    answer_bytes: float = 0.0,
) -> Lookup:
    """Make the ``delay_s`` of tasks whose requests have so many bytes, by what site a node is at.

    Parameters
    ----------
    by
        The nodes' attribute: a label or a domain scope.
    sites
        The site for each of its values, as seen from where the requests come from.
    request_bytes, answer_bytes
        Mean size of a request and its answer.
    """
    seconds = {name: site.transfer_s(request_bytes, answer_bytes) for name, site in sites.items()}
    return Lookup(by=by, values=seconds)
