"""Every public name of a package ``HiggsML``, with its signature and defaults, as JSON.

Run with the interpreter of the environment whose package is to be listed; the test in
test_reference_names.py compares the reference's with ours.

    python reference_signatures.py MODULE [MODULE ...]
"""

import importlib
import inspect
import json
import logging
import sys

_SIMPLE = (bool, int, float, str, type(None))


def shown(value):
    """A default as text that does not depend on where an object lies; 0 and 0.0 are the same."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:.15g}"
    return repr(value) if isinstance(value, _SIMPLE) else f"a {type(value).__name__}"


def parameters(function):
    """Name, kind and default of each parameter, in order."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    empty = inspect.Parameter.empty
    return [
        [one.name, one.kind.name, None if one.default is empty else shown(one.default)]
        for one in found
        if one.name not in ("self", "cls")
    ]


def _imported(home, module_name):
    """Whether an object comes from another package, or from another of the reference's modules."""
    if not isinstance(home, str):
        return False
    parts = home.split(".")
    return parts[0] != "HiggsML" or (len(parts) == 2 and parts[1] not in (module_name, "timer"))


def listed(module_name):
    """The public names that a module defines: parameters of functions, values of constants."""
    module = importlib.import_module(f"HiggsML.{module_name}")
    names = {}
    for name in dir(module):
        value = getattr(module, name)
        home = getattr(value, "__module__", None)
        if name.startswith("_") or inspect.ismodule(value) or _imported(home, module_name):
            continue
        if inspect.isclass(value):
            names[name] = parameters(value)
            for method in dir(value):
                function = getattr(value, method)
                if not method.startswith("_") and callable(function):
                    names[f"{name}.{method}"] = parameters(function)
        elif callable(value):
            names[name] = parameters(value)
        elif isinstance(value, (bool, int, float, str)):
            names[name] = shown(value)
        elif isinstance(value, (dict, list, tuple)):
            names[name] = f"a {type(value).__name__}"
    return names


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    print(json.dumps({name: listed(name) for name in sys.argv[1:]}))
