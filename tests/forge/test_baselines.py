"""The baselines of the demo: what the rules know, what they cannot know, and the regression."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.data.listings import generate
from limbeck.errors import InputError
from limbeck.forge.baselines import RegexRules, TfidfRegression
from limbeck.tasks.metrics import auc

CLEAN = "A bright flat by the river. Check in after 3pm, check out by 11. Built in 1987, 65 m2."


@pytest.mark.parametrize(
    "leak",
    [
        "call me at 617-555-0123",
        "(617) 555-0123",
        "+33 6 55 50 12 34",
        "six one seven five five five zero one two three",
        "６１７-５５５-０１２３",
        "6l7-555-O123",
        "write to jo at example dot com",
        "jo@example.com",
        "see www.example.org",
        "example dot com",
        "insta: example_host",
        "@example_host",
        "whatsapp only",
        "book direct and skip the fees",
        "just google us",
        "jo at gmail",
    ],
)
def test_rules_find_the_usual_forms(leak):
    clean, leaky = RegexRules().scores([CLEAN, f"{CLEAN} {leak}."])
    assert clean < 0.1
    assert leaky > clean + 0.25


def test_rules_excuse_licences_and_taxis():
    rules = RegexRules()
    mine, taxi, licence = rules.scores(
        ["call 617-555-0123", "the taxi is on 617-555-0123", "license number 617-555-0123"]
    )
    assert mine > taxi > licence
    assert licence < 0.2


def test_rules_stand_long_and_odd_text():
    scores = RegexRules().scores(["", "\x00", "5 " * 50_000, "dot com at " * 20_000, "😀" * 1000])
    assert np.isfinite(scores).all()
    assert scores.shape == (5,)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_regression_learns():
    pytest.importorskip("sklearn")
    train = list(generate("train", 700, 1, max_words=20))
    test = list(generate("test", 300, 1, max_words=20))
    model = TfidfRegression(max_features=20_000)
    model.fit([it.text for it in train], [it.label for it in train])
    labels = np.array([it.label for it in test], dtype=bool)
    found = auc(model.scores([it.text for it in test]), labels)
    by_rules = auc(RegexRules().scores([it.text for it in test]), labels)
    assert found > 0.65
    assert by_rules > 0.6
    again = TfidfRegression(max_features=20_000)
    again.fit([it.text for it in train], [it.label for it in train])
    np.testing.assert_array_equal(
        model.scores([CLEAN, "call me"]), again.scores([CLEAN, "call me"])
    )


def test_regression_asks_for_both_labels():
    pytest.importorskip("sklearn")
    with pytest.raises(InputError, match="both labels"):
        TfidfRegression().fit(["a", "b"], [1, 1])
    with pytest.raises(InputError, match="fit"):
        TfidfRegression().scores(["a"])
