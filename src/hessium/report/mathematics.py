"""Symbols and formulas in plain text, set as MathML."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from markupsafe import Markup, escape

_SUB = dict(zip("₀₁₂₃₄₅₆₇₈₉ᵢⱼₐₙₘ", "0123456789ijanm", strict=True))
_SUPER = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ᵀ", "0123456789−+T", strict=True))
_UNICODE_SUB, _UNICODE_SUPER = f"[{''.join(_SUB)}]+", f"[{''.join(_SUPER)}]+"
_LETTER = "[A-Za-zα-ωΑ-Ω]"
_SCRIPTS = (
    rf"(?P<sub>{_UNICODE_SUB}|_(?:c|max|min|lin)\b)?"
    rf"(?P<sup>{_UNICODE_SUPER}|\^(?:\([^()]{{1,12}}\)|[A-Za-z\d])|(?<=[α-ω])\*(?!\w))?"
)
_ATOM = re.compile(
    rf"(?P<root>√)(?P<under>{_LETTER}|\d+)(?!\w)"
    rf"|(?P<bar>[|‖])(?P<inside>{_LETTER})(?P=bar)(?P<power>{_UNICODE_SUPER})"
    r"|(?P<twin>[A-Z])(?= (?P=twin)ᵀ)"
    rf"|(?P<base>\d+(?:\.\d+)?×10|10|(?<![^\W\d_]){_LETTER}|[)|‖]){_SCRIPTS}"
)
# one symbol, number or sign of a formula
_TOKEN = re.compile(
    rf"(?P<function>(?:rank|tr|log|det|min|max|exp)\b(?= ?[(|‖{_LETTER[1:-1]}]))"
    rf"|(?P<number>(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?)"
    rf"(?P<exponent>{_UNICODE_SUPER})?"
    rf"|(?P<letter>\btol\b|{_LETTER}){_SCRIPTS}"
    r"|(?P<close>[)|‖])(?P<power>[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ᵀ]+|\^(?:\([^()]{1,12}\)|[A-Za-z\d]))?"
    r"|(?P<root>√)|(?P<open>\()|(?P<relation>[=≤≥≈∝<>→])|(?P<sign>[+−×·/±])|(?P<infinity>∞)"
)
_THIN = "<mspace width='0.17em'/>"
_BARS = ("|", "‖")
_OPERAND = ("number", "letter", "close", "infinity")
_PRODUCT = re.compile(rf"(?<!\w)(?![aAI]){_LETTER} $")
_PERCENT = re.compile(r"(?<=\d) ?%")
_WORD = re.compile(r"[A-Za-z]{2,}")


@functools.lru_cache(maxsize=8192)  # a page is written again after each of its sections
def mathematics(text: str) -> Markup:
    r"""Text with formulas such as R(g) = 1/(1 − φg) and symbols such as H₀ as HTML and MathML.

    A formula is a norm, a root in brackets as in (1 − √φ)², or a relation between symbols, numbers,
    signs and brackets; letters that
    form a word are not part of one, unless a number or a Greek letter stands before them (2qM, φg).
    Outside of formulas a letter counts as a symbol when it has an index or a power. All else is
    escaped.

    Example:
        >>> str(mathematics("H₀ & more"))
        '<math><msub><mi>H</mi><mn>0</mn></msub></math> &amp; more'
        >>> str(mathematics("at φ = 2"))
        'at <math><mi>φ</mi><mo>=</mo><mn>2</mn></math>'
    """
    text = _PERCENT.sub("\u00a0%", text).replace(" +- ", " ± ")
    parts: list[Markup] = []
    end = 0
    for start, stop, tokens in _formulas(text):
        inner = "".join(_typeset(tokens))
        parts += [_symbols(text[end:start]), Markup(f"<math>{inner}</math>")]
        end = stop
    return Markup("").join([*parts, _symbols(text[end:])])


def _formulas(text: str) -> Iterator[tuple[int, int, list[re.Match[str]]]]:
    """Start, end and tokens of each relation."""
    at = 0
    while at < len(text):
        tokens = _run(text, at)
        if found := _relation(tokens):
            yield found[0].start(), found[-1].end(), found
            at = found[-1].end()
        elif word := _WORD.match(text, at):
            at = word.end()
        else:
            at += 1


def _run(text: str, at: int) -> list[re.Match[str]]:
    """Tokens from a position on, up to a word or two operands with a space between them."""
    tokens: list[re.Match[str]] = []
    if at and (text[at - 1].isalnum() or text[at - 1] in "_.-'"):
        return tokens
    # b c = 6 is about both: names of parameters stay text
    if _PRODUCT.search(text[max(0, at - 3) : at]):
        return tokens
    while found := _TOKEN.match(text, at):
        kind = _kind(found)
        if kind == "letter" and _is_word(text, found, tokens):
            break
        apart = tokens and text[at - 1] == " " and _kind(tokens[-1]) in _OPERAND
        if apart and kind in (*_OPERAND, "open") and not (_factor(found) or _depth(tokens)):
            break
        tokens.append(found)
        at = found.end()
        if text[at : at + 1] == " ":
            at += 1
    return tokens


def _is_word(text: str, found: re.Match[str], before: list[re.Match[str]]) -> bool:
    """Whether a letter is part of a word; otherwise it is a factor of a product."""
    if found["letter"] == "tol" or (before and before[-1].end() == found.start()):
        return False  # the letters before it were factors
    word = _WORD.match(text, found.start())
    return word is not None and text[word.end() : word.end() + 1] not in _SUPER


def _factor(token: re.Match[str]) -> bool:
    """Whether a letter after a space is a factor: it is Greek, or has an index or a power."""
    letter = token["letter"]
    return bool(letter) and (not letter.isascii() or bool(token["sub"] or token["sup"]))


def _relation(tokens: list[re.Match[str]]) -> list[re.Match[str]]:
    """The tokens without loose ends, if they are a relation with a symbol in it."""
    while tokens and _kind(tokens[-1]) not in _OPERAND:
        tokens.pop()
    while tokens and (depth := _depth(tokens)):
        # a bracket that is closed outside, or was opened there
        where = [k for k, t in enumerate(tokens) if t.group() == "(" or t["close"] == ")"]
        tokens = tokens[: where[-1 if depth < 0 else 0]]
        while tokens and _kind(tokens[-1]) not in _OPERAND:
            tokens.pop()
    kinds = [_kind(token) for token in tokens]
    norms = sum(token["close"] == "‖" for token in tokens)
    told = "relation" in kinds[1:] or (norms > 0 and norms % 2 == 0) or {"root", "open"} <= {*kinds}
    if not told or "letter" not in kinds or kinds[0] in ("sign", "relation"):
        return []
    return tokens


def _depth(tokens: list[re.Match[str]]) -> int:
    """Opened less closed brackets; negative as soon as one is closed that was not opened."""
    depth = 0
    for token in tokens:
        depth += (token.group() == "(") - (token["close"] == ")")
        if depth < 0:
            return depth
    return depth


def _kind(token: re.Match[str]) -> str:
    names = ("function", "number", "letter", "close", "root", "open", "relation", "sign")
    return next((name for name in names if token[name]), "infinity")


def _typeset(tokens: list[re.Match[str]]) -> Iterator[str]:
    """Tokens as MathML; of two bars the first one opens, which decides the space around them."""
    opened: set[str] = set()
    for before, token, after in zip(
        [None, *tokens], tokens, [*tokens[1:], tokens[0]], strict=False
    ):
        bar = token["close"]
        if token["function"] and before and _kind(before) in _OPERAND:
            yield _THIN
        if bar in _BARS:
            opened ^= {bar}
            yield _scripts(_bar(bar, opening=bar in opened), None, token["power"])
        elif before and before["root"] and _kind(token) in ("number", "letter"):
            yield f"<msqrt>{_set(token)}</msqrt>"
        elif not token["root"] or _kind(after) not in ("number", "letter"):
            yield _set(token)


def _bar(bar: str, *, opening: bool) -> str:
    return f'<mo form="{"prefix" if opening else "postfix"}" stretchy="false">{bar}</mo>'


def _set(token: re.Match[str]) -> str:
    """MathML of one token, which must not be a bar."""
    kind = _kind(token)
    if kind == "letter":
        return _scripts(_leaf(token["letter"]), token["sub"], token["sup"])
    if kind == "close":
        return _scripts(_leaf(token["close"]), None, token["power"])
    if kind == "function":
        return f"<mi>{token.group()}</mi>{_THIN}"
    if kind == "number":
        return _scripts(f"<mn>{token['number']}</mn>", None, token["exponent"])
    if kind == "infinity":
        return "<mn>∞</mn>"
    if kind == "open":
        return '<mo stretchy="false">(</mo>'
    return f"<mo>{escape(token.group())}</mo>"


def _symbols(text: str) -> Markup:
    """Text outside of formulas."""
    parts: list[Markup] = []
    end = 0
    for found in _ATOM.finditer(text):
        if not any(found[part] for part in ("root", "bar", "twin", "sub", "sup")):
            continue
        parts += [escape(text[end : found.start()]), _symbol(found)]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def _symbol(found: re.Match[str]) -> Markup:
    if found["root"]:
        return Markup(f"<math><msqrt>{_leaf(found['under'])}</msqrt></math>")
    if found["twin"]:
        return Markup(f"<math>{_leaf(found['twin'])}</math>")
    if found["bar"]:
        inside, closing = _leaf(found["inside"]), _bar(found["bar"], opening=False)
        power = _scripts(closing, None, found["power"])
        return Markup(f"<math>{_bar(found['bar'], opening=True)}{inside}{power}</math>")
    base, sub, sup = found["base"], found["sub"], found["sup"]
    if base[0].isdigit() and sup and not sub:  # a number stays text
        return escape(base) + Markup("<sup>{}</sup>").format(_plain(sup, _SUPER, "^"))
    return Markup(f"<math>{_scripts(_leaf(base), sub, sup)}</math>")


def _scripts(base: str, sub: str | None, sup: str | None) -> str:
    below = _leaf(_plain(sub, _SUB, "_")) if sub else ""
    above = _leaf(_plain(sup, _SUPER, "^")) if sup else ""
    if sub and sup:
        return f"<msubsup>{base}{below}{above}</msubsup>"
    if sub:
        return f"<msub>{base}{below}</msub>"
    return f"<msup>{base}{above}</msup>" if sup else base


def _plain(script: str, letters: dict[str, str], mark: str) -> str:
    if script == "*":
        return script
    if script.startswith(mark):
        return script[1:].removeprefix("(").removesuffix(")")
    return "".join(letters[one] for one in script)


def _leaf(text: str) -> str:
    if text in {")", "|", "‖"}:
        return f'<mo stretchy="false">{text}</mo>'
    if re.fullmatch(_LETTER, text):
        return f"<mi>{text}</mi>"
    if text.isalpha():
        return f"<mtext>{text}</mtext>"
    return f"<mn>{escape(text)}</mn>"
