#!/usr/bin/env python3
"""Measure the style of a Python codebase from its syntax trees.

    style_metrics.py PATH                        one checkout, a plain report
    style_metrics.py PATH --under app nodes      only these folders count as source
    style_metrics.py PATH --json                 the same numbers, for a script
    style_metrics.py A B C --table               several codebases side by side
    style_metrics.py PATH --worst 10             also name the longest files and functions
    style_metrics.py PATH --folders              also lines per folder, two levels deep
    style_metrics.py PATH --check limits.json    exit 1 when a number is past its limit
    style_metrics.py PATH --layers layers.json   exit 1 when a package imports one it may not

PATH is a working tree or a bare git directory (read at --ref, HEAD by default).
Standard library only; nothing of the measured code is imported or run.

Definitions
    file length       physical lines
    function length   lines from `def` to the last line, less the docstring; nested ones count too
    param hints       annotated share of all parameters other than self and cls
    return hints      share of functions with a return annotation (`__init__` left out)
    docstrings        share of public functions and classes that have one
    comments          share of non-blank lines that are a comment of their own
    branchiness       1 + decision points inside a function, nested functions left out
    name length       median length of parameter and assigned names, every binding counted
    tests             paths under test(s)/, test_*.py, *_test.py, conftest.py
    tangle            modules in the largest import cycle (top-level imports only, no TYPE_CHECKING)
    layers            {"app/graph": [], "app/engine": ["app/graph"], ...}: what each package may import of the
                      others named there; imports inside functions count too, TYPE_CHECKING ones do not
    patches           assignments to an attribute of an imported name: `torch.load = f`, and settings
                      such as `torch.backends.cudnn.benchmark = True`, so read the list before judging
"""

from __future__ import annotations

import argparse
import ast
import fnmatch
import io
import json
import statistics
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
DECISIONS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp, ast.comprehension, ast.match_case)
SKIPPED_FOLDERS = {".git", ".venv", "venv", "node_modules", "__pycache__", "build", "dist", ".tox", "site-packages"}
TEST_FOLDERS = {"test", "tests", "testing", "e2e_tests", "integration_tests", "tests-unit", "tests_integration"}


# ---------------------------------------------------------------- reading


def read_sources(root: Path, ref: str) -> Iterator[tuple[str, str]]:
    """Yield (posix path, text) for every Python file of a working tree or a bare git directory."""
    is_bare = (root / "HEAD").is_file() and (root / "objects").is_dir()
    yield from _read_bare(root, ref) if is_bare else _read_tree(root)


def _read_bare(git_dir: Path, ref: str) -> Iterator[tuple[str, str]]:
    """Read only the Python blobs, so that a mirror without its large files still works."""
    git = ["git", f"--git-dir={git_dir}"]
    tree = subprocess.run([*git, "ls-tree", "-rz", ref], check=True, capture_output=True).stdout.decode()
    blobs = {}
    for entry in tree.split("\0"):
        details, _, path = entry.partition("\t")
        if path.endswith(".py") and details.startswith("100"):
            blobs[path] = details.split()[2]
    request = "\n".join(blobs.values()).encode() + b"\n"
    batch = subprocess.run([*git, "cat-file", "--batch"], input=request, check=True, capture_output=True)
    reply = io.BytesIO(batch.stdout)
    for path in blobs:
        header = reply.readline().split()
        if header[-1] != b"missing":
            yield path, reply.read(int(header[2])).decode("utf-8", "replace")
            reply.readline()


def _read_tree(root: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if path.is_file() and not SKIPPED_FOLDERS.intersection(relative.parts):
            yield relative.as_posix(), path.read_text("utf-8", "replace")


def is_test(path: str) -> bool:
    parts = PurePosixPath(path).parts
    name = parts[-1]
    return (
        bool(TEST_FOLDERS.intersection(parts[:-1]))
        or name.startswith("test_")
        or name.endswith("_test.py")
        or name in {"conftest.py", "test.py", "tests.py"}
    )


# ---------------------------------------------------------------- one function, one file


@dataclass
class Function:
    where: str
    length: int
    params: int
    hinted_params: int
    returns_hinted: bool | None
    branchiness: int


@dataclass
class Module:
    path: str
    lines: int
    code_lines: int
    comment_lines: int
    functions: list[Function] = field(default_factory=list)
    public: int = 0
    documented: int = 0
    counts: Counter = field(default_factory=Counter)
    name_lengths: list[int] = field(default_factory=list)
    imports: set[tuple[str, ...]] = field(default_factory=set)  # when the module is imported
    all_imports: set[tuple[str, ...]] = field(default_factory=set)  # inside functions too


def measure_module(path: str, text: str) -> Module | None:
    """Measure one file; None when this Python cannot parse it (Python 2, templates)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    lines = text.splitlines()
    stripped = [line.strip() for line in lines]
    module = Module(
        path=path,
        lines=len(lines),
        code_lines=sum(1 for line in stripped if line and not line.startswith("#")),
        comment_lines=sum(1 for line in stripped if line.startswith("#")),
    )
    for node in ast.walk(tree):
        if isinstance(node, FunctionNode):
            module.functions.append(measure_function(path, node))
        if isinstance(node, FunctionNode | ast.ClassDef) and not node.name.startswith("_"):
            module.public += 1
            module.documented += ast.get_docstring(node, clean=False) is not None
    module.counts = count_smells(tree)
    module.name_lengths = list(bound_name_lengths(tree))
    module.imports = set(imported_modules(import_time_statements(tree.body), path))
    module.all_imports = module.imports.union(
        *(imported_modules(own_nodes(node), path) for node in ast.walk(tree) if isinstance(node, FunctionNode))
    )
    return module


def measure_function(path: str, node: FunctionNode) -> Function:
    args = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    args += [extra for extra in (node.args.vararg, node.args.kwarg) if extra]
    args = [arg for arg in args if arg.arg not in {"self", "cls"}]
    return Function(
        where=f"{path}:{node.lineno} {node.name}",
        length=node.end_lineno - node.lineno + 1 - docstring_lines(node),
        params=len(args),
        hinted_params=sum(arg.annotation is not None for arg in args),
        returns_hinted=None if node.name == "__init__" else node.returns is not None,
        branchiness=1 + sum(decisions(child) for child in own_nodes(node)),
    )


def docstring_lines(node: FunctionNode) -> int:
    if ast.get_docstring(node, clean=False) is None:
        return 0
    return node.body[0].end_lineno - node.body[0].lineno + 1


def own_nodes(function: FunctionNode) -> Iterator[ast.AST]:
    """Walk a function's nodes without entering functions and classes nested in it."""
    pending = list(function.body)
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, FunctionNode | ast.ClassDef):
            pending.extend(ast.iter_child_nodes(node))


def decisions(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    return int(isinstance(node, DECISIONS))


def bound_name_lengths(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.arg not in {"self", "cls"}:
            yield len(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id != "_":
            yield len(node.id)


def count_smells(tree: ast.Module) -> Counter:
    counts: Counter = Counter()
    imported = imported_names(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Global():
                counts["global"] += 1
            case ast.ExceptHandler(type=None):
                counts["bare_except"] += 1
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                counts["star_import"] += 1
            case ast.Call(func=ast.Name(id="print")):
                counts["print"] += 1
            case ast.Assign(targets=targets):
                counts["patch"] += sum(assigns_to_import(target, imported) for target in targets)
    return counts


def imported_names(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
    return names


def assigns_to_import(target: ast.expr, imported: set[str]) -> bool:
    if not isinstance(target, ast.Attribute):
        return False
    owner = target.value
    while isinstance(owner, ast.Attribute):
        owner = owner.value
    return isinstance(owner, ast.Name) and owner.id in imported


# ---------------------------------------------------------------- imports between modules


def module_name(path: str) -> tuple[str, ...]:
    """The dotted name as a tuple; what lies above a `src` folder is no part of it."""
    parts = PurePosixPath(path).with_suffix("").parts
    if "src" in parts:
        parts = parts[parts.index("src") + 1 :]
    return parts[:-1] if parts[-1:] == ("__init__",) else parts


def imported_modules(nodes: Iterable[ast.AST], path: str) -> Iterator[tuple[str, ...]]:
    """Every imported dotted name, relative ones resolved against the importing file."""
    package = module_name(path) if path.endswith("__init__.py") else module_name(path)[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            for alias in node.names:
                yield (*base, alias.name)


def import_time_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported, except those kept for the type checker."""
    for node in body:
        if isinstance(node, ast.If):
            if "TYPE_CHECKING" not in ast.dump(node.test):
                yield from import_time_statements(node.body)
            yield from import_time_statements(node.orelse)
        elif isinstance(node, ast.Try):
            yield from import_time_statements(node.body + node.orelse + node.finalbody)
        else:
            yield node


def largest_cycle(modules: list[Module]) -> list[str]:
    """The paths in the largest strongly connected group of the import graph (empty when acyclic)."""
    paths = {module_name(module.path): module.path for module in modules}
    edges = {}
    for module in modules:
        targets = {paths.get(name) or paths.get(name[:-1]) for name in module.imports}
        edges[module.path] = targets - {None, module.path}
    groups = strongly_connected(edges)
    largest = max(groups, key=len, default=[])
    return sorted(largest) if len(largest) > 1 else []


def strongly_connected(edges: dict[str, set[str]]) -> list[list[str]]:
    """Kosaraju's two passes, without recursion."""
    order: list[str] = []
    seen: set[str] = set()
    for root in edges:
        stack = [(root, iter(sorted(edges[root])))] if root not in seen else []
        seen.add(root)
        while stack:
            node, targets = stack[-1]
            following = next((target for target in targets if target not in seen), None)
            if following is None:
                order.append(node)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(sorted(edges.get(following, ())))))
    reverse: dict[str, set[str]] = {node: set() for node in edges}
    for node, targets in edges.items():
        for target in targets:
            reverse[target].add(node)
    groups, assigned = [], set()
    for root in reversed(order):
        group, pending = [], [root]
        while pending:
            node = pending.pop()
            if node not in assigned:
                assigned.add(node)
                group.append(node)
                pending.extend(reverse[node])
        if group:
            groups.append(group)
    return groups


# ---------------------------------------------------------------- a whole codebase


@dataclass
class Report:
    name: str
    files: int
    lines: int
    file_median: float
    file_p90: float
    file_max: int
    files_over_500: float
    files_over_1000: float
    functions: int
    function_median: float
    function_p90: float
    function_max: int
    functions_over_60: float
    branchiness_p90: float
    branchiness_max: int
    params_over_8: float
    param_hints: float
    return_hints: float
    docstrings: float
    comments: float
    name_length: float
    test_to_code: float
    tangle: int
    globals: int
    bare_excepts: int
    star_imports: int
    patches: int
    prints: int
    unparsed: int


def share(part: float, whole: float) -> float:
    return round(part / whole, 3) if whole else 0.0


def p90(values: list[int]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.9))] if values else 0


def median(values: list[int]) -> float:
    return statistics.median(values) if values else 0


def summarise(name: str, source: list[Module], test_lines: int, unparsed: int) -> Report:
    functions = [function for module in source for function in module.functions]
    lengths = [function.length for function in functions]
    file_lines = [module.lines for module in source]
    returns = [function.returns_hinted for function in functions if function.returns_hinted is not None]
    smells = sum((module.counts for module in source), Counter())
    comment_lines = sum(module.comment_lines for module in source)
    return Report(
        name=name,
        files=len(source),
        lines=sum(file_lines),
        file_median=median([lines for lines in file_lines if lines]),
        file_p90=p90(file_lines),
        file_max=max(file_lines, default=0),
        files_over_500=share(sum(lines > 500 for lines in file_lines), len(file_lines)),
        files_over_1000=share(sum(lines > 1000 for lines in file_lines), len(file_lines)),
        functions=len(functions),
        function_median=median(lengths),
        function_p90=p90(lengths),
        function_max=max(lengths, default=0),
        functions_over_60=share(sum(length > 60 for length in lengths), len(lengths)),
        branchiness_p90=p90([function.branchiness for function in functions]),
        branchiness_max=max((function.branchiness for function in functions), default=0),
        params_over_8=share(sum(function.params > 8 for function in functions), len(functions)),
        param_hints=share(sum(f.hinted_params for f in functions), sum(f.params for f in functions)),
        return_hints=share(sum(returns), len(returns)),
        docstrings=share(sum(m.documented for m in source), sum(m.public for m in source)),
        comments=share(comment_lines, comment_lines + sum(m.code_lines for m in source)),
        name_length=median([length for module in source for length in module.name_lengths]),
        test_to_code=share(test_lines, sum(file_lines)),
        tangle=len(largest_cycle(source)),
        globals=smells["global"],
        bare_excepts=smells["bare_except"],
        star_imports=smells["star_import"],
        patches=smells["patch"],
        prints=smells["print"],
        unparsed=unparsed,
    )


def measure(root: Path, name: str, ref: str, under: list[str], exclude: list[str]) -> tuple[Report, list[Module]]:
    source: list[Module] = []
    test_lines = unparsed = 0
    for path, text in read_sources(root, ref):
        if any(fnmatch.fnmatch(path, pattern) for pattern in exclude):
            continue
        if is_test(path):
            test_lines += len(text.splitlines())
        elif not under or any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in under):
            module = measure_module(path, text)
            unparsed += module is None
            source += [module] if module else []
    return summarise(name, source, test_lines, unparsed), source


# ---------------------------------------------------------------- showing


def show_value(value: object) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def show_table(reports: list[Report]) -> str:
    names = [report.name for report in reports]
    rows = ["| metric | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for metric in list(asdict(reports[0]))[1:]:
        cells = [show_value(getattr(report, metric)) for report in reports]
        rows.append(f"| {metric} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def show_worst(source: list[Module], count: int) -> str:
    files = sorted(source, key=lambda module: -module.lines)[:count]
    functions = sorted((f for m in source for f in m.functions), key=lambda f: -f.length)[:count]
    lines = ["longest files"] + [f"  {module.lines:6} {module.path}" for module in files]
    lines += ["longest functions"] + [f"  {f.length:6} {f.where} (branchiness {f.branchiness})" for f in functions]
    patched = [module for module in source if module.counts["patch"]]
    patched.sort(key=lambda module: -module.counts["patch"])
    lines += ["assignments to imported names"] + [f"  {m.counts['patch']:6} {m.path}" for m in patched[:count]]
    cycle = largest_cycle(source)
    return "\n".join(lines + [f"largest import cycle ({len(cycle)})"] + [f"         {path}" for path in cycle[:count]])


def show_folders(source: list[Module], depth: int = 2) -> str:
    lines: Counter = Counter()
    files: Counter = Counter()
    for module in source:
        folder = "/".join(PurePosixPath(module.path).parent.parts[:depth]) or "."
        lines[folder] += module.lines
        files[folder] += 1
    return "\n".join(f"  {lines[folder]:7} lines {files[folder]:4} files  {folder}" for folder in sorted(lines))


def past_limits(report: Report, limits: dict[str, float]) -> list[str]:
    """Compare with {"max": {metric: limit}, "min": {metric: limit}}."""
    problems = []
    for metric, limit in limits.get("max", {}).items():
        if getattr(report, metric) > limit:
            problems.append(f"{metric} is {show_value(getattr(report, metric))}, at most {limit} wanted")
    for metric, limit in limits.get("min", {}).items():
        if getattr(report, metric) < limit:
            problems.append(f"{metric} is {show_value(getattr(report, metric))}, at least {limit} wanted")
    return problems


def layer_of(name: tuple[str, ...], layers: Iterable[str]) -> str | None:
    """The longest layer that the dotted name lies in."""
    inside = [layer for layer in layers if name[: layer.count("/") + 1] == tuple(layer.split("/"))]
    return max(inside, key=len, default=None)


def forbidden_imports(source: list[Module], layers: dict[str, list[str]]) -> list[str]:
    problems = set()
    for module in source:
        home = layer_of(module_name(module.path), layers)
        for name in module.all_imports:
            target = layer_of(name, layers)
            if home and target and target != home and target not in layers[home]:
                problems.add(f"{module.path} imports {'.'.join(name)}: {home} may not use {target}")
    return sorted(problems)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--name", nargs="*", default=[])
    parser.add_argument("--ref", default="HEAD")
    parser.add_argument("--under", nargs="*", default=[], help="folders that count as source")
    parser.add_argument("--exclude", nargs="*", default=[], help="globs left out altogether")
    parser.add_argument("--worst", type=int, default=0)
    parser.add_argument("--folders", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--check", type=Path, help="a JSON file of limits")
    parser.add_argument("--layers", type=Path, help="a JSON file of what each package may import")
    return parser.parse_args()


def show(reports: list[Report], arguments: argparse.Namespace) -> str:
    if arguments.json:
        return json.dumps([asdict(report) for report in reports], indent=2)
    if arguments.table:
        return show_table(reports)
    values = [pair for report in reports for pair in asdict(report).items()]
    return "\n".join(f"{metric:18} {show_value(value)}" for metric, value in values)


def main() -> int:
    arguments = parse_arguments()
    names = arguments.name + [path.resolve().name for path in arguments.paths[len(arguments.name) :]]
    measured = [
        measure(path, name, arguments.ref, arguments.under, arguments.exclude)
        for path, name in zip(arguments.paths, names, strict=True)
    ]
    print(show([report for report, _ in measured], arguments))
    problems: list[str] = []
    for report, source in measured:
        if arguments.worst:
            print(show_worst(source, arguments.worst))
        if arguments.folders:
            print(show_folders(source))
        if arguments.check:
            problems += past_limits(report, json.loads(arguments.check.read_text()))
        if arguments.layers:
            problems += forbidden_imports(source, json.loads(arguments.layers.read_text()))
    print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
