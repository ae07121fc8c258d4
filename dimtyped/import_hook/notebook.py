"""`%load_ext dimtyped`: every cell that runs afterwards has its definitions checked."""

from __future__ import annotations

import ast
from typing import Any

from dimtyped.import_hook.transform import transform
from dimtyped.runtime import mode


class CellTransformer(ast.NodeTransformer):
    """Adds the checks to a cell; IPython calls `visit` with the tree of each."""

    def visit(self, node: ast.AST) -> ast.AST:
        """The cell with checks; the cell itself while checks are off."""
        return transform(node) if isinstance(node, ast.Module) and mode() != "off" else node


def load_ipython_extension(shell: Any) -> None:
    """Begins to check what cells define, for `%load_ext dimtyped`."""
    unload_ipython_extension(shell)
    shell.ast_transformers.append(CellTransformer())


def unload_ipython_extension(shell: Any) -> None:
    """Ends it, for `%unload_ext dimtyped`."""
    shell.ast_transformers[:] = [each for each in shell.ast_transformers if not isinstance(each, CellTransformer)]
