// The page: one run, or two side by side; a moment, a node, and whatever leads from one to another.
import { ask, eventTable, MomentPanel } from "./moment.js";
import { comparison, verdict } from "./words.js";
import { Hands } from "./hands.js";

const runs = []; // of each: about, lanes, panel, position
let node = ""; // the one that is chosen, by name: two runs have it on different lanes
let us = 0; // the moment
let playing = null;
let following = false; // the newest moment of a run that goes on
let status = {};
let hands = null;

function trouble(error) {
  $("trouble").hidden = !error;
  $("trouble").textContent = error ? `${error.message ?? error}` : "";
}

const guarded = (work) => (...words) => Promise.resolve(work(...words)).catch(trouble);
const endUs = () => Math.max(...runs.map((run) => run.lanes.data.end), 1);

// --- the moment

let asking = 0; // for tests: what is on its way

/** Ask for the newest wish only: while an answer is on its way, further wishes replace each other. */
function newest(work) {
  let busy = false, next = null;
  return async function again(...words) {
    if (busy) { next = words; return; }
    busy = true;
    asking++;
    try { await work(...words); } catch (error) { trouble(error); } finally { busy = false; asking--; }
    if (next) { const wish = next; next = null; await again(...wish); }
  };
}

const query = (words) => Object.entries(words).map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");

/** Show the state that `words` ask of the first run, and of the second at the same time. */
const show = newest(async (wish) => {
  const began = performance.now(), words = typeof wish === "function" ? wish() : wish;
  const state = await ask(`state?${query({ run: 0, node, sessions: runs[0].panel.sessions, ...words })}`);
  us = words.t ?? state.t;
  place(0, state);
  for (let number = 1; number < runs.length; number++) place(number, await ask(`state?${query({ run: number, node, sessions: runs[number].panel.sessions, t: us })}`));
  drawNow();
  document.body.dataset.step = (performance.now() - began).toFixed(1); // for tests and benchmarks
  document.body.dataset.position = state.position;
  clearTimeout(soon);
  if (runs.some(({ panel }) => panel.state.held === null)) soon = setTimeout(() => { if (!playing) again(); }, 500);
});
let soon; // what the broker held is being found out: ask again then

function place(number, state) {
  const run = runs[number];
  run.position = state.position;
  run.panel.show(state, us);
}

function drawNow() {
  for (const { lanes } of runs) lanes.setCursor(us);
  $("now").textContent = moment(us);
  $("scrub").max = endUs();
  $("scrub").value = us;
  $("scrub").setAttribute("aria-valuetext", moment(us));
}

const toTime = (t) => show({ t: Math.round(Math.max(0, Math.min(endUs(), t))) });
let steps = null; // that were asked for and not taken yet: none is lost when keys come faster than answers

function step(by, to) {
  pause();
  follow(false);
  steps = { to, by: by + (steps?.to === to ? steps.by : 0) };
  return show(() => {
    const { to, by } = steps ?? { to: "event", by: 0 };
    steps = null;
    return { at: runs[0].position, by, to, only: to === "event" ? node : "" };
  });
}

/** Go to a moment, a node, or both; the way of every link. */
function go({ position, us: t, node: name }) {
  if (name !== undefined) choose(name);
  pause();
  steps = null;
  if (position !== undefined) { follow(false); show({ at: position }); }
  else if (t !== undefined) { follow(false); toTime(t); }
  else again();
}

const again = () => show(() => following ? { t: endUs() } : { at: runs[0].position, t: Math.round(us) });

function choose(name) {
  node = runs.some((run) => run.lanes.data.nodes.includes(name)) ? name : "";
  for (const { lanes, panel } of runs) {
    const lane = lanes.data.nodes.indexOf(node);
    lanes.pick(lane < 0 ? null : lane);
    panel.reveal();
  }
  hands?.choose(node);
}

// --- playing

function play() {
  if (us >= endUs()) us = 0;
  playing = { since: performance.now(), from: us };
  $("play").textContent = "‖ pause";
  $("play").setAttribute("aria-label", "pause");
  requestAnimationFrame(tick);
}

function pause() {
  playing = null;
  $("play").textContent = "▶ play";
  $("play").setAttribute("aria-label", "play");
}

function tick() {
  if (!playing) return;
  us = playing.from + (performance.now() - playing.since) * 1e3 * Number($("speed").value);
  if (us >= endUs()) { us = endUs(); pause(); }
  toTime(us);
  drawNow();
  if (playing) requestAnimationFrame(tick);
}

function follow(on) {
  following = on && runs.some((run) => !run.about.over);
  $("live").setAttribute("aria-pressed", following);
}

// --- start

async function start() {
  const about = await ask("about");
  status = about.status;
  const two = about.runs.length > 1;
  $("pictures").classList.toggle("two", two);
  const pictures = await Promise.all(about.runs.map((_, number) => ask(`picture?run=${number}`)));
  about.runs.forEach((told, number) => {
    const box = $("lanes").appendChild(element("div", "", "run"));
    if (two) box.append(element("h2", told.name));
    const legend = box.appendChild(element("div", "", "legend")), plotBox = box.appendChild(element("div", "", "plot"));
    legend.setAttribute("role", "group");
    legend.setAttribute("aria-label", `what is drawn${two ? ` of ${told.name}` : ""}; press to hide`);
    Object.entries({ tabindex: "0", role: "group", "aria-label": `Lanes${two ? ` of ${told.name}` : ""}: each node through time. Up and down choose a node.` }).forEach((pair) => plotBox.setAttribute(...pair));
    const lanes = new Lanes(plotBox, pictures[number], { legend, length: told.over ? 0 : status.length ?? 0,
      onPick: (lane, t) => go({ us: t, node: lane === null || lane < 0 ? "" : lanes.nameOf(lane) }),
      onShown: (shown, of) => { $("shown").textContent = `${count(shown)} of ${count(of)} nodes`; runs[number]?.panel.drawNodes(); } });
    const run = { about: told, lanes, position: -1, names: new Set(lanes.data.nodes) };
    run.panel = new MomentPanel($("moments"), number, two ? `${told.name}: ` : "", lanes, go, () => again());
    plotBox.addEventListener("keydown", laneKeys);
    runs.push(run);
  });
  drawAbout();
  for (const group of unique(runs.flatMap((run) => run.lanes.data.groups)).sort()) $("group").append(new Option(group, group));
  if (about.comparison) { $("compared").hidden = false; $("comparison").append(comparison(about.comparison)); }
  wire();
  window.page = { runs, go, show, step, busy: () => asking > 0 || !runs.every((run) => run.panel.state) }; // for tests, and for whoever looks from the console
  requestAnimationFrame(() => { document.body.dataset.ready = Math.round(performance.now()); }); // for tests: milliseconds until the lanes stood
  if (location.search) history.replaceState(null, "", location.pathname); // the secret need not stand there any longer
  if (runs.some((run) => !run.about.over)) await listen();
  else await toTime(0);
}

function drawAbout() {
  const [{ about }] = runs, two = runs.length > 1;
  $("name").textContent = runs.map((run) => run.about.name).join(" beside ");
  $("facts").textContent = two ? "" : about.facts.join(" · ");
  const pill = $("pill");
  pill.hidden = two || (!about.verdict && about.over);
  pill.textContent = about.verdict?.word ?? "running";
  pill.className = `pill ${about.verdict?.status ?? "held"}`;
  document.title = `${$("name").textContent}${about.verdict && !two ? `: ${about.verdict.word}` : ""}`;
  $("verdict").replaceChildren(...runs.flatMap((run) => [...(two ? [element("h3", run.about.name)] : []),
    ...(run.about.description && !two ? [element("p", run.about.description)] : []), verdict(run.about, run.names, go)]));
  if (about.replay && !two) $("verdict").append(Object.assign(element("p", "Again: "), { className: "facts" }), element("code", about.replay));
}

/** What is new of a run that goes on. */
async function listen() {
  const [run] = runs;
  $("live").hidden = false;
  follow(true);
  hands = new Hands({ about: status, lanes: run.lanes, again: () => again(), trouble });
  const hear = (news) => {
    if (news.over) { guarded(ended)(); return; }
    if (news.status) { hands.take(news.status); return; }
    if (news.events < run.events) return; // older than the picture
    run.lanes.update(news);
    if (news.nodes) news.nodes.forEach((name) => run.names.add(name));
    if (following) { us = endUs(); show({ t: us }); }
    drawNow();
  };
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/news`);
  let early = []; // what comes before the picture does that it is news to
  socket.onmessage = ({ data }) => early ? early.push(JSON.parse(data)) : hear(JSON.parse(data));
  await new Promise((open, fail) => { socket.onopen = open; socket.onerror = () => fail(new Error("the server does not answer")); });
  run.lanes.update(await newsSince(run)); // whatever came between the first picture and the socket
  const heard = early;
  early = null;
  heard.forEach(hear);
  socket.onclose = () => { if (!run.about.over) trouble(new Error("The run's process has ended.")); };
}

/** The picture as it is now, in place of the one that stands. */
async function newsSince(run) {
  const now = await ask("picture?run=0");
  run.events = now.events;
  const index = (columns) => columns.lane.map((_, i) => i);
  const news = { now: now.end, nodes: now.nodes.slice(run.lanes.data.nodes.length), groups: now.groups.slice(run.lanes.data.groups.length), colours: now.colours };
  for (const name of ["statuses", "outages", "work", "faults", "detections", "deaths", "phases"]) {
    const { of, ...columns } = now[name];
    news[name] = { index: index(columns), ...columns };
  }
  return news;
}

/** The run is over: its verdict is there, and nothing is open any more. */
async function ended() {
  const [run] = runs;
  run.about = (await ask("about")).runs[0];
  run.lanes.length = 0;
  run.lanes.update(await newsSince(run));
  follow(false);
  $("live").hidden = true;
  $("pace-box").hidden = true;
  hands?.over();
  drawAbout();
  await again();
}

// --- hands on it

const typing = (target) => target.closest("input:not([type=range]):not([type=checkbox]), select, textarea, dialog[open]");
const pressing = (target) => target.closest("button, summary, input, select, a");

function keys(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const { key, shiftKey } = event;
  const act = {
    " ": !pressing(event.target) && (() => playing ? pause() : play()),
    ArrowRight: () => step(1, shiftKey ? "fault" : "event"),
    ArrowLeft: () => step(-1, shiftKey ? "fault" : "event"),
    d: () => step(1, "death"), D: () => step(-1, "death"),
    Home: () => go({ us: 0 }), End: () => go({ us: endUs() }),
    "+": () => runs.forEach(({ lanes }) => lanes.zoom(0.7)), "=": () => runs.forEach(({ lanes }) => lanes.zoom(0.7)),
    "-": () => runs.forEach(({ lanes }) => lanes.zoom(1.4)), 0: () => runs.forEach(({ lanes }) => lanes.showAll()),
    "/": () => { $("search").open = true; $("search-text").focus(); },
    n: () => $("find").focus(), "?": () => $("help").showModal(),
    Escape: () => go({ node: "" }),
  }[key];
  if (!act) return;
  event.preventDefault();
  act();
}

function laneKeys(event) {
  const rows = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20 }[event.key];
  if (!rows) return;
  event.preventDefault();
  const run = runs.find(({ lanes }) => lanes.box === event.currentTarget), lane = run.lanes.beside(rows);
  if (lane !== null) go({ node: run.lanes.nameOf(lane) });
}

function wire() {
  const on = (id, event, work) => $(id).addEventListener(event, work);
  on("first", "click", () => go({ us: 0 }));
  on("last", "click", () => go({ us: endUs() }));
  on("back", "click", () => step(-1, "event"));
  on("on", "click", () => step(1, "event"));
  on("fault-back", "click", () => step(-1, "fault"));
  on("fault-on", "click", () => step(1, "fault"));
  on("play", "click", () => { follow(false); playing ? pause() : play(); });
  on("live", "click", () => { pause(); follow(!following); again(); });
  on("speed", "change", () => { if (playing) playing = { since: performance.now(), from: us }; });
  on("scrub", "input", () => { pause(); follow(false); toTime(Number($("scrub").value)); });
  on("all", "click", () => runs.forEach(({ lanes }) => lanes.showAll()));
  on("help-open", "click", () => $("help").showModal());
  on("filter", "submit", (event) => event.preventDefault());
  let waits;
  const filter = () => { clearTimeout(waits); waits = setTimeout(() => runs.forEach(({ lanes }) => lanes.select({ text: $("find").value, group: $("group").value, hit: $("hit").checked, sort: $("sort").value })), 100); };
  for (const id of ["find", "group", "hit", "sort"]) on(id, "input", filter);
  const search = newest(async () => {
    const text = $("search-text").value.trim(), { count: of, events } = await ask(`found?${query({ run: 0, text })}`);
    $("search-count").textContent = text ? `${count(of)} events${events.length < of ? `, the first ${events.length}` : ""}` : "";
    $("search-found").replaceChildren(...(events.length ? [eventTable(events, null, go)] : []));
    $("search-found").hidden = !events.length;
  });
  $("search-found").hidden = true;
  on("search-text", "input", () => { clearTimeout(search.waits); search.waits = setTimeout(search, 200); });
  on("search-form", "submit", (event) => { event.preventDefault(); search(); });
  document.addEventListener("keydown", keys);
}

guarded(start)();
