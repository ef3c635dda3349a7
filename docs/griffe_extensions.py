"""How griffe, which reads the code for the API reference, learns two habits of ours."""

from typing import Any

import griffe


class FieldComments(griffe.Extension):
    """The comment that follows a field documents it: `tokens: Array  # training tokens`."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **kwargs: Any) -> None:
        del kwargs
        if attr.docstring is None and attr.parent is not None and attr.parent.is_class:
            _, _, comment = attr.source.partition("  # ")
            if comment and not comment.startswith(("pyright:", "noqa", "type:")):
                attr.docstring = griffe.Docstring(comment.strip(), parent=attr)


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
