"""The figures to reach on two cores, and whether a run reached them."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.meter import Row


@dataclass(frozen=True)
class Bound:
    """A limit of one figure: at least `least` or at most `most`; `stores` names those it holds for."""

    row: str
    figure: str
    least: float | None = None
    most: float | None = None
    stores: tuple[str, ...] = ("memory", "sqlite", "redis")

    def is_met(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"


BOUNDS = (
    Bound("unary_64", "ratio", least=0.60, stores=("memory", "redis")),
    Bound("unary_64", "ratio", least=0.40, stores=("sqlite",)),
    Bound("batch_500", "ratio", most=0.125),
    Bound("http_enqueue", "ratio", least=0.60),
    Bound("codec", "us", most=60),
    Bound("stream", "ratio", least=0.50),
    Bound("latency", "p50_ms", most=4),
    Bound("latency", "p99_ms", most=20),
    Bound("latency", "cross_p50_ms", most=4, stores=("redis",)),
    Bound("latency", "cross_p99_ms", most=20, stores=("redis",)),
    Bound("million", "enqueue_ratio", least=0.85),
    Bound("million", "claim_ratio", least=0.85),
    Bound("million", "slowest_call_ms", most=5),
    Bound("memory", "waiting_bytes", most=650, stores=("redis",)),
    Bound("memory", "finished_bytes", most=600, stores=("redis",)),
    Bound("unique", "ratio", least=0.70),
    Bound("group", "ratio", least=0.50),
    Bound("event_log", "unary_ratio", least=0.85),
    Bound("event_log", "batch_ratio", least=0.85),
    Bound("event_log", "fetch_ack_ratio", least=0.85),
    Bound("subscribers", "ratio", least=0.70),
    Bound("subscribers", "received", least=1.0),
    Bound("crons", "cpu_percent", most=3),
    Bound("idle", "cpu_percent", most=3),
    Bound("idle", "store_calls", most=10, stores=("redis",)),
)


def bounds_of(row: str, store_kind: str) -> dict[str, Bound]:
    """The bounds of one row's figures on one kind of store."""
    return {bound.figure: bound for bound in BOUNDS if bound.row == row and store_kind in bound.stores}


def missed(rows: Mapping[str, Row], store_kind: str) -> list[str]:
    """The figures that were measured and did not reach their bound, as `row.figure`."""
    return [
        f"{name}.{figure}"
        for name, row in rows.items()
        for figure, bound in bounds_of(name, store_kind).items()
        if isinstance(value := row.get(figure), (int, float)) and not bound.is_met(value)
    ]
