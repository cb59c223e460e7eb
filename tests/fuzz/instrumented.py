"""The decoder's loops compiled with counters and checks, so that a fuzzer sees which branches an input reached.

Import this before `traceguard.otlp`: from then on `traceguard.kernels` compiles each loop from a changed source. Every
branch, every turn of a loop and every operand of `and` and `or` that is looked at adds one to a counter of its own;
every index is held against the bounds of its array, a negative one is refused instead of counting from the end, and so
are the eight bytes that `load` and `store` touch. Whatever leaves its array raises IndexError. The rest is what users
run: the same code, compiled by the same compiler, at about half its speed.

The counters lie at a fixed address, which is part of the machine code, so that this code can be cached like any other.
"""

import ast
import ctypes
import hashlib
import inspect
import mmap
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ADDRESS = 0x10_0000_0000  # far from where systems place programs and libraries
_POINTS = 16_384
_FIXED = getattr(mmap, "MAP_FIXED_NOREPLACE", 0x100000)
_ROOMS = ("otlp",)
_DECORATORS = {"kernel", "leaf", "inline"}


def _map_counters() -> NDArray[np.uint32]:
    """The counters in memory of their own, all zero."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    found = libc.mmap(
        _ADDRESS, 4 * _POINTS, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _FIXED, -1, 0
    )
    if found != _ADDRESS:
        raise OSError(ctypes.get_errno(), f"There is no room at {_ADDRESS:#x} for the counters of the fuzzer.")
    return np.ctypeslib.as_array((ctypes.c_uint32 * _POINTS).from_address(_ADDRESS))


counters = _map_counters()

import traceguard  # noqa: E402
from traceguard import kernels  # noqa: E402

ROOT = Path(traceguard.__file__).parent
# Points are numbered by where they stand in the sources, so that a loop from the cache counts where a new one would.
places: list[str] = []
_numbers: dict[tuple[str, int, int, str], int] = {}


def _compiled(tree: ast.AST) -> list[ast.FunctionDef]:
    """The functions that `traceguard.kernels` decorates."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [f for f in functions if any(ast.unparse(d).split("(")[0] in _DECORATORS for d in f.decorator_list)]


def _branches(tree: ast.AST) -> list[tuple[ast.AST, str]]:
    """Each place in compiled functions that gets a counter, in the order of the source."""
    found: list[tuple[ast.AST, str]] = []
    for node in (node for function in _compiled(tree) for node in ast.walk(function)):
        match node:
            case ast.If() | ast.IfExp():
                found += [(node, "then"), (node, "else")]
            case ast.While() | ast.For():
                found.append((node, "turn"))
            case ast.BoolOp():
                found += [(value, "next operand") for value in node.values[1:]]
    return found


for _room in _ROOMS:
    for _file in sorted((ROOT / _room).glob("*.py")):
        for _node, _what in _branches(ast.parse(_file.read_text(encoding="utf-8"))):
            _numbers[str(_file), _node.lineno, _node.col_offset, _what] = len(places)  # type: ignore[attr-defined]
            places.append(f"{_file.name}:{_node.lineno} {_what}")  # type: ignore[attr-defined]
if len(places) > _POINTS:
    raise RuntimeError(f"The sources have {len(places)} branches; make room for more than {_POINTS}.")


class _Counting(ast.NodeTransformer):
    """Puts a counter at each branch, and a check around each access that is otherwise unchecked."""

    def __init__(self, file: str) -> None:
        self._file = file

    def _number(self, node: Any, what: str) -> ast.Constant:
        return ast.Constant(_numbers[self._file, node.lineno, node.col_offset, what])

    def _statement(self, node: Any, what: str) -> ast.stmt:
        return ast.Expr(ast.Call(ast.Name("__reached__", ast.Load()), [self._number(node, what)], []))

    def _through(self, node: Any, what: str, value: Any) -> ast.expr:
        return ast.Call(ast.Name("__through__", ast.Load()), [self._number(node, what), value], [])

    def visit_If(self, node: ast.If) -> ast.AST:
        first, last = self._statement(node, "then"), self._statement(node, "else")
        self.generic_visit(node)
        node.body, node.orelse = [first, *node.body], [last, *node.orelse]
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        node.body, node.orelse = self._through(node, "then", node.body), self._through(node, "else", node.orelse)
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        first = self._statement(node, "turn")
        self.generic_visit(node)
        node.body = [first, *node.body]
        return node

    visit_For = visit_While  # noqa: N815  (named by ast)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        before = list(node.values)
        self.generic_visit(node)
        node.values[1:] = [
            self._through(old, "next operand", new) for old, new in zip(before[1:], node.values[1:], strict=True)
        ]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in {"load", "store"}:
            node.args[1] = ast.Call(ast.Name("__inside__", ast.Load()), [node.args[0], node.args[1]], [])
        return node


def _instrumented(function: Callable[..., Any]) -> Callable[..., Any]:
    file = function.__code__.co_filename
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    ast.increment_lineno(tree, function.__code__.co_firstlineno - 1)
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    _Counting(file).visit(definition)
    function.__globals__.update(__reached__=_reached, __through__=_through, __inside__=_inside)
    made: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(tree), file, "exec"), function.__globals__, made)  # noqa: S102  (our own code)
    return made[definition.name]  # type: ignore[no-any-return]


def _plain_compile() -> Callable[..., Any]:
    return kernels._compile


_compile_plainly = _plain_compile()


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    """As `traceguard.kernels` does it, from the changed source and with checked indices."""
    if Path(function.__code__.co_filename).parent.name in _ROOMS:
        function = _instrumented(function)
        options["boundscheck"] = True
    return _compile_plainly(function, **options)


import numba  # noqa: E402
from llvmlite import ir  # type: ignore[import-untyped]  # noqa: E402
from numba import types  # noqa: E402
from numba.core.extending import intrinsic  # noqa: E402
from numba.np import arrayobj  # noqa: E402


def _add_one(builder: Any, point: Any) -> None:
    base = builder.inttoptr(ir.Constant(ir.IntType(64), _ADDRESS), ir.IntType(32).as_pointer())
    place = builder.gep(base, [point])
    builder.store(builder.add(builder.load(place), ir.Constant(ir.IntType(32), 1)), place)


@intrinsic
def _reached(typing_context, point):  # noqa: ANN001, ANN202, ARG001  (numba matches them to the call)
    def generate(context, builder, signature, arguments):  # noqa: ANN001, ANN202, ARG001
        _add_one(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def _through(typing_context, point, value):  # noqa: ANN001, ANN202, ARG001
    def generate(context, builder, signature, arguments):  # noqa: ANN001, ANN202, ARG001
        _add_one(builder, arguments[0])
        return arguments[1]

    plain = types.unliteral(value)
    return plain(types.int64, plain), generate


@numba.njit(_nrt=False)
def _inside(array, index):  # noqa: ANN001, ANN202
    if index < 0 or index + 8 > array.size:
        raise IndexError("load or store leaves its array")
    return np.int64(index)


def _no_counting_from_the_end(context: Any, builder: Any, kind: Any, index: Any, _size: Any) -> Any:
    return context.cast(builder, index, kind, types.intp if kind.signed else types.uintp)


def install(cache: Path) -> None:
    """From now on compile this way, with the machine code kept below `cache`."""
    state = hashlib.blake2b(Path(__file__).read_bytes(), digest_size=8).hexdigest()
    os.environ["NUMBA_CACHE_DIR"] = str(cache / state)
    already = [name for name in sys.modules if name.startswith("traceguard.otlp.")]
    if set(already) - {"traceguard.otlp.columns"}:
        raise RuntimeError(f"{already} were compiled before the fuzzer could see it.")
    kernels._compile = _compile
    arrayobj.fix_integer_index = _no_counting_from_the_end
