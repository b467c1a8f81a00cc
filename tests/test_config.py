"""Every setting: its default, its flag, its environment variable, which of them wins, and what a bad value gets."""

from argparse import ArgumentParser
from pathlib import Path

import pytest

from ojs_grpc import config
from ojs_grpc.config import Config, Setting

# For each setting a default, two texts that are no default with what they mean, and texts that are refused.
CASES: dict[str, tuple[object, dict[str, object], tuple[str, ...]]] = {
    "store": ("sqlite:///ojs.db", {"memory:": "memory:", "redis://cache:6379/1": "redis://cache:6379/1"}, ()),
    "grpc": (
        "127.0.0.1:9090",
        {"localhost:0": "localhost:0", "[::1]:65535": "[::1]:65535"},
        ("9090", ":9090", "localhost:", "localhost:65536", "localhost:+1", "localhost:٣", "::1:9090", "[]:1"),
    ),
    "http": (
        "127.0.0.1:8080",
        {"off": "off", "[::1]:0": "[::1]:0"},
        ("8080", "none", "OFF", ":8080", "localhost:65536"),
    ),
    "insecure": (False, {"true": True, "YES": True}, ("2", "insecure")),
    "processes": (1, {"2": 2, "256": 256}, ("0", "257", "-1", "1.5", "two", "1_0", "+2", "٢", "9" * 5000)),
    "drain_seconds": (30.0, {"0": 0.0, "1.5": 1.5}, ("-1", "nan", "inf", "30s", "1e12")),
    "max_calls": (1000, {"1": 1, "50": 50}, ("0", "many")),
    "long_poll_seconds": (2.0, {"0": 0.0, "20": 20.0}, ("-0.1", "nan", "inf", "x")),
    "visibility_seconds": (1800.0, {"0.5": 0.5, "60": 60.0}, ("0", "-1", "nan", "inf", "x", "1e12")),
    "timeout_seconds": (1800.0, {"0.5": 0.5, "60": 60.0}, ("0", "-1", "nan", "inf", "x", "1e12")),
    "silence_seconds": (30.0, {"0.5": 0.5, "60": 60.0}, ("0", "-1", "nan", "inf", "x")),
    "envelope_bytes": (1 << 20, {"1000": 1000, "2097152": 2 << 20}, ("0", "2097153", "1MB")),
    "batch_jobs": (10_000, {"1": 1, "500": 500}, ("0", "x")),
    "finished_days": (7.0, {"0": 0.0, "0.01": 0.01}, ("-1", "nan", "x")),
    "finished_count": (1_000_000, {"1": 1, "1000": 1000}, ("0", "x")),
    "discarded_days": (30.0, {"0": 0.0, "1": 1.0}, ("-1", "nan", "x")),
    "dead_days": (180.0, {"0": 0.0, "1": 1.0}, ("-1", "nan", "x")),
    "dead_count": (10_000, {"1": 1, "1000": 1000}, ("0", "x")),
    "events_days": (7.0, {"0": 0.0, "0.5": 0.5}, ("-1", "nan", "x")),
    "events_count": (1_000_000, {"0": 0, "1000": 1000}, ("-1", "1000000001", "x")),
    "queues": ("none", {text: text for text in ("a:concurrency=1", "*:rate=1/1s; b:max_depth=9")}, ()),
    "allow_eviction": (False, {"true": True, "on": True}, ("maybe",)),
    "conformance": (False, {"true": True, "1": True}, ("suite",)),
    "log_format": ("console", {"json": "json"}, ("xml", "JSON")),
    "log_level": ("info", {"debug": "debug", "warning": "warning"}, ("verbose", "INFO")),
}
SETTINGS = {setting.name: setting for setting in config.settings()}


def read(*arguments: str, **environment: str) -> Config:
    """The settings for a command line and an environment."""
    parser = ArgumentParser(exit_on_error=False)
    config.add_flags(parser)
    return config.read(parser.parse_args(arguments), environment)


def values(field: int) -> list[tuple[Setting, str, object]]:
    """For every setting its `field`th good text and what it means, where there are so many."""
    found = []
    for name, (_, good, _) in CASES.items():
        for text, value in list(good.items())[field : field + 1]:
            found.append((SETTINGS[name], text, value))
    return found


def test_every_setting_has_its_cases() -> None:
    """Whoever adds a setting adds it here."""
    assert CASES.keys() == SETTINGS.keys()


@pytest.mark.parametrize("name", CASES)
def test_without_flag_and_variable_the_default_holds(name: str) -> None:
    """The defaults are part of the contract."""
    assert getattr(read(), name) == getattr(Config(), name) == CASES[name][0]


@pytest.mark.parametrize(("setting", "text", "value"), values(0))
def test_a_flag_sets_it(setting: Setting, text: str, value: object) -> None:
    """`--name VALUE` and `--name=VALUE` are the same."""
    assert getattr(read(setting.flag, text), setting.name) == value
    assert getattr(read(f"{setting.flag}={text}"), setting.name) == value


@pytest.mark.parametrize(("setting", "text", "value"), values(0) + values(1))
def test_a_variable_sets_it(setting: Setting, text: str, value: object) -> None:
    """`OJS_GRPC_NAME` is read when there is no flag."""
    assert getattr(read(**{setting.variable: text}), setting.name) == value


@pytest.mark.parametrize(("setting", "text", "value"), values(0))
def test_the_flag_wins_over_the_variable(setting: Setting, text: str, value: object) -> None:
    """What is typed counts, even if it is the default and the variable says something else, or nonsense."""
    assert getattr(read(setting.flag, text, **{setting.variable: "?"}), setting.name) == value
    assert getattr(read(setting.flag, setting.default, **{setting.variable: text}), setting.name) == CASES[
        setting.name
    ][0]


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=str)
def test_an_empty_variable_is_none(setting: Setting) -> None:
    """Compose files and charts set variables to nothing."""
    assert read(**{setting.variable: ""}) == Config()


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, case in CASES.items() for text in case[2]])
def test_a_bad_value_is_refused_with_its_origin_and_the_rule(name: str, text: str) -> None:
    """The message names the flag or the variable, the value, and what would be right."""
    setting = SETTINGS[name]
    with pytest.raises(ValueError, match="must be") as by_flag:
        read(f"{setting.flag}={text}")
    assert str(by_flag.value).startswith(f"{setting.flag}={text}: must be")
    with pytest.raises(ValueError, match="must be") as by_variable:
        read(**{setting.variable: text})
    assert str(by_variable.value).startswith(f"{setting.variable}={text}: must be")


def test_a_switch_needs_no_value() -> None:
    """`--insecure` is `--insecure=true`."""
    assert read("--insecure").insecure
    assert not read("--insecure=false", OJS_GRPC_INSECURE="true").insecure


@pytest.mark.parametrize("address", ["0.0.0.0:9090", "[::]:9090", "192.0.2.1:9090", "example.org:9090"])
def test_other_addresses_than_loopback_must_be_asked_for(address: str) -> None:
    """There is no authentication, so nobody listens to the world by accident."""
    with pytest.raises(ValueError, match="--insecure"):
        read("--grpc", address)
    assert read("--grpc", address, "--insecure").grpc == address


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.8.8.8:1", "localhost:1", "[::1]:1"])
def test_loopback_is_always_allowed(address: str) -> None:
    """Who can reach these is on the machine already."""
    assert read("--grpc", address).grpc == address


def test_a_bad_rule_for_a_queue_is_refused_with_its_origin() -> None:
    """The message names the flag, the queue and what must be."""
    with pytest.raises(ValueError, match="queue 'a': concurrency must be a whole number") as error:
        read("--queues", "a:concurrency=0")
    assert str(error.value).startswith("--queues=a:concurrency=0: ")


@pytest.mark.parametrize("store", ["memory:", "memory://"])
def test_several_processes_cannot_share_memory(store: str) -> None:
    """Each would have jobs that the others never see."""
    with pytest.raises(ValueError, match="--processes"):
        read("--store", store, "--processes", "2")


def test_addresses_are_taken_apart() -> None:
    """Hosts without brackets, ports as numbers."""
    assert config.split_address("[::1]:80") == ("::1", 80)
    assert config.split_address("host.example:0") == ("host.example", 0)


def test_the_documentation_lists_every_setting() -> None:
    """docs/operations.md has this very table; paste it from the failure when a setting has changed."""
    rows = [f"| `{setting.flag}` | `{setting.default}` | {setting.help} |" for setting in SETTINGS.values()]
    table = "\n".join(["| flag | default | meaning |", "|---|---|---|", *rows])
    text = (Path(__file__).parents[1] / "docs" / "operations.md").read_text()
    assert table in text, f"docs/operations.md should contain:\n{table}"
