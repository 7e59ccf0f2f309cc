// Talks to the PDP that served this page: requests with a token, and the stream of events.

const KEPT = "pdp-token";
const ANSWER_WITHIN = 15_000;

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEPT),
  set: (value) => sessionStorage.setItem(KEPT, value),
  forget: () => sessionStorage.removeItem(KEPT),
};

function headers(more = {}) {
  return { Authorization: `Bearer ${token.get()}`, ...more };
}

async function answer(response) {
  let body;
  try {
    body = await response.json();
  } catch {
    throw new Refused(response.status, `the PDP answered with status ${response.status}`);
  }
  if (body && typeof body.error === "string") throw new Refused(response.status, body.error);
  return body;
}

export async function get(path) {
  const signal = AbortSignal.timeout(ANSWER_WITHIN);
  return answer(await fetch(path, { headers: headers(), signal }));
}

// A new id for a command. The same command keeps its id when it is sent again, so that it is done once.
export function commandId() {
  const random = crypto.getRandomValues(new Uint8Array(12));
  return "web-" + Array.from(random, (octet) => octet.toString(16).padStart(2, "0")).join("");
}

// Sends a command, again with the same id where the connection breaks.
export async function command(path, request, tries = 4) {
  const options = {
    method: "POST",
    headers: headers({ "Content-Type": "application/json" }),
    body: JSON.stringify(request),
  };
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await answer(await fetch(path, { ...options, signal: AbortSignal.timeout(ANSWER_WITHIN) }));
    } catch (error) {
      if (error instanceof Refused || attempt === tries) throw error;
      await new Promise((done) => setTimeout(done, 500 * attempt));
    }
  }
}

// Follows the events after number `since`. `heard` is called with every piece that comes, heartbeats too; `happened` with
// every event; `lost` with the number of events that the PDP keeps no more. Returns when the stream ends.
export async function follow(since, { heard, happened, lost }, signal) {
  const response = await fetch(`/v1/events?since=${since}`, {
    headers: headers({ Accept: "text/event-stream" }),
    signal,
  });
  if (!response.ok) await answer(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").find((line) => line.startsWith("data: "));
      if (!data) continue;
      const value = JSON.parse(data.slice("data: ".length));
      if (typeof value.lost === "number") lost(value.lost);
      else happened(value);
    }
  }
}
