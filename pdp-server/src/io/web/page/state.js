// What is happening and why, what comes next, classes, lines, alarms and events, in words.

import { bar, by, duration, make, replace, setText, tag, watts } from "./draw.js";
import { classOf, ranksOf } from "./cluster.js";

const PHASES = {
  normal: "All is well: no interruption",
  debounce: "A first sign of an interruption: lines at once, nothing is stopped yet",
  interrupted: "Interruption: the reserves carry the most important work",
  mains_good: "Mains is back, and must prove itself",
  restoring: "Everything is being brought back, the most important first",
};
const CAUSES = {
  standing: "nothing is wrong",
  server_mains: "a server lost its mains",
  domain_mains: "a domain lost its mains",
  command: "an administrator commanded it",
  drill: "a drill: nothing is actuated",
};
const STAGES_SHOWN = 40;
const STEPS_SHOWN = 12;
export const EVENTS_SHOWN = 200;

const word = (value) => String(value).replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase();

function scopeText(scope) {
  const [kind, names] = typeof scope === "string" ? [word(scope), []] : Object.entries(scope)[0];
  if (kind === "cluster") return "the whole cluster";
  return `${names.length === 1 ? kind.replace(/s$/, "") : kind} ${names.join(", ")}`;
}

export function drawNow(status) {
  const phase = word(status.phase);
  by("now").className = `card phase ${phase}`;
  setText(by("phase"), PHASES[phase] ?? phase);
  const outage = status.outage;
  setText(by("why"), outage
    ? `Why: ${CAUSES[word(outage.cause)] ?? outage.cause}. It covers ${scopeText(outage.scope)} and began ${duration(outage.elapsed_millis)} ago.`
    : `${status.servers.length} servers, ${status.reserves.length} reserves, ${status.peers.filter((p) => p.connected).length} of ${status.peers.length} agents connected.`);
  const plan = status.plan;
  let next = "";
  if (outage && plan) {
    next = plan.next ? `Next: ${plan.next}.` : "Next: no further stage of the plan waits.";
    if (plan.outstanding) next = `Now: ${plan.outstanding} released steps have yet to report. ${next}`;
  }
  if (phase === "mains_good") next = `Next: restarts begin once mains has been good for ${duration(outage?.mains_good_millis ?? 0)}.`;
  setText(by("next"), next);
}

export function drawAlarms(status) {
  const lines = status.alarms.map((a) => make("li", { text: `${a.text} (for ${duration(a.millis)})` }));
  const more = status.counts.alarms - status.alarms.length;
  if (more > 0) lines.push(make("li", { text: `and ${more} more alarms` }));
  lines.push(...status.warnings.map((text) => make("li", { className: "soft", text })));
  by("alarm-card").hidden = lines.length === 0;
  setText(by("alarms-title"), status.counts.alarms ? "What needs a person" : "Good to know");
  replace(by("alarms"), lines);
}

export function drawClasses(status) {
  const ranks = ranksOf(status);
  replace(by("classes"), status.classes.map((c) => {
    const target = c.target_millis === null ? "for ever" : duration(c.target_millis);
    const short = c.ride_through_millis !== null && (c.target_millis === null || c.ride_through_millis < c.target_millis);
    const expected = !status.plan ? "no plan yet" : c.ride_through_millis === null ? "no end in sight" : duration(c.ride_through_millis);
    const top = Math.max(c.ride_through_millis ?? 0, c.target_millis ?? 0, 1) * 1.1;
    const level = c.ride_through_millis === null ? (status.plan ? 1 : 0) : c.ride_through_millis / top;
    return make("tr", {},
      make("th", { scope: "row" }, make("span", { className: `set ${classOf(ranks, c.priority)}`, text: c.priority })),
      make("td", { text: c.sets.join(", ") }),
      make("td", {}, `${c.running} of ${c.activities}`, c.shed ? tag(`${c.shed} shed`, "warn") : null),
      make("td", {},
        make("span", { className: short ? "short" : "", text: `${expected} / ${target}${short ? ": short" : ""}` }),
        bar(level, `expected ${expected}, target ${target}`, {
          kind: short ? "low" : "", mark: c.target_millis ? c.target_millis / top : null,
        })));
  }).map((row) => { row.normalize(); return row; }));
}

export function drawLines(status) {
  const kinds = { open: "info", closed: "good", moving: "warn", fault: "bad" };
  replace(by("lines"), status.lines.length
    ? status.lines.map((line) => make("li", {},
      make("strong", { text: `${line.name} ` }), tag(line.state, kinds[line.state] ?? "warn"),
      make("div", { className: "soft", text: line.carries.length
        ? line.carries.map((c) => `${c.reserve} → ${c.server}, up to ${watts(c.milliwatts)}`).join("; ")
        : `carries nothing; at most ${watts(line.max_milliwatts)}` })))
    : [make("li", { text: "No line is known." })]);
}

function triggerText(trigger) {
  const [kind, of] = typeof trigger === "string" ? [trigger, {}] : Object.entries(trigger)[0];
  switch (word(kind)) {
    case "elapsed": return `${duration(of.millis)} after it began`;
    case "charge_below": return `when ${of.reserves.join(", ")} fall below a level`;
    case "charge_above": return `when ${of.reserves.join(", ")} are charged enough`;
    case "delay": return `${duration(of.millis)} after the stage before`;
    default: return "after the results before it";
  }
}

export function drawPlan(plan) {
  const stages = plan ? plan.plan.stages.filter((stage) => !stage.local) : [];
  const steps = new Map();
  for (const step of plan?.steps ?? []) {
    if (!steps.has(step.stage)) steps.set(step.stage, []);
    steps.get(step.stage).push(step);
  }
  const shown = stages.filter((stage) => (steps.get(stage.order) ?? []).length > 0);
  if (!shown.length) {
    replace(by("stages"), [make("li", { text: plan ? "The plan in force changes nothing." : "There is no plan yet." })]);
    return;
  }
  const items = shown.slice(0, STAGES_SHOWN).map((stage) => {
    const own = steps.get(stage.order);
    const waits = own.some((step) => step.outcome === "waiting");
    const runs = own.some((step) => step.outcome === "released");
    const failed = own.filter((step) => !["waiting", "released", "done", "confirmed", "success"].includes(step.outcome)).length;
    const [text, kind] = waits ? ["waits", "info"] : runs ? ["under way", "warn"] : failed ? ["failed in part", "bad"] : ["done", "good"];
    const list = own.slice(0, STEPS_SHOWN).map((step) => make("li", { text: `${step.step} (${step.outcome})` }));
    if (own.length > STEPS_SHOWN) list.push(make("li", { text: `and ${own.length - STEPS_SHOWN} more steps` }));
    return make("li", { className: waits || runs ? "" : "done" },
      make("strong", { text: stage.order === 0 ? "At once " : `Stage ${stage.order} ` }), tag(text, kind),
      make("div", { className: "soft", text: `${stage.order === 0 ? "lines and caps" : triggerText(stage.trigger)}: ${stage.reason}` }),
      make("ul", { className: "steps" }, ...list));
  });
  if (shown.length > STAGES_SHOWN) items.push(make("li", { text: `and ${shown.length - STAGES_SHOWN} more stages` }));
  replace(by("stages"), items);
}

// Events, the latest first. `when` turns engine time into a time of day.
export function drawEvents(events, when) {
  replace(by("events"), events.map((event) => {
    const time = when(event.at_millis);
    const since = event.elapsed_millis === null ? "" : ` +${duration(event.elapsed_millis)}`;
    return make("li", {}, make("time", { text: `${time}${since}` }), make("span", { text: event.text }));
  }));
}
