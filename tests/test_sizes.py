"""The parts of the package are small: functions, classes, constructors and files. What is larger has its reason here."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dimtyped

PACKAGE = Path(dimtyped.__file__).parent
# The lines of a function, its docstring aside.
LONGER_FUNCTIONS = {"distributed/attention.py _forward_of": "torch's signature is ten lines of it"}
# Methods. No class of the engine is among them.
LARGER_CLASSES = {
    "diagnosis/mismatch.py Findings": "a method for each kind of annotation",
    "diagnosis/text.py Report": "a method for each part of an error's text",
    "diagnosis/torch_errors/evaluation.py Evaluator": "a method for each kind of expression",
    "flow/annotating/naming.py Namer": "a method for each way to find a name",
    "flow/calls.py Call": "what a rule may say of a call",
    "flow/interpreter.py Flow": "what torch's modes call, and what rules and users ask of a run",
    "flow/tracer.py TracedFlow": "the same, with what Python's profile hook calls",
    "names/dim.py Dim": "the operators of an int",
    "nn/contract/layer.py Layer": "the methods of torch.nn.Module that a layer extends",
    "testing/properties/mixing.py IndependenceCheck": "a method for each property, and for the line where mixing begins",
}
# Arguments, `self` aside. Records that users read have the fields that their reports have.
LARGER_CONSTRUCTORS = {
    "annotations/signature.py Signature": "a record of all that is read of a signature",
    "diagnosis/torch_errors/report.py TorchErrorReport": "what `explain` gives to users",
    "flow/annotating/recorder.py CallSeen": "a record of a call",
    "flow/annotating/source.py FunctionReading": "a record of a function's source",
    "flow/findings.py Finding": "what a report gives to users",
    "flow/summaries/summary.py Summary": "what `summary` gives to users",
    "flow/summaries/tree.py Node": "a row of what `summary` gives to users",
    "nn/contract/contract.py Contract": "all that a layer declares",
    "nn/contract/layer_rules.py LayerRules": "the rules of a contract, as the engine takes them",
    "nn/layers/recurrent.py GRU": "torch's arguments",
    "nn/layers/recurrent.py LSTM": "torch's arguments",
    "nn/layers/recurrent.py RNN": "torch's arguments",
    "testing/properties/evidence.py Evidence": "a record of what a failed property has seen",
    "testing/properties/fuzzing.py _Plan": "the arguments of `fuzz`",
    "testing/strategies/target.py Target": "a record of what inputs are made for",
}
# Lines. Tables of examples, each of which is shown whole.
LONGER_FILES = {"cli/examples/examples.py", "cli/examples/findings.py", "cli/examples/torch_errors.py"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def nodes(source: str, kind: type | tuple[type, ...]) -> Iterator[ast.AST]:
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, kind))


def long_functions(source: str) -> list[str]:
    """The functions with more than 40 lines, their docstrings aside."""
    found = []
    for node in nodes(source, (ast.FunctionDef, ast.AsyncFunctionDef)):
        text = node.body[0] if ast.get_docstring(node) is not None else None
        of_text = text.end_lineno - text.lineno + 1 if text is not None else 0
        if node.end_lineno - node.lineno + 1 - of_text > 40:
            found.append(node.name)
    return found


def large_classes(source: str) -> list[str]:
    """The classes with more than 15 methods."""
    classes = nodes(source, ast.ClassDef)
    return [node.name for node in classes if sum(isinstance(part, Function) for part in node.body) > 15]


def large_constructors(source: str) -> list[str]:
    """The classes whose constructor takes more than eight arguments; those of a record are its fields."""
    return [node.name for node in nodes(source, ast.ClassDef) if max(_written(node), _fields(node)) > 8]


def _written(node: ast.ClassDef) -> int:
    made = [each for each in node.body if isinstance(each, Function) and each.name in ("__init__", "__new__")]
    return max((len([*each.args.posonlyargs, *each.args.args, *each.args.kwonlyargs]) - 1 for each in made), default=0)


def _fields(node: ast.ClassDef) -> int:
    is_record = any("dataclass" in ast.dump(each) for each in node.decorator_list)
    is_record |= any("NamedTuple" in ast.dump(base) for base in node.bases)
    fields = (ast.unparse(each) for each in node.body if isinstance(each, ast.AnnAssign))
    return sum("ClassVar" not in field and "init=False" not in field for field in fields) if is_record else 0


def found_by(find) -> list[str]:
    files = sorted(file for file in PACKAGE.rglob("*.py"))
    return [
        f"{file.relative_to(PACKAGE).as_posix()} {name}" for file in files for name in find(file.read_text("utf-8"))
    ]


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("find", "with_reason"),
    [
        (long_functions, LONGER_FUNCTIONS),
        (large_classes, LARGER_CLASSES),
        (large_constructors, LARGER_CONSTRUCTORS),
    ],
    ids=["functions", "classes", "constructors"],
)
def test_what_is_large_has_a_reason(find, with_reason):
    assert sorted(found_by(find)) == sorted(with_reason)


def test_no_class_of_the_engine_is_large():
    assert [name for name in (*LARGER_CLASSES, *LARGER_CONSTRUCTORS) if name.startswith("engine/")] == []


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("find", "source"),
    [
        (long_functions, "def f():\n" + "    pass\n" * 40),
        (large_classes, "class C:\n" + "".join(f"    def f{i}(self): ...\n" for i in range(16))),
        (large_constructors, "class C:\n    def __init__(self, a, b, c, d, e, f, g, h, i): ...\n"),
        (large_constructors, "@dataclass\nclass C:\n" + "".join(f"    f{i}: int\n" for i in range(9))),
    ],
)
def test_what_is_too_large_would_be_noticed(find, source):
    assert len(find(source)) == 1


@pytest.mark.any_engine
def test_files_have_at_most_500_lines():
    long = [file for file in PACKAGE.rglob("*.py") if file.read_text("utf-8").count("\n") > 500]
    assert {file.relative_to(PACKAGE).as_posix() for file in long} == LONGER_FILES
