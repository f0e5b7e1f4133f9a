"""The house: the core is pure, no circle of imports, no module longer than a sitting."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "fhir_radcharge"
MODULES = sorted(PACKAGE.rglob("*.py"))
PURE = ("model.py", "errors.py", "reconcile.py", "chargemaster.py", "places.py", "rules/", "wire/")
IMPURE = {
    "asyncio", "socket", "sqlite3", "os", "io", "logging", "random", "secrets", "time", "threading", "subprocess",
    "pathlib", "shutil", "tempfile", "urllib", "http", "yaml", "click", "rich",
}  # fmt: skip
LINES_MAX = 400


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path, at_import_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree)
    if at_import_only:
        nodes = (n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _is_pure(path: Path) -> bool:
    return str(path.relative_to(PACKAGE)).startswith(PURE)


@pytest.mark.parametrize("path", [p for p in MODULES if _is_pure(p)], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_core_imports_no_clock_socket_file_or_chance(path: Path) -> None:
    outside = {name.split(".")[0] for name in _imports(path)} & IMPURE

    assert outside == set()


@pytest.mark.parametrize("path", [p for p in MODULES if _is_pure(p)], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_core_imports_only_the_core(path: Path) -> None:
    allowed = ("fhir_radcharge.model", "fhir_radcharge.errors", "fhir_radcharge.rules", "fhir_radcharge.wire",
               "fhir_radcharge.reconcile", "fhir_radcharge.chargemaster", "fhir_radcharge.places")  # fmt: skip
    inside = {name for name in _imports(path) if name.startswith("fhir_radcharge.")}

    assert {name for name in inside if not name.startswith(allowed)} == set()


@pytest.mark.parametrize("path", [p for p in MODULES if _is_pure(p)], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_core_asks_nobody_what_time_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert [call for call in (".today()", ".now(", ".utcnow(", "open(", "uuid1(", "uuid4(") if call in text] == []


def test_no_circle_of_imports() -> None:
    graph = {_name(path): _imports(path, at_import_only=True) for path in MODULES}
    edges = {name: {other for other in found if other in graph and other != name} for name, found in graph.items()}
    done: set[str] = set()
    circles: list[list[str]] = []

    def visit(name: str, trail: list[str]) -> None:
        if name in trail:
            circles.append([*trail[trail.index(name) :], name])
        elif name not in done:
            for other in sorted(edges[name]):
                visit(other, [*trail, name])
            done.add(name)

    for name in sorted(edges):
        visit(name, [])
    # A package and a module inside it may name each other: Python imports the package first, always.
    circles = [
        circle
        for circle in circles
        if not any(a.startswith(f"{b}.") or b.startswith(f"{a}.") for a in circle for b in circle if a != b)
    ]

    assert circles == []


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_fits_one_sitting(path: Path) -> None:
    assert path.read_text(encoding="utf-8").count("\n") <= LINES_MAX


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
