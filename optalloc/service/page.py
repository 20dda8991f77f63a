"""The web page: files of the package, for a browser that may load nothing from elsewhere."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
FIRST = "index.html"


class Page:
    """The files, read once; they hold no secrets, and everybody may have them."""

    def __init__(self) -> None:
        folder = files("optalloc.service") / "static"
        self.files = {
            file.name: file.read_bytes()
            for file in folder.iterdir()
            if file.name.rpartition(".")[2] in TYPES
        }
        self._tags = {
            name: f'"{hashlib.sha256(text).hexdigest()[:16]}"' for name, text in self.files.items()
        }

    def routes(self) -> list[Route]:
        """Where they are."""
        return [Route("/", self._answer), Route("/page/{name}", self._answer)]

    async def _answer(self, request: Request) -> Response:
        request.scope["optalloc_path"] = "page"
        name = request.path_params.get("name", FIRST)
        if name not in self.files:
            raise HTTPException(404, "Not Found")
        headers = {**HEADERS, "ETag": self._tags[name]}
        if request.headers.get("if-none-match") == self._tags[name]:
            return Response(status_code=304, headers=headers)
        return Response(self.files[name], 200, headers, TYPES[name.rpartition(".")[2]])
