"""The public names of the library, as a reader would import them."""

import ast
import importlib
import inspect
import types

import jaxscale

# Modules of one file hold more than is public. What else they offer is in `jaxscale` itself.
IN_ONE_FILE = {
    "allocations": (
        *("Allocation", "PORIAN_CHAIN", "Step", "catalog", "entry"),
        *("from_law", "from_params", "from_tokens", "published"),
    ),
    "hardware": ("Accelerator", "Quote", "catalog", "comparable", "custom", "read"),
}


def public_names():
    """Objects by their shortest public name, such as `jaxscale.Plan` and `jaxscale.laws.Tao`."""
    names = {f"jaxscale.{name}": getattr(jaxscale, name) for name in jaxscale.__all__}
    known = {id(value) for value in names.values()}
    for module in filter(inspect.ismodule, list(names.values())):
        names |= {name: value for name, value in names_of(module) if id(value) not in known}
    return names


def names_of(module):
    """A module, the names that it offers, and those of modules among them."""
    yield module.__name__, module
    short = module.__name__.removeprefix("jaxscale.")
    for name in IN_ONE_FILE.get(short) or exported_by(module):
        value = getattr(module, name)
        if inspect.ismodule(value):
            yield from names_of_submodule(value)
        else:
            yield f"{module.__name__}.{name}", value


def exported_by(module):
    """The names that a package imports to offer them: `from x import y as y`."""
    for statement in ast.parse(inspect.getsource(module)).body:
        if isinstance(statement, ast.ImportFrom):
            yield from (each.asname for each in statement.names if each.asname)


def names_of_submodule(module):
    """A module and the public names that are defined in it, but for what a package offers."""
    yield module.__name__, module
    package = importlib.import_module(module.__name__.rpartition(".")[0])
    for name, value in vars(module).items():
        here = getattr(value, "__module__", None) == module.__name__
        if here and not name.startswith("_") and value is not vars(package).get(name):
            yield f"{module.__name__}.{name}", value


def documented_objects(names):
    """Public functions and classes, with the methods and properties that classes define."""
    for name, value in names.items():
        if isinstance(value, types.ModuleType):
            continue
        yield name, value
        if inspect.isclass(value):
            for member in vars(value):
                if not member.startswith("_"):
                    yield f"{name}.{member}", inspect.getattr_static(value, member)
