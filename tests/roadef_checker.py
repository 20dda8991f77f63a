"""A checker for machine reassignment, written from the challenge's rules alone.

It reads the challenge's own files and shares no code with the package.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass


@dataclass
class Verdict:
    """Broken rules, as sentences, and the five parts of the cost."""

    violations: list[str]
    cost: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.cost.values())


@dataclass
class Machine:
    neighbourhood: int
    location: int
    capacity: list[int]
    safety: list[int]
    move_cost: list[int]


class Challenge:
    """A model file and the assignment at the start."""

    def __init__(self, model: str, start: str) -> None:
        numbers = iter([int(word) for word in model.split()])

        def several(count: int) -> list[int]:
            return [next(numbers) for _ in range(count)]

        self.resources = [several(2) for _ in range(next(numbers))]
        width, machines = len(self.resources), next(numbers)
        self.machines = [
            Machine(next(numbers), next(numbers), several(width), several(width), several(machines))
            for _ in range(machines)
        ]
        self.services: list[tuple[int, list[int]]] = []
        for _ in range(next(numbers)):
            minimum, dependencies = several(2)
            self.services.append((minimum, several(dependencies)))
        self.processes = [
            (next(numbers), several(width), next(numbers)) for _ in range(next(numbers))
        ]
        self.balance = [several(4) for _ in range(next(numbers))]
        self.weights = several(3)
        assert next(numbers, None) is None
        self.start = [int(word) for word in start.split()]
        assert len(self.start) == len(self.processes)

    def judge(self, text: str) -> Verdict:
        """Judge a solution file."""
        new = [int(word) for word in text.split()]
        assert len(new) == len(self.processes)
        assert all(0 <= m < len(self.machines) for m in new)
        load = [[0] * len(self.resources) for _ in self.machines]
        for (_, needs, _), m in zip(self.processes, new, strict=True):
            for r, need in enumerate(needs):
                load[m][r] += need
        broken = self._overload(load, new) + self._conflicts(new) + self._places(new)
        return Verdict(broken, self._cost(load, new))

    def _overload(self, load: list[list[int]], new: list[int]) -> list[str]:
        leaving = [[0] * len(self.resources) for _ in self.machines]
        for (_, needs, _), old, m in zip(self.processes, self.start, new, strict=True):
            if old != m:
                for r, need in enumerate(needs):
                    leaving[old][r] += need
        broken = []
        for m, machine in enumerate(self.machines):
            for r, (transient, _) in enumerate(self.resources):
                if load[m][r] > machine.capacity[r]:
                    broken.append(f"capacity of resource {r} on machine {m}")
                if transient and load[m][r] + leaving[m][r] > machine.capacity[r]:
                    broken.append(f"transient capacity of resource {r} on machine {m}")
        return broken

    def _conflicts(self, new: list[int]) -> list[str]:
        seen = Counter((process[0], m) for process, m in zip(self.processes, new, strict=True))
        return [
            f"service {s} runs {times} times on machine {m}"
            for (s, m), times in seen.items()
            if times > 1
        ]

    def _places(self, new: list[int]) -> list[str]:
        locations = defaultdict(set)
        neighbourhoods = defaultdict(set)
        for (service, _, _), m in zip(self.processes, new, strict=True):
            locations[service].add(self.machines[m].location)
            neighbourhoods[service].add(self.machines[m].neighbourhood)
        broken = []
        for s, (minimum, dependencies) in enumerate(self.services):
            if len(locations[s]) < minimum:
                broken.append(f"service {s} runs in too few locations")
            broken += [
                f"service {s} runs without service {other} somewhere"
                for other in dependencies
                if not neighbourhoods[s] <= neighbourhoods[other]
            ]
        return broken

    def _cost(self, load: list[list[int]], new: list[int]) -> dict[str, int]:
        weight_process, weight_service, weight_machine = self.weights
        free = [
            [capacity - used for capacity, used in zip(machine.capacity, loads, strict=True)]
            for machine, loads in zip(self.machines, load, strict=True)
        ]
        moved = [p for p, (old, m) in enumerate(zip(self.start, new, strict=True)) if old != m]
        per_service = Counter(self.processes[p][0] for p in moved)
        return {
            "load": sum(
                weight * max(0, loads[r] - machine.safety[r])
                for machine, loads in zip(self.machines, load, strict=True)
                for r, (_, weight) in enumerate(self.resources)
            ),
            "balance": sum(
                weight * max(0, target * left[first] - left[second])
                for left in free
                for first, second, target, weight in self.balance
            ),
            "process moves": weight_process * sum(self.processes[p][2] for p in moved),
            "service moves": weight_service * max(per_service.values(), default=0),
            "machine moves": weight_machine
            * sum(self.machines[old].move_cost[m] for old, m in zip(self.start, new, strict=True)),
        }
