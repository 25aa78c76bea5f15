"""Symbols with indices and powers in plain text, set as MathML."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_SUB = dict(zip("₀₁₂₃₄₅₆₇₈₉ᵢⱼₐₙₘ", "0123456789ijanm", strict=True))
_SUPER = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ᵀ", "0123456789−+T", strict=True))
_UNICODE_SUB, _UNICODE_SUPER = f"[{''.join(_SUB)}]+", f"[{''.join(_SUPER)}]+"
_ATOM = re.compile(
    rf"(?P<root>√)(?P<under>[A-Za-zα-ωΑ-Ω]|\d+)(?!\w)"
    rf"|(?P<base>\d+(?:\.\d+)?×10|10|(?<![^\W\d_])[A-Za-zα-ωΑ-Ω]|[)|‖])"
    rf"(?P<sub>{_UNICODE_SUB}|_(?:c|max|min|lin)\b)?"
    rf"(?P<sup>{_UNICODE_SUPER}|\^(?:\([^()]{{1,12}}\)|[A-Za-z\d]))?"
)


def mathematics(text: str) -> Markup:
    r"""Text with H₀, ε_c, 10⁻⁶, √φ and (1 − φ)^(3/2) as HTML and MathML; all else is escaped.

    A letter counts as a symbol when no letter is before it and it has an index or a power, so that
    words and numbers stay words and numbers.

    Example:
        >>> str(mathematics("H₀ & more"))
        '<math><msub><mi>H</mi><mn>0</mn></msub></math> &amp; more'
    """
    parts: list[Markup] = []
    end = 0
    for found in _ATOM.finditer(text):
        if not (found["root"] or found["sub"] or found["sup"]):
            continue
        parts += [escape(text[end : found.start()]), _math(found)]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def _math(found: re.Match[str]) -> Markup:
    if found["root"]:
        return Markup(f"<math><msqrt>{_leaf(found['under'])}</msqrt></math>")
    base, sub, sup = found["base"], found["sub"], found["sup"]
    if base[0].isdigit() and sup and not sub:  # a number stays text
        return escape(base) + Markup("<sup>{}</sup>").format(_plain(sup, _SUPER, "^"))
    inner = _leaf(base)
    below = _leaf(_plain(sub, _SUB, "_")) if sub else ""
    above = _leaf(_plain(sup, _SUPER, "^")) if sup else ""
    if sub and sup:
        inner = f"<msubsup>{inner}{below}{above}</msubsup>"
    else:
        inner = f"<msub>{inner}{below}</msub>" if sub else f"<msup>{inner}{above}</msup>"
    return Markup(f"<math>{inner}</math>")


def _plain(script: str, letters: dict[str, str], mark: str) -> str:
    if script.startswith(mark):
        return script[1:].removeprefix("(").removesuffix(")")
    return "".join(letters[one] for one in script)


def _leaf(text: str) -> str:
    if text in {")", "|", "‖"}:
        return f'<mo stretchy="false">{text}</mo>'
    if re.fullmatch(r"[A-Za-zα-ωΑ-Ω]", text):
        return f"<mi>{text}</mi>"
    if text.isalpha():
        return f"<mtext>{text}</mtext>"
    return f"<mn>{escape(text)}</mn>"
