"""Small instances made by hand: what random ones hardly ever hit."""

from __future__ import annotations

from optalloc import policies as p
from optalloc.instance.model import Configuration, Group, Instance, Node, Resource, Task

HANDMADE = {
    "what arrives at home has to fill it first": Instance(
        nodes=(Node(name="n0"), Node(name="n1")),
        tasks=(
            Task(
                name="t0",
                configurations=(Configuration(name="c0", replicas=2),),
                cost=(0, 1),
                current=("n0",),
            ),
        ),
        policies=(p.Moves(at_least=2), p.AssignmentCost()),
        objective="assignment-cost",
    ),
    "nothing fits on some node beside identical ones": Instance(
        resources={"cpu": Resource(), "mem": Resource()},
        nodes=(
            Node(name="n0", capacity={"cpu": 1, "mem": 9}),
            Node(name="n1", capacity={"cpu": 5, "mem": 9}, count=2),
        ),
        tasks=(Task(name="t0", demand={"cpu": 2}, count=3),),
        policies=(p.Nodes(),),
        objective="nodes",
    ),
    "the only replica of a group moves": Instance(
        nodes=(Node(name="n0"), Node(name="n1")),
        tasks=(Task(name="t0", cost=(1, 0), current="n0", groups=("g0",)),),
        groups=(Group(name="g0"),),
        policies=(p.GroupMoveCost(at_most=0), p.AssignmentCost()),
        objective="assignment-cost",
    ),
    "shares of a task lie on different nodes": Instance(
        nodes=(Node(name="n0", capacity={"cpu": 4}), Node(name="n1", capacity={"cpu": 2})),
        tasks=(Task(name="t0", demand={"cpu": 1}, replicas=4, per_node=2),),
        policies=(p.Nodes(),),
        objective="nodes",
    ),
    "one of two tasks cannot have the shares of both": Instance(
        nodes=(Node(name="n0", capacity={"cpu": 4}), Node(name="n1", capacity={"cpu": 1})),
        tasks=(
            Task(name="t0", demand={"cpu": 1}, replicas=4, per_node=2, required=False, count=2),
        ),
        objective="admitted",
    ),
    "half a share on each of two nodes is none": Instance(
        nodes=(
            Node(name="n0", capacity={"cpu": 2}),
            Node(name="n1", capacity={"cpu": 1}, count=2),
        ),
        tasks=(Task(name="t0", demand={"cpu": 1}, replicas=4, per_node=2, required=False),),
        objective="admitted",
    ),
    "a gang that must run needs several nodes": Instance(
        nodes=(Node(name="n0", capacity={"cpu": 3}), Node(name="n1", capacity={"cpu": 2})),
        tasks=(Task(name="t0", demand={"cpu": 1}, replicas=4),),
        policies=(p.Nodes(),),
        objective="nodes",
    ),
    "a gang is not torn to make up for another one": Instance(
        nodes=(
            Node(name="n0", devices=5, device="gpu", domains={"rack": "r0"}),
            Node(name="n1", devices=5, device="gpu", domains={"rack": "r1"}),
        ),
        tasks=tuple(
            Task(
                name=f"t{size}",
                configurations=(
                    Configuration(
                        device="gpu", replicas=size, within="rack", throughput=throughput
                    ),
                ),
                count=count,
                required=False,
            )
            for size, count, throughput in ((4, 1, 4), (3, 2, 3), (2, 1, 1))
        ),
        policies=(p.Throughput(raw=True),),
        objective="throughput",
    ),
    "gangs in racks leave no room for those that may be anywhere": Instance(
        nodes=(
            Node(name="n0", devices=2, device="gpu", domains={"rack": "r0"}),
            Node(name="n1", devices=3, device="gpu", domains={"rack": "r1"}),
        ),
        tasks=tuple(
            Task(
                name=f"t{size}",
                configurations=(
                    Configuration(
                        device="gpu",
                        replicas=size,
                        within="rack" if size > 1 else "",
                        throughput=2 * size - 1,
                    ),
                ),
                count=2,
                required=False,
            )
            for size in (1, 2)
        ),
        policies=(p.Throughput(raw=True),),
        objective="throughput",
    ),
    "gangs lie in one rack and rather on few nodes": Instance(
        nodes=tuple(
            Node(name=f"n{k}", capacity={"cpu": cpu}, domains={"rack": f"r{k // 2}"})
            for k, cpu in enumerate((2, 1, 2, 3))
        ),
        tasks=(
            Task(name="t0", demand={"cpu": 1}, replicas=3, cost=(0, 0, 1, 1)),
            Task(name="t1", demand={"cpu": 1}, replicas=2, cost=(0, 1, 1, 1)),
        ),
        policies=(
            p.Span(scope="rack"),
            p.Span(scope="node", weight=2),
            p.AssignmentCost(weight=1),
        ),
        objective="penalty",
    ),
    "gangs are balanced over racks, the smaller one in one of them": Instance(
        nodes=tuple(
            Node(name=f"n{k}", capacity={"cpu": cpu}, domains={"rack": f"r{k // 2}"})
            for k, cpu in enumerate((2, 1, 3, 1))
        ),
        tasks=(
            Task(name="t0", demand={"cpu": 1}, replicas=4, cost=(0, 1, 0, 3)),
            Task(name="t1", demand={"cpu": 1}, replicas=2, cost=(0, 1, 1, 0), required=False),
        ),
        policies=(
            p.Portion(scope="rack", least=2, most=3),
            p.Portion(scope="rack", least=3, weight=2),
            p.Portion(scope="node", most=1, weight=3),
            p.AssignmentCost(weight=1),
            p.Admitted(),
        ),
        objective="admitted > penalty",
    ),
    "a task that must be answered fast keeps others away": Instance(
        nodes=(Node(name="n0", capacity={"cpu": 6}), Node(name="n1", capacity={"cpu": 4})),
        tasks=(
            Task(
                name="t0",
                demand={"cpu": 1},
                requests_s=1,
                delay_s=(0.25, 0.75),
                response_s=1,
                cost=(0, 1),
                count=2,
            ),
            Task(name="t1", demand={"cpu": 2}, requests_s=2, response_s=0.5, cost=(0, 2)),
            Task(name="t2", demand={"cpu": 1}, required=False, weight=2, cost=(0, 1)),
        ),
        policies=(p.ResponseLimit(resource="cpu"), p.AssignmentCost()),
        objective="admitted > assignment-cost",
    ),
    "nobody asks for a fast answer": Instance(
        nodes=(Node(name="n0", capacity={"cpu": 3}), Node(name="n1", capacity={"cpu": 2})),
        tasks=(Task(name="t0", demand={"cpu": 2}, cost=(0, 1), count=2),),
        policies=(p.ResponseLimit(resource="cpu"), p.AssignmentCost()),
        objective="assignment-cost",
    ),
    "the rows of a task need different speeds": Instance(
        nodes=(Node(name="n0", capacity={"cpu": 5}), Node(name="n1", capacity={"cpu": 9})),
        tasks=(
            Task(
                name="t0",
                demand={"cpu": 2},
                configurations=(
                    Configuration(name="c0", replicas=1, throughput=1),
                    Configuration(name="c1", replicas=2, throughput=3, demand={"cpu": 1}),
                    Configuration(name="c2", replicas=2, throughput=4, demand={"cpu": 4}),
                ),
                requests_s=2,
                response_s=0.5,
                count=2,
            ),
        ),
        policies=(p.ResponseLimit(resource="cpu"), p.Throughput(raw=True)),
        objective="throughput",
    ),
    "a gang draws power in two racks": Instance(
        nodes=tuple(
            Node(
                name=f"n{k}",
                capacity={"cpu": 2},
                idle_w=10 * k,
                domains={"rack": f"r{k % 2}"} if k < 3 else {},
            )
            for k in range(4)
        ),
        tasks=(
            Task(
                name="t0",
                demand={"cpu": 1},
                configurations=(
                    Configuration(name="c0", replicas=3, watts=90, throughput=3),
                    Configuration(name="c1", replicas=2, watts=50, throughput=2),
                ),
                count=2,
                required=False,
            ),
        ),
        policies=(
            p.PowerCap(scope="rack", watts={"r0": 80, "r1": 60}),
            p.Throughput(raw=True),
            p.Power(),
        ),
        objective="throughput > power",
    ),
    "gangs cross thin uplinks of racks": Instance(
        nodes=tuple(
            Node(name=f"n{k}", capacity={"cpu": 4}, domains={"rack": f"r{k}"}) for k in range(2)
        ),
        tasks=tuple(
            Task(
                name=f"t{k}",
                demand={"cpu": 1},
                configurations=(
                    Configuration(name="c0", replicas=3, throughput=4, traffic=2, sharing=1),
                    Configuration(name="c1", replicas=3, throughput=3, traffic=1, sharing=2),
                    Configuration(name="c2", replicas=2, throughput=1, within="rack"),
                ),
                required=False,
            )
            for k in range(2)
        ),
        policies=(
            p.UplinkLoad(scope="rack", capacity={"r0": 4, "r1": 3}, utilisation=0.5),
            p.UplinkShare(scope="rack"),
            p.Throughput(raw=True),
        ),
        objective="throughput",
    ),
    "gangs that bear few others meet on the uplink of a rack": Instance(
        nodes=(
            Node(name="n0", capacity={"cpu": 6}, domains={"rack": "r0"}),
            Node(name="n1", capacity={"cpu": 6}, domains={"rack": "r1"}),
        ),
        tasks=tuple(
            Task(
                name=f"t{k}",
                demand={"cpu": 1},
                cost=(0, k % 2),
                configurations=(
                    Configuration(name="c0", replicas=2, traffic=1 + k, sharing=sharing),
                ),
            )
            for k, sharing in enumerate((2, 0, 1, 4))
        ),
        policies=(
            p.UplinkShare(scope="rack", weight=3),
            p.UplinkLoad(scope="rack", capacity=3, weight=1),
            p.AssignmentCost(at_least=2),
        ),
        objective="penalty",
    ),
}
"""By what they are about."""
