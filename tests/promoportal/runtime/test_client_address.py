"""The client's address: only entries from trusted proxies count."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from promoportal.runtime.client_address import client_address

US, SENDER, FORGED = "192.0.2.10", "198.51.100.7", "203.0.113.1"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        pytest.param(0, None, US, id="no proxy"),
        pytest.param(0, FORGED, US, id="no proxy, forged"),
        pytest.param(0, f"{FORGED}, {SENDER}", US, id="no proxy, forged twice"),
        pytest.param(1, SENDER, SENDER, id="one proxy"),
        pytest.param(1, f"{FORGED}, {SENDER}", SENDER, id="one proxy, forged"),
        pytest.param(1, f"{FORGED},{FORGED},{SENDER}", SENDER, id="forged twice"),
        pytest.param(1, None, "", id="one proxy, passed by"),
        pytest.param(1, "", "", id="one proxy, empty"),
        pytest.param(2, f"{SENDER}, {US}", SENDER, id="two proxies"),
        pytest.param(2, f"{FORGED}, {SENDER}, {US}", SENDER, id="two proxies, forged"),
        pytest.param(2, SENDER, "", id="two proxies, one passed by"),
        pytest.param(1, f"{FORGED}, 2001:db8::1", "2001:db8::1", id="IPv6"),
        pytest.param(1, "\0" + "x" * 500, "x" * 100, id="nonsense"),
    ],
)
def test_only_entries_of_trusted_proxies_count(
    settings: Settings, proxies: int, forwarded: str | None, address: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    meta = {"REMOTE_ADDR": US}
    if forwarded is not None:
        meta["HTTP_X_FORWARDED_FOR"] = forwarded

    assert client_address(meta) == address
