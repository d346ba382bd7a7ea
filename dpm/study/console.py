"""What a run prints: a line per stage, and at the end the answer."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dpm.errors import DPMError
from dpm.study.answer import Answer, read_answers
from dpm.study.stage import News
from dpm.study.verify import Finding

MARKS = {"done": "[green]done[/]", "unchanged": "[dim]unchanged, skipped[/]", "gate": "[red]stopped[/]"}
ROLES = {
    "answer": "synthetic control",
    "truth": "randomised truth",
    "comparison": "for comparison",
    "sensitivity": "sensitivity",
}
NAME = 9
"""Width of the column of stage names."""


def show_news(console: Console, news: News) -> None:
    """One line of progress."""
    name = f"[bold]{news.stage:<{NAME}}[/]"
    if news.kind == "start":
        console.print(f"{name} {escape(news.text)}", highlight=False, soft_wrap=True)
    elif news.kind == "note":
        console.print(
            f"{'':<{NAME}} [dim]{news.seconds:6.1f} s  {escape(news.text)}[/]", highlight=False, soft_wrap=True
        )
    elif news.kind == "unchanged":
        console.print(f"{name} {MARKS['unchanged']}", highlight=False)
    else:
        text = "" if news.kind == "gate" else f"  {escape(news.text)}"
        console.print(f"{'':<{NAME}} {news.seconds:6.1f} s  {MARKS[news.kind]}{text}", highlight=False, soft_wrap=True)


def show_error(console: Console, error: DPMError) -> None:
    """A refusal, on one screen."""
    first, _, rest = str(error).partition("\n")
    console.print(f"[bold red]{type(error).__name__}[/] [red]{escape(first)}[/]", highlight=False, soft_wrap=True)
    if rest:
        console.print(escape(rest), highlight=False, soft_wrap=True)


def show_answer(console: Console, run: Path, question: str) -> None:
    """The table of answers and, as the last line, where the report is."""
    answers = read_answers(run)
    console.print()
    console.print(f"[bold]{escape(question)}[/]", highlight=False)
    for estimand in dict.fromkeys(answer.estimand for answer in answers):
        console.print(_table(estimand, [answer for answer in answers if answer.estimand == estimand]))
    console.print("An interval that includes zero does not show that there is no effect.", style="dim", highlight=False)
    console.print(f"Report: {run / 'report.html'}", highlight=False, soft_wrap=True)


def show_findings(console: Console, findings: list[Finding], run: Path) -> None:
    """What `verify` found: every difference, every note, and how much was recomputed."""
    for finding in findings:
        if finding.verdict != "same":
            mark = "[red]differs[/]" if finding.verdict == "differs" else "[yellow]note   [/]"
            console.print(f"{mark}  {escape(finding.what)}: {escape(finding.detail)}", highlight=False, soft_wrap=True)
    differ = sum(finding.verdict == "differs" for finding in findings)
    same = sum(finding.verdict == "same" for finding in findings)
    verdict = f"[red]{differ} differ[/]" if differ else "[green]none differs[/]"
    console.print(
        f"{run}: {same} of {same + differ} records recomputed and found the same, {verdict}.",
        highlight=False,
        soft_wrap=True,
    )


def _table(estimand: str, answers: list[Answer]) -> Table:
    first = answers[0]
    table = Table(title=escape(estimand), title_justify="left")
    table.add_column("")
    table.add_column("method")
    table.add_column(f"{escape(first.unit)}  ({first.level:.0%} interval)", justify="right", no_wrap=True)
    styles = {"answer": "bold", "truth": "green"}
    for answer in answers:
        role = ROLES.get(answer.role, answer.role)
        table.add_row(role, escape(answer.method), answer.interval, style=styles.get(answer.role))
    return table
