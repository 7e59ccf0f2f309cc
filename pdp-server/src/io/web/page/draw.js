// Small helpers that make elements. Text is always text: nothing from the PDP is ever markup.

const SVG = "http://www.w3.org/2000/svg";

export const by = (id) => document.getElementById(id);

// An element with attributes and children; `text` and `className` are properties.
export function make(name, { text, className, ...attributes } = {}, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export function tag(text, kind) {
  return make("span", { text, className: `tag ${kind}` });
}

// A level from 0 to 1, with a name for screen readers; `cutoff` and `mark` are places on it.
export function bar(level, label, { kind = "", cutoff = 0, mark = null } = {}) {
  const part = (value) => 100 * Math.min(1, Math.max(0, value));
  const drawing = svg(
    "svg",
    { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("rect", { class: "track", x: 0, y: 0, width: 100, height: 8, "vector-effect": "non-scaling-stroke" }),
    svg("rect", { class: `fill ${kind}`, x: 0, y: 0, width: part(level), height: 8 }),
  );
  if (cutoff > 0) drawing.append(svg("rect", { class: "cutoff", x: 0, y: 0, width: part(cutoff), height: 8 }));
  if (mark !== null) {
    const at = part(mark);
    const line = { class: "mark", x1: at, x2: at, y1: 0, y2: 8, "vector-effect": "non-scaling-stroke" };
    drawing.append(svg("line", line));
  }
  return drawing;
}

export function watts(milliwatts) {
  const value = milliwatts / 1000;
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} kW`;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} W`;
}

export function wattHours(millijoules) {
  const value = millijoules / 3_600_000;
  return value >= 10_000 ? `${(value / 1000).toFixed(1)} kWh` : `${value < 100 ? value.toFixed(1) : Math.round(value)} Wh`;
}

export function duration(millis) {
  const seconds = Math.round(millis / 1000);
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 100) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${String(minutes % 60).padStart(2, "0")} min` : `${Math.floor(hours / 24)} days`;
}

// Replaces the children of an element, if they would look different: focus and scrolling stay where nothing changes.
export function replace(element, children) {
  const fresh = document.createElement("div");
  fresh.append(...children);
  const same = fresh.childNodes.length === element.childNodes.length
    && Array.from(fresh.childNodes).every((node, at) => node.isEqualNode(element.childNodes[at]));
  if (!same) element.replaceChildren(...fresh.childNodes);
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
