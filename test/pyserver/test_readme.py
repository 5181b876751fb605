"""What the README says of the Python server is so."""

from __future__ import annotations

import re

import pytest

from server_process import PACKAGE
from solar_pyserver.__main__ import require_modules
from solar_pyserver.errors import StartupError
from solar_pyserver.loading import missing_module
from solar_pyserver.versions import TRIED_TRANSFORMERS, untried

README = (PACKAGE.parent / "README.md").read_text()


def test_the_packages_to_install_are_those_that_the_package_depends_on() -> None:
    project = (PACKAGE / "pyproject.toml").read_text()
    block = project.split("dependencies = [", 1)[1].split("\n]", 1)[0]
    [line] = re.findall(r"python -m pip install (torch .*)", README)
    assert line.split() == re.findall(r'"(\w+)>=', block)


def test_the_releases_of_transformers_that_were_tried_are_the_pinned_one_and_those_that_readme_names() -> None:
    pins = (PACKAGE / "requirements-dev.txt").read_text()
    assert re.findall(r"^transformers==(.*)$", pins, re.MULTILINE) == [TRIED_TRANSFORMERS[0]]
    [named] = re.findall(r"tried with transformers ([\d., and]+\d)", README)
    assert tuple(re.findall(r"\d[\d.]*\d", named)) == TRIED_TRANSFORMERS


def test_a_release_that_was_not_tried_is_said_in_the_log() -> None:
    assert untried(TRIED_TRANSFORMERS[-1]) is None
    assert (
        untried("4.0.0")
        == f"transformers 4.0.0 was not tried with this server; {' and '.join(TRIED_TRANSFORMERS)} were"
    )


def test_the_line_for_a_missing_module_is_quoted_as_it_is() -> None:
    [quoted] = re.findall(r"`(Python module .*?)`", README)
    pattern = re.escape(quoted).replace("…", ".+")
    with pytest.raises(StartupError) as caught:
        require_modules(("no_such_module_as_this",))
    assert re.fullmatch(pattern, str(caught.value))
    assert re.fullmatch(pattern, str(missing_module(ModuleNotFoundError("x", name="sentencepiece"))))
