// Colours and strokes of what the charts draw, taken from the style sheet.

const NAMES = ["ink", "soft", "card", "grid", "series-0", "series-1", "series-2", "series-3", "series-4", "series-5"];
let paints = null;

/** The colours of the present theme. */
export function colours() {
  if (!paints) {
    const style = getComputedStyle(document.documentElement);
    paints = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    paints.font = getComputedStyle(document.body).fontFamily;
  }
  return paints;
}

/** Read the colours again, after the theme has changed. */
export function forgetColours() {
  paints = null;
}

const HUES = {
  hessian: "series-0", "gauss-newton": "series-1", residual: "series-2", spike: "series-3", critical: "series-4",
  "small-law": "series-5", faint: "series-5", quiet: "series-5", sample: "ink", negative: "series-3", edge: "series-0",
  now: "ink", zero: "soft", law: "ink",
};

// [width, dashes] of lines, and the opacity of what is filled
const STROKES = {
  hessian: [2.5, []], "gauss-newton": [2, [7, 3]], residual: [2.5, [2, 3]], "small-law": [1.5, [6, 4]], faint: [1.2, [3, 3]],
  law: [1.6, []], edge: [1.2, [2, 4]], now: [1.2, [4, 3]], zero: [1, []], critical: [2, []], spike: [2, []],
};
const FILLS = { "area hessian": 0.13, "area negative": 0.5, "area quiet": 0.12, "bars sample": 0.3, "band hessian": 0.14, "band quiet": 0.1, "dots sample": 0.55 };

/** How to draw a layer: colour, width, dashes, opacity. */
export function lookOf({ kind, css }) {
  const [width, dashes] = STROKES[css] || [2, []];
  return { colour: colours()[HUES[css] || "soft"], width: kind === "vertical" || kind === "horizontal" ? Math.min(width, 1.4) : width, dashes, opacity: FILLS[`${kind} ${css}`] ?? 1 };
}
