// Charts as SVG: axes, curves, areas, bars, marks, and handles that pointer and keyboard move.

import { digits, escape, power } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

/** A chart inside `host`, of a height that is a share of its width. */
export function makePlot(host, { label, xLabel, yLabel, aspect = 0.52 }) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "chart");
  const drawing = document.createElementNS(SVG, "g"), handles = document.createElementNS(SVG, "g");
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", label);
  svg.append(drawing, handles);
  host.append(svg);
  const id = `clip-${host.id}`;
  const plot = { svg, drawing, handles, host, id, label, xLabel, yLabel, aspect, list: [] };
  measurePlot(plot);
  return plot;
}

/** Read the width of the host: after a change of the window, not at every redraw. */
export function measurePlot(plot) {
  const width = Math.max(plot.host.clientWidth, 200);
  const unit = parseFloat(getComputedStyle(plot.host).fontSize) * 0.8;
  const height = Math.round(Math.min(Math.max(width * plot.aspect, 200), 420 * (unit / 12.8)));
  Object.assign(plot, { width, height, unit });
  Object.assign(plot, { left: 3.6 * unit, right: width - unit, top: 1.2 * unit, bottom: height - 3.3 * unit });
  plot.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  plot.svg.setAttribute("height", height);
  plot.svg.style.fontSize = `${unit}px`;
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

/** Draw the layers in a frame {x: [low, high], y: [low, high], xLog, yLog}. */
export function drawPlot(plot, frame, layers) {
  const { left, right, top, bottom, unit } = plot;
  const scale = (range, log, from, to) => {
    const low = log ? Math.log10(range[0]) : range[0], high = log ? Math.log10(range[1]) : range[1];
    const factor = (to - from) / (high - low);
    const map = log
      ? (v) => from + (Math.log10(Math.max(v, 1e-300)) - low) * factor
      : (v) => from + (v - low) * factor;
    map.back = (place) => {
      const value = low + (place - from) / factor;
      return log ? 10 ** value : value;
    };
    return map;
  };
  const X = scale(frame.x, frame.xLog, left, right), Y = scale(frame.y, frame.yLog, bottom, top);
  Object.assign(plot, { X, Y });
  const wide = (v) => Math.min(Math.max(v, -1e4), 2e4).toFixed(1); // browsers round coordinates of millions
  const path = (points) => {
    let text = "", pen = "M";
    for (const [x, y] of points) {
      if (!(isFinite(x) && isFinite(y))) {
        pen = "M";
        continue;
      }
      text += `${pen}${wide(X(x))} ${wide(Y(y))}`;
      pen = "L";
    }
    return text;
  };
  const out = [];
  const xs = (frame.xLog ? decadesOf : ticksOf)(frame.x[0], frame.x[1], Math.max(3, Math.floor((right - left) / (6 * unit))));
  const ys = (frame.yLog ? decadesOf : ticksOf)(frame.y[0], frame.y[1], Math.max(3, Math.floor((bottom - top) / (3.4 * unit))));
  let grid = "", words = "";
  for (const [value, text] of xs) {
    const x = X(value).toFixed(1);
    grid += `M${x} ${top}V${bottom}`;
    words += `<text x="${x}" y="${bottom + 1.3 * unit}" text-anchor="middle">${text}</text>`;
  }
  for (const [value, text] of ys) {
    const y = Y(value).toFixed(1);
    grid += `M${left} ${y}H${right}`;
    words += `<text x="${left - 0.5 * unit}" y="${Number(y) + 0.35 * unit}" text-anchor="end">${text}</text>`;
  }
  out.push(`<path class="grid" d="${grid}"/>`);
  const marks = [];
  for (const layer of layers) {
    const css = `class="${layer.kind} ${layer.css || ""}"`;
    if (layer.kind === "line") out.push(`<path ${css} d="${path(layer.points)}"/>`);
    else if (layer.kind === "area") {
      if (!layer.points.length) continue;
      const base = Y(frame.yLog ? frame.y[0] : layer.base ?? 0).toFixed(1), points = layer.points;
      out.push(`<path ${css} d="${path(points)}L${wide(X(points[points.length - 1][0]))} ${base}L${wide(X(points[0][0]))} ${base}Z"/>`);
    } else if (layer.kind === "bars") {
      let d = "";
      const base = wide(Y(frame.y[0]));
      for (const [low, high, y] of layer.bars) if (y > 0) d += `M${wide(X(low))} ${base}V${wide(Y(y))}H${wide(X(high))}V${base}`;
      out.push(`<path ${css} d="${d}"/>`);
    } else if (layer.kind === "steps") {
      let d = "";
      layer.bars.forEach(([low, high, y], k) => {
        d += `${k ? "L" : "M"}${wide(X(low))} ${wide(Y(Math.max(y, frame.yLog ? frame.y[0] : 0)))}H${wide(X(high))}`;
      });
      out.push(`<path ${css} d="${d}"/>`);
    } else if (layer.kind === "rug") {
      let d = "";
      for (const x of layer.x) d += `M${wide(X(x))} ${bottom}v${-0.7 * unit}`;
      out.push(`<path ${css} d="${d}"/>`);
    } else if (layer.kind === "band") {
      const x0 = layer.x ? X(layer.x[0]) : left, x1 = layer.x ? X(layer.x[1]) : right;
      const y1 = layer.y ? Y(layer.y[0]) : bottom, y0 = layer.y ? Y(layer.y[1]) : top;
      out.push(`<rect ${css} x="${wide(x0)}" y="${wide(y0)}" width="${Math.max(x1 - x0, 0).toFixed(1)}" height="${Math.max(y1 - y0, 0).toFixed(1)}"/>`);
    } else if (layer.kind === "vertical") out.push(`<path ${css} d="M${wide(X(layer.x))} ${top}V${bottom}"/>`);
    else if (layer.kind === "horizontal") out.push(`<path ${css} d="M${left} ${wide(Y(layer.y))}H${right}"/>`);
    else if (layer.kind === "stem") {
      const x = X(layer.x), tip = Y(layer.y);
      out.push(`<path ${css} d="M${wide(x)} ${bottom}V${wide(tip)}m${-0.35 * unit} ${0.6 * unit}l${0.35 * unit} ${-0.6 * unit}l${0.35 * unit} ${0.6 * unit}"/>`);
    } else if (layer.kind === "segment") out.push(`<path ${css} d="M${wide(X(layer.from[0]))} ${wide(Y(layer.from[1]))}L${wide(X(layer.to[0]))} ${wide(Y(layer.to[1]))}"/>`);
    else if (layer.kind === "dots") {
      let d = "";
      const r = 0.3 * unit;
      for (const [x, y] of layer.points) d += `M${wide(X(x) - r)} ${wide(Y(y))}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
      out.push(`<path ${css} d="${d}"/>`);
    }
    if (layer.text && layer.at) {
      const x = Math.min(Math.max(X(layer.at[0]), left), right), y = Math.min(Math.max(Y(layer.at[1]), top + unit), bottom - 0.3 * unit);
      const anchor = layer.anchor || (x > (left + right) / 2 ? "end" : "start");
      const shift = anchor === "end" ? -0.4 : anchor === "start" ? 0.4 : 0;
      marks.push(`<text class="mark ${layer.css || ""}" text-anchor="${anchor}" x="${(x + shift * unit).toFixed(1)}" y="${(y + (layer.dy || 0) * unit).toFixed(1)}">${escape(layer.text)}</text>`);
    }
  }
  plot.drawing.innerHTML =
    `<clipPath id="${plot.id}"><rect x="${left}" y="${top - 2}" width="${right - left}" height="${bottom - top + 4}"/></clipPath>` +
    `<g clip-path="url(#${plot.id})">${out.join("")}</g><path class="axis" d="M${left} ${top}V${bottom}H${right}"/>` +
    `<g class="words">${words}</g>${marks.join("")}` +
    `<text class="label" text-anchor="middle" x="${(left + right) / 2}" y="${plot.height - 0.35 * unit}">${escape(plot.xLabel)}</text>` +
    `<text class="label" x="${0.2 * unit}" y="${0.9 * unit}">${escape(plot.yLabel)}</text>`;
}

/** Say in words what the chart shows. */
export function describePlot(plot, text) {
  plot.drawing.setAttribute("aria-label", `${plot.label}. ${text}`);
}

/** A handle on the chart: `moved(x, y)` gets the place of the pointer, `stepped(dx, dy, far)` the arrow keys. */
export function addHandle(plot, { label, css = "", moved, stepped }) {
  const group = document.createElementNS(SVG, "g");
  group.setAttribute("class", `handle ${css}`);
  group.setAttribute("tabindex", "0");
  group.setAttribute("role", "slider");
  group.setAttribute("aria-label", label);
  group.innerHTML = '<circle class="reach" r="22"/><circle class="ring" r="11"/><circle class="point" r="6.5"/>';
  plot.handles.append(group);
  let dragging = false;
  const at = (event) => {
    const box = plot.svg.getBoundingClientRect(), factor = plot.width / box.width;
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
  plot.drawing.addEventListener("click", at);
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
  handle.setAttribute("transform", `translate(${px.toFixed(1)} ${py.toFixed(1)})`);
  handle.setAttribute("aria-valuenow", now);
  handle.setAttribute("aria-valuemin", low);
  handle.setAttribute("aria-valuemax", high);
  handle.setAttribute("aria-valuetext", text);
}
