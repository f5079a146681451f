"""Made-up traffic."""

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from infra.produce.generator import Traffic, live_dates, past_dates
from infra.produce.rows import ProducerRecord
from schemas.money import parse_amount
from schemas.transaction import Decoder

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MONTH = timedelta(days=30)


def made(count: int, users: int = 100, seed: int = 1) -> list[ProducerRecord]:
    return list(Traffic(users, seed).records(past_dates(count, MONTH, lambda: NOW)))


def messages(records: list[ProducerRecord]) -> list[dict[str, Any]]:
    return [json.loads(record.value) for record in records]


def test_the_same_seed_makes_the_same_transactions() -> None:
    assert made(500) == made(500)
    assert made(500) != made(500, seed=2)


def test_more_of_the_same_seed_begins_with_the_same_but_for_the_dates() -> None:
    few, more = messages(made(100)), messages(made(200))
    for message in (*few, *more):
        del message["txn_date"]
    assert more[:100] == few


def test_each_is_taken_by_the_decoder() -> None:
    decoder = Decoder()
    now_ms = int(NOW.timestamp() * 1000)
    for record in made(2000):
        assert decoder.decode(record.value, record.key, now_ms).unknown == 0


def test_in_full_they_are_the_same_with_merchants_cards_countries_and_channels() -> None:
    records = list(Traffic(50, 1, full=True).records(past_dates(2000, MONTH, lambda: NOW)))
    full, plain = messages(records), messages(made(2000, users=50))

    for one, other in zip(full, plain, strict=True):
        assert one["channel"] == other["meta_data"].pop("channel")
        assert {name: one[name] for name in other} == other
    assert Decoder().decode(records[0].value, records[0].key, -1).unknown == 0
    for name, least, most in (("merchant_id", 100, 500), ("card_id", 40, 50), ("country", 4, 4)):
        assert least <= len({one[name] for one in full}) <= most


def test_ids_differ_and_users_are_as_many_as_asked_for() -> None:
    found = messages(made(5000, users=20))
    assert len({message["id"] for message in found}) == 5000
    assert len({message["user_id"] for message in found}) == 20


def test_users_keep_to_an_amount_of_their_own_but_for_the_injected_ones() -> None:
    """The rule of the worker, written down once more: above five times the mean of the last twenty."""
    windows: dict[str, list[int]] = defaultdict(list)
    verdicts: Counter[tuple[bool, bool]] = Counter()
    for message in messages(made(20_000)):
        window, amount = windows[message["user_id"]], parse_amount(message["amount"])
        if len(window) >= 10:
            flagged = amount * len(window[-20:]) > 5 * sum(window[-20:])
            verdicts[message["meta_data"].get("injected", False), flagged] += 1
        window.append(amount)
    assert verdicts[True, True] > 50
    assert verdicts[True, True] > 0.6 * (verdicts[True, True] + verdicts[True, False])
    assert verdicts[False, True] < 0.001 * verdicts[False, False]


def test_even_a_thousand_from_a_thousand_users_hold_some_to_flag() -> None:
    seen: Counter[str] = Counter()
    flaggable = 0
    for message in messages(made(3000, users=1000)):
        flaggable += message["meta_data"].get("injected", False) and seen[message["user_id"]] >= 10
        seen[message["user_id"]] += 1
    assert flaggable > 0


def test_dates_of_the_past_end_now_in_even_steps() -> None:
    assert list(past_dates(3, timedelta(days=3), lambda: NOW)) == [
        NOW - timedelta(days=2),
        NOW - timedelta(days=1),
        NOW,
    ]


def test_live_dates_are_those_at_which_they_are_asked_for() -> None:
    clock = iter([NOW, NOW + MONTH])
    dates = live_dates(2, lambda: next(clock))
    assert list(dates) == [NOW, NOW + MONTH]


def test_live_dates_without_a_number_do_not_end() -> None:
    assert len(list(islice(live_dates(None, lambda: NOW), 1000))) == 1000
