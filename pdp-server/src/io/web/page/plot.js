// How long each class is expected to run, as a plot with its past: what each plan of this interruption expected, over the time
// at which it was made. The table beside it says the same in words.

import { duration, make, svg } from "./draw.js";
import { classOf, ranksOf } from "./cluster.js";

const WIDTH = 560;
const HEIGHT = 180;
const LEFT = 64;
const BOTTOM = 24;

// What the plans of the interruption that goes on expected, oldest first; `events` has the latest first.
export function pastOf(events, status) {
  const id = status.outage?.id ?? null;
  const past = events
    .filter((e) => e.kind === "plan_issued" && e.elapsed_millis !== null && Array.isArray(e.data?.classes))
    .filter((e) => id !== null && e.interruption === id)
    .map((e) => ({ at: e.elapsed_millis, classes: e.data.classes }))
    .reverse();
  if (status.outage && status.plan) past.push({ at: status.outage.elapsed_millis, classes: status.classes });
  return past;
}

function line(points, className) {
  return svg("polyline", { class: `expected ${className}`, points: points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ") });
}

// The plot, or null where there is nothing to draw.
export function plotOf(events, status) {
  const past = pastOf(events, status);
  if (past.length === 0) return null;
  const ranks = ranksOf(status);
  const ends = past.flatMap((p) => p.classes.map((c) => c.ride_through_millis)).filter((end) => end !== null);
  const targets = status.classes.map((c) => c.target_millis).filter((t) => t !== null);
  const top = Math.max(60_000, ...ends, ...targets, past.at(-1).at) * 1.08;
  const right = Math.max(60_000, past.at(-1).at) * 1.02;
  const x = (millis) => LEFT + (WIDTH - LEFT - 8) * Math.min(1, millis / right);
  const y = (millis) => (HEIGHT - BOTTOM) * (1 - Math.min(1, millis / top)) + 4;
  const parts = [];
  for (const part of [0, 0.5, 1]) {
    const level = (top / 1.08) * part;
    parts.push(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - 8, y1: y(level), y2: y(level) }));
    const label = svg("text", { class: "axis", x: LEFT - 6, y: y(level) + 4, "text-anchor": "end" });
    label.textContent = duration(level);
    parts.push(label);
  }
  const begin = svg("text", { class: "axis", x: LEFT, y: HEIGHT - 4 });
  begin.textContent = "loss of mains";
  const now = svg("text", { class: "axis", x: WIDTH - 8, y: HEIGHT - 4, "text-anchor": "end" });
  now.textContent = `now, ${duration(past.at(-1).at)} after it`;
  parts.push(begin, now);
  // Beneath this line a class has ended: as much time has passed as it was to run.
  parts.push(svg("line", { class: "elapsed", x1: x(0), y1: y(0), x2: x(right), y2: y(Math.min(right, top)) }));
  for (const c of status.classes) {
    const own = classOf(ranks, c.priority);
    if (c.target_millis !== null && c.target_millis > 0) {
      parts.push(svg("line", { class: `target ${own}`, x1: LEFT, x2: WIDTH - 8, y1: y(c.target_millis), y2: y(c.target_millis) }));
    }
    const points = past.flatMap((p) => {
      const found = p.classes.find((other) => other.priority === c.priority);
      if (!found) return [];
      return [[x(p.at), y(found.ride_through_millis ?? top)]];
    });
    if (points.length === 1) points.push([points[0][0] + 4, points[0][1]]);
    if (points.length) parts.push(line(points, own));
  }
  const words = status.classes.map((c) => `class ${c.priority}: ${c.ride_through_millis === null ? "no end in sight" : duration(c.ride_through_millis)}`);
  return make("figure", { className: "plot" },
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Expected ride-through now. ${words.join("; ")}` }, ...parts),
    make("figcaption", { className: "soft", text: "Expected ride-through of each class, over time. Dashes: targets. Thin: the time that has passed." }));
}
