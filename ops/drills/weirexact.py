"""Is what the control plane recorded what the provider served? Compared with the simulator's truth, to the token and nano-dollar."""

from collections import Counter, defaultdict
from fractions import Fraction

# What a record may say though its tokens are what the provider stated (clamped_at_intake: its time was far off).
HARMLESS = {"duplicate_usage", "clamped_at_intake"}


def nano_dollars(price, usage):
    """Cost by the contract's rule (Shared/Contract/Pricing.swift), computed independently in exact fractions."""
    fresh = usage["input"] - usage["cached"] - usage["cache_write"]
    total = (Fraction(price.get("input", "0")) * fresh + Fraction(price.get("cached_input", "0")) * usage["cached"]
             + Fraction(price.get("cache_write", "0")) * usage["cache_write"] + Fraction(price.get("output", "0")) * usage["output"])
    nano = total * 1000  # dollars a million tokens: 1e9 / 1e6
    return int(nano + Fraction(1, 2)) + int(Fraction(price.get("per_request", "0")) * 10**9)


def compare(report, ledger, records, price, seen=(), kills_us=()):
    """Adds the checks to the report.

    ledger:   the simulator's entries
    records:  the control plane's usage records
    price:    USD per million tokens, as given to the admin API
    seen:     what callers saw (weirload.Seen)
    kills_us: when the data plane was killed, Unix microseconds
    """
    served = defaultdict(list)
    for entry in ledger:
        served[entry["request_id"]].append(entry)
    recorded = defaultdict(list)
    for record in records:
        recorded[record["request_id"]].append(record)

    anonymous = len(served.pop("", []))
    report.check("requests that the provider served", len(served), len(served) > 0, "> 0")
    report.check("  of them without a request id", anonymous, anonymous == 0, 0)
    lost = [request for request in served if request not in recorded]
    report.check("records lost", len(lost), not lost, 0)
    doubled = [request for request, found in recorded.items() if len(found) > 1]
    report.check("records doubled", len(doubled), not doubled, 0)

    exact, flagged, wrong, unexplained = 0, Counter(), [], []
    sums, truth = Counter(), Counter()
    for request, entries in served.items():
        for record in recorded.get(request, [])[:1]:
            last = entries[-1]
            flags = set(record["flags"]) - HARMLESS
            flagged.update(flags)
            if record["status"] == "pending":
                wrong.append((request, "still pending"))
                continue
            if flags:
                if "interrupted" in flags and not near_a_kill(entries, kills_us):
                    unexplained.append((request, "interrupted, but nothing was killed meanwhile"))
                excused = flags & {"interrupted", "client_disconnected", "cut_by_limit"} or record["error_code"] == "provider_timeout"
                if last["outcome"] == "complete" and last["usage"] and not excused:
                    unexplained.append((request, f"flagged {sorted(flags)}, though the provider stated its usage and ended well"))
                continue
            stated = last["usage"] or {"input": 0, "output": 0, "cached": 0, "cache_write": 0, "reasoning": 0}
            found = {"input": record["input_tokens"], "output": record["output_tokens"], "cached": record["cached_input_tokens"],
                     "cache_write": record["cache_write_tokens"], "reasoning": record["reasoning_tokens"]}
            cost = nano_dollars(price, stated)
            if found != stated or record["cost_nano"] != cost:
                wrong.append((request, f"recorded {found}, {record['cost_nano']} n$; truth {stated}, {cost} n$ ({last['model']})"))
            exact += 1
            sums.update(found)
            sums["cost_nano"] += record["cost_nano"]
            truth.update(stated)
            truth["cost_nano"] += cost
    report.check("unflagged records that differ from the truth", len(wrong), not wrong, 0)
    report.check("flagged records without a reason", len(unexplained), not unexplained, 0)
    for name in ("input", "output", "cached", "cost_nano"):
        report.check(f"  sum of {name}, unflagged", sums[name], sums[name] == truth[name], truth[name])
    report.check("records that are exact", exact, exact > 0, "> 0")
    for flag, count in sorted(flagged.items()):
        report.note(f"  flagged {flag}", count)

    # Records of requests that never reached the provider: they may exist, and must not charge for what nobody served.
    charged = [r["request_id"] for r in records if r["request_id"] not in served and not r["flags"]
               and (r["input_tokens"] or r["output_tokens"] or r["cost_nano"])]
    report.note("records of requests that did not reach the provider", sum(1 for r in recorded if r not in served))
    report.check("  of them charged and unflagged", len(charged), not charged, 0)
    check_callers(report, seen, recorded)
    for request, problem in [*((r, "lost") for r in lost), *((r, "doubled") for r in doubled), *wrong, *unexplained][:20]:
        print(f"  {request}: {problem}")


def check_callers(report, seen, recorded):
    """An answer that reached its caller to the end has its record: the record leaves before the end does."""
    whole = [s for s in seen if s.status == 200 and s.whole and s.request_id]
    if not whole:
        return
    missing = [s.request_id for s in whole if s.request_id not in recorded]
    cut = [s.request_id for s in whole if any("interrupted" in r["flags"] for r in recorded.get(s.request_id, []))]
    report.note("answers that callers saw to their end", len(whole))
    report.check("  of them without a record", len(missing), not missing, 0)
    report.check("  of them recorded as interrupted", len(cut), not cut, 0)


def near_a_kill(entries, kills_us, slack_us=3_000_000):
    begun = min(entry["started_us"] for entry in entries) - slack_us
    ended = max(entry["ended_us"] or entry["started_us"] for entry in entries) + slack_us
    return any(begun <= kill <= ended for kill in kills_us)
