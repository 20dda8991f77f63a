"""Bytes that clients send who mean no good."""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks.service_schema import ODD_TEXTS

HOSTILE = (
    b"",
    b"null",
    b"\x00" * 100,
    b"[" * 10_000,
    b'{"tasks":' + b"[" * 5_000,
    b'{"tasks": [{"name": "\\ud800"}]}',
    b'{"tasks": [{"name": "\xff"}]}',
    b'{"tasks": [{"name": "a\\u0000b"}]}',
    b'{"tasks": [{"name": "n", "demand": {"cpu": NaN}}]}',
    b'{"tasks": [{"name": "n", "demand": {"cpu": Infinity}}]}',
    b'{"tasks": [{"name": "n", "demand": {"cpu": 1e999}}]}',
    b'{"tasks": [{"name": "n", "demand": {"cpu": 1e308}}]}',
    b'{"tasks": [{"name": "n", "demand": {"cpu": -1e308}}]}',
    b'{"tasks": [{"name": "n", "demand": {"cpu": 5e-324}}]}',
    b'{"tasks": [{"name": "n", "demand": {"cpu": ' + b"9" * 4000 + b"}}]}",
    b'{"tasks": [{"name": "n", "replicas": 9223372036854775807}]}',
    b'{"tasks": [{"name": "n", "replicas": 100000, "demand": {"cpu": 1}}]}',
    b'{"tasks": [{"name": "n", "count": 1000000000}]}',
    b'{"tasks": [{"name": "n", "weight": 1e308}, {"name": "m", "weight": 1e308}]}',
    b'{"tasks": [], "tasks": [{"name": "n"}]}',
    b'{"tasks": [{"name": "n", "name": "m"}]}',
    b'{"tasks": [{"name": "' + b"n" * 50_000 + b'"}]}',
    b'{"tasks": [{"name": "n", "allow": {"node": []}}]}',
    b'{"tasks": [{"name": "n", "within": "node", "replicas": 3}]}',
    b'\xef\xbb\xbf{"tasks": []}',
    '{"tasks": []}'.encode("utf-16"),
)
"""Bodies that break readers of JSON, or mean too much."""

_PLACE = b"POST /v1/place HTTP/1.1\r\nHost: x\r\n"
_CHUNKED = _PLACE + b"Transfer-Encoding: chunked\r\n\r\n"
BROKEN = (
    b"\r\n\r\n",
    b"\x00",
    b"GET\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/0.9\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"get /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://x/v1/state HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x5a" * 200,
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nA\x00B: c\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n folded: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /%zz%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 70_000 + b"\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 9_000 + b"\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" * 20,
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
    b"HEAD /v1/state HTTP/1.1\r\nHost: x\r\n\r\n",
    _PLACE + b"Content-Length: -1\r\n\r\n",
    _PLACE + b"Content-Length: 1e3\r\n\r\n",
    _PLACE + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
    _PLACE + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
    _PLACE + b"Content-Length: 99\r\n\r\n{",
    _PLACE + b"Content-Length: 2\r\n\r\n{}{}{}{}",
    _PLACE + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{}",
    _PLACE + b"Transfer-Encoding: gzip\r\n\r\nxx",
    _PLACE + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    _PLACE + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    _PLACE + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
    _CHUNKED + b"zz\r\n",
    _CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    _CHUNKED + b"FFFFFFFFFFFFFFFF\r\nhello",
    _CHUNKED + b"5\r\nhelloXX0\r\n\r\n",
    _CHUNKED + b"5;a=" + b"b" * 70_000 + b"\r\nhello\r\n0\r\n\r\n",
    _CHUNKED + b"1\r\n{\r\n" * 500,
    _CHUNKED + b"2\r\n{}\r\n0\r\nTrailer: x\r\n\r\n",
)
"""What is no request, or a strange one."""


def drawn_pieces(rng: random.Random) -> Iterator[bytes]:
    """Any bytes, and odd paths."""
    for size in (1, 10, 100, 1_000, 50_000):
        yield rng.randbytes(size)
    for text in ODD_TEXTS:
        yield b"GET /" + text.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n"


def mutated(rng: random.Random, text: bytes) -> bytes:
    """Some bytes, with a few of them changed, left out, doubled or cut off."""
    changed = bytearray(text[:2_000])
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(4):
            case 0:
                changed[at : at + 1] = rng.randbytes(1)
            case 1:
                del changed[at : at + rng.randint(1, 9)]
            case 2:
                changed[at:at] = changed[at : at + 20]
            case 3:
                changed[at:at] = rng.choice([b"\r\n", b"\0", b" ", b":", b"\xff", b"\n"])
    return bytes(changed)
