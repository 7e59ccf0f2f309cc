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

// More servers than this are grouped: a line a domain, which opens.
const GROUPED_FROM = 60;
// Servers of a domain that are drawn at one time.
const SHOWN_AT_ONCE = 60;

// Domains that somebody has opened, and how many of their servers are shown.
const open = new Map();
// What was drawn last, for those who open one.
let latest = null;

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

// Lists by a key, each found at once: a cluster of hundreds is drawn every other second.
function listed(items, keysOf) {
  const lists = new Map();
  for (const item of items) {
    for (const key of keysOf(item)) {
      if (!lists.has(key)) lists.set(key, []);
      lists.get(key).push(item);
    }
  }
  return { of: (key) => lists.get(key) ?? [] };
}

function indexOf(status) {
  return {
    ranks: ranksOf(status),
    reserves: listed(status.reserves, (r) => r.feeds),
    activities: listed(status.activities, (a) => [a.host]),
    feeds: listed(status.lines.flatMap((line) => line.carries.map((carry) => ({ line, carry }))), (f) => [f.carry.server]),
    given: listed(pairsOf(status), (c) => [c.reserve]),
  };
}

export function drawCluster(status) {
  latest = status;
  const index = indexOf(status);
  const grouped = status.servers.length > GROUPED_FROM;
  by("find-line").hidden = !grouped;
  const wanted = grouped ? by("find").value.trim().toLowerCase() : "";
  const has = (name) => name.toLowerCase().includes(wanted);
  const isWanted = (server) => wanted === "" || has(server.name) || index.reserves.of(server.name).some((r) => has(r.name))
    || index.activities.of(server.name).some((a) => has(a.name));
  const place = new Map();
  for (const server of status.servers.filter(isWanted)) {
    const name = server.domains.length ? server.domains.join(" + ") : "no domain";
    if (!place.has(name)) place.set(name, []);
    place.get(name).push(server);
  }
  const mains = new Map(status.domains.map((d) => [d.name, d]));
  const domains = Array.from(place, ([name, servers]) => {
    const known = mains.get(name);
    const [text, kind] = known ? MAINS[word(known.mains)] : ["", ""];
    const title = make("h3", {}, make("span", { text: name }), known ? tag(text, kind) : null,
      known ? make("span", { className: "soft", text: known.reason }) : null);
    const body = grouped ? drawGroup(name, servers, index, wanted !== "")
      : make("div", { className: "servers" }, ...servers.map((server) => drawServer(server, index)));
    return make("section", { className: "domain", "aria-label": `domain ${name}` }, title, body);
  });
  const lonely = grouped ? [] : status.reserves.filter((reserve) => reserve.feeds.length === 0);
  if (lonely.length) {
    domains.push(make("section", { className: "domain", "aria-label": "reserves of no server" },
      make("h3", { text: "Reserves that only lines draw on" }),
      make("div", { className: "servers" },
        ...lonely.map((reserve) => make("article", { className: "server" }, drawReserve(reserve, index))))));
  }
  by("cluster").querySelector(":scope > svg.flows")?.remove();
  const nothing = wanted ? "Nothing has this in its name." : "No server is known yet: no agent has connected.";
  // Who moves by keyboard stays where they are.
  const active = document.activeElement?.closest("#cluster summary, #cluster button.more");
  const [domainName, focusedKind] = [active?.closest(".domain")?.getAttribute("aria-label"), active?.localName];
  replace(by("cluster"), domains.length ? domains : [make("p", { text: nothing })]);
  if (active && !active.isConnected) {
    const section = by("cluster").querySelector(`[aria-label="${CSS.escape(domainName)}"]`);
    (section?.querySelector(focusedKind === "button" ? "button.more" : "summary") ?? section?.querySelector("summary"))?.focus();
  }
  replace(by("legend"), [
    "Sets: ",
    ...status.classes.map((c) => make("span", { className: `set ${classOf(index.ranks, c.priority)}`, text: `class ${c.priority}` })),
    "Grey part of a reserve: never drawn.",
  ]);
  drawFlows(status);
}

// A domain of a large cluster: a line that says how it is, and some of its servers once it is opened.
function drawGroup(name, servers, index, isSearch) {
  const is = (state) => servers.filter((s) => word(s.powered).startsWith(state)).length;
  const [off, away] = [is("off"), is("unreachable")];
  const reserves = servers.flatMap((s) => index.reserves.of(s.name));
  const sum = (of) => reserves.reduce((all, r) => all + of(r), 0);
  const full = sum((r) => Math.max(0, r.capacity_millijoules - r.cutoff_millijoules));
  const left = sum((r) => Math.max(0, r.charge_millijoules - r.cutoff_millijoules));
  const shed = servers.flatMap((s) => index.activities.of(s.name)).filter((a) => a.shed).length;
  const words = [`${servers.length} servers`, off ? `${off} off` : "", away ? `${away} out of reach` : "",
    shed ? `${shed} activities shed` : "", `${wattHours(left)} of ${wattHours(full)} usable`].filter((w) => w !== "").join(", ");
  const isOpen = isSearch || open.has(name);
  const shown = open.get(name) ?? SHOWN_AT_ONCE;
  const details = make("details", isOpen ? { open: "" } : {},
    make("summary", {}, make("span", { text: words }), bar(full > 0 ? left / full : 0, `usable energy of ${name}: ${words}`)));
  details.addEventListener("toggle", () => {
    if (details.open === open.has(name) || isSearch) return;
    if (details.open) open.set(name, SHOWN_AT_ONCE);
    else open.delete(name);
    drawCluster(latest);
  });
  if (isOpen) {
    details.append(make("div", { className: "servers" }, ...servers.slice(0, shown).map((server) => drawServer(server, index))));
    if (servers.length > shown) {
      const more = make("button", { type: "button", className: "more", text: `Show ${Math.min(SHOWN_AT_ONCE, servers.length - shown)} more of ${servers.length - shown}` });
      more.addEventListener("click", () => { open.set(name, shown + SHOWN_AT_ONCE); drawCluster(latest); });
      details.append(more);
    }
  }
  return details;
}

function drawServer(server, index) {
  const [text, kind] = POWERED[word(server.powered)] ?? [server.powered, "warn"];
  const off = word(server.powered).startsWith("off");
  const known = server.milliwatts !== null && !off;
  const draw = known ? `${watts(server.milliwatts)} of ${watts(server.peak_milliwatts)}` : off ? "draws nothing" : "draw unknown";
  const byLine = new Map();
  for (const { line, carry } of index.feeds.of(server.name)) byLine.set(line.name, [...(byLine.get(line.name) ?? []), carry]);
  const feeds = Array.from(byLine, ([line, carries]) => make("p", { className: "flow", text: `← up to ${watts(total(carries))} by ${line} from ` +
    carries.toSorted((a, b) => b.milliwatts - a.milliwatts).map((c) => `${c.reserve} (${watts(c.milliwatts)})`).join(", ") }));
  const own = index.reserves.of(server.name);
  const className = ["server", off ? "off" : "", word(server.powered) === "unreachable" ? "unreachable" : ""].join(" ").trim();
  return make("article", { className, "data-server": server.name, "aria-label": `server ${server.name}, ${text}` },
    make("h4", {}, make("span", { text: server.name }), make("span", { className: "soft", text: draw }), tag(text, kind)),
    server.armed ? null : make("p", { className: "soft", text: "observed only: not armed" }),
    known && server.peak_milliwatts > 0 ? bar(server.milliwatts / server.peak_milliwatts, `draws ${draw}`, { kind: "draw" }) : null,
    ...own.map((reserve) => drawReserve(reserve, index)),
    ...feeds,
    drawSets(server, index));
}

function drawReserve(reserve, index) {
  const { capacity_millijoules: full, charge_millijoules: charge, cutoff_millijoules: cutoff } = reserve;
  const usable = full > cutoff ? (charge - cutoff) / (full - cutoff) : 0;
  const stale = reserve.age_millis > 120_000;
  const percent = Math.round((100 * charge) / Math.max(1, full));
  const words = `${percent} %, ${wattHours(Math.max(0, charge - cutoff))} usable`;
  const given = index.given.of(reserve.name)
    .filter((c) => !reserve.feeds.includes(c.server))
    .map((c) => `→ ${c.server} (up to ${watts(c.milliwatts)})`);
  const kind = usable < 0.05 ? "empty" : usable < 0.25 ? "low" : "";
  return make("div", { className: "reserve", "data-reserve": reserve.name },
    make("span", { text: `${reserve.name} ${words}` }),
    stale ? tag("old figure", "warn") : null,
    bar(charge / Math.max(1, full), `reserve ${reserve.name}: ${words}`, { kind, cutoff: cutoff / Math.max(1, full) }),
    given.length ? make("div", { className: "flow", text: given.join(", ") }) : null);
}

function drawSets(server, index) {
  const here = index.activities.of(server.name)
    .toSorted((a, b) => (b.priority ?? -1) - (a.priority ?? -1) || a.name.localeCompare(b.name));
  return make("ul", { className: "sets", "aria-label": `activities on ${server.name}` }, ...here.map((a) => {
    const state = a.shed ? "shed" : a.moving_to ? `moving to ${a.moving_to}` : a.state === "running" ? "" : a.state;
    const set = a.set === "" ? "no set" : a.set;
    const className = `set ${classOf(index.ranks, a.priority)}${a.shed ? " shed" : ""}`;
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
