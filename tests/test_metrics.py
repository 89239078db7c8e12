"""Metrics against values made by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest

from training.report import plots
from training.report.metrics import measure, wilson


def test_three_classes_by_hand():
    """Truth 0 0 1 1 2; said 0 1 1 1 0."""
    labels = np.array([0, 0, 1, 1, 2])
    found = np.array(
        [[0.8, 0.1, 0.1], [0.3, 0.5, 0.2], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.6, 0.1, 0.3]], "float32"
    )
    numbers = measure(labels, found, ("a", "b", "c"))
    assert numbers["n"] == 5
    assert numbers["top1"] == pytest.approx(3 / 5)
    assert numbers["top5"] == 1.0
    assert numbers["loss"] == pytest.approx(-np.log([0.8, 0.3, 0.8, 0.7, 0.3]).mean(), rel=1e-5)
    assert numbers["confusion_matrix"] == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    a, b, c = numbers["classes"]
    assert a == {"name": "a", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert b["precision"] == pytest.approx(2 / 3)
    assert b["recall"] == 1.0
    assert b["f1"] == pytest.approx(0.8)
    assert c == {"name": "c", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert numbers["macro_f1"] == pytest.approx((0.5 + 0.8 + 0) / 3)


def test_top5_by_hand():
    found = np.tile(np.linspace(0.3, 0.01, 8), (8, 1))
    numbers = measure(np.arange(8), found / found.sum(1, keepdims=True), tuple("abcdefgh"))
    assert numbers["top1"] == pytest.approx(1 / 8)
    assert numbers["top5"] == pytest.approx(5 / 8)


def test_a_class_without_pictures_does_not_count_in_the_averages():
    found = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1]])
    numbers = measure(np.array([0, 1]), found, ("a", "b", "absent"))
    assert numbers["macro_recall"] == 1.0
    assert numbers["classes"][2]["support"] == 0


def test_two_classes():
    numbers = measure(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), ("a", "b"))
    assert numbers["top1"] == pytest.approx(2 / 3)
    assert numbers["top5"] == 1.0


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (354, 359), (1, 2)])
def test_interval_equals_scipys(right, n):
    expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_a_dollar_in_the_name_of_a_class_is_no_formula(tmp_path):
    plots.save(plots.confusion([[1, 0], [2, 3]], ("$_$", "a")), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
