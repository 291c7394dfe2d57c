"use strict";
// What the page shows comes from the gateway and, through it, from agents and clients. All of it is put in as text.

const byId = (id) => document.getElementById(id);
const KEY = "attache-token";
let token = sessionStorage.getItem(KEY) || "";
let state = null;
let points = [];
let problem = "connecting";
let last = { phases: {}, ejected: {}, status: "" };
let tail = { on: false, rows: [], missed: 0, stop: null, filter: { failed: false, route: "" } };

// ---------------------------------------------------------------------------------------------------------- elements

// A description of an element: name, properties, and what is inside. Elements are kept over changes, so that the place of
// the keyboard, open details and what is selected stay.
const h = (name, properties, ...inside) => ({ name, properties: properties || {}, inside: inside.flat(9).filter((one) => one !== null && one !== undefined && one !== false) });
const SVG = new Set(["svg", "polyline", "line"]);

function patch(element, list) {
  const before = new Map();
  let number = 0;
  for (const child of [...element.childNodes]) {
    before.set(child.key ?? number++, child);
  }
  number = 0;
  const kept = new Set();
  let place = element.firstChild;
  for (const wanted of list) {
    const isText = typeof wanted !== "object";
    const key = isText ? number++ : wanted.properties.key ?? number++;
    let node = before.get(key);
    const fits = node && !kept.has(node) && (isText ? node.nodeType === 3 : node.nodeType === 1 && node.localName === wanted.name);
    if (!fits) {
      node = isText ? document.createTextNode("") : SVG.has(wanted.name) ? document.createElementNS("http://www.w3.org/2000/svg", wanted.name) : document.createElement(wanted.name);
      if (!isText && wanted.properties.key !== undefined) node.key = wanted.properties.key;
    }
    kept.add(node);
    if (isText) {
      if (node.data !== String(wanted)) node.data = String(wanted);
    } else {
      dress(node, wanted.properties);
      patch(node, wanted.inside);
    }
    if (node === place) place = place.nextSibling;
    else element.insertBefore(node, place);
  }
  for (const child of [...element.childNodes]) if (!kept.has(child)) child.remove();
}

function dress(node, properties) {
  const before = node.dressed || {};
  for (const name of Object.keys(before)) {
    if (!(name in properties)) put(node, name, null);
  }
  for (const [name, value] of Object.entries(properties)) {
    if (before[name] !== value) put(node, name, value);
  }
  node.dressed = properties;
}

function put(node, name, value) {
  if (name === "key") return;
  if (name === "part") node.style.setProperty("--part", value);
  else if (name.startsWith("on")) node[name] = value;
  else if (name === "value" || name === "checked" || name === "disabled") node[name] = value ?? "";
  else if (value === null || value === false || value === undefined) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : value);
}

const fill = (id, ...inside) => patch(byId(id).querySelector(".body") || byId(id), inside.flat(9).filter(Boolean));

// ----------------------------------------------------------------------------------------------------------- figures

const rounded = (value, digits) => value.toLocaleString("en", { maximumFractionDigits: digits });
const count = (value) => (value === null || value === undefined ? "–" : value >= 1e6 ? rounded(value / 1e6, 1) + "M" : value >= 1e4 ? rounded(value / 1e3, 1) + "k" : rounded(value, 1));
const percent = (value) => (value === null || value === undefined ? "–" : rounded(value * 100, value > 0.999 && value < 1 ? 3 : 1) + " %");
const time = (seconds) => {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return rounded(seconds * 1000, seconds < 0.01 ? 1 : 0) + " ms";
  if (seconds < 90) return rounded(seconds, 1) + " s";
  if (seconds < 5400) return rounded(seconds / 60, 0) + " min";
  return seconds < 172800 ? rounded(seconds / 3600, 1) + " h" : rounded(seconds / 86400, 0) + " days";
};
const clock = (stamp) => (stamp ? new Date(stamp).toLocaleTimeString() : "–");
const ago = (stamp) => time(Math.max(0, (new Date(state.now) - new Date(stamp)) / 1000)) + " ago";
const rateClass = (rate) => (rate === null || rate === undefined ? "dim" : rate < 0.95 ? "bad" : rate < 0.999 ? "warn" : "");
const fact = (name, value) => [h("dt", null, name), h("dd", null, value)];

// ------------------------------------------------------------------------------------------------------------ asking

const headers = (more) => ({ ...(token ? { authorization: "Bearer " + token } : {}), ...more });

async function ask(path, options) {
  const answer = await fetch(path, { cache: "no-store", ...options, headers: headers(options && options.headers) });
  if (answer.status === 401) {
    await wantToken();
    return ask(path, options);
  }
  return answer;
}

let asking = null;
function dialog(title, text, secret) {
  // One at a time.
  asking = (asking || Promise.resolve()).then(() => new Promise((done) => {
    const box = byId("ask");
    byId("ask-title").textContent = title;
    byId("ask-text").textContent = text;
    byId("ask-label").hidden = !secret;
    byId("ask-token").value = "";
    byId("ask-yes").textContent = secret ? "Go on" : "Yes";
    box.returnValue = "no";
    box.onclose = () => done(box.returnValue === "yes");
    box.showModal();
    // Enter sends the token, and does not confirm what was not read.
    byId(secret ? "ask-token" : "ask-no").focus();
  }));
  return asking;
}

let wanting = null;
function wantToken() {
  wanting = wanting || dialog("This gateway asks for its token", "It is what admin.tokenFile holds. The page keeps it until the tab is closed.", true).then((yes) => {
    token = yes ? byId("ask-token").value.trim() : "";
    byId("ask-token").value = "";
    sessionStorage.setItem(KEY, token);
    wanting = null;
    if (!token) throw new Error("the token is missing");
  });
  return wanting;
}

function say(text) {
  byId("said").textContent = text;
}

async function command(path, query, question) {
  if (question && !(await dialog(question.title, question.text))) return;
  let told;
  try {
    const answer = await ask(path + "?" + new URLSearchParams({ ...query, by: "dashboard" }), { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
    const text = await answer.text();
    let object = null;
    try { object = JSON.parse(text); } catch { object = null; }
    told = answer.ok ? "Done: " + (Array.isArray(object.done) ? object.done.join("; ") : object.done) : "Refused: " + ((object && object.error) || text.trim());
  } catch (error) {
    told = "Not done: " + error.message;
  }
  say(told);
  notice = told;
  show();
}
let notice = "";

// Reads server-sent events by hand: EventSource cannot send a token.
async function follow(path, see, signal) {
  const answer = await ask(path, { signal });
  if (!answer.ok) throw new Error("the gateway answers " + answer.status);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let come = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    come += value;
    let end;
    while ((end = come.indexOf("\n\n")) >= 0) {
      const lines = come.slice(0, end).split("\n");
      come = come.slice(end + 2);
      const field = (name) => (lines.find((line) => line.startsWith(name + ": ")) || "").slice(name.length + 2);
      if (field("event")) see(field("event"), JSON.parse(field("data")));
    }
  }
}

const pause = (millis) => new Promise((done) => setTimeout(done, millis));

async function live() {
  let wait = 500;
  for (;;) {
    // An answer that stalls is given up: the gateway may be gone without a word.
    const control = new AbortController();
    let heard = Date.now();
    const watch = setInterval(() => { if (Date.now() - heard > 15000) control.abort(); }, 1000);
    try {
      const history = await (await ask("/history", { signal: control.signal })).json();
      points = history.all;
      await follow("/live", (name, data) => {
        heard = Date.now();
        if (name !== "state") return;
        if (problem) say(state ? "Connected again" : "Connected");
        problem = "";
        wait = 500;
        take(data);
      }, control.signal);
    } catch (error) {
      if (!problem) say("The connection to the gateway is lost");
      problem = error.message || "not reached";
    }
    clearInterval(watch);
    if (!problem) {
      problem = "it has ended";
      say("The connection to the gateway is lost");
    }
    show();
    await pause(wait);
    wait = Math.min(wait * 2, 5000);
  }
}

function take(data) {
  state = data;
  const point = data.point;
  if (point && (!points.length || points[points.length - 1].at < point.at)) points.push(point);
  while (points.length > 180) points.shift();
  tell(data);
  show();
}

// What changes is said aloud, once.
function tell(data) {
  const phases = {};
  for (const [route, split] of Object.entries(data.rollouts.routes)) {
    const phase = split.progress ? split.progress.phase + (split.progress.phase === "progressing" ? ", canary " + split.progress.weight + " %" : "") : "";
    phases[route] = phase;
    if (last.phases[route] !== undefined && last.phases[route] !== phase) say("Rollout of " + route + ": " + phase.replace("_", " "));
  }
  const ejected = {};
  for (const cluster of data.clusters.clusters) {
    for (const endpoint of cluster.endpoints) {
      const key = cluster.name + " " + endpoint.address;
      if (endpoint.ejectedBy) ejected[key] = true;
      if (endpoint.ejectedBy && !last.ejected[key]) say("Ejected: " + endpoint.address + " of " + cluster.name);
    }
  }
  if (last.status && last.status !== data.status) say("The gateway is " + data.status);
  last = { phases, ejected, status: data.status };
}

// ------------------------------------------------------------------------------------------------------------- views

let due = false;
function show() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => { due = false; draw(); });
}

function draw() {
  const status = state ? state.status : "unknown";
  const tone = status === "ok" ? "good" : status === "failing" || !state ? "bad" : "warn";
  fill("head",
    h("span", { class: "pill " + (problem ? "bad" : tone), id: "status" }, problem ? "not connected" : status),
    problem && h("small", null, problem),
    state && h("small", null, "version " + state.version),
    state && h("small", { id: "hash" }, "config " + state.configHash.slice(0, 8)),
    notice && h("small", { id: "notice" }, notice));
  document.title = (problem ? "not connected" : status) + " – attache";
  if (!state) return;
  overview();
  topology();
  rollouts();
  errors();
  agents();
  requests();
  configuration();
}

function overview() {
  const { total } = state;
  const tasks = state.clusters.clusters.flatMap((one) => one.endpoints).reduce((sum, one) => sum + one.tasks, 0);
  const ejected = state.clusters.clusters.flatMap((one) => one.endpoints).filter((one) => one.ejectedBy).length;
  const tile = (name, value, tone) => h("div", { key: name }, h("dt", null, name), h("dd", { class: tone || "" }, value));
  fill("overview",
    h("dl", { class: "tiles", key: "tiles" },
      tile("Requests/s", count(total.perSecond)),
      tile("Success", percent(total.successRate), rateClass(total.successRate)),
      tile("p50", time(total.p50)),
      tile("p99", time(total.p99)),
      tile("In flight", count(state.inFlight)),
      tile("Streams", count(state.streams)),
      tile("Tasks", count(tasks)),
      tile("Ejected", count(ejected), ejected ? "bad" : "")),
    h("div", { class: "plots", key: "plots" },
      plot("Requests per second", "failed in red", "failed", (one) => one.perSecond, (one) => one.failedPerSecond, count),
      plot("p99", "p50 dashed", "second", (one) => one.p99, (one) => one.p50, time),
      plot("Streams", "in flight dashed", "second", (one) => one.streams, (one) => one.inFlight, count)));
}

function plot(name, note, tone, first, second, words) {
  const values = points.map(first).concat(points.map(second)).filter((value) => value !== null);
  const most = Math.max(...values, 0) || 1;
  const end = points.length ? points[points.length - 1].at : 0;
  const line = (of) => points.filter((one) => of(one) !== null).map((one) => (300 - (end - one.at) / 3000).toFixed(1) + "," + (58 - (of(one) / most) * 54).toFixed(1)).join(" ");
  const now = points.length ? first(points[points.length - 1]) : null;
  const about = name + ": now " + words(now) + ", at most " + words(values.length ? Math.max(...values) : null) + " in the last 15 minutes";
  return h("figure", { key: name },
    h("svg", { viewBox: "0 0 300 60", preserveAspectRatio: "none", role: "img", "aria-label": about },
      h("line", { x1: "0", y1: "59", x2: "300", y2: "59" }),
      h("polyline", { points: line(first) }),
      h("polyline", { points: line(second), class: tone })),
    h("figcaption", null, name + " now " + words(now) + ", most " + words(values.length ? Math.max(...values) : null) + "; " + note));
}

function cells(rate, inFlight, streams, tasks) {
  const cell = (value, tone) => h("td", { class: tone || "" }, value);
  const some = rate || {};
  return [cell(count(some.perSecond)), cell(percent(some.successRate), rateClass(some.successRate)), cell(time(some.p50), "less"), cell(time(some.p99)), cell(count(inFlight)), cell(count(streams)), cell(count(tasks), "less")];
}

function topology() {
  const clusters = new Map(state.clusters.clusters.map((one) => [one.name, one]));
  const rows = [];
  for (const listener of state.listeners) {
    const routes = state.routes.routes.filter((one) => one.listeners.includes(listener.name));
    rows.push(h("tr", { key: "l " + listener.name, class: "listener" },
      h("th", { scope: "row" }, listener.name + " ", h("small", null, listener.address + (listener.tls ? ", TLS" : "") + (listener.redirects ? ", redirects to HTTPS" : ""))),
      h("td", null), h("td", null), h("td", { class: "less" }), h("td", null), h("td", null), h("td", null), h("td", { class: "less" }),
      h("td", null, count(listener.connections) + " connections")));
    for (const route of routes) rows.push(...routeRows(listener, route, clusters));
  }
  const head = (name, tone) => h("th", { scope: "col", class: tone || "" }, name);
  fill("topology",
    h("div", { class: "wide", key: "wide", tabindex: "0", role: "region", "aria-label": "Traffic table" }, h("table", null,
      h("thead", null, h("tr", null, head("Listener, route, cluster, endpoint"), head("req/s"), head("success"), head("p50", "less"), head("p99"), head("in flight"), head("streams"), head("tasks", "less"), head("state"))),
      h("tbody", null, rows))),
    state.routes.leftOut > 0 && h("p", { class: "dim", key: "left" }, "The " + state.routes.leftOut + " routes with the least traffic are left out."));
}

function routeRows(listener, route, clusters) {
  const key = listener.name + " " + route.name;
  const rows = [h("tr", { key: "r " + key, class: "route cluster" },
    h("th", { scope: "row" }, route.name + " ", h("small", null, route.hosts.concat(route.matches).join(" "))),
    cells(route, route.inFlight, route.streams, null),
    h("td", null, route.towards.length ? "" : route.action))];
  for (const towards of route.towards) {
    const cluster = clusters.get(towards.cluster);
    rows.push(h("tr", { key: "c " + key + " " + towards.cluster, class: "endpoint" },
      h("th", { scope: "row" }, towards.cluster + (route.towards.length > 1 ? " " + rounded(towards.percent, 1) + " %" : "")),
      cells(towards, cluster && cluster.inFlight, null, null),
      h("td", null, cluster ? clusterState(cluster) : "")));
    for (const endpoint of cluster ? cluster.endpoints : []) rows.push(endpointRow(key, cluster, endpoint));
  }
  return rows;
}

function clusterState(cluster) {
  const words = [];
  if (cluster.breaker && cluster.breaker !== "closed") words.push(h("span", { class: "bad" }, "breaker " + cluster.breaker.replace("_", " ") + " "));
  if (cluster.panic) words.push(h("span", { class: "bad" }, "panic "));
  const fullest = cluster.ceilings.filter((one) => one.taken > 0).sort((one, other) => other.taken / other.limit - one.taken / one.limit)[0];
  words.push(cluster.usable + " of " + cluster.endpoints.length + " usable" + (fullest ? ", " + fullest.what + " " + fullest.taken + "/" + fullest.limit : ""));
  return words;
}

function endpointRow(key, cluster, endpoint) {
  const health = endpoint.health && typeof endpoint.health.verdict === "object" ? Object.keys(endpoint.health.verdict)[0] : endpoint.health && endpoint.health.verdict;
  let text = "in service";
  let tone = "good";
  if (endpoint.ejectedBy) [text, tone] = ["ejected, " + endpoint.ejectedBy.replaceAll("_", " ") + ", " + time(endpoint.ejectedFor) + " left", "bad"];
  else if (endpoint.drained || endpoint.weight === 0) [text, tone] = ["draining", "warn"];
  else if (health === "unhealthy" || health === "never_well") [text, tone] = ["unhealthy" + (endpoint.health.message ? ": " + endpoint.health.message : ""), "bad"];
  const order = (verb) => () => command("/endpoints", { cluster: cluster.name, endpoint: endpoint.address, verb },
    verb === "drain" ? { title: "Drain " + endpoint.address + "?", text: "It gets nothing new. What runs on it may end." } : null);
  const button = (verb, name) => h("button", { type: "button", key: verb, onclick: order(verb), "aria-label": name + " " + endpoint.address + " of " + cluster.name }, name);
  const may = state.writes === "all";
  return h("tr", { key: "e " + key + " " + cluster.name + " " + endpoint.address + " " + endpoint.name, class: "endpoint" },
    h("td", null, "\u2003" + endpoint.address + (endpoint.name === endpoint.address ? "" : " " + endpoint.name)),
    cells(endpoint.rate, endpoint.inFlight, endpoint.streams, endpoint.tasks),
    h("td", null, h("span", { class: tone }, text + " "), may && endpoint.ejectedBy && button("uneject", "End ejection"), may && (endpoint.drained ? button("undrain", "Take back") : button("drain", "Drain"))));
}

function rollouts() {
  const cards = Object.entries(state.rollouts.routes).map(([route, split]) => rolloutCard(route, split));
  fill("rollouts", cards.length ? h("div", { class: "cards" }, cards) : h("p", { class: "dim" }, "No route has a split."));
}

function rolloutCard(route, split) {
  const { progress } = split;
  const phase = progress ? progress.phase : "split";
  const tone = { promoted: "good", rolled_back: "bad", paused: "warn" }[phase] || "";
  const may = state.writes === "all" || state.writes === "rollouts";
  const order = (verb, name, sure) => h("button", {
    type: "button", key: verb, "aria-label": name + " " + route,
    onclick: () => command("/rollouts", { route, verb }, sure && { title: name + " " + route + "?", text: sure }),
  }, name);
  const buttons = [];
  if (may && progress && (phase === "progressing" || phase === "paused")) {
    buttons.push(order("promote", "Promote", "The canary gets all traffic, now."), order("abort", "Roll back", "The canary gets no traffic, now."));
    buttons.push(phase === "paused" ? order("resume", "Resume") : order("pause", "Pause"));
  } else if (may && progress) {
    buttons.push(order("restart", "Restart", "The rollout begins again at its first step."));
  }
  if (may && split.held) buttons.push(order("release", "Release"));
  return h("article", { class: "card", key: route, "data-route": route },
    h("h3", null, route + " ", h("span", { class: "pill " + tone }, phase.replace("_", " "))),
    progress && h("p", { class: "dim", key: "step" }, "step " + Math.min(progress.step + 1, split.steps) + " of " + split.steps + (progress.reason ? "; " + progress.reason : "")),
    split.held && h("p", { class: "warn", key: "held" }, "set by hand, by " + split.held.by),
    split.shares.map((share) => h("div", { class: "share", key: "s " + share.cluster, part: share.percent + "%" },
      h("span", null, share.cluster + (share.cluster === split.canary ? " (canary)" : "")),
      h("span", null, rounded(share.percent, 1) + " %, " + percent(share.successRate) + " of " + count(share.requests) + ", p99 " + time(share.latencyP99)))),
    progress && progress.readings.length > 0 && h("ul", { class: "plain", key: "readings" }, progress.readings.map((one) =>
      h("li", { class: one.passed ? "good" : "bad", key: one.metric }, (one.passed ? "✓ " : "✗ ") + one.metric + " " + rounded(one.value, 4) + " " + one.comparison + " " + rounded(one.threshold, 4)))),
    buttons.length > 0 && h("p", { class: "buttons", key: "buttons" }, buttons));
}

function errors() {
  const list = state.errors.errors.map((one) => {
    const key = [one.status, one.reason, one.fault, one.route, one.cluster].join(" ");
    const example = Object.entries(one.example || {}).flatMap(([name, value]) => fact(name, typeof value === "object" ? JSON.stringify(value) : String(value)));
    return h("details", { key },
      h("summary", null, h("strong", { class: one.status >= 500 ? "bad" : "warn" }, one.status + " " + (one.reason || one.fault || "from the agent")),
        " × " + count(one.count) + ", " + one.route + " → " + one.cluster + ", last " + ago(one.last)),
      h("p", { class: "dim" }, "First " + clock(one.first) + ", flags " + one.flags + ". One of the last requests:"),
      h("dl", { class: "facts" }, example));
  });
  fill("errors", list.length ? list : h("p", { class: "dim" }, "Nothing has failed."));
}

function agents() {
  const cards = state.agents.agents.filter((one) => one.card || one.hasAnswered || one.cardFault).map((one) => {
    const card = one.card || {};
    const skills = Array.isArray(card.skills) ? card.skills.map((skill) => skill.name || skill.id).join(", ") : "";
    return h("article", { class: "card", key: one.route },
      h("h3", null, (card.name || one.route) + " ", h("small", null, card.version || "")),
      card.description && h("p", { key: "about" }, card.description),
      h("dl", { class: "facts" }, fact("route", one.route), fact("clusters", one.clusters.join(", ")), skills && fact("skills", skills),
        one.cardAt && fact("card seen", ago(one.cardAt) + " from " + one.cardFrom), one.cardFault && fact("card", one.cardFault.replaceAll("_", " "))));
  });
  fill("agents", cards.length ? h("div", { class: "cards" }, cards) : h("p", { class: "dim" }, "No agent has answered, and no card has passed."));
}

function requests() {
  const change = (name, value) => { tail.filter[name] = value; if (tail.on) { stopTail(); startTail(); } };
  const cell = (value, tone) => h("td", { class: tone || "" }, value);
  fill("requests",
    h("p", { class: "buttons", key: "controls" },
      h("button", { type: "button", id: "watch", "aria-pressed": String(tail.on), onclick: () => (tail.on ? stopTail() : startTail()) }, tail.on ? "Stop" : "Watch"),
      h("label", null, h("input", { type: "checkbox", id: "only-failed", checked: tail.filter.failed, onchange: (event) => change("failed", event.target.checked) }), " only what failed"),
      h("label", null, "route ", h("select", { onchange: (event) => change("route", event.target.value) },
        h("option", { value: "", key: "all" }, "all"), state.routes.routes.map((one) => h("option", { value: one.name, key: one.name }, one.name)))),
      tail.missed > 0 && h("span", { class: "warn", key: "missed" }, count(tail.missed) + " left out")),
    h("div", { class: "wide tail", key: "tail", tabindex: "0", role: "region", "aria-label": "Requests table" }, tail.rows.length > 0 && h("table", null,
      h("thead", null, h("tr", null, ["time", "status", "time taken", "route", "endpoint", "what"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", null, tail.rows.map((one) => h("tr", { key: one.number },
        cell(clock(one.timestamp)), cell(String(one.status) + (one.reason ? " " + one.reason : ""), one.status >= 500 ? "bad" : one.status >= 400 ? "warn" : ""),
        cell(time(one.duration_ms / 1000)), cell(one.route || "–"), cell(one.endpoint || "–"), cell(one.method + " " + one.path + (one.operation ? " " + one.operation : ""))))))));
}

let number = 0;
async function startTail() {
  const control = new AbortController();
  tail.on = true;
  tail.stop = control;
  show();
  const query = new URLSearchParams(Object.entries(tail.filter).filter(([, value]) => value).map(([name, value]) => [name, String(value)]));
  while (tail.stop === control) {
    try {
      await follow("/requests/live?" + query, (name, data) => {
        if (name === "missed") tail.missed += data.missed;
        if (name === "request") tail.rows = [{ ...data, number: number++ }, ...tail.rows].slice(0, 100);
        show();
      }, control.signal);
    } catch {
      // The gateway may be away for a while; the head of the page says so.
    }
    await pause(2000);
  }
}

function stopTail() {
  tail.stop.abort();
  tail.stop = null;
  tail.on = false;
  show();
}

function configuration() {
  const { lastReload, lastChange, lastRefused } = state;
  const entry = (one) => clock(one.at) + " (" + one.trigger + ")";
  const isRefused = lastReload && lastReload.verdict === "refused";
  const days = (one) => (one.daysLeft < 0 ? "expired" : one.daysLeft + " days left");
  fill("configuration",
    h("p", { key: "now", class: isRefused ? "bad" : "" }, "Configuration " + state.configHash.slice(0, 8) + " is in force. " +
      (lastReload ? "Last look: " + lastReload.verdict + " at " + entry(lastReload) + "." : "")),
    lastChange && h("details", { key: "change" }, h("summary", null, "Last change, " + entry(lastChange)), h("pre", null, state.lastChangeLines.join("\n"))),
    lastRefused && h("details", { key: "refused", open: true }, h("summary", { class: "bad" }, "Last refused, " + entry(lastRefused)), h("pre", { id: "diagnostics" }, lastRefused.diagnostics)),
    h("h3", { key: "h" }, "Certificates"),
    state.certificates.certificates.length ? h("ul", { key: "certificates", class: "plain" }, state.certificates.certificates.map((one) =>
      h("li", { key: one.listener + one.file, class: one.daysLeft < 7 ? "bad" : one.daysLeft < 30 ? "warn" : "" }, one.listener + ": " + days(one) + " ", h("small", null, one.file)))) : h("p", { key: "none", class: "dim" }, "No listener has one."));
}

draw();
live();
