"""Sphinx configuration; ``make docs`` builds with warnings as errors."""

import importlib
import inspect
import os
import re
import sys
import warnings
from pathlib import Path

# The gallery draws without a screen.
os.environ.setdefault("MPLBACKEND", "Agg")

import torch
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  # the gallery links to it
from sphinx import addnodes

import skoverparam

DOCS = Path(__file__).parent
PACKAGE = Path(skoverparam.__file__).parent
EXAMPLES = DOCS.parent / "examples"

torch.set_num_threads(max(1, min(2, os.cpu_count() or 1)))

project = "skoverparam"
author = "The skoverparam developers"
copyright = f"2026, {author}"  # Sphinx's name
release = skoverparam.__version__
version = release

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
]
root_doc = "index"
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
# The change log also links to files outside the documentation.
# A template takes a function, which is nothing to be cached.
suppress_warnings = ["myst.xref_missing", "config.cache"]

# The build needs no network. To link into the manuals of numpy, scikit-learn and torch, map
# their inventories here, on a machine that reaches them.
intersphinx_mapping = {}

autosummary_generate = True
templates_path = ["_templates"]
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # numpydoc's Parameters say it better
numpydoc_show_class_members = False  # the template of a class describes its methods in full


def described_methods(module, name):
    """List the public methods of a class that are ours or scikit-learn's, not those of torch."""
    cls = getattr(importlib.import_module(module), name)
    for method in dir(cls):
        owner = next((base for base in cls.__mro__ if method in vars(base)), object)
        routing = re.fullmatch("get_metadata_routing|set_.+_request", method)
        if (
            owner.__module__.startswith(("skoverparam", "sklearn"))
            and inspect.isroutine(getattr(cls, method))
            and not method.startswith("_")
            and not routing
        ):
            yield method


def described_results(module, name):
    """List the classes that a function says it returns, if they have no page of their own."""
    function = getattr(importlib.import_module(module), name)
    returns = re.search(r"Returns\n-+\n\w+ : (.+)", inspect.getdoc(function) or "")
    public = {name for published in public_modules() for name in published.__all__}
    private = {
        name: home
        for home, source in sys.modules.items()
        if home.startswith("skoverparam.")
        for name, value in vars(source).items()
        if inspect.isclass(value) and value.__module__ == home and name not in public
    }
    for word in re.findall(r"[A-Z]\w+", returns[1]) if returns else ():
        if word in private:
            yield private[word], word


autosummary_context = {
    "described_methods": described_methods,
    "described_results": described_results,
}

html_theme = "pydata_sphinx_theme"
html_title = "skoverparam"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
}
# Pages that stand alone: no list of neighbors beside them.
_ALONE = (
    "index",
    "install",
    "tour",
    "papers",
    "extending",
    "changelog",
    "architecture",
    "benchmarks",
)
html_sidebars = {page: [] for page in _ALONE}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

SECTIONS = (
    "matrices",
    "images",
    "linear",
    "interpolation",
    "networks",
    "inspection",
    "descents",
    "machines",
)

# Examples are the test of the gallery: one that fails or warns ends the build.
if any(EXAMPLES.rglob("plot_*.py")):
    extensions.append("sphinx_gallery.gen_gallery")
    sphinx_gallery_conf = {
        "examples_dirs": str(EXAMPLES),
        "gallery_dirs": "auto_examples",
        "filename_pattern": r"/plot_",
        "ignore_pattern": r"__init__\.py|demo\.py",
        # Sections in the order of the user guide.
        "subsection_order": [f"../examples/{section}" for section in SECTIONS],
        "within_subsection_order": "FileNameSortKey",
        "doc_module": ("skoverparam",),
        "backreferences_dir": "generated/backreferences",
        "reset_modules": ("matplotlib",),
        "abort_on_example_error": False,
        "only_warn_on_example_error": False,
        "show_memory": False,
        "show_signature": False,
        "min_reported_time": 1,
        "download_all_examples": False,
    }
else:
    # A checkout without examples still builds: the gallery is then an empty page.
    (DOCS / "auto_examples").mkdir(exist_ok=True)
    (DOCS / "auto_examples" / "index.rst").write_text("Examples\n========\n\nNone yet.\n")


def public_modules():
    """The root, then every folder that publishes names of its own."""
    yield skoverparam
    for init in sorted(PACKAGE.glob("*/__init__.py")):
        if init.parent.name != "estimators" and "__all__" in init.read_text(encoding="utf-8"):
            yield importlib.import_module(f"skoverparam.{init.parent.name}")


def section(title, module, names, text=""):
    listed = "\n".join(f"   {name}" for name in names)
    return (
        f"{title}\n{'-' * len(title)}\n\n{text}\n\n.. currentmodule:: {module}\n\n"
        f".. autosummary::\n   :toctree: generated/\n   :nosignatures:\n\n{listed}\n\n"
    )


def write_api_page():
    """Write api.rst from the public names, so that it cannot lag behind them."""
    text = (
        ".. This page is written by conf.py from the public names.\n\n.. _api:\n\n"
        "API reference\n=============\n\n"
    )
    for module in public_modules():
        names = list(module.__all__)
        if module is skoverparam:
            classes = [name for name in names if inspect.isclass(getattr(module, name))]
            if classes:
                text += section("Estimators", module.__name__, classes)
            rest = [name for name in names if name not in classes]
            text += section("Settings", module.__name__, rest)
        else:
            summary = (inspect.getdoc(module) or "").partition("\n\n")[0]
            text += section(f"``{module.__name__}``", module.__name__, names, summary)
    page = DOCS / "api.rst"
    # An unchanged file keeps its time, and Sphinx its work.
    if not page.exists() or page.read_text(encoding="utf-8") != text:
        page.write_text(text, encoding="utf-8")


write_api_page()
warnings.filterwarnings("ignore", message=".*FigureCanvasAgg is non-interactive.*")


def drop_foreign_labels(app, what, name, obj, options, lines):
    """Turn references into scikit-learn's own pages, in docstrings inherited from it, to text."""
    if getattr(inspect.getmodule(obj), "__name__", "").startswith("sklearn"):
        text = re.sub(r":ref:`sphx_glr_[^`<]+`", "the gallery of scikit-learn", "\n".join(lines))
        lines[:] = re.sub(r":ref:`([^<`]+?)\s*<[^>]+>`", r"\1", text).split("\n")


def hide_private_modules(app, domain, objtype, content):
    """Drop the private module before the name of a class that is described beside a function."""
    for prefix in list(content.parent.findall(addnodes.desc_addname)):
        if "._" in prefix.astext():
            prefix.parent.remove(prefix)


def setup(app):
    app.connect("object-description-transform", hide_private_modules)
    app.connect("autodoc-process-docstring", drop_foreign_labels)
