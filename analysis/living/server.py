"""A small HTTP server for one thread: many connections that are kept, few of which ask for something at a time.

A thread for each connection would be one for each host that Prometheus watches. Whoever sends nothing, too much or
nonsense loses the connection, and nobody else notices.
"""

from __future__ import annotations

import asyncio
import re
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Final, NamedTuple

from analysis.living.pages import TEXT, Answer
from node_sim.errors import ConfigError

HEAD_BYTES_MAX: Final = 16_384
HEAD_S_MAX: Final = 10.0
"""Time for the first request of a connection, and for a client to take an answer."""
KEPT_S: Final = 120.0
"""Time for the next request of a connection."""
END_S_MAX: Final = 1.0
"""Time for connections to notice that they are closed."""
CONNECTIONS_MAX: Final = 8192
_BACKLOG: Final = 1024
_ACCEPTED_AT_ONCE: Final = 8
"""Connections that asyncio accepts before it looks at one; those too many hold descriptors for turns of its loop."""
_SPARE_FILES: Final = 64
"""Descriptors that are left for connections too many, and for other things."""
_ALLOWED: Final = ("GET", "HEAD")
_AUTHORITY: Final = re.compile(r"[A-Za-z0-9._\-\[\]:]{1,255}")
AnswerTo = Callable[[str, str], Answer]
"""Answers a path that is asked for by host and port."""


class _Request(NamedTuple):
    method: str
    path: str
    authority: str
    keeps: bool


class _BadRequestError(Exception):
    """What was sent is no request; its status says why."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket that holds an address, so that nobody else gets it in the meantime; 0 is any free port.

    Raises:
        ConfigError: The address cannot be used.
    """
    if not host:
        msg = "--host '': expected a name or address of this machine; leave it out, or 0.0.0.0 for all of them"
        raise ConfigError(msg)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        msg = f"--host {host}: {_why(error)}, expected a name or address of this machine; choose another"
        raise ConfigError(msg) from None
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        msg = f"--port {port}: {_why(error)}, expected a free port on {host}; choose another"
        raise ConfigError(msg) from None
    return found


def _why(error: Exception) -> object:
    return getattr(error, "strerror", None) or error


def authority_of(bound: socket.socket) -> str:
    """Return host and port of a socket as URLs have them."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class HttpServer:
    """Serves answers on a socket."""

    def __init__(self, bound: socket.socket, answer: AnswerTo) -> None:
        """Serve on a socket that listens."""
        self._bound = bound
        self._authority = authority_of(bound)
        self._answer = answer
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._most = _connections_max()

    async def run(self, stopped: asyncio.Event) -> None:
        """Serve until somebody stops it."""
        server = await asyncio.start_server(
            self._connection, sock=self._bound, limit=HEAD_BYTES_MAX, backlog=_ACCEPTED_AT_ONCE
        )
        self._bound.listen(_BACKLOG)  # asyncio has one number for both: this many may wait
        await stopped.wait()
        # Connections that are just being made will be cancelled with the loop, of which Python 3.11 prints a traceback.
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        server.close()
        left = [task for task in self._open.values() if task is not None]
        for writer in self._open:
            writer.transport.abort()
        if left:
            await asyncio.wait(left, timeout=END_S_MAX)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= self._most:
            writer.transport.abort()
            return
        self._open[writer] = asyncio.current_task()
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            wait_s = HEAD_S_MAX
            while await self._request(reader, writer, wait_s):
                wait_s = KEPT_S
        writer.close()
        with suppress(OSError, TimeoutError):  # of a client that does not take its answer, it is not closed by itself
            async with asyncio.timeout(HEAD_S_MAX):
                await writer.wait_closed()
        writer.transport.abort()
        del self._open[writer]

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait_s: float) -> bool:
        """Answer one request; return whether another may follow."""
        request: _Request | _BadRequestError
        try:
            async with asyncio.timeout(wait_s):
                head = await reader.readuntil(b"\r\n\r\n")
            request = _parsed(head, self._authority)
        except asyncio.LimitOverrunError:
            request = _BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        except _BadRequestError as error:
            request = error
        writer.write(self._response(request))
        async with asyncio.timeout(HEAD_S_MAX):
            await writer.drain()
        return isinstance(request, _Request) and request.keeps

    def _response(self, request: _Request | _BadRequestError) -> bytes:
        if isinstance(request, _BadRequestError):
            return _bytes_of(Answer(request.status, TEXT, f"{HTTPStatus(request.status).phrase}\n"), keeps=False)
        if request.method not in _ALLOWED:
            return _bytes_of(Answer(HTTPStatus.METHOD_NOT_ALLOWED, TEXT, "GET and HEAD only\n"), keeps=False)
        answer = self._answer(request.path, request.authority)
        return _bytes_of(answer, keeps=request.keeps, head_only=request.method == "HEAD")


def _connections_max() -> int:
    """Have the operating system allow as many connections as we do; return how many it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return CONNECTIONS_MAX if soft == resource.RLIM_INFINITY else max(1, min(soft - _SPARE_FILES, CONNECTIONS_MAX))


def _parsed(head: bytes, authority: str) -> _Request:
    """Return the request of a head.

    Raises:
        _BadRequestError: It is none.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise _BadRequestError(HTTPStatus.BAD_REQUEST)
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    named = fields.get("host", "")
    has_body = "transfer-encoding" in fields or fields.get("content-length", "0") != "0"
    connection = fields.get("connection", "").lower()
    keeps = "close" not in connection if words[2] != "HTTP/1.0" else "keep-alive" in connection
    return _Request(
        method=words[0],
        path=words[1].partition("?")[0],
        authority=named if _AUTHORITY.fullmatch(named) else authority,
        keeps=keeps and not has_body,
    )


def _bytes_of(answer: Answer, *, keeps: bool, head_only: bool = False) -> bytes:
    body = answer.body.encode()
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(body)}",
        f"Connection: {'keep-alive' if keeps else 'close'}",
    ]
    if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append(f"Allow: {', '.join(_ALLOWED)}")
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if head_only else body)
