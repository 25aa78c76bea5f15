// Numbers as text.

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** A power of ten in superscript digits. */
export function power(exponent) {
  return `10${[...String(exponent)].map((c) => SUPERSCRIPT[c]).join("")}`;
}

/** A number with that many significant digits. */
export function digits(value, count = 4) {
  if (value === 0) return "0";
  const size = Math.abs(value), minus = value < 0 ? "−" : "";
  if (size >= 1e5 || size < 1e-4) {
    const [mantissa, exponent] = size.toExponential(count - 1).split("e");
    return `${minus}${String(Number(mantissa))} × ${power(Number(exponent))}`;
  }
  return minus + String(Number(size.toPrecision(count)));
}

/** The same as a number that an input takes, and a link. */
export function plain(value, count = 6) {
  return String(Number(value.toPrecision(count)));
}

/** Text in an HTML document. */
export function escape(text) {
  return String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** "[a, b] and [c, d]". */
export function intervals(edges, count = 4) {
  const parts = [];
  for (let k = 0; k < edges.length; k += 2) parts.push(`[${digits(edges[k], count)}, ${digits(edges[k + 1], count)}]`);
  return parts.join(" and ");
}
