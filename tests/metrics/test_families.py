"""Prometheus' text format."""

from __future__ import annotations

from trioetcd.metrics.families import counter, gauge, histogram, render
from wire.durations import Durations


def test_a_family_is_help_type_and_samples():
    family = counter("calls_total", "Calls.").add(3, method="Put").add(0, method="Range")
    assert render([family]).decode() == (
        "# HELP calls_total Calls.\n"
        "# TYPE calls_total counter\n"
        'calls_total{method="Put"} 3\n'
        'calls_total{method="Range"} 0\n'
    )


def test_the_buckets_of_a_histogram_add_up():
    durations = Durations((0.5, 1.0))
    for seconds in (0.25, 0.5, 0.75, 5.0):
        durations.note(seconds)
    assert render([histogram("took_seconds", "Time.", durations)]).decode().splitlines()[2:] == [
        'took_seconds_bucket{le="0.5"} 2',
        'took_seconds_bucket{le="1"} 3',
        'took_seconds_bucket{le="+Inf"} 4',
        "took_seconds_sum 6.5",
        "took_seconds_count 4",
    ]


def test_a_large_bucket_is_called_what_go_calls_it():
    family = histogram("ttl", "TTLs.").buckets((262144.0, 1048576.0, 8388608.0), (0, 0, 0, 1), 1.0)
    assert [line.partition("}")[0] for line in family.lines[:3]] == [
        'ttl_bucket{le="262144"',
        'ttl_bucket{le="1.048576e+06"',
        'ttl_bucket{le="8.388608e+06"',
    ]


def test_what_has_no_value_is_left_out_and_the_rest_is_in_order():
    text = render([gauge("z", "Z.", 1), gauge("m", "M."), gauge("a", "A.", 2.5)]).decode()
    assert [line for line in text.splitlines() if line[0] != "#"] == ["a 2.5", "z 1"]


def test_a_label_may_hold_anything():
    text = render([gauge("a", "back\\slash\nand line").add(1, name='q"uo\\te\n')]).decode()
    assert r"# HELP a back\\slash\nand line" in text
    assert r'a{name="q\"uo\\te\n"} 1' in text
