"""Keep the picture of docs/architecture.md true by reading the imports.

The table below is the truth: a folder or file that is not in it may not exist, and an import that
is not in it may not be written.
"""

import ast
import importlib
import sys
from pathlib import Path

import pytest

import skoverparam

PACKAGE = Path(skoverparam.__file__).parent
PICTURE = PACKAGE.parent / "docs" / "architecture.md"

BOUNDARY = ("_arrays", "_ids", "_labels", "_params", "_steps", "_config", "_display")
MATHEMATICS = (
    "linalg",
    "kernels",
    "completion",
    "inpainting",
    "margins",
    "averages",
    "nets",
    "optim",
)

# Who may import whom, besides the standard library and oneself.
ARROWS = {
    "boundary": ("numpy", "scipy", "torch", "sklearn"),
    "linalg": ("torch", "scipy"),
    "kernels": ("torch", "linalg"),
    "completion": ("torch", "linalg", "kernels"),
    "inpainting": ("torch", "linalg", "kernels"),
    "margins": ("torch", "linalg", "kernels", "numpy", "scipy"),
    "averages": ("torch", "numpy", "scipy"),
    "nets": ("torch",),
    "optim": ("torch", "linalg"),
    "theory": ("numpy", "scipy", "optim"),
    "estimators": ("boundary", *MATHEMATICS, "numpy", "sklearn"),
    "inspection": ("boundary", *MATHEMATICS, "theory", "numpy", "sklearn"),
    "model_selection": ("boundary", "linalg", "nets", "theory", "numpy", "sklearn"),
    "datasets": ("theory", "numpy", "sklearn.utils"),
}

# The public functions of these folders take arrays or tensors: the files of their `_on_arrays`
# wrap the private tensor functions with a decorator of the boundary. It is the one arrow back.
ON_ARRAYS = ("kernels", "linalg", "optim")

# A folder in a folder stands on the files beside it, and only these may import it: the part's
# own __init__.py, another inner folder, or another part.
INNER = {
    **{f"{part}._on_arrays": (part,) for part in ON_ARRAYS},
    "linalg._kernel_systems": ("linalg._on_arrays", "estimators"),
    "inspection._collapse": ("inspection",),
    "inspection._tangent_kernels": ("inspection",),
}

# Optional libraries are imported inside functions, where they are used, never at import time.
LAZY = {
    "matplotlib": ("boundary", "inspection", "model_selection"),
    "pandas": ("boundary",),
}

# Names that mean "shared" and say nothing.
VAGUE_NAMES = ("utils", "helpers", "common", "misc", "core")

MODULES = sorted(PACKAGE.rglob("*.py"))
assert MODULES, f"no modules found under {PACKAGE}"


def part_of(dotted):
    """The part of the package that a module's path inside it belongs to; "" for the root."""
    first = dotted.split(".")[0]
    return "boundary" if first in BOUNDARY else first


def dotted_path(module):
    """``skoverparam/kernels/_blocks.py`` -> ``kernels._blocks``; ``__init__`` is dropped."""
    parts = module.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def inner_folder(dotted):
    """The folder in a folder that a module's path inside the package belongs to, or None."""
    return next((folder for folder in INNER if f"{dotted}.".startswith(f"{folder}.")), None)


def imports_of(module):
    """Yield (imported dotted name, line, inside a function) for every import of a file."""
    package = list(module.relative_to(PACKAGE.parent).parent.parts)

    def visit(node, in_function):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield alias.name, child.lineno, in_function
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) + 1 - child.level] if child.level else []
                base = ".".join([*base, child.module] if child.module else base)
                for alias in child.names:
                    yield f"{base}.{alias.name}", child.lineno, in_function
            else:
                function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
                yield from visit(child, in_function or function)

    yield from visit(ast.parse(module.read_text(encoding="utf-8")), False)


def complaints_about(module):
    """Sentences about the imports of one file that the table does not allow."""
    here = dotted_path(module)
    part = part_of(here)
    allowed = ARROWS.get(part, ())
    for name, line, in_function in imports_of(module):
        root, _, inside = name.partition(".")
        where = f"{module.relative_to(PACKAGE.parent)}:{line}"
        if root in sys.stdlib_module_names:
            continue
        if root in LAZY:
            if part not in LAZY[root]:
                yield f"{where}: {part} may not import {root}"
            elif not in_function:
                yield f"{where}: {root} may be imported inside functions only"
        elif root == PACKAGE.name:
            target = part_of(inside)
            folder, ours = inner_folder(inside), inner_folder(here)
            wraps = ours == f"{part}._on_arrays" and target == "boundary"
            if target and target != part and target not in allowed and not wraps:
                yield f"{where}: {part} may not import {name}"
            elif folder and folder != ours:
                importer = part if part != target else (ours or here)
                if importer not in INNER[folder]:
                    yield f"{where}: {importer} may not import {name}"
        elif not any(f"{name}.".startswith(f"{library}.") for library in allowed):
            yield f"{where}: {part} may not import {name}"


@pytest.mark.parametrize("module", MODULES, ids=dotted_path)
def test_imports_follow_the_arrows(module):
    if module == PACKAGE / "__init__.py":
        pytest.skip("the root only collects public names")
    assert part_of(dotted_path(module)) in ARROWS, (
        "a new file or folder needs a line in ARROWS and in docs/architecture.md"
    )
    assert not list(complaints_about(module))


def test_a_forbidden_import_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path / "skoverparam")
    module = tmp_path / "skoverparam" / "linalg" / "_solve.py"
    module.parent.mkdir(parents=True)
    module.write_text(
        "import math\nimport torch\nimport numpy as np\nfrom ..kernels import _blocks\n"
        "from . import _psd\nfrom skoverparam import estimators\nimport matplotlib\n"
    )
    lines = [complaint.split(":")[1] for complaint in complaints_about(module)]
    assert lines == ["3", "4", "6", "7"]


@pytest.mark.parametrize(
    ("path", "source", "lines"),
    [
        # What users meet wraps the mathematics, and nothing of the mathematics stands on it.
        ("linalg/_solve.py", "from skoverparam.linalg._on_arrays._designs import x\n", ["1"]),
        ("linalg/_solve.py", "from skoverparam._arrays import tensor_function\n", ["1"]),
        ("linalg/_on_arrays/_solve.py", "from skoverparam._arrays import tensor_function\n", []),
        ("linalg/__init__.py", "from skoverparam.linalg._on_arrays._solve import solve\n", []),
        ("estimators/_solve.py", "from skoverparam.linalg._on_arrays._solve import x\n", ["1"]),
        # Solvers for any matrix know nothing of kernels.
        ("linalg/_solve.py", "from skoverparam.linalg._kernel_systems import _pcg\n", ["1"]),
        ("linalg/_kernel_systems/_pcg.py", "from skoverparam.linalg import _solve\n", []),
        ("estimators/_solve.py", "from skoverparam.linalg._kernel_systems import _pcg\n", []),
    ],
)
def test_inner_folders_have_their_importers(tmp_path, monkeypatch, path, source, lines):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path / "skoverparam")
    module = tmp_path / "skoverparam" / path
    module.parent.mkdir(parents=True)
    module.write_text(source)
    assert [complaint.split(":")[1] for complaint in complaints_about(module)] == lines


def test_matplotlib_at_import_time_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path / "skoverparam")
    module = tmp_path / "skoverparam" / "_display.py"
    module.parent.mkdir(parents=True)
    module.write_text("import matplotlib.pyplot\n\ndef plot():\n    import matplotlib\n")
    assert [complaint.split(":")[1] for complaint in complaints_about(module)] == ["1"]


@pytest.mark.parametrize(
    "module", [m for m in MODULES if part_of(dotted_path(m)) == "estimators"], ids=dotted_path
)
def test_no_estimator_imports_another(module):
    if module.name == "__init__.py":
        pytest.skip("collects the estimators")
    # A base that several families share stands in a file of its own and is no public name.
    families = {
        getattr(skoverparam.estimators, name).__module__ for name in skoverparam.estimators.__all__
    }
    siblings = [name for name, _, _ in imports_of(module) if name.rpartition(".")[0] in families]
    assert not siblings


def test_every_arrow_is_in_the_picture():
    picture = PICTURE.read_text(encoding="utf-8")
    missing = [
        line
        for line in (f"{part} -> {', '.join(targets)}" for part, targets in ARROWS.items())
        if line not in picture
    ]
    missing += [name for name in BOUNDARY if f"{name}.py" not in picture]
    missing += [
        folder for folder in ARROWS if folder != "boundary" and f"{folder}/" not in picture
    ]
    missing += [folder for folder in INNER if f"{folder.rpartition('.')[2]}/" not in picture]
    missing += [
        line
        for line in (f"{', '.join(users)} -> {folder}" for folder, users in INNER.items())
        if line not in picture
    ]
    assert not missing, f"docs/architecture.md lacks {missing}"


def test_names_are_nouns_of_the_subject():
    vague = [
        dotted_path(module)
        for module in MODULES
        if {part.strip("_") for part in dotted_path(module).split(".")} & set(VAGUE_NAMES)
    ]
    assert not vague


def test_modules_are_private():
    public = [
        dotted_path(m) for m in MODULES if m.name != "__init__.py" and not m.name.startswith("_")
    ]
    assert not public


def test_private_names_of_sklearn_stay_in_arrays():
    offenders = [
        f"{dotted_path(module)}:{line} {name}"
        for module in MODULES
        for name, line, _ in imports_of(module)
        if name.startswith("sklearn.")
        and any(part.startswith("_") for part in name.split("."))
        and dotted_path(module) != "_arrays"
    ]
    assert not offenders


@pytest.mark.parametrize(
    "name",
    [
        f"skoverparam.{dotted_path(m)}".rstrip(".")
        for m in MODULES
        if m.name == "__init__.py" and "__all__" in m.read_text(encoding="utf-8")
    ],
)
def test_public_names_resolve(name):
    module = importlib.import_module(name)
    names = list(module.__all__)
    assert len(set(names)) == len(names), f"{name}.__all__ repeats a name"
    assert not [public for public in names if not hasattr(module, public)]
