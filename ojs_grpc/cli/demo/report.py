"""What people see: a bar while it runs, a table at the end."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ojs_grpc.cli.demo.ledger import Ledger
from ojs_grpc.cli.demo.plan import KINDS
from ojs_grpc.cli.demo.producer import BATCH_JOBS


class Bars:
    """Bars that follow a ledger whenever they are drawn."""

    def __init__(self, progress: Progress, ledger: Ledger) -> None:
        self._progress = progress
        self._ledger = ledger
        self._enqueued = progress.add_task("enqueued", total=ledger.jobs)
        self._ended = progress.add_task("finished", total=ledger.jobs)
        self._verified = progress.add_task("verified", total=ledger.jobs)

    def draw(self) -> None:
        """Shows what the ledger says now."""
        self._progress.update(self._enqueued, completed=self._ledger.enqueued)
        self._progress.update(self._ended, completed=self._ledger.ended)
        self._progress.update(self._verified, completed=self._ledger.verified.total())


@contextmanager
def bars(ledger: Ledger) -> Iterator[Bars]:
    """Bars on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bars(progress, ledger)


def show(ledger: Ledger, store: str, streams: int) -> None:
    """Prints the table and the rates."""
    console = Console(highlight=False)
    console.print(_table(ledger))
    plain = len(ledger.ids["plain"])
    lines = {
        f"enqueued in batches of {BATCH_JOBS}": _rate(ledger.enqueued, ledger.enqueued_at - ledger.started_at),
        f"delivered over {streams} streams, acknowledged": _rate(plain, ledger.plain_done_at - ledger.working_at),
        "everything, delays and lost leases included": _rate(
            ledger.enqueued, ledger.finished_at - ledger.started_at
        ),
        "late reports of the dead worker, refused": str(ledger.refused),
        "store": f"{store}; server, producer and workers share one process",
    }
    console.print()
    width = max(map(len, lines))
    for label, value in lines.items():
        console.print(f"{label:{width}}  {value}", soft_wrap=True)


def _table(ledger: Ledger) -> Table:
    # Fits into 80 columns, which is what a pipe gets.
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("a job that")
    for column in ("enqueued", "delivered", "retried", "completed", "cancelled", "dead", "verified"):
        table.add_column(column, justify="right")
    for kind in KINDS:
        name = kind.name
        counts = (
            len(ledger.ids[name]),
            ledger.delivered[name],
            ledger.retried[name],
            ledger.completed[name],
            ledger.cancelled[name],
            ledger.dead[name],
            ledger.verified[name],
        )
        table.add_row(kind.fate, *(str(count) if count else "" for count in counts))
    return table


def _rate(jobs: int, seconds: float) -> str:
    return f"{jobs / seconds:,.0f} jobs/s ({jobs} in {seconds:.2f} s)"
