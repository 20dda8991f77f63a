"""Response time of a request at an edge site: round trip + transfer + queueing and service.

For an M/M/1 queue of service rate mu and arrival rate lambda (both in work/s): ``queueing + service
= 1 / (mu - lambda)``; so a limit on the response time is a limit on the load, linear in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from optalloc.instance.errors import InstanceError


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
