"""The import hook: every annotated function, method, dataclass and variable of a package is checked, with no edit."""

from dimtyped.import_hook.finder import ImportHook as ImportHook, install_import_hook as install_import_hook
from dimtyped.import_hook.notebook import (
    load_ipython_extension as load_ipython_extension,
    unload_ipython_extension as unload_ipython_extension,
)
