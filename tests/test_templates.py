"""What is put in now, what waits for the run, and what is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_deployments.templates import LARGEST, BadTemplate, Scope, expand

from .conftest import bounded

ENV = {
    "A": "1",
    "EMPTY": " ",
    "NESTED": "{{ $A }}",
    "BYTES": "\udcff",
    "my_tag": "t",
    "A.B-C": "d",
    "LONG": "x" * 10_000,
}


def fault(text: str, scope: Scope) -> str:
    with pytest.raises(BadTemplate) as caught:
        expand(text, scope)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expanded", "variables"),
    [
        ("", "", ()),
        ("nothing here", "nothing here", ()),
        ("{{ $A }}", "1", ("A",)),
        ("{{$A}}", "1", ("A",)),
        ("{{  $A\n}}", "1", ("A",)),
        ("a{{ $A }}b{{ $my_tag }}c", "a1btc", ("A", "my_tag")),
        ("{{ $A.B-C }}", "d", ("A.B-C",)),
        ("{{{ $A }}}", "{1}", ("A",)),
        ("{{ $NESTED }}", "{{ $A }}", ("NESTED",)),
        ("{{ $EMPTY }}", " ", ("EMPTY",)),
        ("$A ${A} {A} { $A }", "$A ${A} {A} { $A }", ()),
    ],
)
def test_variables_are_put_in_once(text: str, expanded: str, variables: tuple[str, ...]) -> None:
    assert expand(text, Scope(ENV)) == (expanded, variables)


@pytest.mark.parametrize(
    "text",
    [
        "{{ prefect.blocks.secret.token }}",
        "{{prefect.variables.image}}:{{ prefect.variables.tag }}",
        "{{ ctx.flow_run.name }}",
        "{{ a b }} {{ name | upper }} {{ 'quoted' }} {{}} {{ }}",
        "docker ps --format '{{json .}}'",
        "{{",
        "}} {{",
    ],
)
def test_what_is_resolved_later_or_is_no_template_stays(text: str) -> None:
    assert expand(text, Scope(ENV)) == (text, ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ $UNSET }}", "the variable UNSET is not set; set it in the environment"),
        ("{{ $A }}{{ $UNSET }}", "the variable UNSET is not set"),
        ("{{ $A | default }}", "it takes a name alone, without filters and defaults"),
        ("{{ $A:-x }}", "it takes a name alone, without filters and defaults"),
        ("{{ $ A }}", "it takes a name alone"),
        ("{{ $$A }}", "it takes a name alone"),
        ("{{ $ }}", "it takes a name alone"),
        ("{{ $A", "the template '{{ $A' is not closed"),
        ("{{ $A }", "the template '{{ $A' is not closed"),
        ("{{ $A {{ $A }}", "the template '{{ $A' is not closed"),
        ("{{ $A }} {{ $my_tag", "the template '{{ $my_tag' is not closed"),
        ("{{ $BYTES }}", "the value of the variable BYTES is not valid UTF-8"),
        ("{{ image }}", "'{{ image }}' is the output of a step and cannot be known here"),
        ("{{ build-image.image }}", "pass the value in an environment variable, {{ $NAME }}"),
        ("{{ .State }}", "is the output of a step"),
        ("{{ prefect.runtime.x }}", "is the output of a step"),
        ("{{ clone.directory }}", "refer to the id of an earlier one, {{ id.output }}"),
    ],
)
def test_what_cannot_be_expanded_is_refused(text: str, message: str) -> None:
    assert message in fault(text, Scope(ENV))


def test_outputs_of_earlier_pull_steps_stay() -> None:
    scope = Scope(ENV, steps=frozenset(("clone", "None")))
    assert expand("{{ clone.directory }}/{{ $A }}", scope).text == "{{ clone.directory }}/1"
    assert "output of a step" in fault("{{ clone }}", scope)
    assert "output of a step" in fault("{{ later.directory }}", scope)


def test_runtime_variables_stay_as_written() -> None:
    scope = Scope(ENV, runtime=frozenset(("A", "UNSET")))
    assert expand("{{$A}} {{  $UNSET }} {{ $my_tag }}", scope) == ("{{$A}} {{  $UNSET }} t", ("my_tag",))


def test_which_code_runs_is_settled_now() -> None:
    scope = Scope(ENV, runtime=frozenset(("A",)), pinned=True)
    assert "$A is a runtime variable, and which code runs is settled when it is deployed" in fault("{{ $A }}", scope)
    assert "the variable EMPTY is set but empty" in fault("image@{{ $EMPTY }}", scope)
    assert expand("{{ $my_tag }}", scope).text == "t"


def test_the_expanded_text_is_bounded() -> None:
    assert f"more than {LARGEST} characters" in fault("{{ $LONG }}" * 1000, Scope(ENV))


def test_errors_never_show_values() -> None:
    env = {"PASSWORD": "hunter2", "HALF": "hunter2\udcff"}
    assert "hunter2" not in fault("{{ $PASSWORD }} {{ $UNSET }} {{ $PASSWORD", Scope(env))
    assert "hunter2" not in fault("{{ $HALF }}", Scope(env))


def test_a_long_text_without_an_end_is_read_once() -> None:
    for piece in ("{{", "{{ ", "{{ $A ", "{{ \n", "}} {{ a"):
        with bounded(), contextlib.suppress(BadTemplate):
            expand(piece * 200_000, Scope(ENV))


def test_a_long_name_is_cut_in_errors() -> None:
    assert len(fault("{{ $" + "x" * 100_000 + " }}", Scope(ENV))) < 300


@given(st.text(st.sampled_from("{} $Aab.|\n"), max_size=40))
@settings(max_examples=500, database=None, deadline=None)
def test_no_variable_is_left_in_what_comes_out(text: str) -> None:
    try:
        expanded = expand(text, Scope(ENV)).text
    except BadTemplate:
        return
    assert "{{ $" not in expanded
    assert "{{$" not in expanded
