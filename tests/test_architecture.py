"""The rules that keep the house standing: who imports whom, what is heavy, how large things get."""

import ast
import os
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from rooms import (
    FENCES,
    HEAVY_LIBRARIES,
    LIGHT_MODULES,
    MAX_FILE_LINES,
    MAX_FUNCTION_LINES,
    MAX_POSITIONAL,
    MAX_README_LINES,
    MAY_CATCH_ALL,
    MAY_IMPORT,
    PRINTERS,
    TORCH_FREE,
    TORCH_WHEN_NEEDED,
)

ROOT = Path(__file__).resolve().parents[1]
ROOMS = tuple(MAY_IMPORT)
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def name_of(path):
    """`serve/app.py` for a file below the root."""
    return path.relative_to(ROOT).as_posix()


def module_of(path):
    """`serve.app`; a package for its `__init__.py`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def tree_of(path):
    """The parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def at_import_time(node):
    """The nodes that importing the file runs: no function bodies, no TYPE_CHECKING blocks."""
    for child in ast.iter_child_nodes(node):
        lazy = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not lazy and not typing:
            yield child
            yield from at_import_time(child)


def imports_of(nodes):
    """Dotted names in import statements; `from a import b` counts as `a` and `a.b`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def libraries_of(nodes):
    """The top-level names of what is imported."""
    return {name.split(".")[0] for name in imports_of(nodes)}


def each(rule, nodes):
    """`file:line` of every node in our files that breaks `rule`."""
    return [
        f"{name_of(path)}:{node.lineno}"
        for path in FILES
        for node in nodes(tree_of(path))
        if rule(node, name_of(path))
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_below_it(room):
    found = {
        f"{name_of(path)} imports {library}"
        for path in (ROOT / room).rglob("*.py")
        for library in libraries_of(ast.walk(tree_of(path)))
        if library in MAY_IMPORT and library not in MAY_IMPORT[room] | {room}
    }
    assert not found


def test_contract_imports_the_standard_library_only():
    found = set()
    for path in (ROOT / "contract").rglob("*.py"):
        found |= libraries_of(ast.walk(tree_of(path)))
    assert found <= sys.stdlib_module_names | {"contract"}


@pytest.mark.parametrize("library", FENCES)
def test_a_heavy_library_stays_behind_its_fence(library):
    places = FENCES[library]
    found = {
        name_of(path)
        for path in FILES
        if library in libraries_of(ast.walk(tree_of(path)))
        and name_of(path) not in places
        and path.relative_to(ROOT).parts[0] not in places
    }
    assert not found


def test_torch_free_files_never_name_torch():
    found = {
        name
        for name in TORCH_FREE
        if libraries_of(ast.walk(tree_of(ROOT / name))) & {"torch", "torchvision"}
    }
    assert not found


def test_torch_is_imported_late_where_a_server_may_do_without_it():
    found = {
        name
        for name in TORCH_WHEN_NEEDED
        if (ROOT / name).exists()
        and libraries_of(at_import_time(tree_of(ROOT / name))) & {"torch", "torchvision"}
    }
    assert not found


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_a_light_module_pulls_in_nothing_heavy(module):
    script = f"import sys, {module}; print(*sorted(sys.modules.keys() & set(sys.argv[1:])))"
    assert python("-c", script, *HEAVY_LIBRARIES).split() == []


def test_no_import_cycle():
    modules = {module_of(path): path for path in FILES}
    needs = {
        module: {name for name in imports_of(at_import_time(tree_of(path))) if name in modules}
        - {module}
        for module, path in modules.items()
    }
    # Take away what needs nothing that is left; a cycle is what never goes.
    while ready := [module for module, names in needs.items() if not names & needs.keys()]:
        for module in ready:
            del needs[module]
    assert not needs


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_fits_in_a_head(path):
    text = path.read_text(encoding="utf-8")
    assert text.isascii(), "only ASCII in code"
    assert len(text.splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < MAX_FUNCTION_LINES, node.name
            names = [argument.arg for argument in node.args.posonlyargs + node.args.args]
            assert len(set(names) - {"self", "cls"}) <= MAX_POSITIONAL, node.name


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_files_beside_the_rooms_are_no_longer(folder):
    sizes = {path: len(path.read_text().splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert sizes
    assert [name_of(path) for path, lines in sizes.items() if lines > MAX_FILE_LINES] == []


def test_only_the_boundaries_catch_everything():
    def catches_all(node, name):
        if not isinstance(node, ast.ExceptHandler) or name in MAY_CATCH_ALL:
            return False
        if isinstance(node.body[-1], ast.Raise):  # noted on the way, not swallowed
            return False
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        broad = {"Exception", "BaseException"}
        return any(kind is None or getattr(kind, "id", None) in broad for kind in kinds)

    assert each(catches_all, ast.walk) == []


def test_no_shell_anywhere():
    def starts_a_shell(node, _name):
        if not isinstance(node, ast.Call):
            return False
        flags = [key for key in node.keywords if key.arg == "shell"]
        return bool(flags) or ast.unparse(node.func) in {"os.system", "os.popen"}

    assert each(starts_a_shell, ast.walk) == []


def test_every_wait_for_a_program_has_a_limit():
    def waits_for_ever(node, _name):
        return (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in {"subprocess.run", "subprocess.check_output"}
            and "timeout" not in {key.arg for key in node.keywords}
        )

    assert each(waits_for_ever, ast.walk) == []


def test_nothing_is_unpickled():
    def unpickles(node, _name):
        if isinstance(node, ast.ImportFrom):  # the name of its exception is harmless
            return node.module == "pickle" and [a.name for a in node.names] != ["UnpicklingError"]
        if isinstance(node, ast.Import):
            return bool(libraries_of([node]) & {"cPickle", "dill", "joblib", "shelve", "marshal"})
        if not isinstance(node, ast.Call):
            return False
        settings = {key.arg: ast.unparse(key.value) for key in node.keywords}
        name = ast.unparse(node.func)
        unsafe_torch = name == "torch.load" and settings.get("weights_only") != "True"
        unsafe_numpy = settings.get("allow_pickle", "False") != "False"
        return unsafe_torch or unsafe_numpy or name.startswith("pickle.")

    assert each(unpickles, ast.walk) == []


def test_no_text_becomes_code():
    """A model's own code/inference.py is a file that is imported, in one place."""

    def runs_text(node, _name):
        if isinstance(node, ast.Import | ast.ImportFrom):
            return bool(libraries_of([node]) & {"yaml", "code", "codeop"})
        if not isinstance(node, ast.Call):
            return False
        name = ast.unparse(node.func)
        return name in {"eval", "exec", "compile", "__import__"} or name.startswith("builtins.")

    assert each(runs_text, ast.walk) == []


def test_only_the_terminal_prints():
    def prints(node, name):
        called = isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print"
        return called and name not in PRINTERS

    assert each(prints, ast.walk) == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for(room):
    readme = ROOT / room / "README.md"
    assert readme.is_file()
    assert len(readme.read_text(encoding="utf-8").strip().splitlines()) <= MAX_README_LINES
    assert ast.get_docstring(tree_of(ROOT / room / "__init__.py"))


def test_importing_every_module_changes_nothing(tmp_path):
    """No file, folder or environment variable appears, no thread starts, no folder is changed."""
    modules = [module_of(path) for path in FILES]
    script = (
        "import importlib, os, sys, threading\n"
        "import torch, torchvision\n"  # torchvision's import sets a variable of torch's compiler
        "before = dict(os.environ), os.getcwd()\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert (dict(os.environ), os.getcwd()) == before, name\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    python("-c", script, *modules, home=home, folder=home)
    assert list(home.rglob("*")) == []


def test_no_installed_package_claims_our_names():
    """Room names are plain words; somebody else's `train` would take the place of ours."""
    owners = metadata.packages_distributions()
    assert {name: set(owners[name]) - {"kennel"} for name in ROOMS if name in owners} == {
        name: set() for name in ROOMS if name in owners
    }


def python(*words, home=None, folder=None):
    """Run a fresh interpreter on our rooms and return its stdout."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        **({"HOME": str(home), "MPLCONFIGDIR": str(home.parent)} if home else {}),
    }
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
