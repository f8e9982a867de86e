"""docs/architecture.md and the promises on imports, held to the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import git_deployments
from tests.conftest import Project

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "git_deployments"
SOURCES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
PACKAGES = ["git_deployments", *(f"git_deployments.{path.parent.name}" for path in PACKAGE.glob("*/__init__.py"))]
ROW = re.compile(r"^\| `([\w.]+)` \|[^|]*\| ([\w, ]*)\|$", re.MULTILINE)
ROWS = ROW.findall((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
OUTSIDE = {module: set(re.findall(r"\w+", packages)) for module, packages in ROWS}


def imports(module: str) -> Iterator[str]:
    """Dotted names that a module imports at any depth; of our package each member by itself."""
    for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively"
            ours = node.module in PACKAGES
            yield from (f"{node.module}.{alias.name}" for alias in node.names) if ours else (f"{node.module}",)


def test_the_table_has_every_module_once() -> None:
    assert sorted(module for module, _ in ROWS) == sorted(SOURCES)


@pytest.mark.parametrize("module", OUTSIDE)
def test_a_module_imports_only_modules_above_it_and_the_packages_beside_it(module: str) -> None:
    above = list(OUTSIDE)[: list(OUTSIDE).index(module)]
    outside = set()
    for name in imports(module):
        package, _, rest = name.partition(".")
        if package == "git_deployments":
            parts = rest.split(".")
            members = [".".join(parts[:2]), parts[0], "__init__"]
            assert next(member for member in members if member in SOURCES) in above, f"{module} imports {name}"
        elif package not in sys.stdlib_module_names:
            outside.add(package)
    assert outside == OUTSIDE[module]


def loaded_by(code: str, directory: Path) -> set[str]:
    """Top-level modules of a fresh Python once it has run `code`."""
    report = "\nimport sys\nprint()\nprint(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", code + report]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    loaded = loaded_by("import git_deployments", tmp_path)
    assert "git_deployments" in loaded
    assert not loaded & {"pygit2", "click", "yaml", "jsonschema", "subprocess"}


def test_the_python_api_reads_without_pygit2_and_click(versions: Project) -> None:
    code = "import git_deployments; assert len(list(git_deployments.open().versions('prod'))) == 3"
    assert not loaded_by(code, versions.path) & {"pygit2", "click", "yaml", "jsonschema"}


@pytest.mark.parametrize("command", [["list"], ["versions", "prod"], ["log", "prod"], ["rollback", "prod"]])
def test_what_only_reads_or_moves_refs_imports_neither_pygit2_nor_yaml(versions: Project, command: list[str]) -> None:
    code = f"from git_deployments import cli; assert cli.run({command}) == 0"
    loaded = loaded_by(code, versions.path)
    assert "click" in loaded
    assert not loaded & {"pygit2", "yaml", "jsonschema"}


@pytest.mark.parametrize("command", [["list"], ["show", "prod"], ["promote", "prod", "v3"], ["rollback", "prod"]])
def test_what_prints_no_help_does_not_import_what_tidies_it(versions: Project, command: list[str]) -> None:
    """Of `inspect` only the name is there: what it imports itself is not."""
    program = [sys.executable, "-X", "importtime", str(Path(sys.executable).with_name("git-deployments"))]
    done = subprocess.run([*program, *command], cwd=versions.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click.core" in loaded
    assert not loaded & {"ast", "dis", "tokenize"}
    helped = subprocess.run([*program, command[0], "-h"], cwd=versions.path, capture_output=True, text=True)
    assert f"Usage: git deployments {command[0]}" in helped.stdout
    assert "Traceback" not in helped.stderr


def test_a_late_module_is_whole_when_it_is_looked_into(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom git_deployments.late import late\nlate('inspect')\nimport inspect\n"
        "assert 'dis' not in sys.modules\nassert inspect.cleandoc('  a') == 'a'\n"
        "assert 'dis' in sys.modules and inspect is sys.modules['inspect']\n"
        "assert inspect.signature(late).return_annotation == 'None'\nlate('inspect')\n"
        "assert inspect.isfunction(late) and not hasattr(inspect, '__getattr__')"
    )
    assert "inspect" in loaded_by(code, tmp_path)


@pytest.mark.parametrize("hook", ["pre-receive", "post-receive"])
def test_a_server_s_hook_pays_for_no_command_line(versions: Project, hook: str) -> None:
    live = versions.refs()["refs/deployments/etl/prod/live"]
    line = f"{'0' * 40} {live} refs/deployments/etl/other/live"
    code = f"import io, sys; sys.stdin = io.TextIOWrapper(io.BytesIO(b'{line}\\n'))\n"
    loaded = loaded_by(f"{code}from git_deployments import receiving; receiving.run('{hook}')", versions.path)
    assert "git_deployments" in loaded
    assert not loaded & {"click", "inspect", "pygit2", "yaml", "jsonschema", "subprocess"}


def test_named_tuples_that_a_rollback_loads_have_no_fields_to_compile(versions: Project) -> None:
    code = "from git_deployments import cli; assert cli.run(['rollback', '-q', 'prod']) == 0; import sys\n"
    command = [sys.executable, "-c", code + "print(*(n for n in sys.modules if n.startswith('git_deployments.')))"]
    loaded = subprocess.run(command, cwd=versions.path, capture_output=True, text=True, check=True).stdout.split()
    modules = [name.partition(".")[2] for name in loaded]
    assert {"model", "store", "moving"} <= set(modules)
    texts = {module: SOURCES[module].read_text(encoding="utf-8") for module in modules if module in SOURCES}
    compiled = [name for name, text in texts.items() if "\nfrom __future__ import annotations\n" in text]
    assert [name for name in compiled if texts[name].count("(NamedTuple):") > 3] == []


def test_the_public_surface_is_this_list() -> None:
    assert git_deployments.__all__ == [
        "Contested",
        "Deployments",
        "DeploymentsError",
        "Difference",
        "Event",
        "ExpectationFailed",
        "Finding",
        "Identity",
        "Json",
        "Outcome",
        "Pointer",
        "Snapshot",
        "Source",
        "State",
        "Version",
        "VersionInfo",
        "open",
    ]
    assert dir(git_deployments) == sorted([*git_deployments.__all__, "__version__"])
    for name in git_deployments.__all__:
        assert getattr(git_deployments, name) is not None
