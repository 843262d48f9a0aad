"""A real S3 server, moto's, in a thread of this process, with a door that can be made to fail."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

BUCKET, KEY, SECRET = "runs", "AKIDOFTESTS", "secret-of-tests-zGq7"
Fails = Callable[[str, str, str], bool]
"""Whether a request fails, by method, path and query."""
FULL = ("507 Insufficient Storage", "XMinioStorageFull")
WRONG_KEY = ("403 Forbidden", "InvalidAccessKeyId")


class S3Server:
    """The server, and the objects it holds, to be looked at and spoilt without asking it."""

    def __init__(self) -> None:
        self.inner = DomainDispatcherApplication(create_backend_app)
        self.fault: tuple[Fails, tuple[str, str]] | None = None
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.http = make_server("127.0.0.1", 0, self.answer, threaded=True)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self.http.port}"
        self.held = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        for kept in (self.held.buckets, s3_backends.bucket_accounts):
            kept.pop(BUCKET, None)  # by a server before this one in the same process
        self.held.create_bucket(BUCKET, "us-east-1")

    def answer(self, request: dict[str, Any], start: Any) -> Any:
        """Answer a request, or fail it."""
        asked = request["REQUEST_METHOD"], request["PATH_INFO"], request["QUERY_STRING"]
        if self.fault is None or not self.fault[0](*asked):
            return self.inner(request, start)
        request["wsgi.input"].read(int(request.get("CONTENT_LENGTH") or 0))
        status, code = self.fault[1]
        body = b"" if asked[0] == "HEAD" else f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    @contextlib.contextmanager
    def failing(self, fails: Fails, how: tuple[str, str]) -> Iterator[None]:
        """Fail some requests."""
        self.fault = fails, how
        try:
            yield
        finally:
            self.fault = None

    def objects(self, run: str) -> dict[str, bytes]:
        """What lies below a name, by the rest of its name."""
        keys = dict(self.held.get_bucket(BUCKET).keys.items())
        return {
            name.removeprefix(f"{run}/"): key.value for name, key in sorted(keys.items()) if name.startswith(f"{run}/")
        }

    def put(self, run: str, path: str, content: bytes) -> None:
        self.held.put_object(BUCKET, f"{run}/{path}", content)

    def age(self, run: str, pattern: str) -> None:
        """Have objects be put an hour ago."""
        for name, key in self.held.get_bucket(BUCKET).keys.items():
            if name.startswith(f"{run}/") and re.fullmatch(pattern, name.removeprefix(f"{run}/")):
                key.last_modified -= dt.timedelta(hours=1)

    def delete(self, run: str, path: str) -> None:
        self.held.delete_object(BUCKET, f"{run}/{path}")

    def copy(self, run: str, target: str) -> str:
        """Copy a run and return its URL."""
        for path, content in self.objects(run).items():
            self.put(target, path, content)
        return f"s3://{BUCKET}/{target}"


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    """Start a server; until it ends, ``s3://runs/`` leads to it for this process and those it starts."""
    server = S3Server()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patch.setenv(name, value)
        for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"):
            patch.delenv(name, raising=False)
        yield server
    server.http.shutdown()
