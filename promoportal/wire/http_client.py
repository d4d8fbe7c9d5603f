"""An HTTP client for one integration, with a deadline and an error class per call."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn, Self
from urllib.parse import quote, urlencode

import requests
from urllib3.exceptions import HTTPError

from promoportal.runtime.monotonic_clock import clock
from promoportal.wire import status_policy
from promoportal.wire.deadline_transport import Adapter, Exchange, current
from promoportal.wire.errors import (
    Evidence,
    Malformed,
    Misconfigured,
    Unanswered,
    Unavailable,
    WireError,
)
from promoportal.wire.json_bodies import Json, NotJson, clean_text, encode, parse

_log = logging.getLogger("promoportal.wire")

MIB = 1024 * 1024
_CONNECT_SECONDS = 3.0
_SECONDS = 15.0
_ANSWER_KEPT = 2000
_REFUSAL_READ = 64 * 1024
_CHUNK_BYTES = 64 * 1024

# Errors of requests, urllib3 and sockets. ValueError covers an address or a header that
# cannot be sent.
_TRANSPORT_ERRORS = (requests.RequestException, HTTPError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx response. `body` is its JSON, or None if the response is empty."""

    body: Json
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    url: str
    body: Json
    limit: int
    headers: Mapping[str, str] = field(default_factory=dict)
    changes: bool = False
    safe_to_repeat: bool = True
    forgiving: bool = False
    started_at: float = field(default_factory=clock)

    def duration_ms(self) -> int:
        return round((clock() - self.started_at) * 1000)


class Client:
    """
    An HTTP client for one integration, which threads may share.

    It keeps connections open for up to `threads` threads. `side` is the integration's
    name in the log; `name` is its name in sentences for staff. `secrets` are headers
    that are sent with every call, and that no error and no log shows. `authorities` is
    a file with the CA certificates to trust instead of the public ones.
    """

    def __init__(
        self,
        address: str,
        *,
        side: str,
        name: str = "",
        secrets: Mapping[str, str],
        threads: int = 1,
        seconds: float = _SECONDS,
        later: frozenset[int] = status_policy.LATER,
        authorities: str = "",
    ) -> None:
        self.side = side
        self._name = name or f"The {side}"
        self._address = address.rstrip("/")
        self._secrets = dict(secrets)
        self._threads = threads
        self._seconds = seconds
        self._later = later
        self._authorities = authorities
        # One adapter per process: a forked child must not use its parent's sockets.
        self._adapters: dict[int, Adapter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        adapter = self._adapters.pop(os.getpid(), None)
        if adapter is not None:
            adapter.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        address: str = "",
        query: Mapping[str, str] | None = None,
        body: Json = None,
        limit: int = MIB,
        forgiving: bool = False,
    ) -> Answer:
        """
        Make a call that changes nothing, whatever its method.

        With `forgiving`, only the values that cannot be stored are lost: see `parse`.

        :raises Unavailable, Rejected, Malformed, Misconfigured:
        """
        url = self._url(address, path, query)
        return self._make(_Call(method, url, body, limit, forgiving=forgiving))

    def change(
        self,
        method: str,
        path: str,
        *,
        safe_to_repeat: bool,
        address: str = "",
        body: Json = None,
        headers: Mapping[str, str] | None = None,
        limit: int = MIB,
    ) -> Answer:
        """
        Make a call that changes something in the integration.

        If the call is not safe to repeat, a 503 raises Unanswered: it does not prove
        that the call had no effect. Such a call also gets a new connection, because the
        server might close a kept one at this moment.

        :raises Unavailable, Unanswered, Rejected, Malformed, Misconfigured:
        """
        call = _Call(
            method,
            self._url(address, path, None),
            body,
            limit,
            headers or {},
            changes=True,
            safe_to_repeat=safe_to_repeat,
        )
        return self._make(call)

    def _url(self, address: str, path: str, query: Mapping[str, str] | None) -> str:
        url = f"{address.rstrip('/') or self._address}{path}"
        if not query:
            return url
        return f"{url}?{urlencode(query, safe='$', quote_via=quote)}"

    def _make(self, call: _Call) -> Answer:
        try:
            answer = self._exchange(call)
        except WireError as error:
            self._report(call, type(error).__name__, error.evidence)
            raise
        self._report(call, "", answer.evidence)
        return answer

    def _report(self, call: _Call, problem: str, evidence: Evidence) -> None:
        # The log gets no body and no query. A successful call is logged as DEBUG only,
        # because each reward causes one.
        _log.log(
            logging.INFO if problem else logging.DEBUG,
            "%s.called",
            self.side,
            extra={
                "method": call.method,
                "address": call.url.partition("?")[0],
                "status": evidence.status,
                "duration_ms": evidence.duration_ms,
                "problem": problem,
            },
        )

    def _exchange(self, call: _Call) -> Answer:
        exchange = Exchange(
            ends_at=call.started_at + self._seconds, fresh=not call.safe_to_repeat
        )
        token = current.set(exchange)
        try:
            with self._send(call, exchange) as response:
                return self._read(call, response)
        finally:
            current.reset(token)

    def _send(self, call: _Call, exchange: Exchange) -> requests.Response:
        try:
            return self._adapter().send(
                self._prepared(call),
                stream=True,
                timeout=(min(_CONNECT_SECONDS, self._seconds), self._seconds),
                verify=self._authorities or True,
            )
        except _TRANSPORT_ERRORS as error:
            # Not chained: the error's text may contain a header, and so the key.
            if exchange.begun:
                self._fail(call, error, status=None)
            raise self._not_sent(call, error) from None

    def _prepared(self, call: _Call) -> requests.PreparedRequest:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a small packed response could become huge
            "User-Agent": "promoportal",
            **self._secrets,
            **call.headers,
        }
        data = None
        if call.body is not None:
            headers["Content-Type"] = "application/json"
            data = encode(call.body)
        return requests.Request(call.method, call.url, headers, data=data).prepare()

    def _adapter(self) -> Adapter:
        process = os.getpid()
        if process not in self._adapters:
            # `setdefault` is atomic, so concurrent threads get the same adapter.
            self._adapters.setdefault(process, Adapter(self._threads))
        return self._adapters[process]

    def _not_sent(self, call: _Call, error: Exception) -> WireError:
        evidence = Evidence(duration_ms=call.duration_ms())
        if isinstance(error, ValueError):  # also requests' InvalidURL, InvalidHeader
            return Misconfigured(
                f"{self._name} can't be called: its address or our key for it can't "
                f"be used ({_innermost(error)}).",
                evidence,
            )
        return Unavailable(
            f"{self._name} could not be reached ({_innermost(error)}).",
            evidence,
            was_sent=False,
        )

    def _fail(self, call: _Call, error: Exception, status: int | None) -> NoReturn:
        evidence = Evidence(status=status, duration_ms=call.duration_ms())
        problem = f"{self._name} did not answer to the end ({_innermost(error)})."
        if call.changes:
            raise Unanswered(problem, evidence) from None
        raise Unavailable(problem, evidence) from None

    def _read(self, call: _Call, response: requests.Response) -> Answer:
        if not 200 <= response.status_code < 300:
            raise self._refusal(call, response)
        body = b""
        try:
            body = b"".join(_bounded(response, call.limit))
            value = parse(body, forgiving=call.forgiving)
            return Answer(value, self._evidence(call, response, body))
        except requests.exceptions.ContentDecodingError:
            problem = "It can't be unpacked."
        except (_TooLong, NotJson) as error:
            problem = str(error)
        except _TRANSPORT_ERRORS as error:
            self._fail(call, error, status=response.status_code)
        evidence = self._evidence(call, response, body)
        raise Malformed(f"{self._name}'s answer can't be read. {problem}", evidence)

    def _refusal(self, call: _Call, response: requests.Response) -> WireError:
        evidence = self._evidence(call, response, _refusal_text(response))
        kind = status_policy.meaning(
            response.status_code,
            changes=call.changes,
            safe_to_repeat=call.safe_to_repeat,
            later=self._later,
        )
        return status_policy.error(kind, self._name, evidence, response.headers)

    def _evidence(
        self, call: _Call, response: requests.Response, body: bytes
    ) -> Evidence:
        # Cut the text before the search for secrets, because a response may be long.
        text = body[:_REFUSAL_READ].decode("utf-8", "replace")
        return Evidence(
            status=response.status_code,
            answer=clean_text(self._without_secrets(text))[:_ANSWER_KEPT],
            duration_ms=call.duration_ms(),
        )

    def _without_secrets(self, text: str) -> str:
        for value in self._secrets.values():
            secret = value.rpartition(" ")[2]  # the token of "Bearer <token>"
            for form in (secret, secret.replace("/", "\\/"), quote(secret, safe="")):
                text = text.replace(form, "[secret]") if form else text
        return text


class _TooLong(Exception):
    """A response longer than the call allows."""


def _bounded(response: requests.Response, limit: int) -> Iterator[bytes]:
    length = 0
    for chunk in response.iter_content(_CHUNK_BYTES):
        length += len(chunk)
        if length > limit:
            raise _TooLong(f"It is longer than {limit:,} bytes.")
        yield chunk


def _refusal_text(response: requests.Response) -> bytes:
    """Return what arrives of the body of an error response: its status is enough."""
    text = bytearray()
    with suppress(*_TRANSPORT_ERRORS, _TooLong):
        for chunk in _bounded(response, _REFUSAL_READ):
            text += chunk
    return bytes(text)


def _innermost(error: BaseException) -> str:
    """
    Return the class of the innermost error, with the operating system's text if any.

    The libraries' texts are left out: they may contain a URL's query or a header.
    """
    inner: BaseException = error
    while (cause := _cause_of(inner)) is not None:
        inner = cause
    system = inner.strerror if isinstance(inner, OSError) else None
    return f"{type(inner).__name__}: {system}" if system else type(inner).__name__


def _cause_of(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return reason
    inside = [part for part in error.args if isinstance(part, BaseException)]
    return inside[0] if inside else error.__cause__ or error.__context__
