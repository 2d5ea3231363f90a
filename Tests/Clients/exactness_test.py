"""The drills' own judgement: a record that is lost, doubled or wrong does not pass."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from weirexact import compare, nano_dollars  # noqa: E402
from weirlab import Report  # noqa: E402

PRICE = {"input": "2.503", "output": "10.007", "cached_input": "1.251", "per_request": "0.01"}
USAGE = {"input": 120, "output": 40, "cached": 20, "cache_write": 0, "reasoning": 0}


def entry(number, **more):
    return {"request_id": f"req_{number}", "model": "sim-ok", "outcome": "complete", "usage": USAGE, "started_us": 10_000_000,
            "ended_us": 11_000_000, **more}


def record(number, **more):
    return {"request_id": f"req_{number}", "status": "completed", "input_tokens": 120, "output_tokens": 40, "cached_input_tokens": 20,
            "cache_write_tokens": 0, "reasoning_tokens": 0, "cost_nano": nano_dollars(PRICE, USAGE), "flags": [], "error_code": None,
            **more}


def failures(ledger, records, **more):
    report = Report("test")
    compare(report, ledger, records, PRICE, **more)
    return [row[0].strip() for row in report.rows if row[3] == "FAILED"]


def test_cost_is_exact():
    # 100 × 2.503 + 20 × 1.251 + 40 × 10.007 dollars a million, and a cent.
    assert nano_dollars(PRICE, USAGE) == 250_300 + 25_020 + 400_280 + 10_000_000


def test_what_agrees_passes():
    assert failures([entry(1), entry(2)], [record(1), record(2)]) == []


@pytest.mark.parametrize("ledger, records, complaint", [
    ([entry(1), entry(2)], [record(1)], "records lost"),
    ([entry(1)], [record(1), record(1)], "records doubled"),
    ([entry(1)], [record(1, output_tokens=41)], "unflagged records that differ from the truth"),
    ([entry(1)], [record(1, cost_nano=1)], "unflagged records that differ from the truth"),
    ([entry(1)], [record(1, status="pending")], "unflagged records that differ from the truth"),
    ([entry(1)], [record(1, flags=["estimated"])], "flagged records without a reason"),
    ([entry(1)], [record(1, flags=["estimated", "interrupted"])], "flagged records without a reason"),
    ([entry(1)], [record(1), record(2)], "of them charged and unflagged"),
    ([entry(1, request_id="")], [], "of them without a request id"),
])
def test_what_does_not_agree_fails(ledger, records, complaint):
    assert complaint in failures(ledger, records)


def test_a_kill_explains_an_interrupted_record():
    cut = entry(1, outcome="abandoned", usage=None)
    broken = record(1, status="failed", flags=["estimated", "interrupted"], output_tokens=3)
    assert failures([cut, entry(2)], [broken, record(2)], kills_us=[10_500_000]) == []
    assert "flagged records without a reason" in failures([cut, entry(2)], [broken, record(2)], kills_us=[90_000_000])
