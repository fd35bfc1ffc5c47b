"""The benchmark of the endpoint client, on a handful of requests."""

from __future__ import annotations

import re

import pytest


def test_the_client_is_measured_against_a_server_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.synthesis import main

    main(["client", "--requests", "40", "--concurrency", "4"])

    told = capsys.readouterr().out
    assert "| 40 requests, 4 in flight | found | asked |" in told
    assert re.search(r"\| CPU of the client, ms a request \| \d+\.\d\d \| 1 \|", told)
    assert re.search(r"\| peak resident memory, MB \| \d+ \| 200 \|", told)
