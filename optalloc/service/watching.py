"""What the service remembers for those who watch: the last decisions, and figures over time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from optalloc.instance.model import Task
from optalloc.oracle.answers import Decision, Refusal
from optalloc.service import asked as a
from optalloc.service import shown as s

EVERY_S, SAMPLES = 5.0, 720
"""Seconds between two samples, and samples that are kept: an hour."""
DECISIONS = 100
"""Placed tasks that are remembered, and as many refused ones, which would else be crowded out."""
LONGEST_NAME, LONGEST_REASON, LARGEST_TASK = 200, 2_000, 4_000
"""Characters, and bytes, of what is remembered."""
NODES = 3
"""Of a placed task that are named."""


class Watch:
    """The memory of one service; of bounded size, and gone when it ends."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[str, float | None]]] = deque(maxlen=SAMPLES)
        self._placed: deque[tuple[int, s.Decided]] = deque(maxlen=DECISIONS)
        self._refused: deque[tuple[int, s.Decided]] = deque(maxlen=DECISIONS)
        self._taken = self._decided = 0
        self._born = time.time_ns()

    def sample(self, now: a.Standing, queue: int) -> None:
        """Remember how things stand."""
        figures: dict[str, float | None] = {
            "tasks": now.tasks,
            "queue": queue,
            "power_w": now.power_w,
            "gap": now.gap,
            "fragmentation": now.fragmentation,
        }
        for name, use in now.resources.items():
            figures[f"used.{name}"] = use.used / use.capacity if use.capacity else None
        self._samples.append((time.time(), figures))
        self._taken += 1

    def decided(
        self, request: str, asked: Sequence[Task], answers: a.Answers, seconds: float
    ) -> None:
        """Remember decisions."""
        self._decided += 1
        at, ms = time.time(), round(1000 * seconds, 3)
        for decision in answers.decisions[-DECISIONS:]:
            self._placed.append((self._decided, _placed(request, decision, at, ms)))
        if answers.refusals:
            tasks = {task.name: task for task in asked}
            for refusal in answers.refusals[-DECISIONS:]:
                told = _refused(request, refusal, tasks[refusal.task], at, ms)
                self._refused.append((self._decided, told))

    def history(self) -> tuple[str, Callable[[], s.History]]:
        """A tag that tells whether figures over time are still the same, and what says them."""
        return f"history-{self._born}-{self._taken}", partial(_history, tuple(self._samples))

    def activity(self, queue: int) -> tuple[str, Callable[[], s.Activity]]:
        """The same for the last decisions, beside the number of requests that wait."""
        both = [*self._placed, *self._refused]
        return f"activity-{self._born}-{self._decided}-{queue}", partial(_activity, queue, both)


def _history(samples: tuple[tuple[float, dict[str, float | None]], ...]) -> s.History:
    names = dict.fromkeys(name for _, figures in samples for name in figures)
    return s.History(
        every_s=EVERY_S,
        at=[round(at, 3) for at, _ in samples],
        figures={name: [figures.get(name) for _, figures in samples] for name in names},
    )


def _activity(queue: int, decided: list[tuple[int, s.Decided]]) -> s.Activity:
    newest = sorted(decided, key=lambda one: -one[0])
    return s.Activity(queue=queue, decisions=tuple(one for _, one in newest))


def _placed(request: str, decision: Decision, at: float, ms: float) -> s.Decided:
    return s.Decided(
        at=at,
        request=request,
        task=_cut(decision.task, LONGEST_NAME),
        placed=True,
        ms=ms,
        version=decision.version,
        nodes=len(decision.nodes),
        first=tuple(name for name, _ in zip(decision.nodes, range(NODES), strict=False)),
    )


def _refused(request: str, refusal: Refusal, task: Task, at: float, ms: float) -> s.Decided:
    small = len(msgspec.json.encode(task)) <= LARGEST_TASK
    return s.Decided(
        at=at,
        request=request,
        task=_cut(refusal.task, LONGEST_NAME),
        placed=False,
        ms=ms,
        version=refusal.version,
        reason=_cut(refusal.reason, LONGEST_REASON),
        asked=task if small else None,
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
