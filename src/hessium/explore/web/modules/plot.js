// Charts on canvases: axes, curves, areas, bars, marks, and handles that pointer and keyboard move.

import { colours, lookOf } from "./colours.js";
import { digits, power } from "./format.js";

/** A chart inside `host`, of a height that is a share of its width. */
export function makePlot(host, { label, xLabel, yLabel, aspect = 0.52 }) {
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  host.append(canvas);
  const plot = { canvas, context: canvas.getContext("2d"), host, label, xLabel, yLabel, aspect };
  measurePlot(plot);
  return plot;
}

/** Read the width of the host: after a change of the window, not at every redraw. */
export function measurePlot(plot, sharpness = window.devicePixelRatio || 1) {
  const width = Math.max(plot.host.clientWidth, 200);
  const unit = parseFloat(getComputedStyle(plot.host).fontSize) * 0.8;
  const height = Math.round(Math.min(Math.max(width * plot.aspect, 200), 420 * (unit / 12.8)));
  Object.assign(plot, { width, height, unit, sharpness });
  Object.assign(plot, { left: 3.6 * unit, right: width - unit, top: 1.9 * unit, bottom: height - 3.3 * unit });
  plot.canvas.width = Math.round(width * sharpness);
  plot.canvas.height = Math.round(height * sharpness);
  plot.canvas.style.height = `${height}px`;
}

function ticksOf(low, high, count) {
  const raw = (high - low) / count, size = 10 ** Math.floor(Math.log10(raw));
  const step = size * ([1, 2, 5, 10].find((m) => m * size >= raw * 0.999) || 10);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) ticks.push(k * step);
  return ticks.map((value) => [value, digits(Math.abs(value) < step / 2 ? 0 : value, 6)]);
}

function decadesOf(low, high, count) {
  const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9), ticks = [];
  const every = Math.max(1, Math.ceil((last - first + 1) / count));
  for (let k = first; k <= last; k += every) ticks.push([10 ** k, k >= -2 && k <= 3 ? String(Number((10 ** k).toPrecision(3))) : power(k)]);
  if (ticks.length < 2) return ticksOf(low, high, 3).filter(([value]) => value >= low);
  return ticks;
}

function scaleOf(range, log, from, to) {
  const low = log ? Math.log10(range[0]) : range[0], high = log ? Math.log10(range[1]) : range[1];
  const factor = (to - from) / (high - low);
  const map = log ? (v) => from + (Math.log10(Math.max(v, 1e-300)) - low) * factor : (v) => from + (v - low) * factor;
  map.back = (place) => {
    const value = low + (place - from) / factor;
    return log ? 10 ** value : value;
  };
  return map;
}

const far = (v) => Math.min(Math.max(v, -1e4), 2e4);

function trace(pen, points, X, Y) {
  let down = false;
  for (const [x, y] of points) {
    if (!(isFinite(x) && isFinite(y))) down = false;
    else if (down) pen.lineTo(far(X(x)), far(Y(y)));
    else {
      pen.moveTo(far(X(x)), far(Y(y)));
      down = true;
    }
  }
}

// what each kind of layer adds to the path, and whether it is filled
const SHAPES = {
  line: (pen, layer, { X, Y }) => trace(pen, layer.points, X, Y),
  area(pen, layer, { X, Y, floor }) {
    const { points } = layer;
    if (!points.length) return;
    trace(pen, points, X, Y);
    pen.lineTo(far(X(points[points.length - 1][0])), floor);
    pen.lineTo(far(X(points[0][0])), floor);
    pen.closePath();
  },
  bars(pen, layer, { X, Y, floor }) {
    for (const [low, high, y] of layer.bars) if (y > 0) pen.rect(X(low) + 0.4, far(Y(y)), Math.max(X(high) - X(low) - 0.8, 0.5), floor - far(Y(y)));
  },
  steps(pen, layer, { X, Y }) {
    trace(pen, layer.bars.flatMap(([low, high, y]) => [[low, y], [high, y]]), X, Y);
  },
  rug(pen, layer, { X, plot }) {
    for (const x of layer.x) {
      pen.moveTo(far(X(x)), plot.bottom);
      pen.lineTo(far(X(x)), plot.bottom - 0.7 * plot.unit);
    }
  },
  band(pen, layer, { X, Y, plot }) {
    const [x0, x1] = layer.x ? layer.x.map((v) => far(X(v))) : [plot.left, plot.right];
    const [y1, y0] = layer.y ? layer.y.map((v) => far(Y(v))) : [plot.bottom, plot.top];
    pen.rect(x0, y0, x1 - x0, y1 - y0);
  },
  vertical(pen, layer, { X, plot }) {
    pen.moveTo(far(X(layer.x)), plot.top);
    pen.lineTo(far(X(layer.x)), plot.bottom);
  },
  horizontal(pen, layer, { Y, plot }) {
    pen.moveTo(plot.left, far(Y(layer.y)));
    pen.lineTo(plot.right, far(Y(layer.y)));
  },
  stem(pen, layer, { X, Y, plot }) {
    const x = far(X(layer.x)), tip = far(Y(layer.y)), size = 0.35 * plot.unit;
    pen.moveTo(x, plot.bottom);
    pen.lineTo(x, tip);
    pen.moveTo(x - size, tip + 2 * size);
    pen.lineTo(x, tip);
    pen.lineTo(x + size, tip + 2 * size);
  },
  segment: (pen, layer, { X, Y }) => trace(pen, [layer.from, layer.to], X, Y),
  dots(pen, layer, { X, Y, plot }) {
    const r = 0.3 * plot.unit;
    for (const [x, y] of layer.points) {
      pen.moveTo(far(X(x)) + r, far(Y(y)));
      pen.arc(far(X(x)), far(Y(y)), r, 0, 2 * Math.PI);
    }
  },
};
const FILLED = ["area", "bars", "band", "dots"];

/** Draw the layers in a frame {x: [low, high], y: [low, high], xLog, yLog}. */
export function drawPlot(plot, frame, layers) {
  const { left, right, top, bottom, unit, context: pen } = plot, paint = colours();
  const X = scaleOf(frame.x, frame.xLog, left, right), Y = scaleOf(frame.y, frame.yLog, bottom, top);
  const base = Math.min(Math.max(frame.yLog ? bottom : Y(0), top), bottom);
  const place = { X, Y, plot, floor: base };
  Object.assign(plot, { X, Y });
  const xs = (frame.xLog ? decadesOf : ticksOf)(frame.x[0], frame.x[1], Math.max(3, Math.floor((right - left) / (5 * unit))));
  const ys = (frame.yLog ? decadesOf : ticksOf)(frame.y[0], frame.y[1], Math.max(3, Math.floor((bottom - top) / (3.2 * unit))));
  pen.setTransform(plot.sharpness, 0, 0, plot.sharpness, 0, 0);
  pen.clearRect(0, 0, plot.width, plot.height);
  pen.font = `${unit}px ${paint.font}`;
  pen.textBaseline = "alphabetic";
  pen.lineJoin = "round";
  const stroke = (colour, width, dashes) => {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.setLineDash(dashes);
    pen.stroke();
  };
  pen.beginPath();
  for (const [value] of xs) { pen.moveTo(X(value), top); pen.lineTo(X(value), bottom); }
  for (const [value] of ys) { pen.moveTo(left, Y(value)); pen.lineTo(right, Y(value)); }
  stroke(paint.grid, 1, []);
  pen.save();
  pen.beginPath();
  pen.rect(left, top - 2, right - left, bottom - top + 4);
  pen.clip();
  for (const layer of layers) {
    const look = lookOf(layer);
    pen.beginPath();
    SHAPES[layer.kind](pen, layer, place);
    pen.globalAlpha = layer.kind === "rug" ? 0.55 : look.opacity;
    if (FILLED.includes(layer.kind)) {
      pen.fillStyle = look.colour;
      pen.fill();
    } else if (layer.kind === "rug") stroke(look.colour, 1, []);
    else if (layer.kind === "segment") {
      pen.globalAlpha = 0.75;
      stroke(look.colour, 6, []);
    } else if (layer.kind === "steps" || layer.kind === "stem") stroke(look.colour, 2, []);
    else stroke(look.colour, look.width, look.dashes);
    pen.globalAlpha = 1;
  }
  pen.restore();
  pen.beginPath();
  pen.moveTo(left, top);
  pen.lineTo(left, bottom);
  pen.lineTo(right, bottom);
  stroke(paint.soft, 1, []);
  pen.fillStyle = paint.soft;
  pen.textAlign = "center";
  for (const [value, text] of xs) pen.fillText(text, X(value), bottom + 1.3 * unit);
  pen.fillText(plot.xLabel, (left + right) / 2, plot.height - 0.4 * unit);
  pen.textAlign = "right";
  for (const [value, text] of ys) pen.fillText(text, left - 0.4 * unit, Y(value) + 0.35 * unit);
  pen.textAlign = "left";
  pen.fillText(plot.yLabel, 0.2 * unit, unit);
  pen.strokeStyle = paint.card;
  pen.lineWidth = 4;
  for (const layer of layers) {
    if (!layer.text) continue;
    const x = Math.min(Math.max(X(layer.at[0]), left), right), y = Math.min(Math.max(Y(layer.at[1]), top + unit), bottom - 0.3 * unit);
    const anchor = layer.anchor || (x > (left + right) / 2 ? "end" : "start");
    const half = pen.measureText(layer.text).width / 2, shift = anchor === "end" ? -half - 0.4 * unit : anchor === "start" ? half + 0.4 * unit : 0;
    const middle = Math.min(Math.max(x + shift, left + half + 2), right - half);
    const height = Math.min(y + (layer.dy || 0) * unit, bottom - 0.3 * unit);
    pen.textAlign = "center";
    pen.setLineDash([]);
    pen.strokeText(layer.text, middle, height);
    pen.fillStyle = paint.ink;
    pen.fillText(layer.text, middle, height);
  }
}

/** Say in words what the chart shows. */
export function describePlot(plot, text) {
  plot.canvas.setAttribute("aria-label", `${plot.label}. ${text}`);
}

/** A handle on the chart: `moved(x, y)` gets the place of the pointer, `stepped(dx, dy, far)` the arrow keys. */
export function addHandle(plot, { label, css = "", moved, stepped }) {
  const group = document.createElement("div");
  group.className = `handle ${css}`;
  group.setAttribute("tabindex", "0");
  group.setAttribute("role", "slider");
  group.setAttribute("aria-label", label);
  plot.host.append(group);
  let dragging = false;
  const at = (event) => {
    const box = plot.canvas.getBoundingClientRect(), factor = plot.width / box.width;
    const x = Math.min(Math.max((event.clientX - box.left) * factor, plot.left), plot.right);
    const y = Math.min(Math.max((event.clientY - box.top) * factor, plot.top), plot.bottom);
    moved(plot.X.back(x), plot.Y.back(y));
  };
  group.addEventListener("pointerdown", (event) => {
    dragging = true;
    group.setPointerCapture(event.pointerId);
    group.focus({ preventScroll: true });
    event.preventDefault();
  });
  group.addEventListener("pointermove", (event) => dragging && at(event));
  for (const name of ["pointerup", "pointercancel"]) group.addEventListener(name, () => { dragging = false; });
  plot.canvas.addEventListener("click", at);
  group.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    const page = { PageUp: [10, 10], PageDown: [-10, -10] }[event.key];
    if (!step && !page) return;
    event.preventDefault();
    const far = event.shiftKey ? 10 : 1;
    if (step) stepped(step[0] * far, step[1] * far);
    else stepped(page[0], page[1]);
  });
  return group;
}

/** Put a handle at (x, y) and say its value. */
export function placeHandle(plot, handle, x, y, { now, low, high, text }) {
  const px = Math.min(Math.max(plot.X(x), plot.left), plot.right), py = Math.min(Math.max(plot.Y(y), plot.top), plot.bottom);
  handle.style.transform = `translate(${px.toFixed(1)}px, ${py.toFixed(1)}px)`;
  handle.setAttribute("aria-valuenow", now);
  handle.setAttribute("aria-valuemin", low);
  handle.setAttribute("aria-valuemax", high);
  handle.setAttribute("aria-valuetext", text);
}
