"""How griffe, which reads the code for the API reference, learns two habits of ours."""

import ast
from typing import Any

import griffe


class FieldComments(griffe.Extension):
    """The comments that follow fields document them: `tokens: Array  # training tokens`.

    They become a table of the class. Members of an enum of statuses have their sentences there.
    """

    def on_class_members(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        del kwargs
        say = _sentence if _is_enum(cls) else _comment
        fields = [attribute for attribute in cls.attributes.values() if not attribute.is_private]
        lines = [f"    {each.name}: {text}" for each in fields if (text := say(each))]
        if lines and cls.docstring:
            before, examples, after = cls.docstring.value.partition("Examples:\n")
            table = "\n".join(["Attributes:", *lines])
            cls.docstring.value = f"{before.rstrip()}\n\n{table}\n\n{examples}{after}"


def _is_enum(cls):
    return any(str(base).endswith("Enum") for base in cls.bases)


def _sentence(attribute):
    value = ast.literal_eval(str(attribute.value)) if attribute.value else None
    return value[1] if isinstance(value, tuple) else None


def _comment(attribute):
    _, _, comment = attribute.source.partition("  # ")
    return None if comment.startswith(("pyright:", "noqa", "type:")) else comment.strip()


class ExportsBeforeModules(griffe.Extension):
    """Where a package exports a function of the module of that name, the function has the name.

    Python has it so: `jaxscale.fitting.fit` is the function, but griffe takes the module.
    """

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        del kwargs
        shadows = list(_shadows(pkg))
        loader.resolve_aliases(implicit=True)  # by way of the modules, while they are there
        for package, module in shadows:
            package.members[module.name] = griffe.Alias(
                module.name, target=module.members[module.name], parent=package
            )
            top = pkg.members.get(module.name)
            if isinstance(top, griffe.Alias) and top.final_target is module:
                pkg.members[module.name] = griffe.Alias(
                    module.name, target=module.members[module.name], parent=pkg
                )


def _shadows(package):
    """Pairs of a package and a module whose name it exports for a member of that module."""
    for module in package.modules.values():
        if module.is_alias:  # imported, as the package itself is by its modules
            continue
        if package.imports.get(module.name) == f"{module.path}.{module.name}":
            yield package, module
        yield from _shadows(module)
