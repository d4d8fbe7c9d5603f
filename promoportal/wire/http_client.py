"""One far side, called within a time, and its answers made into errors with names."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
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

# What requests, urllib3 and the sockets below raise. ValueError covers an address or a
# header that can't be sent.
_BREAKS = (requests.RequestException, HTTPError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer: the JSON it brought, None if it brought nothing."""

    body: Json
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    url: str
    body: Json
    headers: Mapping[str, str]
    changes: bool
    safe_to_repeat: bool
    limit: int
    later: frozenset[int]
    forgiving: bool = False
    started_at: float = field(default_factory=clock)

    def duration_ms(self) -> int:
        return round((clock() - self.started_at) * 1000)


class Client:
    """
    The way to one far side. Threads may share it; `threads` of them without waiting.

    `side` is its name in the log, `name` in sentences for people.
    `secrets` are headers sent with every call, which no error and no log will show.
    `authorities` is a file of certificates to trust instead of the public ones.
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
        # By process: a forked child must not speak over its parent's sockets.
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

        `forgiving`: a value that nobody can hold spoils only itself, see `parse`.

        :raises Unavailable, Rejected, Malformed, Misconfigured:
        """
        return self._make(
            _Call(
                method=method,
                url=self._url(address, path, query),
                body=body,
                headers={},
                changes=False,
                safe_to_repeat=True,
                limit=limit,
                later=self._later,
                forgiving=forgiving,
            )
        )

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
        Make a call that changes something over there.

        If repeating it is not safe, a 503 is no promise that nothing happened, and the
        call gets a connection of its own: one kept open could close just then.

        :raises Unavailable, Unanswered, Rejected, Malformed, Misconfigured:
        """
        return self._make(
            _Call(
                method=method,
                url=self._url(address, path, None),
                body=body,
                headers=headers or {},
                changes=True,
                safe_to_repeat=safe_to_repeat,
                limit=limit,
                later=self._later,
            )
        )

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
        # No body and no query. A good call is only worth a line to who looks for it:
        # there is one for each reward.
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
            return self._ours().send(
                self._prepared(call),
                stream=True,
                timeout=(min(_CONNECT_SECONDS, self._seconds), self._seconds),
                verify=self._authorities or True,
            )
        except _BREAKS as error:
            # Never chained: what these say may hold a header, and so the key.
            if exchange.begun:
                self._lose(call, error, status=None)
            raise self._not_sent(call, error) from None

    def _prepared(self, call: _Call) -> requests.PreparedRequest:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # no small answer that unpacks to a huge one
            "User-Agent": "promoportal",
            **self._secrets,
            **call.headers,
        }
        data = None
        if call.body is not None:
            headers["Content-Type"] = "application/json"
            data = encode(call.body)
        return requests.Request(call.method, call.url, headers, data=data).prepare()

    def _ours(self) -> Adapter:
        process = os.getpid()
        if process not in self._adapters:
            # One step: threads that come first together all get the same.
            self._adapters.setdefault(process, Adapter(self._threads))
        return self._adapters[process]

    def _not_sent(self, call: _Call, error: Exception) -> WireError:
        evidence = Evidence(duration_ms=call.duration_ms())
        if isinstance(error, ValueError):  # also requests' own about either
            return Misconfigured(
                f"{self._name} can't be called: its address or our key for it can't "
                f"be used ({_innermost(error)}).",
                evidence,
            )
        return Unavailable(
            f"{self._name} could not be reached ({_innermost(error)}).", evidence
        )

    def _lose(self, call: _Call, error: Exception, status: int | None) -> NoReturn:
        evidence = Evidence(status=status, duration_ms=call.duration_ms())
        problem = f"{self._name} did not answer to the end ({_innermost(error)})."
        if call.changes:
            raise Unanswered(problem, evidence) from None
        raise Unavailable(problem, evidence) from None

    def _read(self, call: _Call, response: requests.Response) -> Answer:
        if not 200 <= response.status_code < 300:
            raise self._refusal(call, response)
        try:
            body = b"".join(_bounded(response, call.limit))
        except requests.exceptions.ContentDecodingError:
            raise self._malformed(
                call, response, b"", "It can't be unpacked."
            ) from None
        except _TooLong as error:
            raise self._malformed(call, response, b"", str(error)) from None
        except _BREAKS as error:
            self._lose(call, error, status=response.status_code)
        try:
            said = parse(body, forgiving=call.forgiving)
            return Answer(said, self._evidence(call, response, body))
        except NotJson as error:
            raise self._malformed(call, response, body, str(error)) from None

    def _refusal(self, call: _Call, response: requests.Response) -> WireError:
        evidence = self._evidence(call, response, _as_much_as_comes(response))
        kind = status_policy.meaning(
            response.status_code,
            changes=call.changes,
            safe_to_repeat=call.safe_to_repeat,
            later=call.later,
        )
        return status_policy.error(kind, self._name, evidence, response.headers)

    def _malformed(
        self, call: _Call, response: requests.Response, body: bytes, problem: str
    ) -> Malformed:
        return Malformed(
            f"{self._name}'s answer can't be read. {problem}",
            self._evidence(call, response, body),
        )

    def _evidence(
        self, call: _Call, response: requests.Response, body: bytes
    ) -> Evidence:
        # Cut before it is searched: an answer may be long.
        text = body[:_REFUSAL_READ].decode("utf-8", "replace")
        return Evidence(
            status=response.status_code,
            answer=clean_text(self._without_secrets(text))[:_ANSWER_KEPT],
            duration_ms=call.duration_ms(),
        )

    def _without_secrets(self, text: str) -> str:
        for value in self._secrets.values():
            secret = value.rpartition(" ")[2]  # of "Bearer <token>", the token
            for form in (secret, secret.replace("/", "\\/"), quote(secret, safe="")):
                text = text.replace(form, "[secret]") if form else text
        return text


class _TooLong(Exception):
    """An answer longer than the call allows."""


def _bounded(response: requests.Response, limit: int) -> Iterator[bytes]:
    length = 0
    for chunk in response.iter_content(_CHUNK_BYTES):
        length += len(chunk)
        if length > limit:
            raise _TooLong(f"It is longer than {limit:,} bytes.")
        yield chunk


def _as_much_as_comes(response: requests.Response) -> bytes:
    """Read the words of a refusal; its status says enough if they break off."""
    words = bytearray()
    try:
        for chunk in _bounded(response, _REFUSAL_READ):
            words += chunk
    except (*_BREAKS, _TooLong):
        pass
    return bytes(words)


def _innermost(error: BaseException) -> str:
    """
    Name what was at the bottom of it: only the kind, and the system's own words.

    The library's words may hold an address with its query, or a header.
    """
    seen: BaseException = error
    while (deeper := _below(seen)) is not None:
        seen = deeper
    system = seen.strerror if isinstance(seen, OSError) else None
    return f"{type(seen).__name__}: {system}" if system else type(seen).__name__


def _below(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return reason
    inside = [part for part in error.args if isinstance(part, BaseException)]
    return inside[0] if inside else error.__cause__ or error.__context__
