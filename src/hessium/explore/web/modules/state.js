// The settings of the page, its link, and who is told of a change.

import { ACTIVATIONS } from "./laws.js";
import { plain } from "./format.js";

export const RANGES = { ratio: [0.01, 10], energy: [1e-6, 10], n: [10, 200], spike: [-40, 40], step: [1, 5] };
export const DEFAULTS = {
  ratio: 0.25, energy: 0.1, n: 100, activation: "linear", spike: 2.5, step: 1, probe: 0.3, seed: 1, pool: 1,
  parts: "h01", log: 0, theme: "auto", overlay: -1,
};

/** A value within its range, or null if it is none. */
function legal(name, value) {
  if (name === "activation") return ACTIVATIONS.includes(value) ? value : null;
  if (name === "theme") return ["auto", "light", "dark"].includes(value) ? value : null;
  if (name === "parts") return /^[h01]*$/.test(value) ? value : null;
  const number = Number(value);
  if (value === "" || !isFinite(number)) return null;
  const [low, high] = RANGES[name] || { seed: [0, 2 ** 31], pool: [1, 10], log: [0, 1], overlay: [-1, 99], probe: [-1, 1] }[name];
  const within = Math.min(Math.max(number, low), high);
  return ["n", "step", "seed", "pool", "log", "overlay"].includes(name) ? Math.round(within) : within;
}

/** The settings that a link carries; what it does not say, or says wrongly, has its default. */
export function readLink(hash) {
  const found = { ...DEFAULTS };
  for (const [name, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (!Object.hasOwn(DEFAULTS, name)) continue;
    const value = legal(name, text);
    if (value !== null) found[name] = value;
  }
  return found;
}

/** The part of a link after #: what differs from the defaults, and always ratio, energy and activation. */
export function linkOf(state) {
  const words = [];
  for (const name of Object.keys(DEFAULTS)) {
    const always = ["ratio", "energy", "activation"].includes(name);
    if (always || state[name] !== DEFAULTS[name]) {
      words.push(`${name}=${typeof state[name] === "number" ? plain(state[name], 8) : state[name]}`);
    }
  }
  return `#${words.join("&")}`;
}

/** Settings with `set(changes)`; listeners are called with the new settings and the names that changed. */
export function makeStore(initial) {
  const listeners = [];
  const store = {
    state: initial,
    listen: (listener) => listeners.push(listener),
    set(changes) {
      const next = { ...store.state }, names = [];
      for (const [name, value] of Object.entries(changes)) {
        const checked = legal(name, value);
        if (checked !== null && checked !== next[name]) {
          next[name] = checked;
          names.push(name);
        }
      }
      if (!names.length) return;
      store.state = next;
      for (const listener of listeners) listener(next, names);
    },
  };
  return store;
}
