"""What an operator sets for queues: as text, and as the rule of each queue."""

import pytest

from ojs_grpc.core.queue_rules import parse_queue_rules
from ojs_grpc.core.rate_limit import QueueRule, QueueRules, RateLimit


def test_rules_of_queues() -> None:
    """Each has what is said of it, whatever is around; a queue's own key names it."""
    text = "emails:max_depth=1000,concurrency=5,rate=100/60s; reports:concurrency=1 ;; *:max_depth=100000;"

    rules = parse_queue_rules(text)

    assert rules.of("emails") == QueueRule(1000, RateLimit("queue:emails", 5, 100, 60_000))
    assert rules.of("reports") == QueueRule(0, RateLimit("queue:reports", 1))
    assert rules.of("other") == QueueRule(100_000)


@pytest.mark.parametrize("text", ["", " ", "none", " none ", ";"])
def test_no_rules(text: str) -> None:
    """No queue has any."""
    assert parse_queue_rules(text) == QueueRules()
    assert parse_queue_rules(text).of("any") == QueueRule()


def test_a_limit_for_all_others_is_each_queues_own() -> None:
    """They do not share it; a queue that is named has nothing of it."""
    rules = parse_queue_rules("*:max_depth=9,rate=1/1s; a:max_depth=5")

    assert rules.of("b") == QueueRule(9, RateLimit("queue:b", 0, 1, 1000))
    assert rules.of("c") == QueueRule(9, RateLimit("queue:c", 0, 1, 1000))
    assert rules.of("a") == QueueRule(5)


@pytest.mark.parametrize(
    ("text", "period_ms"),
    [("7/1ms", 1), ("7/60s", 60_000), ("7/2m", 120_000), ("7/1h", 3_600_000), ("7/365d", 365 * 86_400_000)],
)
def test_periods_of_a_rate(text: str, period_ms: int) -> None:
    """From a millisecond to a year."""
    assert parse_queue_rules(f"a:rate={text}").of("a").limit == RateLimit("queue:a", 0, 7, period_ms)


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("emails", "'emails' must be QUEUE:RULE=VALUE"),
        ("emails=5", "'emails=5' must be QUEUE:RULE=VALUE"),
        ("a:concurrency=1;Bad:concurrency=1", "queue 'Bad': the name must be"),
        (":concurrency=1", "queue '': the name must be"),
        ("a*:concurrency=1", "queue 'a[*]': the name must be"),
        ("a:", "queue 'a': the rule '' must be one of max_depth, concurrency, rate"),
        ("a:depth=1", "queue 'a': the rule 'depth' must be one of"),
        ("a:concurrency=1,", "queue 'a': the rule '' must be one of"),
        ("a:max_depth", "queue 'a': max_depth must be a whole number"),
        ("a:max_depth=0", "queue 'a': max_depth must be a whole number from 1"),
        ("*:max_depth=1000000001", "queue '[*]': max_depth must be"),
        ("a:concurrency=-1", "queue 'a': concurrency must be"),
        ("a:concurrency=1.5", "queue 'a': concurrency must be"),
        ("a:concurrency=٣", "queue 'a': concurrency must be"),
        ("a:rate=5", "queue 'a': rate must be COUNT/PERIOD"),
        ("a:rate=5/60", "queue 'a': rate must be COUNT/PERIOD"),
        ("a:rate=5/1y", "queue 'a': rate must be COUNT/PERIOD"),
        ("a:rate=0/1s", "queue 'a': rate must be from 1"),
        ("a:rate=100001/1s", "queue 'a': rate must be from 1"),
        ("a:rate=1/0s", "queue 'a': rate must be over a period"),
        ("a:rate=1/366d", "queue 'a': rate must be over a period"),
        ("a:rate=1/1s,rate=2/1s", "queue 'a': rate must be there only once"),
        ("a:concurrency=1; a:max_depth=5", "queue 'a' must be there only once"),
        ("*:concurrency=1; *:max_depth=5", "queue '[*]' must be there only once"),
    ],
)
def test_a_bad_rule_is_named_with_its_queue(text: str, culprit: str) -> None:
    """And with what would be right."""
    with pytest.raises(ValueError, match=culprit):
        parse_queue_rules(text)
