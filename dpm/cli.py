"""The command `dpm`. What a command needs is imported when it runs, so that help comes at once."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dpm import __version__
from dpm.errors import CheckError, DPMError

DIFFERS, USER, GATE, INTERRUPTED = 1, 2, 3, 130
"""Exit statuses: a run that does not verify, a refusal the user can mend, a gate not passed, Ctrl-C."""

WHOLE, SINGLE, LOOK = "A whole study", "Up to one stage of a study, in the order of the flow", "What is there"

HELP = "\n\n".join(
    (
        "What would these patients' course have been, untreated?",
        "dpm learns the natural history of a disease from untreated patients, builds for every treated patient an "
        "untreated twin from that patient's baseline, and compares the two. A study is one TOML file. Its run folder "
        "holds the report, the tables behind it and a hash of everything; stages that are done and unchanged are not "
        "done again.",
        "Start with the shipped study, whose true answer is known because its trial was randomised:",
        "  dpm demo",
        "Then put your own columns into a copy of its study.toml and work forwards:",
        "  dpm validate my_study.toml\n  dpm run my_study.toml\n  dpm verify runs/my_study",
        "Exit status: 0 done; 1 a run does not verify; 2 something to mend in the study, its data or the command; 3 a "
        "gate was not passed; 130 interrupted.",
    )
)

STAGES_IN_WORDS = "validate, fit, gate, check, arm, compare or report"

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help="The study file, or a folder with a study.toml.")]
RunPath = Annotated[
    Path | None, typer.Option("--run-folder", "-o", help="Where results go. Default: runs/<name of the study>.")
]
Force = Annotated[
    str | None,
    typer.Option("--force", metavar="STAGE", help=f"Do this stage though nothing changed: {STAGES_IN_WORDS}."),
]

commands = typer.Typer(
    name="dpm", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
)


def app(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. The one place where a refusal of dpm becomes a message and an exit status.

    Any other exception is a fault of dpm's own and keeps its traceback.
    """
    try:
        commands(args=arguments, prog_name="dpm")
    except DPMError as error:
        from rich.console import Console

        from dpm.study.console import show_error

        show_error(Console(stderr=True), error)
        sys.exit(GATE if isinstance(error, CheckError) else USER)


def _version(asked: bool) -> bool:
    if asked:
        typer.echo(f"dpm {__version__}")
        raise typer.Exit
    return asked


@commands.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@commands.command(rich_help_panel=WHOLE)
def demo(run_folder: RunPath = None, force: Force = None) -> None:
    """Run the shipped study on real patients and print its answer beside the randomised one."""
    from dpm.study.shipped import demo_study

    _pursue(demo_study(), "report", run_folder, force)


@commands.command(rich_help_panel=WHOLE)
def run(study: StudyPath, run_folder: RunPath = None, force: Force = None) -> None:
    """Run every stage of a study that is not done or has changed, and print its answer."""
    _pursue(study, "report", run_folder, force)


@commands.command(rich_help_panel=SINGLE)
def validate(study: StudyPath, run_folder: RunPath = None, force: Force = None) -> None:
    """Read the patients, say what the data are fit for, check the study against them, count who is in and out.

    STUDY may also be a cohort file, with nothing but the data section, or data:NAME for a shipped data set; the tables
    are then printed and nothing is written.
    """
    from dpm.study.cohort_file import is_cohort_file, shipped_cohort

    name = str(study)
    path = shipped_cohort(name.removeprefix("data:")) if name.startswith("data:") else study
    if is_cohort_file(path):
        _describe(path)
        return
    _pursue(study, "validate", run_folder, force)


@commands.command(rich_help_panel=SINGLE)
def fit(study: StudyPath, run_folder: RunPath = None, force: Force = None) -> None:
    """Learn the natural history; stop if the sampler did not converge."""
    _pursue(study, "gate", run_folder, force)


@commands.command(rich_help_panel=SINGLE)
def check(study: StudyPath, run_folder: RunPath = None, force: Force = None) -> None:
    """Hold the fit against the patients it saw, and against those it did not."""
    _pursue(study, "check", run_folder, force)


@commands.command(rich_help_panel=SINGLE)
def arm(study: StudyPath, run_folder: RunPath = None, force: Force = None) -> None:
    """Draw an untreated twin for every treated patient."""
    _pursue(study, "arm", run_folder, force)


@commands.command(rich_help_panel=SINGLE)
def compare(study: StudyPath, run_folder: RunPath = None, force: Force = None) -> None:
    """Compare treated patients with their twins, by every method the study names."""
    _pursue(study, "compare", run_folder, force)


@commands.command(rich_help_panel=SINGLE)
def report(study: StudyPath, run_folder: RunPath = None, force: Force = None) -> None:
    """Write report.html and its figures."""
    _pursue(study, "report", run_folder, force)


@commands.command(rich_help_panel=LOOK)
def verify(folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")]) -> None:
    """Recompute every hash a run recorded and say what differs."""
    from rich.console import Console

    from dpm.study.console import show_findings
    from dpm.study.verify import verify as recompute

    findings = recompute(folder)
    show_findings(Console(), findings, folder)
    if any(finding.verdict == "differs" for finding in findings):
        raise typer.Exit(DIFFERS)


@commands.command(rich_help_panel=LOOK)
def models(
    gallery: Annotated[Path | None, typer.Option(help="Draw them all into this folder, as a page.")] = None,
) -> None:
    """List the shipped models, as a study file names them; or draw a gallery of them."""
    from dpm.study.shipped import list_models, models_folder

    if gallery is not None:
        import jax

        from dpm.report.gallery import write_gallery

        page = write_gallery(models_folder(), gallery, key=jax.random.key(2026), tell=typer.echo)
        typer.echo(f"\nGallery: {page}")
        return
    for model in list_models():
        facts = "; ".join(fact for fact in (model.disease, model.endpoint, model.status) if fact)
        typer.echo(f"{model.build}\n    {model.title}" + (f"\n    {facts}" if facts else ""))
        if model.source:
            typer.echo(f"    {model.source}")


@commands.command(rich_help_panel=LOOK)
def data() -> None:
    """List the shipped data sets, as a study file names them."""
    from dpm.cohort.shipped import list_data

    for each in list_data().itertuples():
        typer.echo(f"data:{each.name}/{each.main}\n    {each.title}; {each.subjects} subjects; {each.licence}")


def _describe(path: Path) -> None:
    """Print what the tables of a cohort file hold and what they are fit for."""
    import jax
    from rich.console import Console

    from dpm.study.cohort_file import read_cohort_file
    from dpm.study.cohort_tables import show_cohort
    from dpm.study.fitness import fitness_tables
    from dpm.study.materials import find_data, read_data

    file = read_cohort_file(path)
    cohort = read_data(file.data, find_data(file.data, path, path.parent), jax.random.key(0))
    show_cohort(Console(), cohort, fitness_tables(cohort, file.fitness))


def _pursue(study: Path, last: str, run_folder: Path | None, force: str | None) -> None:
    """Run a study up to a stage, with a line per stage and, after the report, the answer."""
    try:
        _run(study, last, run_folder, force)
    except KeyboardInterrupt:
        typer.echo(
            "\nInterrupted. Finished stages and saved draws are kept; the same command goes on from there.", err=True
        )
        raise typer.Exit(INTERRUPTED) from None


def _run(study: Path, last: str, run_folder: Path | None, force: str | None) -> None:
    from rich.console import Console

    from dpm.study.cohort_tables import show_fitness
    from dpm.study.console import show_answer, show_news
    from dpm.study.materials import Materials
    from dpm.study.read import read_study
    from dpm.study.runner import run_study
    from dpm.study.stages import STAGES

    console = Console()
    file = read_study(study)
    folder = run_folder or Path("runs") / file.study.study.name
    materials = Materials(file=file, run=folder, progress=True)
    run_study(materials, STAGES, last=last, tell=lambda news: show_news(console, news), force=force)
    if last == "validate":
        show_fitness(console, folder)
    if last == "report":
        show_answer(console, folder, file.study.study.question)
    else:
        console.print(f"Run folder: {folder}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    app()
