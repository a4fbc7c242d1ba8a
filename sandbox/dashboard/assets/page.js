// Asks for each part again and again, and draws what changed. Everything foreign becomes text, never markup.
"use strict";

const EVERY = { sandboxes: 2000, edge: 2000, registries: 10000, doctor: 30000 };  // milliseconds, by part
const UP = ["running", "existing"];  // states of a cluster that is not about to change
const token = location.hash.slice(1);
const state = {};  // the newest answer for each part
const drawn = new Map();  // section of the page -> the JSON it was drawn from

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const MARKS = {
  ready: ["✓", "good"], good: ["✓", "good"], ok: ["✓", "good"], running: ["✓", "good"], existing: ["✓", "good"], UP: ["✓", "good"], Normal: ["·", "soft"],
  drifted: ["!", "warn"], due: ["!", "warn"], warn: ["!", "warn"], Warning: ["!", "warn"],
  pending: ["…", "warn"],
  stale: ["✗", "bad"], broken: ["✗", "bad"], error: ["✗", "bad"], DOWN: ["✗", "bad"],
};

function mark(state) {
  const [sign, kind] = MARKS[state] || ["·", "soft"];
  return make("span", { class: kind }, `${sign} ${state}`);
}

// A row of a card: what it is, how it stands, what a button copies, further buttons, and details below.
function row(first, second, detail, copied, ...buttons) {
  const item = make("li", {}, typeof first === "string" ? make("span", {}, first) : first);
  const side = [second, ...buttons, copied && copy(copied)].filter(Boolean);
  if (side.length) item.append(make("span", { class: "side" }, ...side));
  if (detail) item.append(typeof detail === "string" ? make("span", { class: "detail" }, detail) : detail);
  return item;
}

function copy(text) {
  const button = make("button", { type: "button", title: `Copy: ${text}`, "aria-label": `Copy ${text}` }, "copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  return button;
}

function action(label, subject, act) {
  const button = make("button", { type: "button", "aria-label": `${label} ${subject}` }, label);
  button.addEventListener("click", act);
  return button;
}

// Has the server do something to a thing of a sandbox, and shows what it answers.
async function request(path, title, sandbox, name) {
  const text = make("pre", {}, "…");
  const dialog = make("dialog", { "aria-label": title }, make("h2", {}, title), text,
    make("form", { method: "dialog" }, make("button", {}, "close")));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  try {
    const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify({ sandbox, name }) });
    text.textContent = await answer.text();
    text.scrollTop = text.scrollHeight;
  } catch (error) {
    text.textContent = String(error.message);
  }
}

function hint(words, command) {
  return make("p", { class: "hint" }, make("span", {}, words), make("code", {}, command), copy(command));
}

function short(text) {
  return text.replace(/(sha256:[0-9a-f]{12})[0-9a-f]+/g, "$1…");
}

function digest(whole) {
  return make("span", { class: "digest", title: whole }, whole ? short(whole) : "no manifest");
}

function clock(time) {
  const at = new Date(time);
  return make("time", { datetime: time, title: time }, Number.isNaN(at.getTime()) ? time : at.toLocaleTimeString("en-GB"));
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

function columns(...sides) {
  const filled = sides.map((cards) => cards.filter(Boolean)).filter((cards) => cards.length);
  return make("div", { class: "cards" }, ...filled.map((cards) => make("div", { class: "column" }, ...cards)));
}

// Where nothing runs, steps and events would only say so once more.
function sandbox(one, registry) {
  const there = UP.includes(one.cluster);
  const key = (part) => `${one.name}/${part}`;
  const title = make("h2", {}, one.name, " ", make("small", {}, one.domain, " ", mark(one.cluster)));
  const parts = [title];
  if (one.busy) parts.push(make("p", { class: "hint" }, make("code", {}, one.busy), make("span", {}, "is at work")));
  else if (one.cluster === "paused") parts.push(hint("Paused; its next client wakes it.", `sandbox start ${one.name}`));
  else if (one.cluster === "stopped") parts.push(hint("Stopped; it keeps all it holds.", `sandbox start ${one.name}`));
  else if (one.cluster === "absent") parts.push(hint("Its cluster does not exist.", "sandbox up"));
  else parts.push(hint("In a terminal:", `${one.kubectl} get pods${one.cluster === "existing" ? "" : " -A"}`));
  const trouble = one.error && card(key("error"), "Trouble", [row(one.error, mark("error"))]);
  parts.push(columns(
    [trouble, there && hosts(one, key), there && pods(one, key), images(one, registry, key)],
    [there && steps(one, key), certificates(one, key), there && events(one, key)],
  ));
  return make("section", { class: "sandbox", "data-part": one.name }, ...parts);
}

function hosts(one, key) {
  return card(key("hosts"), "Hosts", (one.hosts || []).map((host) => row(link(host), days(host.days_left), "", host.url)));
}

function steps(one, key) {
  if (!one.steps) return null;
  const ready = one.steps.filter((step) => step.state === "ready").length;
  const rows = one.steps.map((step) => row(step.title, mark(step.state), step.detail));
  return card(key("steps"), "Steps", rows, { count: `${ready} of ${rows.length} ready` });
}

function pods(one, key) {
  const all = one.pods || [];
  const ready = all.filter((pod) => pod.state === "ready" || pod.state === "done").length;
  const rows = all.map((pod) => {
    const restart = pod.workload && action("restart", pod.workload, () => {
      if (confirm(`Replace the pods of ${pod.workload}?`)) request("/restart", `restart ${pod.workload}`, one.name, pod.workload);
    });
    const again = pod.restarts && !pod.detail ? `restarts: ${pod.restarts}` : "";
    return row(pod.name, mark(pod.state), [pod.detail, again, short(pod.images.join(", "))].filter(Boolean).join(" · "),
      "", action("logs", pod.name, () => request("/logs", `logs of ${pod.name}`, one.name, pod.name)), restart);
  });
  return card(key("pods"), "Pods", rows, { closed: ready === all.length, count: `${ready} of ${all.length} ready` });
}

function images(one, registry, key) {
  if (registry && registry.tags) {
    const rows = registry.tags.map((tag) => row(tag.name, make("span", { class: "soft" }, bytes(tag.size)),
      make("span", { class: "detail" }, digest(tag.digest)), `${registry.where}/${tag.digest ? tag.name.replace(/:[^:/]*$/, `@${tag.digest}`) : tag.name}`));
    return card(key("registry"), `Images in ${registry.where}`, rows, { count: `${rows.length} tags, ${bytes(registry.size)}` });
  }
  return registry && one.cluster !== "stopped" ? card(key("registry"), "Images", [row(registry.error, mark("error"))]) : null;
}

function certificates(one, key) {
  const rows = one.certificates.map((cert) => row(`${cert.name} (${cert.role})`, days(cert.days_left),
    [cert.state === "good" ? "" : cert.state, (cert.hosts || []).join(", ")].filter(Boolean).join(": "), cert.file));
  return rows.length ? card(key("certificates"), "Certificates", rows, { closed: true }) : null;
}

function events(one, key) {
  const rows = (one.events || []).map((event) => row(event.object, mark(event.type),
    make("span", { class: "detail" }, clock(event.time), ` ${event.reason}: ${event.message}`)));
  return card(key("events"), "Events", rows, { closed: true });
}

// A host is served as long as one of its nodes is.
function health(way) {
  return (way.servers.find((one) => one.health === "UP") || way.servers[0] || { health: way.mode }).health;
}

function machine(edge, doctor) {
  const key = "machine/routes";
  let routes = null;
  if (edge && edge.routes) {
    const rows = edge.routes.map((way) => row(way.host, mark(health(way)),
      `→ ${way.upstreams.join(", ")}`, way.host));
    routes = card(key, "Edge", rows, { count: edge.running ? `${rows.length} ${rows.length === 1 ? "route" : "routes"}` : "does not run" });
  } else if (edge) {
    routes = card(key, "Edge", [row(edge.error, mark("error"))]);
  }
  let checks = null;
  if (Array.isArray(doctor)) {
    const sick = doctor.filter((one) => one.status === "warn" || one.status === "error");
    const rows = [...sick, ...doctor.filter((one) => !sick.includes(one))].map((one) => row(one.id, mark(one.status),
      [one.evidence, one.fix && `fix: ${one.fix}`].filter(Boolean).join("  "), one.fix));
    checks = card("machine/doctor", "Doctor", rows, { closed: true, count: sick.length ? `${sick.length} to look at` : "all well" });
  }
  return make("section", { class: "machine", "data-part": "" }, make("h2", {}, "This machine"), columns([routes], [checks]));
}

function sandboxes() {
  return Array.isArray(state.sandboxes) ? state.sandboxes : [];
}

function draw() {
  const main = document.getElementById("main");
  const parts = new Map(sandboxes().map((one) => [one.name, [one, (state.registries || {})[one.name]]]));
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

async function look(part) {
  try {
    const answer = await fetch(`/${part}`, { headers: { Authorization: `Bearer ${token}` } });
    if (!answer.ok) throw new Error(await answer.text());
    state[part] = await answer.json();
    if (!pressed) draw();
    const running = sandboxes().filter((one) => UP.includes(one.cluster)).length;
    say((state.sandboxes || {}).error || `${running} of ${sandboxes().length} running`, !!(state.sandboxes || {}).error);
    document.title = `sandbox: ${running} running`;
    if (!sandboxes().length && Array.isArray(state.sandboxes)) say("no sandboxes; create one with: sandbox up", false);
  } catch (error) {
    say(error instanceof TypeError ? "not connected: `sandbox dashboard` has ended" : String(error.message), true);
  }
  setTimeout(look, EVERY[part], part);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const all = [...document.querySelectorAll("summary")];
  const at = all.indexOf(document.activeElement);
  const step = { j: 1, k: -1 }[event.key];
  if (step && all.length) all[Math.min(Math.max(at + step, 0), all.length - 1)].focus();
  else if (event.key === "o" && at >= 0) all[at].parentElement.open = !all[at].parentElement.open;
});

Object.keys(EVERY).forEach(look);
