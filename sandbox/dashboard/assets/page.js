// Asks for the state every two seconds and draws the parts that changed. Everything foreign becomes text, never markup.
"use strict";

const EVERY = 2000;
const token = location.hash.slice(1);
const drawn = new Map();  // part -> the JSON it was drawn from

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const MARKS = {
  ready: ["✓", "good"], good: ["✓", "good"], ok: ["✓", "good"], running: ["✓", "good"], UP: ["✓", "good"], Normal: ["·", "soft"],
  drifted: ["!", "warn"], due: ["!", "warn"], warn: ["!", "warn"], Warning: ["!", "warn"], stopped: ["!", "warn"],
  broken: ["✗", "bad"], error: ["✗", "bad"], DOWN: ["✗", "bad"],
};

function mark(state) {
  const [sign, kind] = MARKS[state] || ["·", "soft"];
  return make("span", { class: kind }, `${sign} ${state}`);
}

function row(first, second, detail) {
  const item = make("li", {}, typeof first === "string" ? make("span", {}, first) : first);
  if (second) item.append(second);
  if (detail) item.append(make("span", { class: "detail" }, detail));
  return item;
}

function bytes(count) {
  for (const unit of ["B", "kB", "MB"]) {
    if (count < 1000) return `${count < 10 && unit !== "B" ? count.toFixed(1) : Math.round(count)} ${unit}`;
    count /= 1000;
  }
  return `${count.toFixed(1)} GB`;
}

function days(left) {
  if (left === null || left === undefined) return make("span", { class: "soft" }, "no certificate");
  return make("span", { class: left < 0 ? "bad" : left < 14 ? "warn" : "soft" }, `${left} days left`);
}

function link(host) {
  return make("a", { href: host.url, target: "_blank", rel: "noreferrer noopener" }, host.host);
}

// One part: a card whose summary says how many rows there are; open unless `closed`.
function card(key, title, rows, { closed = false, count = String(rows.length) } = {}) {
  const old = document.querySelector(`details[data-key="${CSS.escape(key)}"]`);
  const body = rows.length ? make("ul", {}, ...rows) : make("p", { class: "empty" }, "nothing");
  const summary = make("summary", { "data-focus": key }, `${title} `, make("span", { class: "count" }, count));
  const details = make("details", { "data-key": key }, summary, body);
  details.open = old ? old.open : !closed;
  return details;
}

function sandbox(one, registry) {
  const cards = make("div", { class: "cards" });
  const key = (part) => `${one.name}/${part}`;
  cards.append(card(key("hosts"), "Hosts", (one.hosts || []).map((host) => row(link(host), days(host.days_left)))));
  if (one.steps) {
    const ready = one.steps.filter((step) => step.state === "ready").length;
    const rows = one.steps.map((step) => row(step.title, mark(step.state), step.detail));
    cards.append(card(key("steps"), "Steps", rows, { count: `${ready} of ${rows.length} ready` }));
  }
  if (registry && registry.tags) {
    const rows = registry.tags.map((tag) => row(tag.name, make("span", { class: "soft" }, bytes(tag.size)), tag.digest));
    cards.append(card(key("registry"), `Registry ${registry.where}`, rows, { count: `${rows.length} tags, ${bytes(registry.size)}` }));
  } else if (registry) {
    cards.append(card(key("registry"), "Registry", [row(registry.error, mark("error"))]));
  }
  const certificates = one.certificates.map((cert) => row(`${cert.name} (${cert.role})`, days(cert.days_left), cert.state === "good" ? "" : cert.state));
  cards.append(card(key("certificates"), "Certificates", certificates, { closed: true }));
  const events = (one.events || []).map((event) => row(event.object, mark(event.type), `${event.time}  ${event.reason}: ${event.message}`));
  cards.append(card(key("events"), "Events", events, { closed: true }));
  if (one.error) cards.append(card(key("error"), "Trouble", [row(one.error, mark("error"))]));
  const title = make("h2", {}, one.name, " ", make("small", {}, one.domain, " ", mark(one.cluster)));
  return make("section", { class: "sandbox", "data-part": one.name }, title, cards);
}

function machine(edge, doctor) {
  const cards = make("div", { class: "cards" });
  if (edge && edge.routes) {
    const rows = edge.routes.map((way) => row(way.host, mark((way.servers[0] || { health: way.mode }).health), `→ ${way.upstreams.join(", ")}`));
    cards.append(card("machine/routes", "Routes", rows, { count: edge.running ? String(rows.length) : "the proxy does not run" }));
  } else if (edge) {
    cards.append(card("machine/routes", "Routes", [row(edge.error, mark("error"))]));
  }
  if (Array.isArray(doctor)) {
    const sick = doctor.filter((one) => one.status === "warn" || one.status === "error");
    const rows = [...sick, ...doctor.filter((one) => !sick.includes(one))].map((one) => row(one.id, mark(one.status), [one.evidence, one.fix && `fix: ${one.fix}`].filter(Boolean).join("  ")));
    cards.append(card("machine/doctor", "Doctor", rows, { closed: true, count: sick.length ? `${sick.length} to look at` : "all well" }));
  }
  return make("section", { class: "machine", "data-part": "" }, make("h2", {}, "This machine"), cards);
}

function sandboxes(state) {
  return Array.isArray(state.sandboxes) ? state.sandboxes : [];
}

function draw(state) {
  const main = document.getElementById("main");
  const parts = new Map(sandboxes(state).map((one) => [one.name, [one, (state.registries || {})[one.name]]]));
  parts.set("", [state.edge, state.doctor]);
  for (const [part, element] of [...main.querySelectorAll("[data-part]")].map((each) => [each.dataset.part, each])) {
    if (!parts.has(part)) { element.remove(); drawn.delete(part); }
  }
  const focus = document.activeElement && document.activeElement.dataset.focus;
  let before = null;
  for (const [part, data] of parts) {
    const said = JSON.stringify(data);
    let element = main.querySelector(`[data-part="${CSS.escape(part)}"]`);
    if (drawn.get(part) !== said) {
      const fresh = part === "" ? machine(...data) : sandbox(...data);
      if (element) element.replaceWith(fresh);
      element = fresh;
      drawn.set(part, said);
    }
    if (before ? before.nextElementSibling !== element : main.firstElementChild !== element) {
      before ? before.after(element) : main.prepend(element);
    }
    before = element;
  }
  if (focus) document.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus();
}

function say(text, lost) {
  const status = document.getElementById("status");
  if (status.textContent !== text) status.textContent = text;
  status.classList.toggle("lost", lost);
}

// What is being clicked stays where it is: a press and a release on two elements are no click.
let pressed = false;
addEventListener("pointerdown", () => { pressed = true; });
for (const end of ["pointerup", "pointercancel", "blur"]) addEventListener(end, () => { pressed = false; });

async function look() {
  try {
    const answer = await fetch("/state", { headers: { Authorization: `Bearer ${token}` } });
    if (!answer.ok) throw new Error(await answer.text());
    const state = await answer.json();
    if (!pressed) draw(state);
    const running = sandboxes(state).filter((one) => one.cluster === "running").length;
    say((state.sandboxes || {}).error || `${running} of ${sandboxes(state).length} running`, !!(state.sandboxes || {}).error);
    document.title = `sandbox: ${running} running`;
  } catch (error) {
    say(error instanceof TypeError ? "not connected: `sandbox dashboard` has ended" : String(error.message), true);
  }
  setTimeout(look, EVERY);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const all = [...document.querySelectorAll("summary")];
  const at = all.indexOf(document.activeElement);
  const step = { j: 1, k: -1 }[event.key];
  if (step && all.length) all[Math.min(Math.max(at + step, 0), all.length - 1)].focus();
  else if (event.key === "o" && at >= 0) all[at].parentElement.open = !all[at].parentElement.open;
});

look();
