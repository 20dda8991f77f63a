"""Groups, energy data, policies and the objective."""

from __future__ import annotations

from collections.abc import Iterator

from optalloc.instance.checks import bounds, names
from optalloc.instance.checks.view import View
from optalloc.instance.errors import InstanceError
from optalloc.instance.policy import Fault, Policy

VERSION = 1
"""Version of the file format."""
RESERVED = ("penalty", "instance")
"""Words of the objective that no policy may be called."""


def version(view: View) -> Iterator[Fault]:
    """Report a version of the format that this program does not read."""
    if view.instance.optalloc != VERSION:
        yield "optalloc", f"expected version {VERSION} of the format, got {view.instance.optalloc}"


def groups(view: View) -> Iterator[Fault]:
    """List what is wrong with the groups."""
    yield from names.unique(
        "groups", [g.name for g in view.instance.groups], [1] * len(view.instance.groups)
    )


def energy(view: View) -> Iterator[Fault]:
    """List energy data that are out of bounds."""
    stated = view.instance.energy
    yield from bounds.one("energy.horizon_s", stated.horizon_s, bounds.POSITIVE)
    yield from bounds.one("energy.price_kwh", stated.price_kwh, bounds.NOT_NEGATIVE)
    yield from bounds.one("energy.pue", stated.pue, bounds.AT_LEAST_ONE)


def energy_share(view: View) -> Iterator[Fault]:
    """Report a resource of which nothing is known."""
    share, known = view.instance.energy.share, view.resources
    if share and share not in known:
        yield "energy.share", names.missing(share, "a resource", known)


def policies(view: View) -> Iterator[Fault]:
    """List weights, limits and names of policies that cannot be."""
    for i, policy in enumerate(view.instance.policies):
        path = f"policies[{i}]"
        yield from bounds.one(f"{path}.weight", policy.weight, bounds.NOT_NEGATIVE)
        yield from _limits(path, policy)
        if policy.name in RESERVED or ">" in policy.name or policy.name != policy.name.strip():
            yield (
                f"{path}.name",
                f"expected a name without '>' and blanks around it that is not "
                f"{' or '.join(RESERVED)}, got {policy.name!r}",
            )
        if policy.type == "labels" and policy.weight is not None:
            yield f"{path}.weight", "expected none: the labels rule cannot be soft"


def policy_names(view: View) -> Iterator[Fault]:
    """Report policies called like others: an objective could not tell which is meant."""
    from optalloc.formulation.registry import effective_policies

    stated = view.instance.policies
    unnamed = {policy.type for policy in effective_policies(view.instance) if not policy.name}
    first: dict[str, int] = {}
    for i, policy in enumerate(stated):
        if not policy.name:
            continue
        path, got = f"policies[{i}].name", f"got {policy.name!r}"
        if first.setdefault(policy.name, i) != i:
            yield path, f"expected a unique name, {got} as in policies[{first[policy.name]}]"
        elif policy.name in unnamed:
            yield path, f"expected a unique name, {got}, as the {policy.name} policy is called"


def _limits(path: str, policy: Policy) -> Iterator[Fault]:
    for field in ("at_most", "at_least"):
        limit = getattr(policy, field)
        if limit is not None and policy.is_rule:
            yield f"{path}.{field}", "expected none: a rule takes no limit (its value must be 0)"
        yield from bounds.one(f"{path}.{field}", limit, bounds.FINITE)
    most, least = policy.at_most, policy.at_least
    if most is not None and least is not None and least > most:
        yield f"{path}.at_least", f"expected at most at_most ({most}), got {least}"


def policy_references(view: View) -> Iterator[Fault]:
    """List what the policies themselves find wrong."""
    for i, policy in enumerate(view.instance.policies):
        for path, message in policy.problems(view.instance):
            yield f"policies[{i}]{path}", message


def objective(view: View) -> Iterator[Fault]:
    """Report levels of the objective that mean nothing."""
    from optalloc.objective import name_levels

    try:
        name_levels(view.instance)
    except InstanceError as error:
        yield from error.problems
