"""A cohort file: the data section of a study alone, so that a table can be validated before there is a question."""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from dpm.cohort.shipped import data_folder, list_data
from dpm.errors import CohortError, StudyError
from dpm.study.fields import meant
from dpm.study.read import in_data_section, read_bytes, refusal, tables_of
from dpm.study.schema import CohortStudy

NAME = "cohort.toml"


def is_cohort_file(path: Path) -> bool:
    """Whether a file that can be read holds data and no study."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False
    return "data" in tables and not {"study", "model", "estimand"} & set(tables)


def shipped_cohort(name: str) -> Path:
    """The cohort file of a data set: `data:pbc`.

    Raises:
        StudyError: no such data set is shipped, or it has no cohort file.
    """
    path = data_folder() / name / NAME
    if "/" in name or not path.is_file():
        names = [each for each in list_data()["name"] if (data_folder() / each / NAME).is_file()]
        do = meant(name, names)
        raise StudyError(f"data:{name}", f"a data set with a cohort file: {', '.join(names)}", "none of this name", do)
    return path


def read_cohort_file(path: Path) -> CohortStudy:
    """A cohort file, every key checked.

    Raises:
        StudyError: it is not TOML, or a key is missing, unknown or holds what it may not.
    """
    tables = tables_of(path, read_bytes(path))
    try:
        return CohortStudy.model_validate(tables)
    except ValidationError as error:
        raise refusal(path, error) from None
    except CohortError as error:
        raise in_data_section(path, error) from None
