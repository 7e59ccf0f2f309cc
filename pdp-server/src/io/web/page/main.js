// The page: who looks, the connection and its age, commands. What is drawn is in cluster.js and state.js.

import { Refused, command, commandId, follow, get, token } from "./api.js";
import { drawCluster, drawFlows } from "./cluster.js";
import { plotOf } from "./plot.js";
import { by, make, replace, setText } from "./draw.js";
import { EVENTS_SHOWN, drawAlarms, drawClasses, drawEvents, drawLines, drawNow, drawPlan } from "./state.js";

const REFRESH_EVERY = 2_000;
const REFRESH_SOON = 150;
const STALE_AFTER = 12_000;
const RETRY_AFTER = 2_000;

let me = null;
let status = null;
let heardAt = 0;
let statusAt = 0;
let events = [];
let stop = null;
let soon = null;
let asking = false;

// --- Who looks.

async function enter() {
  try {
    me = await get("/v1/me");
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return leave("This token does not count here.");
    return leave("The PDP does not answer. Try again.", true);
  }
  by("enter").hidden = true;
  by("main").hidden = false;
  by("leave").hidden = false;
  by("commands").hidden = me.role !== "operator";
  stop = new AbortController();
  live(stop.signal);
}

function leave(problem = "", keep = false) {
  if (!keep) token.forget();
  stop?.abort();
  stop = null;
  [me, status, events, heardAt, statusAt] = [null, null, [], 0, 0];
  by("enter").hidden = false;
  by("main").hidden = true;
  by("leave").hidden = true;
  by("stale").hidden = true;
  by("confirm").close();
  setText(by("enter-problem"), problem);
  setText(by("connection"), "not connected");
  by("connection").className = "connection";
  by("token").focus();
}

// --- The connection.

async function live(signal) {
  while (!signal.aborted) {
    try {
      await refresh();
      const last = events.length ? events[0].seq : Math.max(0, status.last_event - EVENTS_SHOWN);
      await follow(last, {
        heard: () => { heardAt = Date.now(); age(); },
        happened: (event) => { events = [event, ...events].slice(0, EVENTS_SHOWN); refreshSoon(); },
        lost: refreshSoon,
      }, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && error.status === 401) return leave("This token does not count any more.");
    }
    heardAt = 0;
    age();
    await new Promise((done) => setTimeout(done, RETRY_AFTER));
  }
}

function refreshSoon() {
  soon ??= setTimeout(() => { soon = null; refresh().catch(() => {}); }, REFRESH_SOON);
}

async function refresh() {
  if (asking) return;
  asking = true;
  try {
    const [fresh, plan] = await Promise.all([get("/v1/status"), get("/v1/plan")]);
    if (!me) return;
    [status, statusAt] = [fresh, Date.now()];
    draw(plan);
  } finally {
    asking = false;
  }
  age();
}

function draw(plan) {
  setText(by("name"), status.name);
  document.title = `${status.name}: ${status.phase === "normal" || status.phase === "Normal" ? "all is well" : "interruption"}`;
  drawNow(status);
  drawAlarms(status);
  drawClasses(status);
  const plot = plotOf(events, status);
  replace(by("plot"), plot ? [plot] : []);
  drawCluster(status);
  drawLines(status);
  drawPlan(plan);
  drawEvents(events, timeOf);
  drawScopes();
}

function timeOf(atMillis) {
  const at = statusAt - (status.now_millis - atMillis) / status.clock_scale;
  return new Date(at).toLocaleTimeString();
}

// A connection that is silent for too long is shown as such, and nothing is commanded on what may not hold any more.
function age() {
  if (!me) return;
  const live = Math.min(heardAt, statusAt);
  const isStale = Date.now() - live > STALE_AFTER;
  const connection = by("connection");
  connection.className = `connection ${isStale ? "lost" : "live"}`;
  setText(connection, isStale ? "connection lost, trying again" : `live, as ${me.name} (${me.role})`);
  by("main").classList.toggle("stale", isStale && statusAt > 0);
  by("stale").hidden = !isStale || statusAt === 0;
  if (isStale && statusAt) {
    setText(by("stale"), `The PDP is not heard. What is shown is as it was at ${new Date(statusAt).toLocaleTimeString()}.`);
  }
  for (const id of ["interrupt", "restore", "scope", "confirm-yes"]) by(id).disabled = isStale;
}

// --- Commands.

function drawScopes() {
  const options = [["cluster", "the whole cluster"],
    ...status.domains.map((d) => [`domain=${d.name}`, `domain ${d.name}`]),
    ...status.servers.map((s) => [`server=${s.name}`, `server ${s.name}`])];
  const select = by("scope");
  const chosen = select.value;
  replace(select, options.map(([value, text]) => make("option", { value, text })));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}

function scope(value) {
  const at = value.indexOf("=");
  return at < 0 ? value : { [value.slice(0, at)]: value.slice(at + 1) };
}

function confirm(title, text, button, path, request) {
  setText(by("confirm-title"), title);
  setText(by("confirm-text"), text);
  setText(by("confirm-yes"), button);
  by("confirm-yes").onclick = async () => {
    by("confirm").close();
    setText(by("command-answer"), "Sent; waiting for the answer…");
    try {
      const answer = await command(path, request);
      setText(by("command-answer"), `${answer.done ? "Done" : "Refused"}: ${answer.text}`);
    } catch (error) {
      setText(by("command-answer"), error instanceof Refused
        ? `Refused: ${error.message}`
        : `No answer: whether it was done is not known. Look at the events for ${request.id}.`);
    }
    refreshSoon();
  };
  by("confirm").showModal();
}

by("interrupt").addEventListener("click", () => {
  const name = by("scope").selectedOptions[0].textContent;
  confirm(`Interrupt ${name}?`,
    `The PDP then treats ${name} as if its mains were lost: reserves are diverted, less important activities are moved or ` +
    "stopped, servers may be switched off. It lasts until it is restored.",
    `Interrupt ${name}`, "/v1/interrupt", { id: commandId(), scope: scope(by("scope").value) });
});

by("restore").addEventListener("click", () => {
  confirm("Restore?", "A commanded interruption ends, and what was shed is brought back, the most important first. Mains that " +
    "is reported absent is not overridden.", "Restore", "/v1/restore", { id: commandId() });
});

by("confirm-no").addEventListener("click", () => by("confirm").close());
by("leave").addEventListener("click", () => leave());
by("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(by("token").value.trim());
  by("token").value = "";
  setText(by("enter-problem"), "");
  enter();
});
by("find").addEventListener("input", () => { if (status) drawCluster(status); });
window.addEventListener("resize", () => { if (status) drawFlows(status); });
setInterval(age, 1_000);
setInterval(() => { if (me && heardAt) refresh().catch(() => {}); }, REFRESH_EVERY);
if (token.get()) enter();
else by("token").focus();
