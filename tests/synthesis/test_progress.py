"""Rate, cost and time left."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.progress import Pace, Price, shown
from clara_lightning.synthesis.teacher import Usage


def finished(**fields: Any) -> Outcome:
    return Outcome("0" * 32, "d", "text", usage=Usage(10, 900, 100), **fields)


class Clock:
    """A clock that stands still until it is told otherwise."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_time_left_is_at_the_rate_of_this_session() -> None:
    clock = Clock()
    pace = Pace(done=90, total=100, price=Price(), clock=clock)
    assert pace.seconds_left is None
    clock.now = 8.0
    pace.count(finished())
    pace.count(finished(reason="coverage"))
    assert pace.seconds_left == 32.0  # 8 documents at 4 s each; the 90 of before say nothing
    assert pace.words() == "0.25 documents/s · accepted 50% · 20 requests, 250 tokens/s · time left 0:00:32"


def test_cost_is_of_tokens_read_and_written() -> None:
    pace = Pace(done=0, total=10, price=Price(2.0, 10.0), clock=Clock())
    pace.count(finished())
    assert pace.cost == pytest.approx(900 * 2e-6 + 100 * 10e-6)


@pytest.mark.parametrize(("price", "option"), [((-1.0, 0.0), "--price-in"), ((0.0, -1.0), "--price-out")])
def test_a_price_is_not_negative(price: tuple[float, float], option: str) -> None:
    with pytest.raises(ClaraError, match=f"{option} must be >= 0, got -1"):
        Price(*price)


def test_without_a_terminal_a_line_is_written_now_and_then(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(logging.getLogger("clara_lightning"), "propagate", True)
    pace = Pace(done=0, total=100, price=Price(), clock=clock)
    with caplog.at_level(logging.INFO, logger="clara_lightning"), shown(pace) as count:
        for second in range(70):
            clock.now = float(second)
            count(finished())
    said = dict.fromkeys(record.message.partition(" · ")[0] for record in caplog.records)
    assert list(said) == ["31/100 documents", "61/100 documents"]
