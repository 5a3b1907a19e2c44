"""Tables for pages."""

from lightm_book.show.tables import markdown_table, percent, span, table


def test_a_table_has_its_first_column_on_the_left():
    text = markdown_table(["a", "b", "c"], [(1, "x", 2.5)])
    assert text == "| a | b | c |\n| :-- | --: | --: |\n| 1 | x | 2.5 |"
    assert table(["a"], []).data == "| a |\n| :-- |"
    assert ":-- | :-- |" in markdown_table(["a", "b"], [], ":--")


def test_scores_are_shown_in_percent():
    assert percent(0.91234) == "91.23" and percent(1, 0) == "100"
    assert span(-0.01, 0.025) == "-1.00 to 2.50" and span(-float("inf"), float("inf")) == "not known"
