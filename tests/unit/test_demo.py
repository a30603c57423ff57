"""`botdel demo`: what its bars say at the end."""

from io import StringIO

from botdel.local.demo import settle
from botdel.terminal import Bars, Terminal


def ended(gone: dict[str, int], counted: dict[str, int]) -> tuple[dict[str, float], str]:
    """Where the bars of two services end, of 100 items each, and what is said."""
    out = StringIO()
    progress = Bars(Terminal(file=out, width=200), "items")
    tasks = {service: progress.add_task(service, total=100) for service in gone}
    settle(progress, tasks, gone, counted)
    return {task.description: task.completed for task in progress.tasks}, out.getvalue()


def test_what_was_deleted_before_a_kill_and_not_counted_is_said_and_in_the_bar() -> None:
    completed, said = ended({"a": 100, "b": 100}, {"a": 80, "b": 100})
    assert completed == {"a": 100, "b": 100}
    assert said == "a: 20 items were deleted by the killed run and not counted\n"


def test_a_bar_does_not_end_at_its_total_when_something_is_left() -> None:
    assert ended({"a": 70}, {"a": 70}) == ({"a": 70}, "")
