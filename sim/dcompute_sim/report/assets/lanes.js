// Nodes through time: a lane a node, drawn on one canvas layer by layer, so that thousands of lanes stay fluent.
const BROKER = -1, MASTER = -2, NOBODY = -3; // nobody: a fault that found no node
const MARK = 8, MOST_BAR = 60; // pixels
const hidden = new Set(); // entries of the legend that are switched off
const troubled = new Set([...D.faults.lane, ...D.deaths.lane]);
const firstFault = new Map();
D.faults.lane.forEach((lane, i) => { if (!firstFault.has(lane)) firstFault.set(lane, D.faults.start[i]); });
let shown = [], place = []; // lanes in sight from the top; where each lane stands, undefined when filtered out
let lanes; // the plot

const commons = [BROKER, MASTER, NOBODY].filter((lane) => [D.outages, D.faults].some((columns) => columns.lane.includes(lane)));
const rowOf = (lane) => lane < 0 ? -1 - commons.indexOf(lane) : place[lane];
const nameOf = (lane) => ({ [BROKER]: "broker", [MASTER]: "master", [NOBODY]: "no node" })[lane] ?? D.nodes[lane];
const rows = (columns, pick) => columns.lane.map((_, i) => i).filter(pick);
const fullY = () => [-Math.max(shown.length, 1) + 0.5, 0.5 + commons.length];

/** Layers from the bottom up: things of one kind and colour. `weight`: share of the lane's height. */
const LAYERS = (() => {
  const statuses = [...Object.keys(STATUS), ...unique(D.statuses.what).filter((what) => !STATUS[what])];
  const kinds = unique(D.faults.what), colour = (kind) => D.colours[kind] ?? OTHER[kinds.indexOf(kind) % OTHER.length];
  const of = (columns, what) => rows(columns, (i) => columns.what[i] === what);
  return [
    ...statuses.map((what) => ({ entry: what, shape: "bar", weight: 0.8, color: STATUS[what] ?? "#e6dcf0", columns: D.statuses, rows: of(D.statuses, what) })),
    { entry: "outage", shape: "bar", weight: 0.8, color: "#b3261e", columns: D.outages, rows: rows(D.outages, () => true) },
    ...PRIORITY.map((color, p) => ({ entry: "task", shape: "bar", weight: 0.42, color, columns: D.work, rows: rows(D.work, (i) => D.work.priority[i] === p + 1) })),
    ...kinds.map((kind) => ({ entry: kind, shape: "bar", weight: 0.16, color: colour(kind), columns: D.faults, silent: true,
      rows: rows(D.faults, (i) => D.faults.what[i] === kind && D.faults.end[i] > D.faults.start[i]) })),
    { entry: "detection", shape: "dots", color: BAD, columns: D.detections, rows: rows(D.detections, () => true) },
    { entry: "death reported", shape: "diamond", color: BAD, columns: D.deaths, rows: rows(D.deaths, () => true) },
    ...kinds.map((kind) => ({ entry: kind, shape: "cross", color: colour(kind), columns: D.faults, rows: of(D.faults, kind) })),
  ].filter((layer) => layer.rows.length);
})();

const startOf = (columns, i) => (columns.start ?? columns.taken ?? columns.t)[i];

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

function drawLayers(u) {
  onCanvas(u, (ctx, X, Y, dpr) => {
    const laneHeight = Math.abs(Y(1) - Y(0)), x0 = u.bbox.left - MARK * dpr, x1 = u.bbox.left + u.bbox.width + MARK * dpr;
    for (const layer of LAYERS) {
      if (hidden.has(layer.entry)) continue;
      const { columns } = layer, height = Math.round(Math.max(dpr, Math.min(MOST_BAR * dpr, laneHeight) * (layer.weight ?? 0)));
      const offset = layer.shape === "dots" ? Math.min(laneHeight * 0.32, MOST_BAR * dpr * 0.45) : 0;
      ctx.fillStyle = ctx.strokeStyle = layer.color;
      ctx.beginPath();
      for (const i of layer.rows) {
        const row = rowOf(columns.lane[i]);
        if (row === undefined || -row < u.scales.y.min - 1 || -row > u.scales.y.max + 1) continue;
        const start = startOf(columns, i), from = X(shownTime(start)), to = columns.end ? X(shownTime(columns.end[i])) : from;
        if (layer.shape === "cross" || layer.shape === "diamond") {
          if (from > x0 && from < x1) marks[layer.shape](ctx, from, Y(-row), MARK / 2 * dpr);
        } else if (to > x0 && from < x1) {
          const a = Math.max(from, x0), b = Math.min(to, x1), y = Y(-row);
          if (layer.shape === "dots") { ctx.moveTo(a, y - offset); ctx.lineTo(b, y - offset); }
          else ctx.fillRect(a, Math.round(y - height / 2), Math.max(dpr, b - a), height);
        }
      }
      if (layer.shape !== "bar") finish(ctx, layer, dpr);
    }
    phases(ctx, X, u.bbox, dpr);
  });
}

const marks = {
  cross: (ctx, x, y, r) => { ctx.moveTo(x - r, y - r); ctx.lineTo(x + r, y + r); ctx.moveTo(x + r, y - r); ctx.lineTo(x - r, y + r); },
  diamond: (ctx, x, y, r) => { ctx.moveTo(x, y - r * 1.3); ctx.lineTo(x + r * 1.3, y); ctx.lineTo(x, y + r * 1.3); ctx.lineTo(x - r * 1.3, y); ctx.closePath(); },
};

/** Stroke what the layer's path has collected: marks with a white rim, so that they stand out on any bar. */
function finish(ctx, layer, dpr) {
  if (layer.shape === "dots") {
    ctx.setLineDash([3 * dpr, 3 * dpr]);
    ctx.lineWidth = 1.5 * dpr;
    ctx.stroke();
    ctx.setLineDash([]);
    return;
  }
  ctx.strokeStyle = "#fff";
  ctx.lineWidth = (layer.shape === "cross" ? 4.5 : 2) * dpr;
  ctx.stroke();
  if (layer.shape === "diamond") { ctx.fill(); return; }
  ctx.strokeStyle = layer.color;
  ctx.lineWidth = 2.2 * dpr;
  ctx.stroke();
}

function phases(ctx, X, box, dpr) {
  ctx.strokeStyle = "#9aa5b1";
  ctx.fillStyle = SOFT;
  ctx.font = `${11 * dpr}px ${FONT.split("px ")[1]}`;
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  ctx.lineWidth = dpr;
  ctx.setLineDash([5 * dpr, 4 * dpr]);
  D.phases.t.forEach((t, i) => {
    const x = Math.round(X(shownTime(t))) + 0.5;
    ctx.beginPath(); ctx.moveTo(x, box.top); ctx.lineTo(x, box.top + box.height); ctx.stroke();
    ctx.fillText(D.phases.what[i], x + 4 * dpr, box.top + 3 * dpr);
  });
  ctx.setLineDash([]);
}

/** Names on the axis for the lanes in sight: as many as fit. */
function laneTicks(u, _, min, max) {
  const first = Math.max(0, Math.ceil(-max)), last = Math.min(shown.length - 1, Math.floor(-min)), ticks = commons.map((_, i) => i + 1);
  const step = Math.max(1, Math.ceil((last - first + 1) / Math.max(1, u.over.clientHeight / 15 || 35)));
  for (let row = first; row <= last; row += step) ticks.push(-row);
  return ticks.filter((y) => y >= min && y <= max);
}

/** What to say of row `i` of a layer. */
function words({ columns, entry }, i) {
  const what = columns.what?.[i], detail = columns.detail?.[i], lasted = columns.end && told(columns.end[i] - startOf(columns, i));
  if (columns === D.work) return [`task ${D.work.task[i]}, priority ${D.work.priority[i]}`, `waited ${told(D.work.taken[i] - D.work.received[i])}, ran ${lasted}${D.work.finished[i] ? "" : ", not finished"}`];
  if (columns === D.deaths) return [`reported dead (${what})`, detail];
  if (columns === D.detections) return [`${what}: reported (${detail}) after ${lasted}`];
  if (columns === D.faults) return [detail, columns.end[i] > columns.start[i] ? `for ${lasted}` : ""];
  return [`${what} for ${lasted}`, entry === "outage" ? "" : detail];
}

/** The topmost thing under the pointer: marks by their distance, bars by their lane. */
function under(u) {
  const { left, top } = u.cursor;
  if (left < 0) return null;
  const at = u.posToVal(left, "x") * TIME.us, slack = (u.posToVal(left + 3, "x") - u.posToVal(left, "x")) * TIME.us, row = Math.round(-u.posToVal(top, "y"));
  for (const layer of [...LAYERS].reverse()) {
    if (hidden.has(layer.entry)) continue;
    const { columns } = layer, isMark = layer.shape === "cross" || layer.shape === "diamond";
    for (const i of layer.rows) {
      const own = rowOf(columns.lane[i]), start = startOf(columns, i);
      if (own === undefined) continue;
      const hit = isMark ? Math.hypot(u.valToPos(shownTime(start), "x") - left, u.valToPos(-own, "y") - top) < MARK
        : own === row && start - slack <= at && at <= columns.end[i] + slack;
      if (hit) return [`${nameOf(columns.lane[i])} at ${moment(Math.max(start, isMark ? start : Math.min(at, columns.end[i])))}`, ...words(layer, i).filter(Boolean)];
    }
  }
  return null;
}

function zoomTo(x, y) {
  lanes.batch(() => { lanes.setScale("x", { min: x[0], max: x[1] }); lanes.setScale("y", { min: y[0], max: y[1] }); });
}
const showAll = () => zoomTo([0, shownTime(D.end)], fullY());

/** Ctrl and the wheel zoom about the pointer; the wheel alone scrolls the page as everywhere. */
function wheel(event) {
  if (!event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  const factor = event.deltaY < 0 ? 0.8 : 1.25, { left, top } = lanes.cursor;
  const about = (key, at) => { const { min, max } = lanes.scales[key], v = lanes.posToVal(at, key); return [v - (v - min) * factor, v + (max - v) * factor]; };
  zoomTo(about("x", left), about("y", top));
}

/** Shift and drag move what is in sight. */
function pan(down) {
  const x = { ...lanes.scales.x }, y = { ...lanes.scales.y }, rect = lanes.over.getBoundingClientRect();
  const move = (e) => {
    const dx = (down.clientX - e.clientX) / rect.width * (x.max - x.min), dy = (e.clientY - down.clientY) / rect.height * (y.max - y.min);
    zoomTo([x.min + dx, x.max + dx], [y.min + dy, y.max + dy]);
  };
  document.addEventListener("mousemove", move);
  document.addEventListener("mouseup", () => document.removeEventListener("mousemove", move), { once: true });
}

/** An entry for each kind of thing, with how many are in sight; a click hides them. */
function drawLegend() {
  const entries = new Map();
  for (const layer of LAYERS) {
    const entry = entries.get(layer.entry) ?? { colors: [], shape: layer.shape, of: 0 };
    if (!layer.silent) entry.of += layer.rows.filter((i) => rowOf(layer.columns.lane[i]) !== undefined).length;
    entries.set(layer.entry, Object.assign(entry, { colors: [...entry.colors, layer.color], shape: layer.shape }));
  }
  $("legend").replaceChildren(...[...entries].map(([name, entry]) => {
    const button = element("button"), swatch = button.appendChild(element("span", "", `swatch ${entry.shape}`));
    button.type = "button";
    button.dataset.entry = name;
    button.dataset.count = entry.of;
    button.setAttribute("aria-pressed", !hidden.has(name));
    swatch.style.setProperty("--c", entry.colors.at(-1));
    if (entry.colors.length > 2) swatch.style.background = `linear-gradient(90deg, ${entry.colors.join(", ")})`;
    button.append(name === "task" ? "tasks, priority 1 to 10" : name, element("small", count(entry.of)));
    button.addEventListener("click", () => { if (!hidden.delete(name)) hidden.add(name); drawLegend(); lanes.redraw(); });
    return button;
  }));
}

/** Draw the lanes that pass the filter; the first time, set the plot up. */
function drawLanes() {
  shown = selected();
  place = [];
  shown.forEach((lane, row) => { place[lane] = row; });
  $("shown").textContent = `${shown.length} of ${D.nodes.length} nodes`;
  drawLegend();
  if (lanes) { showAll(); return; }
  const longest = Math.max(6, ...D.nodes.map((name) => name.length)), clipped = (name) => name.length > 24 ? name.slice(0, 23) + "…" : name;
  const range = (full) => (_, min, max) => min === null || max === null || min === max ? full() : [min, max];
  lanes = plot($("lanes"), {
    padding: [6, 16, 0, 0],
    scales: { x: { time: false, range: range(() => [0, shownTime(D.end)]) }, y: { auto: false, range: range(fullY) } },
    series: [{}, { show: true, paths: () => null, points: { show: false } }],
    axes: [axis(TIME.unit), axis("", { size: Math.min(24, longest) * 7 + 16, splits: laneTicks, grid: { show: false },
      values: (_, ticks) => ticks.map((y) => y > 0 ? nameOf(commons[y - 1]) : clipped(D.nodes[shown[-y]])) })],
    cursor: { points: { show: false }, drag: { x: true, y: true, uni: 30, dist: 4 }, bind: {
      dblclick: () => () => { showAll(); return null; },
      mousedown: (_, __, handler) => (event) => event.shiftKey ? (pan(event), null) : handler(event) } },
    hooks: { draw: [drawLayers], setCursor: [(u) => tip(u, under(u))] },
  }, [[0, shownTime(D.end)], [null, null]]);
  showAll();
  lanes.over.addEventListener("wheel", wheel, { passive: false });
}
