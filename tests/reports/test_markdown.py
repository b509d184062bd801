"""Reports as Markdown, read back by a parser of CommonMark."""

from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from markdown_it import MarkdownIt

from tests.support.benchmark_results import HOSTILE, latency, realistic, results, row, unusual
from vitsd_export.reports.markdown import escape, to_markdown
from vitsd_export.reports.wording import plain

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def text_of(token: Any) -> str:
    """Returns the text of an inline token that holds nothing but text."""
    assert {child.type for child in token.children} <= {"text"}, token.content
    return "".join(child.content for child in token.children)


def tables_of(markdown: str) -> list[list[list[str]]]:
    """Returns the cells of all tables; the first row is the heading."""
    found: list[list[list[str]]] = []
    tokens = PARSER.parse(markdown)
    for place, token in enumerate(tokens):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            found[-1][-1].append(text_of(tokens[place + 1]))
    return found


@pytest.mark.parametrize("name", unusual())
def test_every_run_parses(name: str) -> None:
    markdown = to_markdown(unusual()[name])
    tokens = PARSER.parse(markdown)
    assert {token.type for token in tokens} <= {
        *("heading_open", "heading_close", "inline", "paragraph_open", "paragraph_close"),
        *("table_open", "table_close", "thead_open", "thead_close", "tbody_open", "tbody_close"),
        *("tr_open", "tr_close", "th_open", "th_close", "td_open", "td_close", "fence"),
        *("bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"),
    }
    for token in tokens:
        if token.type == "inline":
            text_of(token)
    for table in tables_of(markdown):
        assert len({len(row) for row in table}) == 1
        assert len(table) >= 2


def test_cells_are_the_figures() -> None:
    summary = tables_of(to_markdown(realistic()))[0]
    assert summary[0] == [
        "candidate",
        "top-1",
        "agrees",
        "p50",
        "÷ baseline",
        "it is",
        "size",
        "of roofline",
    ]
    rows = {cells[0]: cells[1:] for cells in summary[1:]}
    expected = ["79.38 %", "99.36 %", "6.34 ms", "0.45", "faster", "22.09 MB", "60 %"]
    assert rows["onnx int8"] == expected
    assert rows["openvino"][4] == "skipped"


def test_provenance_stands_below() -> None:
    run = realistic()
    tokens = PARSER.parse(to_markdown(run))
    fence = next(token for token in tokens if token.type == "fence")
    assert fence.content == run.command + "\n"
    after = " ".join(token.content for token in tokens[tokens.index(fence) :])
    for text in (
        "2026-11-22",
        "Intel Xeon",
        "onnxruntime 1.31.1",
        "vitsd-export 0.1.0",
        "rounds 60",
    ):
        assert text in after


def test_hostile_names_come_back_as_they_are() -> None:
    run = results(*(row(text, latencies=(latency(1.0),)) for text in HOSTILE))
    for table in tables_of(to_markdown(run))[:2]:
        assert [cells[0] for cells in table[1:]] == [plain(text).strip() for text in HOSTILE]


def test_a_fence_in_the_command_does_not_end_the_block() -> None:
    run = results(command="a ``` b ````` c")
    fence = next(token for token in PARSER.parse(to_markdown(run)) if token.type == "fence")
    assert fence.content == "a ``` b ````` c\n"


@hypothesis.given(st.text(max_size=30))
@hypothesis.settings(max_examples=300, deadline=None)
def test_escaped_text_is_text(text: str) -> None:
    shown = plain(text).strip()
    for before, kept in (("# ", ""), ("- ", ""), ("x ", "x ")):
        tokens = PARSER.parse(before + escape(text))
        read = "".join(text_of(token) for token in tokens if token.type == "inline")
        # Markdown trims Unicode's spaces, too, at the ends.
        assert read.strip() == (kept + shown).strip()


def test_escaping_leaves_figures_alone() -> None:
    for text in ("0.45 (0.43–0.47)", "-1.5 %", "saved_model", "int8, 2.0 MB", "tf.lite"):
        assert escape(text) == text
