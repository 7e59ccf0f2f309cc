// The cluster as a picture: servers by mains domain, reserves as levels, sets by class, and what lines carry.

import { bar, by, make, replace, svg, tag, wattHours, watts } from "./draw.js";

const CLASS_COLOURS = 5;
const MAINS = {
  present: ["mains present", "good"],
  absent: ["no mains", "bad"],
  unstable: ["mains unstable", "warn"],
  unknown: ["mains unknown", "warn"],
};
const POWERED = {
  on: ["on", "good"],
  off_commanded: ["off by plan", "info"],
  off_seen: ["off", "info"],
  unreachable: ["out of reach", "warn"],
};

const word = (value) => String(value).replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase();
export const classOf = (ranks, priority) => `class-${(ranks.get(priority) ?? CLASS_COLOURS - 1) % CLASS_COLOURS}`;
export const ranksOf = (status) => new Map(status.classes.map((c, rank) => [c.priority, rank]));

const total = (carries) => carries.reduce((sum, c) => sum + c.milliwatts, 0);

// What goes from each reserve to each server, by whatever lines.
function pairsOf(status) {
  const pairs = new Map();
  for (const c of status.lines.flatMap((line) => line.carries)) {
    const key = JSON.stringify([c.reserve, c.server]);
    const pair = pairs.get(key) ?? { ...c, milliwatts: 0 };
    pair.milliwatts += c.milliwatts;
    pairs.set(key, pair);
  }
  return [...pairs.values()];
}

export function drawCluster(status) {
  const ranks = ranksOf(status);
  const place = new Map();
  for (const server of status.servers) {
    const name = server.domains.length ? server.domains.join(" + ") : "no domain";
    if (!place.has(name)) place.set(name, []);
    place.get(name).push(server);
  }
  const mains = new Map(status.domains.map((d) => [d.name, d]));
  const domains = Array.from(place, ([name, servers]) => {
    const known = mains.get(name);
    const [text, kind] = known ? MAINS[word(known.mains)] : ["", ""];
    return make("section", { className: "domain", "aria-label": `domain ${name}` },
      make("h3", {}, make("span", { text: name }), known ? tag(text, kind) : null,
        known ? make("span", { className: "soft", text: known.reason }) : null),
      make("div", { className: "servers" }, ...servers.map((server) => drawServer(server, status, ranks))));
  });
  const lonely = status.reserves.filter((reserve) => reserve.feeds.length === 0);
  if (lonely.length) {
    domains.push(make("section", { className: "domain", "aria-label": "reserves of no server" },
      make("h3", { text: "Reserves that only lines draw on" }),
      make("div", { className: "servers" },
        ...lonely.map((reserve) => make("article", { className: "server" }, drawReserve(reserve, status))))));
  }
  by("cluster").querySelector(":scope > svg.flows")?.remove();
  replace(by("cluster"), domains.length ? domains : [make("p", { text: "No server is known yet: no agent has connected." })]);
  replace(by("legend"), [
    "Sets: ",
    ...status.classes.map((c) => make("span", { className: `set ${classOf(ranks, c.priority)}`, text: `class ${c.priority}` })),
    "Grey part of a reserve: never drawn.",
  ]);
  drawFlows(status);
}

function drawServer(server, status, ranks) {
  const [text, kind] = POWERED[word(server.powered)] ?? [server.powered, "warn"];
  const off = word(server.powered).startsWith("off");
  const known = server.milliwatts !== null && !off;
  const draw = known ? `${watts(server.milliwatts)} of ${watts(server.peak_milliwatts)}` : off ? "draws nothing" : "draw unknown";
  const feeds = status.lines.map((line) => [line, line.carries.filter((c) => c.server === server.name)])
    .filter(([, carries]) => carries.length > 0)
    .map(([line, carries]) => make("p", { className: "flow", text: `← up to ${watts(total(carries))} by ${line.name} from ` +
      carries.toSorted((a, b) => b.milliwatts - a.milliwatts).map((c) => `${c.reserve} (${watts(c.milliwatts)})`).join(", ") }));
  const own = status.reserves.filter((reserve) => reserve.feeds.includes(server.name));
  const className = ["server", off ? "off" : "", word(server.powered) === "unreachable" ? "unreachable" : ""].join(" ").trim();
  return make("article", { className, "data-server": server.name, "aria-label": `server ${server.name}, ${text}` },
    make("h4", {}, make("span", { text: server.name }), make("span", { className: "soft", text: draw }), tag(text, kind)),
    server.armed ? null : make("p", { className: "soft", text: "observed only: not armed" }),
    known && server.peak_milliwatts > 0 ? bar(server.milliwatts / server.peak_milliwatts, `draws ${draw}`, { kind: "draw" }) : null,
    ...own.map((reserve) => drawReserve(reserve, status)),
    ...feeds,
    drawSets(server, status, ranks));
}

function drawReserve(reserve, status) {
  const { capacity_millijoules: full, charge_millijoules: charge, cutoff_millijoules: cutoff } = reserve;
  const usable = full > cutoff ? (charge - cutoff) / (full - cutoff) : 0;
  const stale = reserve.age_millis > 120_000;
  const percent = Math.round((100 * charge) / Math.max(1, full));
  const words = `${percent} %, ${wattHours(Math.max(0, charge - cutoff))} usable`;
  const given = pairsOf(status)
    .filter((c) => c.reserve === reserve.name && !reserve.feeds.includes(c.server))
    .map((c) => `→ ${c.server} (up to ${watts(c.milliwatts)})`);
  const kind = usable < 0.05 ? "empty" : usable < 0.25 ? "low" : "";
  return make("div", { className: "reserve", "data-reserve": reserve.name },
    make("span", { text: `${reserve.name} ${words}` }),
    stale ? tag("old figure", "warn") : null,
    bar(charge / Math.max(1, full), `reserve ${reserve.name}: ${words}`, { kind, cutoff: cutoff / Math.max(1, full) }),
    given.length ? make("div", { className: "flow", text: given.join(", ") }) : null);
}

function drawSets(server, status, ranks) {
  const here = status.activities
    .filter((a) => a.host === server.name)
    .sort((a, b) => (b.priority ?? -1) - (a.priority ?? -1) || a.name.localeCompare(b.name));
  return make("ul", { className: "sets", "aria-label": `activities on ${server.name}` }, ...here.map((a) => {
    const state = a.shed ? "shed" : a.moving_to ? `moving to ${a.moving_to}` : a.state === "running" ? "" : a.state;
    const set = a.set === "" ? "no set" : a.set;
    const className = `set ${classOf(ranks, a.priority)}${a.shed ? " shed" : ""}`;
    return make("li", { className, title: `set ${set}, class ${a.priority ?? "none"}`, text: state ? `${a.name}: ${state}` : a.name });
  }));
}

// Arrows between the servers; what they say stands in words at both ends and in the list of lines.
export function drawFlows(status) {
  const cluster = by("cluster");
  cluster.querySelector(":scope > svg.flows")?.remove();
  const origin = cluster.getBoundingClientRect();
  const find = (attribute, name) => cluster.querySelector(`[data-${attribute}="${CSS.escape(name)}"]`);
  const arrows = [];
  for (const c of pairsOf(status)) {
    const [from, to] = [find("reserve", c.reserve), find("server", c.server)];
    if (!from || !to || to.contains(from)) continue;
    const [a, b] = [from.closest(".server").getBoundingClientRect(), to.getBoundingClientRect()];
    const rightwards = b.left > a.left;
    const x1 = (rightwards ? a.right : a.left) - origin.left;
    const x2 = (a.left < b.left ? b.left : b.right) - origin.left;
    const [y1, y2] = [from.getBoundingClientRect().bottom - 8 - origin.top, b.top + 14 - origin.top];
    const bend = Math.max(18, Math.abs(x2 - x1) / 2);
    const [c1, c2] = [x1 + (rightwards ? bend : -bend), x2 + (a.left < b.left ? -bend : bend)];
    arrows.push(svg("path", {
      class: "arrow", d: `M${x1},${y1} C${c1},${y1} ${c2},${y2} ${x2},${y2}`,
      "stroke-width": Math.min(6, 1.5 + c.milliwatts / 50_000), "marker-end": "url(#tip)",
    }));
  }
  if (!arrows.length) return;
  const tip = svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 10, markerHeight: 10,
    markerUnits: "userSpaceOnUse", orient: "auto" }, svg("path", { class: "tip", d: "M0,0 L8,4 L0,8 z" }));
  cluster.append(svg("svg", { class: "flows", "aria-hidden": "true", width: origin.width, height: origin.height },
    svg("defs", {}, tip), ...arrows));
}
