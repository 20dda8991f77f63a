"""A second checker that loops over plain dictionaries of what is stated.

It works in fractions of the stated units and knows neither columns nor quanta.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

from optalloc import policies as p
from optalloc.instance.model import (
    Configuration,
    Instance,
    Lookup,
    Node,
    Quantity,
    Task,
)
from optalloc.instance.policy import Number, Policy


@dataclass(frozen=True)
class Run:
    """Some tasks of one entry in one configuration: replicas by concrete node."""

    task: Task
    configuration: Configuration | None
    chosen: int
    nodes: dict[str, int]


class Naive:
    """Values of the policies in their units, by loops over tasks, nodes and replicas."""

    def __init__(self, instance: Instance, runs: list[Run]) -> None:
        self.instance, self.runs = instance, runs
        self.node_of: dict[str, Node] = {}
        for node in instance.nodes:
            for i in range(node.count):
                self.node_of[node.name if node.count == 1 else f"{node.name}/{i}"] = node
        self.entry = {node.name: e for e, node in enumerate(instance.nodes)}

    def value(self, policy: Policy) -> Fraction:
        name = "".join("_" + c.lower() if c.isupper() else c for c in type(policy).__name__)
        answer: Fraction | int = getattr(self, name[1:])(policy)
        return Fraction(answer)

    # -- what is stated ------------------------------------------------------------------------

    def attribute(self, node: Node, by: str) -> str | None:
        if by == "node":
            return node.name
        if by == "device":
            return node.device or None
        return node.labels.get(by) or node.domains.get(by)

    def quantity(self, stated: Quantity, node: Node) -> Fraction:
        if isinstance(stated, str):
            return self.quantity(self.instance.tables[stated], node)
        if isinstance(stated, Lookup):
            value = self.attribute(node, stated.by)
            found = stated.values.get(value, stated.default) if value else stated.default
            assert found is not None
            return Fraction(found)
        if isinstance(stated, tuple):
            return Fraction(stated[self.entry[node.name]])
        return Fraction(stated)

    def demand(self, run: Run, resource: str, name: str) -> Fraction:
        own = run.configuration.demand if run.configuration else {}
        if resource in own:
            return Fraction(own[resource])
        if resource == "device" and run.configuration and run.configuration.device:
            return Fraction(1)
        return self.quantity(run.task.demand.get(resource, 0), self.node_of[name])

    def first_run(self, task: Task) -> Run:
        rows = self.rows(task)
        return Run(task, rows[0], 0, {})

    def rows(self, task: Task) -> list[Configuration | None]:
        assert not isinstance(task.configurations, str)
        return list(task.configurations) or [None]

    def load(self, resource: str, name: str) -> Fraction:
        return sum(
            (run.nodes.get(name, 0) * self.demand(run, resource, name) for run in self.runs),
            Fraction(0),
        )

    def current(self, task: Task) -> Counter[str]:
        if task.current is None:
            return Counter()
        if isinstance(task.current, str):
            each = 1 if task.configurations else task.replicas
            return Counter({task.current: task.count * each})
        return Counter(task.current)

    def members(self, group: str) -> list[Task]:
        return [task for task in self.instance.tasks if group in task.groups]

    def placed(self, task: Task) -> int:
        return sum(run.chosen for run in self.runs if run.task is task)

    def selected(
        self, policy: p.AntiAffinity | p.Portion | p.Span | p.Spread | p.GroupMoveCost
    ) -> list[str]:
        return [
            group.name
            for group in self.instance.groups
            if (not policy.groups or group.name in policy.groups)
            and (not policy.kind or group.kind == policy.kind)
        ]

    def domains(self, group: str, scope: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for run in self.runs:
            if group in run.task.groups:
                for name, replicas in run.nodes.items():
                    node = self.node_of[name]
                    domain = name if scope == "node" else node.domains.get(scope)
                    if domain is not None:
                        found[domain] += replicas
        return found

    def arrivals(self) -> list[tuple[Run, str]]:
        """One (run, node) for each replica that does not run there now."""
        answer = []
        for task in self.instance.tasks:
            staying = self.current(task)
            for run in self.runs:
                if run.task is not task:
                    continue
                for name, replicas in run.nodes.items():
                    for _ in range(replicas):
                        if staying[name]:
                            staying[name] -= 1
                        else:
                            answer.append((run, name))
        return answer

    def moved(self) -> list[tuple[Run, str]]:
        return [(run, name) for run, name in self.arrivals() if run.task.current is not None]

    # -- the policies --------------------------------------------------------------------------

    def capacity(self, _policy: p.Capacity) -> Fraction:
        over = Fraction(0)
        for name, node in self.node_of.items():
            for resource, capacity in {**node.capacity, "device": node.devices}.items():
                over += max(Fraction(0), self.load(resource, name) - Fraction(capacity))
        return over

    def transient_capacity(self, _policy: p.TransientCapacity) -> Fraction:
        over = Fraction(0)
        for name, node in self.node_of.items():
            load = Fraction(0)
            for task in self.instance.tasks:
                home = self.first_run(task)
                load += self.current(task)[name] * self.demand(home, "mem", name)
            for run, at in self.arrivals():
                load += self.demand(run, "mem", name) if at == name else 0
            over += max(Fraction(0), load - Fraction(node.capacity["mem"]))
        return over

    def labels(self, _policy: p.Labels) -> int:
        return sum(
            replicas
            for run in self.runs
            for name, replicas in run.nodes.items()
            if not self.may_run(run, self.node_of[name])
        )

    def gangs(self, _policy: p.Gangs) -> int:
        return sum(self.torn(run) for run in self.runs if run.chosen)

    def torn(self, run: Run) -> int:
        own = run.configuration
        within = (own.within if own else "") or run.task.within
        share = (own.per_node if own else 0) or run.task.per_node
        size = own.replicas if own else run.task.replicas
        domains: Counter[str | None] = Counter()
        for name, replicas in run.nodes.items():
            domains[self.domain(name, within)] += replicas
        torn = sum(n if d is None else n % size for d, n in domains.items()) if within else 0
        for name, replicas in run.nodes.items():
            tasks = domains[self.domain(name, within)] // size
            torn += replicas - share * min(replicas // share, tasks) if share else 0
        return torn

    def domain(self, name: str, scope: str) -> str | None:
        return name if scope == "node" else self.node_of[name].domains.get(scope) if scope else ""

    def may_run(self, run: Run, node: Node) -> bool:
        if run.configuration and run.configuration.device not in ("", node.device):
            return False
        own = run.configuration.device_memory_gib if run.configuration else None
        if (run.task.device_memory_gib if own is None else own) > (node.memory_gib or 0):
            return False
        allowed = all(self.attribute(node, by) in v for by, v in run.task.allow.items())
        return allowed and not any(self.attribute(node, b) in v for b, v in run.task.forbid.items())

    def assignment_cost(self, _policy: p.AssignmentCost) -> Fraction:
        return sum(
            (
                replicas * self.quantity(run.task.cost, self.node_of[name])
                for run in self.runs
                for name, replicas in run.nodes.items()
            ),
            Fraction(0),
        )

    def safety_capacity(self, policy: p.SafetyCapacity) -> Fraction:
        over = Fraction(0)
        for name, node in self.node_of.items():
            threshold = node.safety.get(policy.resource, node.capacity[policy.resource])
            over += max(Fraction(0), self.load(policy.resource, name) - Fraction(threshold))
        return over

    def balance(self, policy: p.Balance) -> Fraction:
        value = Fraction(0)
        for name, node in self.node_of.items():
            free = Fraction(node.capacity[policy.resource]) - self.load(policy.resource, name)
            against = Fraction(node.capacity[policy.against]) - self.load(policy.against, name)
            value += max(Fraction(0), Fraction(policy.ratio) * free - against)
        return value

    def peak_load(self, policy: p.PeakLoad) -> Fraction:
        return max(
            self.load(policy.resource, name) / Fraction(node.capacity[policy.resource])
            for name, node in self.node_of.items()
        )

    def power_cap(self, policy: p.PowerCap) -> Fraction:
        over = Fraction(0)
        for name in {self.domain(node, policy.scope) for node in self.node_of} - {None}:
            caps = policy.watts
            cap = caps.get(str(name)) if isinstance(caps, dict) else caps
            inside = [n for n in self.node_of if self.domain(n, policy.scope) == name]
            if cap is not None:
                over += max(Fraction(0), sum(map(self.watts, inside), Fraction(0)) - Fraction(cap))
        return over

    def watts(self, name: str) -> Fraction:
        """What a node and all that runs on it draw."""
        node, here = self.node_of[name], [run for run in self.runs if run.nodes.get(name)]
        total = Fraction(node.idle_w) if here else Fraction(0)
        for run in here:
            each = Fraction(0)
            if run.configuration:
                each = Fraction(run.configuration.watts) / run.configuration.replicas
            elif node.capacity["cpu"]:
                dynamic = max(Fraction(node.full_w) - Fraction(node.idle_w), Fraction(0))
                share = self.demand(run, "cpu", name) / Fraction(node.capacity["cpu"])
                each = share * dynamic
            total += each * run.nodes[name]
        return total

    def request_rate(self, run: Run) -> Fraction:
        """Requests/s of a replica."""
        replicas = run.configuration.replicas if run.configuration else run.task.replicas
        return Fraction(run.task.requests_s) / replicas

    def response_limit(self, policy: p.ResponseLimit) -> Fraction:
        over = Fraction(0)
        quantum = self.instance.columns.quantum_of_resource[0]
        for name, node in self.node_of.items():
            capacity, need = Fraction(node.capacity[policy.resource]), Fraction(0)
            for run in self.runs:
                if run.nodes.get(name) and run.task.response_s is not None:
                    work = self.demand(run, policy.resource, name) / self.request_rate(run)
                    left = Fraction(run.task.response_s) - self.quantity(run.task.delay_s, node)
                    own = capacity + quantum
                    if left > 0:
                        own = min(own, -(-work / left // quantum) * quantum)
                    elif left == 0 and not work:
                        own = Fraction(0)
                    need = max(need, own)
            over += max(Fraction(0), self.load(policy.resource, name) + need - capacity)
        return over

    def response_time(self, policy: p.ResponseTime) -> Fraction:
        """By the curve itself, where no node is too full for it."""
        under_way = Fraction(0)
        for name, node in self.node_of.items():
            load, capacity = self.load(policy.resource, name), Fraction(node.capacity["cpu"])
            if load:
                under_way += load / (capacity - load)
            for run in self.runs:
                delay = self.quantity(run.task.delay_s, node)
                under_way += run.nodes.get(name, 0) * self.request_rate(run) * delay
        return under_way

    def anti_affinity(self, policy: p.AntiAffinity) -> int:
        return sum(
            max(0, count - policy.limit)
            for group in self.selected(policy)
            for count in self.domains(group, policy.scope).values()
        )

    def spread(self, policy: p.Spread) -> int:
        missing = 0
        for group in self.selected(policy):
            stated = policy.domains
            wanted = stated.get(group, 0) if isinstance(stated, dict) else stated
            members = self.members(group)
            if any(task.required or self.placed(task) for task in members):
                missing += max(0, wanted - len(self.domains(group, policy.scope)))
        return missing

    def spoken(self, policy: p.Portion | p.Span) -> set[str]:
        if not policy.groups and not policy.kind:
            return {task.name for task in self.instance.tasks}
        return {task.name for group in self.selected(policy) for task in self.members(group)}

    def span(self, policy: p.Span) -> int:
        spoken = self.spoken(policy)
        used: dict[str, set[str]] = {}
        for run in self.runs:
            names = [self.domain(name, policy.scope) for name in run.nodes]
            used.setdefault(run.task.name, set()).update(n for n in names if n is not None)
        return sum(
            max(0, len(domains) - policy.domains)
            for name, domains in used.items()
            if name in spoken
        )

    def portion(self, policy: p.Portion) -> int:
        wrong, spoken = 0, self.spoken(policy)
        for run in self.runs:
            whole = run.configuration.replicas if run.configuration else run.task.replicas
            inside: Counter[str] = Counter()
            for name, replicas in run.nodes.items():
                if (domain := self.domain(name, policy.scope)) is not None:
                    inside[domain] += replicas
            for count in inside.values() if whole > 1 and run.task.name in spoken else ():
                wrong += max(0, min(policy.least, whole) - count)
                wrong += max(0, count - policy.most) if policy.most else 0
        return wrong

    def crossing(self, scope: str) -> dict[str, list[Run]]:
        """By domain, the runs that are partly inside."""
        found: dict[str, list[Run]] = {}
        for run in self.runs:
            names = [self.domain(n, scope) for n, k in run.nodes.items() for _ in range(k)]
            whole = run.configuration.replicas if run.configuration else run.task.replicas
            for domain, inside in Counter(name for name in names if name is not None).items():
                if inside < whole:
                    found.setdefault(domain, []).append(run)
        return found

    def uplink_load(self, policy: p.UplinkLoad) -> Fraction:
        over, stated = Fraction(0), policy.capacity
        for domain, runs in self.crossing(policy.scope).items():
            most = stated.get(domain) if isinstance(stated, dict) else stated
            if most is not None:
                sent = sum(Fraction(r.configuration.traffic) for r in runs if r.configuration)
                over += max(sent - Fraction(most) * Fraction(policy.utilisation), Fraction(0))
        return over

    def uplink_share(self, policy: p.UplinkShare) -> int:
        return sum(
            max([0, *(len(runs) - k for k in map(self.bears, runs) if k)])
            for runs in self.crossing(policy.scope).values()
        )

    def bears(self, run: Run) -> int:
        return run.configuration.sharing if run.configuration else 0

    def dependency(self, policy: p.Dependency) -> int:
        return sum(
            domain not in self.domains(second, policy.scope)
            for first, second in policy.pairs
            for domain in self.domains(first, policy.scope)
        )

    def moves(self, _policy: p.Moves) -> int:
        return len(self.moved())

    def task_move_cost(self, _policy: p.TaskMoveCost) -> Fraction:
        return sum((Fraction(run.task.move_cost) for run, _ in self.moved()), Fraction(0))

    def group_move_cost(self, policy: p.GroupMoveCost) -> int:
        moved = [run.task.groups for run, _ in self.moved()]
        return max(sum(group in groups for groups in moved) for group in self.selected(policy))

    def pair_move_cost(self, policy: p.PairMoveCost) -> Fraction:
        cost = Fraction(0)
        for run, name in self.moved():
            target = self.attribute(self.node_of[name], policy.by) or ""
            origins = [self.attribute(self.node_of[o], policy.by) for o in self.current(run.task)]
            cost += min(Fraction(policy.costs.get(o or "", {}).get(target, 0)) for o in origins)
        return cost

    def nodes(self, _policy: p.Nodes) -> int:
        return len({name for run in self.runs for name in run.nodes})

    def power(self, _policy: p.Power) -> Fraction:
        return self.draw(idle=Fraction(1), horizon=Fraction(1), timed=False)

    def energy(self, _policy: p.Energy) -> Fraction:
        horizon = Fraction(self.instance.energy.horizon_s)
        return self.draw(idle=horizon, horizon=horizon, timed=True)

    def cost(self, _policy: p.Cost) -> Fraction:
        energy = self.instance.energy
        used = {name for run in self.runs for name in run.nodes}
        prices = sum((Fraction(self.node_of[name].price_h) for name in used), Fraction(0))
        price_joule = Fraction(energy.price_kwh) * Fraction(energy.pue) / 3600000
        money = prices * Fraction(energy.horizon_s) / 3600
        return money + price_joule * self.energy(p.Energy())

    def draw(self, idle: Fraction, horizon: Fraction, timed: bool) -> Fraction:
        used = {name for run in self.runs for name in run.nodes}
        drawn = sum((Fraction(self.node_of[name].idle_w) * idle for name in used), Fraction(0))
        for run in self.runs:
            row = run.configuration
            if row is None:
                for name, replicas in run.nodes.items():
                    node = self.node_of[name]
                    if node.capacity["cpu"]:
                        share = self.demand(run, "cpu", name) / Fraction(node.capacity["cpu"])
                        watts = Fraction(node.full_w) - Fraction(node.idle_w)
                        drawn += replicas * watts * share * horizon
            else:
                works = timed and run.task.work is not None and row.throughput > 0
                work = Fraction(run.task.work or 0)
                seconds = work / Fraction(row.throughput) if works else horizon
                drawn += run.chosen * Fraction(row.watts) * seconds
        return drawn

    def admitted(self, _policy: p.Admitted) -> Fraction:
        return sum((run.chosen * Fraction(run.task.weight) for run in self.runs), Fraction(0))

    def rate(self, run: Run, raw: bool = False) -> Fraction:
        if run.configuration is None:
            return Fraction(0)
        rates = [row.throughput for row in self.rows(run.task) if row]
        reference: Number = run.task.reference or max(rates) or 1
        return Fraction(run.configuration.throughput) / (1 if raw else Fraction(reference))

    def throughput(self, policy: p.Throughput) -> Fraction:
        return sum(
            (
                run.chosen
                * (1 if policy.raw else Fraction(run.task.weight))
                * self.rate(run, policy.raw)
                for run in self.runs
            ),
            Fraction(0),
        )

    def max_min(self, _policy: p.MaxMin) -> Fraction:
        rates = [Fraction(0)] * 0
        for task in self.instance.tasks:
            if task.weight and task.configurations:
                if self.placed(task) < task.count:
                    return Fraction(0)
                chosen = [run for run in self.runs if run.task is task and run.chosen]
                rates += [self.rate(run) / Fraction(task.weight) for run in chosen]
        return min(rates, default=Fraction(0))

    # -- well-formedness -----------------------------------------------------------------------

    def misplaced(self) -> int:
        """Tasks missing or too many, and replicas that do not add up."""
        wrong = 0
        for task in self.instance.tasks:
            placed = self.placed(task)
            short = max(0, task.count - placed) if task.required else 0
            wrong += short + max(0, placed - task.count)
        for run in self.runs:
            each = run.configuration.replicas if run.configuration else run.task.replicas
            wrong += abs(sum(run.nodes.values()) - each * run.chosen)
        return wrong
