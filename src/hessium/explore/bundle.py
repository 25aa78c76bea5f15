"""From JavaScript modules to one script, in the order of their imports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z_]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function|const|let|class)", re.MULTILINE)
_NAME = re.compile(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)


def sources() -> dict[str, str]:
    """The modules of the page by name."""
    folder = files("hessium.explore") / "web" / "modules"
    return {
        one.name.removesuffix(".js"): one.read_text(encoding="utf-8")
        for one in folder.iterdir()
        if one.name.endswith(".js")
    }


def bundle(modules: Mapping[str, str], entry: str) -> str:
    """One script that does what the module `entry` does.

    The modules are joined in the order of their imports, without the words import and export, so
    that they share one scope; therefore no two of them may define the same name.

    Args:
        modules: text by name.
        entry: the module that is run.

    Raises:
        ValueError: if a module is missing, imports itself through others, is written in a form
            that is not understood, or defines a name of another one.
    """
    order: list[str] = []
    _visit(modules, entry, order, ())
    owners: dict[str, str] = {}
    parts = []
    for name in order:
        for defined in _NAME.findall(modules[name]):
            if owners.setdefault(defined, name) != name:
                msg = f"{defined}: defined in {owners[defined]}.js and {name}.js; rename one"
                raise ValueError(msg)
        text = _EXPORT.sub("", _IMPORT.sub("", modules[name]))
        if found := _LEFT.search(text):
            msg = f'{name}.js: {found[0]!r}; only `import {{ a, b }} from "./name.js";` is read'
            raise ValueError(msg)
        parts.append(f"// ---- {name}.js\n{text.strip()}\n")
    return "\n".join(parts)


def _visit(modules: Mapping[str, str], name: str, order: list[str], above: tuple[str, ...]) -> None:
    if name in order:
        return
    if name in above or name not in modules:
        why = "imports itself" if name in above else "does not exist"
        msg = f"{name}.js: {why} (imported by {', '.join(above) or 'nothing'})"
        raise ValueError(msg)
    for wanted in _IMPORT.findall(modules[name]):
        _visit(modules, wanted, order, (*above, name))
    order.append(name)
