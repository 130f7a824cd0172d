"""The words are tested like the code: docstrings, README, user guide, change log."""

import doctest
import importlib
import inspect
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from numpydoc.docscrape import ClassDoc
from numpydoc.validate import validate

import skoverparam

ROOT = Path(skoverparam.__file__).parents[1]
DOCS = ROOT / "docs"
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
EXCLUDED = {code for code in SETTINGS["numpydoc_validation"]["checks"] if code != "all"}
OPTIONS = SETTINGS["pytest"]["ini_options"]["doctest_optionflags"]

# A method or property is explained by the example of its class. For a method of anything but an
# estimator one good sentence is enough; what it documents beyond that must still be right.
EXCLUDED_FOR_METHODS = {"EX01"}
EXCLUDED_FOR_SMALL_METHODS = {"EX01", "PR01", "RT01", "YD01"}


def public_modules():
    """The root and every folder that publishes names by an ``__all__`` of its own."""
    inits = sorted((ROOT / "skoverparam").glob("*/__init__.py"))
    folders = [
        f"skoverparam.{path.parent.name}" for path in inits if "__all__" in path.read_text()
    ]
    return [importlib.import_module(name) for name in ["skoverparam", *folders]]


def public_objects():
    """Every public name as (dotted name, object), each object once."""
    seen = {}
    for module in public_modules():
        for name in getattr(module, "__all__", ()):
            seen.setdefault(id(getattr(module, name)), (f"{module.__name__}.{name}", module, name))
    return [(dotted, getattr(module, name)) for dotted, module, name in seen.values()]


def own_methods(cls):
    """Public methods and properties that our classes define, not those they inherit."""
    for base in cls.__mro__:
        if base.__module__.startswith("skoverparam"):
            for name, member in vars(base).items():
                described = callable(member) or isinstance(member, (property, classmethod))
                if described and not name.startswith("_") and getattr(cls, name, None) is not None:
                    yield name


def described_names():
    """Every dotted name that must have a good docstring, with the codes it is excused from."""
    for dotted, public in public_objects():
        if inspect.isclass(public) or inspect.isroutine(public):
            yield dotted, EXCLUDED
        if inspect.isclass(public):
            estimator = hasattr(public, "get_params")
            more = EXCLUDED_FOR_METHODS if estimator else EXCLUDED_FOR_SMALL_METHODS
            for method in sorted(set(own_methods(public))):
                yield f"{dotted}.{method}", EXCLUDED | more


@pytest.mark.parametrize(
    ("name", "excluded"), [pytest.param(*d, id=d[0]) for d in described_names()]
)
def test_docstring_is_valid_numpydoc(name, excluded):
    errors = [f"{code}: {text}" for code, text in validate(name)["errors"] if code not in excluded]
    assert not errors, "\n".join([name, *errors])


def snippets(text):
    """Blocks of a Markdown text that are marked as python, in order."""
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def test_readme_snippets_run(capsys):
    blocks = snippets((ROOT / "README.md").read_text(encoding="utf-8"))
    assert blocks, "the README shows no python"
    # One namespace: later snippets go on where the first one stopped.
    namespace = {"__name__": "readme"}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"README.md, snippet {number}", "exec"), namespace)


@pytest.mark.parametrize(
    "page",
    sorted([*DOCS.glob("*.rst"), *DOCS.glob("user_guide/**/*.rst"), *DOCS.glob("*.md")]),
    ids=lambda page: str(page.relative_to(DOCS)),
)
def test_examples_of_the_user_guide(page):
    if ">>> " not in page.read_text(encoding="utf-8"):
        pytest.skip("no examples on this page")
    flags = sum(doctest.OPTIONFLAGS_BY_NAME[name] for name in OPTIONS)
    result = doctest.testfile(str(page), module_relative=False, optionflags=flags)
    assert result.failed == 0


def words_of(paths):
    return set(re.findall(r"\w+", "\n".join(path.read_text(encoding="utf-8") for path in paths)))


def test_every_public_name_has_an_example_a_place_in_the_guide_and_a_test():
    in_the_guide = words_of(DOCS.glob("user_guide/*.rst"))
    in_the_tests = words_of((ROOT / "tests").rglob("test_*.py"))
    lacking = {"example": [], "guide": [], "test": []}
    for dotted, public in public_objects():
        name = dotted.rpartition(".")[2]
        if not inspect.ismodule(public) and ">>>" not in inspect.getdoc(public):
            lacking["example"].append(dotted)
        if name not in in_the_guide:
            lacking["guide"].append(dotted)
        if name not in in_the_tests:
            lacking["test"].append(dotted)
    assert lacking == {"example": [], "guide": [], "test": []}


ROLES = re.compile(r":(?:class|func|meth|mod|attr|data|exc):`[^`<]*?<?~?!?(skoverparam[\w.]*)>?`")


def test_references_to_our_names_lead_somewhere():
    """Sphinx prints a wrong reference as plain text and says nothing."""
    pages = [*DOCS.rglob("*.rst"), *(ROOT / "examples").rglob("*.py")]
    pages = [
        page for page in pages if not {"auto_examples", "generated", "_build"} & {*page.parts}
    ]
    texts = {str(page): page.read_text(encoding="utf-8") for page in pages}
    texts |= {dotted: inspect.getdoc(public) or "" for dotted, public in public_objects()}
    wrong = []
    for source, text in texts.items():
        for target in ROLES.findall(text):
            thing, names = skoverparam, target.split(".")[1:]
            for name in names:
                thing = getattr(thing, name, None)
            # Fitted attributes are on the class's page and not on the class.
            fitted = names and names[-1].endswith("_")
            if thing is None and not fitted:
                wrong.append((source, target))
    assert not wrong


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *DOCS.glob("*.md")], ids=lambda p: p.name)
def test_links_to_files_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    local = [
        target for target in targets if "://" not in target and not target.startswith("mailto")
    ]
    assert not [target for target in local if not (page.parent / target).exists()]


def public_estimators():
    return [
        name for name in skoverparam.__all__ if hasattr(getattr(skoverparam, name), "get_params")
    ]


def test_changelog_names_every_estimator():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert not [name for name in public_estimators() if name not in text]


def test_version_is_the_one_of_the_project_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert skoverparam.__version__ == project["version"]
    assert project["version"] in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_every_public_folder_is_an_attribute_of_the_package():
    for module in public_modules()[1:]:
        folder = module.__name__.rpartition(".")[2]
        if folder != "estimators":  # the root publishes the estimators themselves
            assert folder in dir(skoverparam)
            assert getattr(skoverparam, folder) is module


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        skoverparam.nonsense  # noqa: B018


@pytest.mark.parametrize("name", public_estimators())
def test_documented_defaults_are_the_real_ones(name):
    estimator = getattr(skoverparam, name)
    documented = {}
    for parameter in ClassDoc(estimator)["Parameters"]:
        default = parameter.type.partition("default=")[2]
        for one in parameter.name.split(", "):
            documented[one] = eval(default, {"np": np})
    real = estimator().get_params(deep=False)
    assert documented.keys() == real.keys()
    for one, default in documented.items():
        same = default == real[one] or (default != default and real[one] != real[one])
        assert same, f"{one} is documented with {default!r} and has {real[one]!r}"
