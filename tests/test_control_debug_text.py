"""What rules found, in words: the line, the table, the explanation, what comes next."""

import json

import pytest

from contract.rule_result import Finding, RuleResult
from control.debug_outlook import outlook
from control.rule_text import explanation, rule_line, rule_table, summary_of

FOUND = RuleResult(
    name="Overfit",
    rule="Overfit",
    status="IssuesFound",
    findings=(
        Finding(
            step=4,
            mode="EVAL",
            tensor="CrossEntropyLoss_output_0",
            value=0.35,
            threshold=0.1,
            message="the validation loss\nis 35 % above",
            advice=f"Train for {'much ' * 15}fewer epochs.",
        ),
    ),
    num_findings=3,
)
FINE = RuleResult(name="Gone", rule="VanishingGradient", status="NoIssuesFound", datapoints=1500)
BLIND = RuleResult(name="Dead", rule="DeadRelu", status="Error", details="no tensor matches x")


@pytest.fixture
def curves(tmp_path):
    """Write a run's metrics.jsonl from pairs of training and validation loss; returns the run."""

    def write(*pairs):
        folder = tmp_path / "output" / "data"
        folder.mkdir(parents=True, exist_ok=True)
        rows = [
            {"epoch": number, "train:loss": train, "validation:loss": validation}
            for number, (train, validation) in enumerate(pairs, 1)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path

    return write


def test_a_line_names_rule_status_step_and_evidence_and_is_one_line():
    assert (
        rule_line(FOUND)
        == "rule Overfit: IssuesFound at step 4 of EVAL: the validation loss is 35 % above"
    )
    assert rule_line(BLIND) == "rule Dead: Error: no tensor matches x"


def test_the_table_has_a_row_a_rule():
    rows = rule_table([summary_of(one) for one in (FOUND, FINE, BLIND)]).splitlines()
    assert [row.split()[:3] for row in rows[1:]] == [
        ["Overfit", "IssuesFound", "EVAL"],
        ["Gone", "NoIssuesFound", "-"],
        ["Dead", "Error", "-"],
    ]
    assert "fine in 1,500 looks" in rows[2]


def test_a_long_sentence_goes_on_below_in_its_column():
    long = RuleResult(name="x", rule="y", status="Error", details="word " * 30)
    _, *rows = rule_table([summary_of(long)]).splitlines()
    assert len(rows) == 3
    assert {row.index("word") for row in rows} == {rows[0].index("word")}
    assert max(map(len, rows)) < 100


def test_a_rule_that_saw_too_little_says_so():
    result = RuleResult(
        name="x", rule="y", status="NoIssuesFound", datapoints=1, details="not enough data"
    )
    assert summary_of(result)["summary"] == "not enough data"


def test_an_explanation_says_since_when_with_which_figures_and_what_to_change():
    text = explanation("runs/0001-dogs", (FOUND, FINE, BLIND), None)
    assert text.splitlines() == [
        "runs/0001-dogs: 1 of 3 rules found something.",
        "",
        "Overfit, first at step 4 (EVAL), and 2 more times",
        "  seen:    the validation loss is 35 % above",
        "  figures: 0.35 of CrossEntropyLoss_output_0, threshold 0.1",
        f"  advice:  Train for{' much' * 15}",
        "           fewer epochs.",
        "",
        "fine: Gone",
        "",
        "Dead: Error: no tensor matches x",
    ]


def test_without_findings_all_is_well_and_the_outlook_follows():
    text = explanation("runs/0001-dogs", (FINE,), "Nearest to its limit is Overfit.")
    assert text == "runs/0001-dogs: all is well, say Gone.\nNearest to its limit is Overfit."
    assert "no rule could be evaluated" in explanation("x", (BLIND,), None)


@pytest.mark.parametrize(
    ("pairs", "rule", "says"),
    [
        (
            [(2.0, 2.4), (1.0, 1.09)],
            "Overfit",
            "the validation loss is 9 % above the training loss",
        ),
        (
            [(2.0, 1.0), (1.9, 0.9), *[(1.8 - n / 10, 0.95 - n / 100) for n in range(4)]],
            "Overtraining",
            "the best validation loss, 0.900, is 4 epochs old, and it fires after 10",
        ),
        ([(2.0, 1.0), (1.9, 0.9985)], "LossNotDecreasing", "fell by 0.1 %, and it asks for 0.1 %"),
    ],
)
def test_the_outlook_names_the_rule_that_is_nearest_to_its_limit(curves, pairs, rule, says):
    text = outlook(curves(*pairs))
    assert text.startswith(f"Nearest to its limit is {rule}:")
    assert says in text


def test_the_outlook_counts_with_the_limits_that_a_rule_was_given(curves):
    given = RuleResult(
        name="o", rule="Overfit", status="NoIssuesFound", parameters={"ratio_threshold": 100.0}
    )
    folder = curves((2.0, 2.4), (1.0, 1.09))
    assert "Overfit" in outlook(folder)
    assert "Overfit" not in outlook(folder, (given,))


@pytest.mark.parametrize("text", [None, "", "not json\n", '{"epoch": 1, "train:loss": null}\n'])
def test_without_curves_there_is_no_outlook(tmp_path, text):
    if text is not None:
        (tmp_path / "output" / "data").mkdir(parents=True)
        (tmp_path / "output" / "data" / "metrics.jsonl").write_text(text)
    assert outlook(tmp_path).startswith("Too few epochs")
