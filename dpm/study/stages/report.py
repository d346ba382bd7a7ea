"""`report`: one page from the tables of a run."""

import shutil

from dpm.study.run_folder import LEDGER, MANIFEST
from dpm.study.stage import Context

READ = ("cohort", "fit", "check", "arm", "compare", MANIFEST, LEDGER)


def run(context: Context) -> str:
    """Write the page and its figures from a copy of the tables, so that a failure touches nothing of the run."""
    from dpm.report.document import write_report

    for name in READ:
        source = context.run / name
        if source.is_dir():
            shutil.copytree(source, context.partial / name, ignore=shutil.ignore_patterns("*.nc"))
        elif source.is_file():
            shutil.copy2(source, context.partial / name)
    page = write_report(context.partial)
    return f"{page.name}, {page.stat().st_size / 1024:,.0f} KiB in one file"
