"""The demo shows what it claims, and succeeds only if all of it held."""

from io import StringIO

from rich.console import Console

from headrace.lab.claims import ClaimView


def make_view() -> tuple[ClaimView, StringIO]:
    out = StringIO()
    return ClaimView(Console(file=out, width=80)), out


def test_without_any_claim_nothing_has_been_shown() -> None:
    view, _ = make_view()

    assert not view.all_held


def test_one_claim_that_did_not_hold_is_enough() -> None:
    view, out = make_view()

    view.check("the sky is blue", held=True, seen="blue")
    good_so_far = view.all_held
    view.check("the moon is cheese", held=False, seen="rock")
    view.summary(took_s=1.0)

    assert good_so_far
    assert not view.all_held
    assert "2 claims, 1 did NOT hold; 1 s" in out.getvalue()


def test_a_step_that_could_not_end_is_a_failure() -> None:
    view, _ = make_view()

    view.check("the sky is blue", held=True, seen="blue")
    view.failure("it rains")

    assert not view.all_held


def test_the_table_names_the_step_of_each_claim() -> None:
    view, out = make_view()

    view.step(7, "Seven")
    view.check("it holds", held=True, seen="yes indeed")
    out.truncate(0)
    view.summary(took_s=2.0)

    assert "7" in out.getvalue()
    assert "1 claims, all held; 2 s" in out.getvalue()


def test_packets_stay_on_one_line_and_brackets_are_no_markup() -> None:
    view, out = make_view()
    packet = "IP 1.1.1.1.1 > 2.2.2.2.2: Flags [P.], options [nop,nop,TS val 1 ecr 2] " + "x" * 200

    view.packets("here", [packet])

    assert f"   {packet}\n" in out.getvalue()
