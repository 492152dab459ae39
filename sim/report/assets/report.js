// Draws the report from the columns in #data. Few traces with many points: a trace is a kind of thing
// (status, priority, fault), its segments are separated by gaps.
"use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const S = 1e6; // microseconds in a second
const BROKER = -1, MASTER = -2;

const STATUS = { ready: "#bfe3cd", busy: "#b7d6ee", connected: "#dfe8c8", dead: "#f3b7b3", offline: "#d9d9de" };
const PRIORITY = ["#9db4c9", "#8aa9c7", "#769dc4", "#5f90c1", "#4683bd", "#3f72b5", "#5560ad", "#6f4ba0", "#8a3390", "#a3117c"];
const FAULT = { crash: "#b3261e", reset: "#e0712c", power_cut: "#7b1fa2", wifi_drop: "#0b7285", dead_link: "#5f6b13", hang: "#5d4037" };
const OTHER = ["#37474f", "#ad1457", "#00695c", "#4527a0", "#827717", "#bf360c"];

const gl = (() => { try { return !!document.createElement("canvas").getContext("webgl"); } catch { return false; } })();
const KIND = gl ? "scattergl" : "scatter"; // without WebGL the same picture, only slower
const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
const FONT = { family: "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif", size: 12, color: "#1d2733" };
const GRID = "#eef1f4";

const $ = (id) => document.getElementById(id);
const layout = (more) => Object.assign({ font: FONT, margin: { l: 90, r: 40, t: 10, b: 42 }, paper_bgcolor: "#fff",
  plot_bgcolor: "#fff", hovermode: "closest", modebar: { orientation: "v" }, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, itemsizing: "constant" } }, more);
const unique = (values) => [...new Set(values)];
const seconds = (us) => us / S;
const text = (s) => String(s).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/** How long a number of seconds is, in words. */
function told(s) {
  if (s < 1e-3) return (s * 1e6).toPrecision(3) + " us";
  if (s < 1) return (s * 1e3).toPrecision(3) + " ms";
  return s.toPrecision(3) + " s";
}

/** Lasting things as one line trace: (start, y), (end, y), gap. `pick` selects rows, `y` places them. */
function segments(columns, pick, y, label) {
  const x = [], ys = [], hover = [];
  for (let i = 0; i < columns.lane.length; i++) {
    if (!pick(i)) continue;
    const at = y(columns.lane[i]);
    if (at === undefined) continue;
    const from = columns.start ? columns.start[i] : columns.taken[i];
    x.push(seconds(from), seconds(columns.end[i]), null);
    ys.push(at, at, null);
    const said = label(i);
    hover.push(said, said, null);
  }
  return { x, y: ys, text: hover };
}

// --- lanes ---------------------------------------------------------------------------------------------

const lanes = { shown: [], place: new Map(), widths: [] };
const troubled = new Set([...D.faults.lane, ...D.deaths.lane]);
const firstFault = new Map();
D.faults.lane.forEach((lane, i) => { if (!firstFault.has(lane)) firstFault.set(lane, D.faults.start[i]); });

/** The nodes that pass the filter, in the order asked for. */
function selected() {
  const wanted = $("find").value.trim(), group = $("group").value;
  let matches = (name) => name.toLowerCase().includes(wanted.toLowerCase());
  const regex = wanted.match(/^\/(.+)\/$/);
  if (regex) { try { const r = new RegExp(regex[1], "i"); matches = (name) => r.test(name); } catch { /* being typed */ } }
  const found = D.nodes.map((_, i) => i).filter((i) => matches(D.nodes[i]) && (!group || D.groups[i] === group)
    && (!$("hit").checked || troubled.has(i)));
  if ($("sort").value === "name") found.sort((a, b) => D.nodes[a].localeCompare(D.nodes[b], "en", { numeric: true }));
  if ($("sort").value === "fault") found.sort((a, b) => (firstFault.get(a) ?? Infinity) - (firstFault.get(b) ?? Infinity));
  return found;
}

/** All traces of the lanes, for the nodes shown. `weight`: share of the lane's height. */
function laneTraces() {
  const y = (lane) => lane < 0 ? lane : lanes.place.get(lane);
  const name = (lane) => lane === BROKER ? "broker" : lane === MASTER ? "master" : text(D.nodes[lane]);
  const line = (points, color, title, weight, more = {}) => points.x.length && Object.assign({ type: KIND, mode: "lines",
    ...points, line: { color, width: 1, ...more.line }, name: title, hoverinfo: "text", meta: { weight }, connectgaps: false }, more.own);
  const traces = [];
  for (const status of unique(D.statuses.what)) {
    traces.push(line(segments(D.statuses, (i) => D.statuses.what[i] === status, y,
      (i) => `${name(D.statuses.lane[i])}<br>${text(status)} for ${told(seconds(D.statuses.end[i] - D.statuses.start[i]))}`),
      STATUS[status] ?? "#e6dcf0", text(status), 0.8));
  }
  traces.push(line(segments(D.outages, () => true, y, (i) => text(D.outages.what[i])), "#b3261e", "outage", 0.8));
  for (let p = 1; p <= 10; p++) {
    traces.push(line(segments(D.work, (i) => D.work.priority[i] === p, y, (i) =>
      `${name(D.work.lane[i])}<br>task ${text(D.work.task[i])}, priority ${p}<br>waited ${
        told(seconds(D.work.taken[i] - D.work.received[i]))}, ran ${told(seconds(D.work.end[i] - D.work.taken[i]))}${
        D.work.finished[i] ? "" : ", not finished"}`),
      PRIORITY[p - 1], `priority ${p}`, 0.42, { own: { showlegend: p === 1 || p === 10, legendgroup: "priority" } }));
  }
  const deaths = { x: [], y: [], text: [] };
  D.deaths.lane.forEach((lane, i) => {
    if (y(lane) === undefined) return;
    deaths.x.push(seconds(D.deaths.t[i])); deaths.y.push(y(lane));
    deaths.text.push(`${name(lane)}<br>reported dead (${text(D.deaths.what[i])}), ${text(D.deaths.detail[i])}`);
  });
  if (deaths.x.length) traces.push({ type: KIND, mode: "markers", ...deaths, name: "death reported", hoverinfo: "text",
    marker: { symbol: "diamond", size: 8, color: "#c62828", line: { width: 1, color: "#fff" } } });
  unique(D.faults.what).forEach((kind, n) => {
    const color = FAULT[kind] ?? OTHER[n % OTHER.length], pick = (i) => D.faults.what[i] === kind;
    const label = (i) => `${name(D.faults.lane[i])}<br>${text(D.faults.detail[i])}`;
    traces.push(line(segments(D.faults, (i) => pick(i) && D.faults.end[i] > D.faults.start[i], y, label), color, text(kind), 0.16,
      { own: { showlegend: false, legendgroup: kind } }));
    const points = { x: [], y: [], text: [] };
    D.faults.lane.forEach((lane, i) => {
      if (!pick(i) || y(lane) === undefined) return;
      points.x.push(seconds(D.faults.start[i])); points.y.push(y(lane)); points.text.push(label(i));
    });
    if (points.x.length) traces.push({ type: KIND, mode: "markers", ...points, name: text(kind), legendgroup: kind, hoverinfo: "text",
      marker: { symbol: "x", size: 8, color, line: { width: 1, color: "#fff" } } });
  });
  traces.push(line(segments(D.detections, () => true, (lane) => { const at = y(lane); return at === undefined ? at : at + 0.32; }, (i) =>
    `${name(D.detections.lane[i])}<br>${text(D.detections.what[i])}: reported (${text(D.detections.detail[i])}) after ${
      told(seconds(D.detections.end[i] - D.detections.start[i]))}`), "#c62828", "detection", 0,
    { line: { dash: "dot", width: 1.5 } }));
  return traces.filter(Boolean);
}

/** Names on the axis for the lanes in sight: as many as fit. */
function laneTicks(top, bottom) {
  const first = Math.max(0, Math.ceil(top)), last = Math.min(lanes.shown.length - 1, Math.floor(bottom));
  const step = Math.max(1, Math.ceil((last - first + 1) / 40)), vals = [], names = [];
  for (let i = first; i <= last; i += step) { vals.push(i); names.push(text(D.nodes[lanes.shown[i]])); }
  if (D.outages.lane.includes(BROKER) || D.faults.lane.includes(BROKER)) { vals.push(BROKER); names.push("<b>broker</b>"); }
  if (D.outages.lane.includes(MASTER) || D.faults.lane.includes(MASTER)) { vals.push(MASTER); names.push("<b>master</b>"); }
  return { tickvals: vals, ticktext: names };
}

const fullRange = () => [lanes.shown.length - 0.5, Math.min(-0.5, ...D.outages.lane.map((l) => l - 0.5), ...D.faults.lane.map((l) => l < 0 ? l - 0.5 : -0.5))];

/** Line widths in pixels for the lanes in sight, since a line does not grow with a zoom. */
function laneWidths(traces, bottom, top) {
  const pixels = Math.max(1, ($("lanes").clientHeight - 110) / Math.max(1, Math.abs(bottom - top)));
  return traces.map((trace) => trace.meta?.weight ? Math.max(1, Math.min(22, pixels * trace.meta.weight)) : null);
}

function drawLanes() {
  lanes.shown = selected();
  lanes.place = new Map(lanes.shown.map((lane, i) => [lane, i]));
  $("shown").textContent = `${lanes.shown.length} of ${D.nodes.length} nodes`;
  const traces = laneTraces(), [bottom, top] = fullRange();
  laneWidths(traces, bottom, top).forEach((width, i) => { if (width) traces[i].line.width = width; });
  const phases = D.phases.t.map((t) => ({ type: "line", x0: seconds(t), x1: seconds(t), y0: 0, y1: 1, yref: "paper", line: { color: "#9aa5b1", width: 1, dash: "dash" } }));
  const named = D.phases.t.map((t, i) => ({ x: seconds(t), y: 1, yref: "paper", xanchor: "left", yanchor: "top", showarrow: false, text: text(D.phases.what[i]), font: { size: 11, color: "#6b7785" } }));
  return Plotly.react("lanes", traces, layout({ margin: { l: 110, r: 40, t: 10, b: 42 }, dragmode: "zoom", shapes: phases, annotations: named,
    xaxis: { title: { text: "seconds" }, range: [0, seconds(D.end)], gridcolor: GRID, zeroline: false },
    yaxis: { range: [bottom, top], zeroline: false, showgrid: false, ...laneTicks(top, bottom) } }), { ...CONFIG, scrollZoom: true });
}

let settling = 0;
function onZoom(change) {
  if (!Object.keys(change).some((key) => key.startsWith("yaxis"))) return;
  clearTimeout(settling);
  settling = setTimeout(() => {
    const plot = $("lanes"), [bottom, top] = plot.layout.yaxis.range, ticks = laneTicks(top, bottom);
    if (JSON.stringify(ticks.tickvals) === JSON.stringify(plot.layout.yaxis.tickvals)) return;
    const widths = laneWidths(plot.data, bottom, top), wide = widths.map((w, i) => w ? i : -1).filter((i) => i >= 0);
    Plotly.update(plot, { "line.width": wide.map((i) => widths[i]) }, { "yaxis.tickvals": ticks.tickvals, "yaxis.ticktext": ticks.ticktext }, wide);
  }, 120);
}

// --- the other pictures, drawn when scrolled to --------------------------------------------------------

function drawLatencies() {
  const grid = $("latencies");
  if (!D.distributions.length) grid.outerHTML = '<p class="hint">Nothing was measured.</p>';
  for (const d of D.distributions) {
    const box = grid.appendChild(document.createElement("div"));
    const worst = Math.max(...d.samples), small = worst < 0.5 && d.unit === "s", scale = small ? 1000 : 1;
    const shapes = [], notes = [];
    const near = d.bound !== null && d.bound < worst * 20; // else the bound would squeeze the samples to a line
    if (d.bound !== null) {
      if (near) shapes.push({ type: "line", x0: d.bound * scale, x1: d.bound * scale, y0: 0, y1: 1, yref: "paper", line: { color: "#c62828", width: 2 } });
      notes.push({ text: `bound ${told(d.bound)}${near ? "" : ` (${Math.round(d.bound / worst)} times the worst)`}`, x: 1, xref: "paper", xanchor: "right", y: 1, yref: "paper", yanchor: "bottom", showarrow: false, font: { size: 11, color: "#c62828" } });
    }
    Plotly.newPlot(box, [{ type: "histogram", x: d.samples.map((s) => s * scale), nbinsx: 40, marker: { color: worst > (d.bound ?? Infinity) ? "#c62828" : "#4683bd" },
      hovertemplate: "%{x}: %{y}<extra></extra>" }], layout({ title: { text: `${text(d.check)}: ${text(d.name)} (${d.samples.length})`, font: { size: 13 }, x: 0.03, y: 0.95 },
      margin: { l: 40, r: 14, t: 52, b: 36 }, bargap: 0.05, shapes, annotations: notes, xaxis: { title: { text: small ? "ms" : d.unit }, rangemode: "tozero", gridcolor: GRID,
        range: near ? [0, Math.max(worst, d.bound) * scale * 1.05] : undefined }, yaxis: { gridcolor: GRID } }), { ...CONFIG, displayModeBar: false });
  }
}

function drawOrder() {
  const W = D.work, normal = { x: [], y: [], text: [] }, wrong = { x: [], y: [], text: [] };
  for (let i = 0; i < W.lane.length; i++) {
    const into = W.passed[i] ? wrong : normal, wait = told(seconds(W.taken[i] - W.received[i]));
    into.x.push(seconds(W.taken[i]));
    into.y.push(W.priority[i] + ((i * 0.618034) % 1 - 0.5) * 0.7); // spread, so that takes of one priority do not hide each other
    into.text.push(`${text(D.nodes[W.lane[i]])} took ${text(W.task[i])} (priority ${W.priority[i]}) after ${wait}${
      W.passed[i] ? `<br>while ${text(W.passed[i])} of higher priority waited` : ""}`);
  }
  const waits = Array.from({ length: 10 }, () => []);
  W.priority.forEach((p, i) => waits[p - 1]?.push(seconds(W.taken[i] - W.received[i])));
  const medians = waits.map((w) => w.length ? w.sort((a, b) => a - b)[w.length >> 1] : null);
  $("order-told").textContent = !W.of ? "No task was taken." : `${W.of.toLocaleString("en")} takes, ${wrong.x.length} out of order.`
    + (W.lane.length < W.of ? ` ${W.lane.length.toLocaleString("en")} of them are drawn.` : "");
  const traces = [{ type: KIND, mode: "markers", ...normal, name: "in order", hoverinfo: "text", marker: { size: 4, opacity: 0.6, color: normal.y.map((p) => PRIORITY[Math.round(p) - 1]) } }];
  if (wrong.x.length) traces.push({ type: KIND, mode: "markers", ...wrong, name: "a more urgent task was waiting", hoverinfo: "text", marker: { size: 9, symbol: "x", color: "#c62828" } });
  traces.push({ type: "bar", orientation: "h", x: medians, y: medians.map((_, i) => i + 1), xaxis: "x2", name: "median wait", marker: { color: PRIORITY }, hovertemplate: "priority %{y}: %{x:.4g} s<extra></extra>", showlegend: false });
  Plotly.newPlot("order", traces, layout({ xaxis: { title: { text: "taken at, seconds" }, domain: [0, 0.74], range: [0, seconds(D.end)], gridcolor: GRID },
    xaxis2: { title: { text: "median wait, seconds" }, domain: [0.78, 1], gridcolor: GRID, rangemode: "tozero" },
    yaxis: { title: { text: "priority" }, range: [0.4, 10.6], dtick: 1, gridcolor: GRID, zeroline: false } }), CONFIG);
}

function drawRates() {
  const bin = D.rates.bin / S;
  Plotly.newPlot("rates", Object.entries(D.rates.counts).map(([name, counts]) => ({ type: "scatter", mode: "lines", name, line: { shape: "hv", width: 1.4 },
    x: counts.map((_, i) => i * bin), y: counts.map((n) => n / bin) })), layout({ hovermode: "x unified",
    xaxis: { title: { text: "seconds" }, range: [0, seconds(D.end)], gridcolor: GRID }, yaxis: { title: { text: "per second" }, rangemode: "tozero", gridcolor: GRID } }), CONFIG);
}

function drawLog() {
  const wanted = $("log-find").value.toLowerCase(), cap = 1000;
  const found = D.log.rows.filter((row) => !wanted || row.slice(1).join(" ").toLowerCase().includes(wanted));
  const cell = (value) => { const td = document.createElement("td"); td.textContent = value; return td; };
  $("log").replaceChildren(...found.slice(0, cap).map((row) => {
    const tr = document.createElement("tr");
    tr.append(cell(seconds(row[0]).toFixed(6) + " s"), ...row.slice(1).map(cell));
    return tr;
  }));
  $("log-shown").textContent = `${Math.min(cap, found.length)} of ${D.log.of} notable events`;
}

// --- start -----------------------------------------------------------------------------------------------

for (const group of unique(D.groups).sort()) $("group").append(new Option(group, group));
const redraw = () => { clearTimeout(redraw.timer); redraw.timer = setTimeout(drawLanes, 150); };
for (const id of ["find", "group", "hit", "sort"]) $(id).addEventListener("input", redraw);
$("log-find").addEventListener("input", drawLog);
$("copy").addEventListener("click", () => navigator.clipboard?.writeText($("replay").textContent));

const LATER = { latencies: drawLatencies, order: drawOrder, rates: drawRates, log: drawLog };
const watcher = new IntersectionObserver((entries) => entries.filter((e) => e.isIntersecting).forEach((entry) => {
  watcher.unobserve(entry.target);
  LATER[entry.target.id]();
}), { rootMargin: "300px" });
drawLanes().then(() => {
  $("lanes").on("plotly_relayout", onZoom);
  Object.keys(LATER).forEach((id) => watcher.observe($(id)));
  document.body.dataset.ready = Math.round(performance.now()); // for tests: milliseconds until the lanes stood
});
