"""Who may do what: bearer tokens with a role each."""

from __future__ import annotations

import hashlib
import hmac
from enum import IntEnum
from pathlib import Path

from optalloc.instance.errors import InstanceError
from optalloc.instance.text import read_bytes

SHORTEST = 16


class Role(IntEnum):
    """What a token allows; each role allows all that the ones before it do."""

    NOBODY = 0
    READ = 1
    PLACE = 2
    ADMIN = 3


class Tokens:
    """The known tokens, as digests only.

    Parameters
    ----------
    roles
        Role by token.
    """

    def __init__(self, roles: dict[str, Role]) -> None:
        self._roles = [(_digest(token), role) for token, role in roles.items()]

    def role(self, header: str) -> Role:
        """Role of an ``Authorization`` header; compares in a time that tells nothing of tokens."""
        scheme, _, token = header.partition(" ")
        found, given = Role.NOBODY, _digest(token.strip())
        for digest, role in self._roles:
            same = hmac.compare_digest(digest, given)
            found = role if same else found
        return found if scheme.lower() == "bearer" else Role.NOBODY


def read_tokens(path: Path) -> Tokens:
    """Read a file of tokens: a role (``read``, ``place``, ``admin``) and a token in each line.

    Raises
    ------
    InstanceError
        Lists every wrong line by its number, and never says what is in it.
    """
    text = read_bytes(path).decode("utf-8", "replace")
    roles: dict[str, Role] = {}
    problems: list[tuple[str, str]] = []
    names = {role.name.lower(): role for role in Role if role}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or line.lstrip().startswith("#"):
            continue
        if len(words) != 2 or words[0] not in names:
            problems.append((f"line {number}", f"expected a role ({', '.join(names)}) and a token"))
        elif len(words[1]) < SHORTEST:
            problems.append(
                (f"line {number}", f"expected a token of {SHORTEST} or more characters")
            )
        elif words[1] in roles:
            problems.append((f"line {number}", "expected each token once"))
        else:
            roles[words[1]] = names[words[0]]
    if not roles and not problems:
        problems.append(("", "expected at least one token"))
    if problems:
        raise InstanceError(problems, str(path))
    return Tokens(roles)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
