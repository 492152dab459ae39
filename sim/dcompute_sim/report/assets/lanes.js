// Nodes through time: a lane a node, drawn on one canvas layer by layer, so that thousands of lanes stay fluent.
//
// Lanes lower than a pixel lie upon each other, and the layers go from what is usual to what is not: a thousand
// ready nodes of which one is dead show the dead one. Of what falls on the same pixels only the first is drawn.
const BROKER = -1, MASTER = -2, NOBODY = -3; // nobody: a fault that found no node
const MARK = 8, MOST_BAR = 60; // pixels

const marks = {
  cross: (ctx, x, y, r) => { ctx.moveTo(x - r, y - r); ctx.lineTo(x + r, y + r); ctx.moveTo(x + r, y - r); ctx.lineTo(x - r, y + r); },
  diamond: (ctx, x, y, r) => { ctx.moveTo(x, y - r * 1.3); ctx.lineTo(x + r * 1.3, y); ctx.lineTo(x, y + r * 1.3); ctx.lineTo(x - r * 1.3, y); ctx.closePath(); },
};

/** Stroke what the path has collected: marks with a rim, so that they stand out on any bar. */
function finish(ctx, shape, color, dpr) {
  if (shape === "dots") {
    ctx.strokeStyle = color;
    ctx.setLineDash([3 * dpr, 3 * dpr]);
    ctx.lineWidth = 1.5 * dpr;
    ctx.stroke();
    ctx.setLineDash([]);
    return;
  }
  ctx.strokeStyle = colour("rim");
  ctx.lineWidth = (shape === "cross" ? 4.5 : 2) * dpr;
  ctx.stroke();
  ctx.fillStyle = ctx.strokeStyle = color;
  if (shape === "diamond") { ctx.fill(); return; }
  ctx.lineWidth = 2.2 * dpr;
  ctx.stroke();
}

/** The lanes of one run.
 *
 * `box`: the element they fill. `data`: columns, see report/columns.py. `legend`: where the entries stand.
 * `length`: how long the run will take, in us, if it goes on. `onPick(lane, us)`: a lane was clicked or reached
 * by key. `onShown(shown, of)`: after the filter has changed. */
class Lanes {
  constructor(box, data, { legend, length = 0, onPick = () => {}, onShown = () => {} }) {
    Object.assign(this, { box, data, legend, length, onPick, onShown });
    this.unit = timeUnit(Math.max(length, data.end));
    this.hidden = new Set(); // entries of the legend that are switched off
    this.filter = { text: "", group: "", hit: false, sort: "defined" };
    this.shown = []; // lanes in sight from the top
    this.place = []; // where each lane stands, undefined when filtered out
    this.layers = new Map();
    this.picked = null;
    this.cursorUs = null;
    this.troubled = new Set();
    this.firstFault = new Map();
    this.commons = [];
    for (const name of ["statuses", "outages", "work", "faults", "detections", "deaths"]) this.addRows(name, data[name].lane.keys());
    this.setUp();
    this.apply();
  }

  /** Whoever looks sees from 0 to here, in us. */
  get endUs() { return Math.max(this.length, this.data.end); }
  time(us) { return us / this.unit.us; }
  rowOf(lane) { return lane < 0 ? -1 - this.commons.indexOf(lane) : this.place[lane]; }
  nameOf(lane) { return ({ [BROKER]: "broker", [MASTER]: "master", [NOBODY]: "no node" })[lane] ?? this.data.nodes[lane]; }
  fullY() { return [-Math.max(this.shown.length, 1) + 0.5, 0.5 + this.commons.length]; }
  startOf(columns, i) { return (columns.start ?? columns.taken ?? columns.t)[i]; }
  endOf(columns, i) { const end = columns.end[i]; return end === OPEN ? this.data.end : end; }

  // --- layers: things of one kind and colour, from the bottom up. `weight`: share of the lane's height

  addRows(name, indices) {
    const columns = this.data[name];
    for (const i of indices) {
      const lane = columns.lane[i];
      if (name === "faults" || name === "deaths") this.troubled.add(lane);
      if (name === "faults" && !this.firstFault.has(lane)) this.firstFault.set(lane, columns.start[i]);
      if ((name === "faults" || name === "outages") && lane < 0 && !this.commons.includes(lane)) this.commons = [...this.commons, lane].sort((a, b) => b - a);
      for (const layer of this.layersFor(name, columns, i)) layer.rows.push(i);
    }
  }

  layersFor(name, columns, i) {
    const what = columns.what?.[i];
    if (name === "statuses") return [this.layer(`0 ${STATUSES.indexOf(what) + 1} ${what}`, { entry: what, shape: "bar", weight: 0.8, color: () => colour(STATUSES.includes(what) ? what : "other"), columns })];
    if (name === "outages") return [this.layer("1", { entry: "outage", shape: "bar", weight: 0.8, color: () => colour("outage"), columns })];
    if (name === "work") return [this.layer(`2 ${String(columns.priority[i]).padStart(2)}`, { entry: "task", shape: "bar", weight: 0.42, color: () => PRIORITY[columns.priority[i] - 1] ?? OTHER[0], columns })];
    if (name === "detections") return [this.layer("4", { entry: "detection", shape: "dots", color: () => colour("death"), columns })];
    if (name === "deaths") return [this.layer("5", { entry: "death reported", shape: "diamond", color: () => colour("death"), columns })];
    const number = this.kinds?.indexOf(what) ?? -1, place = number < 0 ? (this.kinds ??= []).push(what) - 1 : number;
    const color = () => this.data.colours[what] ?? OTHER[place % OTHER.length];
    return [this.layer(`3 ${what}`, { entry: what, shape: "bar", weight: 0.16, color, columns, silent: true, lasting: true }), this.layer(`6 ${what}`, { entry: what, shape: "cross", color, columns })];
  }

  layer(key, made) {
    if (!this.layers.has(key)) {
      this.layers.set(key, { ...made, rows: [] });
      this.layers = new Map([...this.layers].sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0));
    }
    return this.layers.get(key);
  }

  /** Take in what is new of a run that goes on, see report/columns.py. */
  update(news) {
    const { data } = this, before = data.nodes.length, commons = this.commons.length;
    if (news.nodes) { data.nodes.push(...news.nodes); data.groups.push(...news.groups); }
    if (news.colours) Object.assign(data.colours, news.colours);
    data.end = Math.max(data.end, news.now);
    for (const name of ["statuses", "outages", "work", "faults", "detections", "deaths", "phases"]) {
      if (!news[name]) continue;
      const { index, ...columns } = news[name], known = data[name].lane.length, fresh = index.filter((i) => i >= known);
      for (const [key, values] of Object.entries(columns)) values.forEach((value, n) => { data[name][key][index[n]] = value; });
      if (name !== "phases") this.addRows(name, fresh);
    }
    const whole = this.seesAll;
    if (data.nodes.length !== before || commons !== this.commons.length) this.apply();
    else if (whole) this.showAll();
    else this.plot.redraw(false);
    this.drawLegendSoon();
  }

  // --- filter

  /** Show only some lanes: `text` (part of a name, or /regex/), `group`, `hit` (with faults or deaths), in the order `sort`. */
  select(filter) {
    Object.assign(this.filter, filter);
    this.apply();
  }

  apply() {
    const { text, group, hit, sort } = this.filter, { nodes, groups } = this.data, wanted = text.trim();
    let matches = (name) => name.toLowerCase().includes(wanted.toLowerCase());
    const regex = wanted.match(/^\/(.+)\/$/);
    if (regex) { try { const r = new RegExp(regex[1], "i"); matches = (name) => r.test(name); } catch { /* being typed */ } }
    const found = nodes.map((_, i) => i).filter((i) => matches(nodes[i]) && (!group || groups[i] === group) && (!hit || this.troubled.has(i)));
    if (sort === "name") found.sort((a, b) => nodes[a].localeCompare(nodes[b], "en", { numeric: true }));
    if (sort === "fault") found.sort((a, b) => (this.firstFault.get(a) ?? Infinity) - (this.firstFault.get(b) ?? Infinity));
    this.shown = found;
    this.place = [];
    found.forEach((lane, row) => { this.place[lane] = row; });
    this.onShown(found.length, nodes.length);
    this.drawLegend();
    this.showAll();
  }

  // --- drawing

  setUp() {
    const range = (full) => (_, min, max) => min === null || max === null || min === max ? full() : [min, max];
    const clipped = (name) => name.length > 24 ? name.slice(0, 23) + "…" : name;
    const longest = () => Math.min(24, Math.max(6, ...this.shown.slice(0, 2000).map((lane) => this.data.nodes[lane].length)));
    this.plot = plot(this.box, {
      padding: [6, 16, 0, 0],
      scales: { x: { time: false, range: range(() => [0, this.time(this.endUs)]) }, y: { auto: false, range: range(() => this.fullY()) } },
      series: [{}, { show: true, paths: () => null, points: { show: false } }],
      axes: [axis(this.unit.unit), axis("", { size: () => longest() * 7 + 16, splits: (u, _, min, max) => this.ticks(u, min, max), grid: { show: false },
        values: (_, ticks) => ticks.map((y) => y > 0 ? this.nameOf(this.commons[y - 1]) : clipped(this.data.nodes[this.shown[-y]] ?? "")) })],
      cursor: { points: { show: false }, drag: { x: true, y: true, uni: 30, dist: 4 }, bind: {
        dblclick: () => () => { this.showAll(); return null; },
        mousedown: (_, __, handler) => (event) => event.shiftKey ? (this.pan(event), null) : handler(event) } },
      hooks: { draw: [(u) => this.draw(u)], setCursor: [(u) => tip(u, this.under(u))] },
    }, [[0, this.time(this.endUs)], [null, null]]);
    const { over } = this.plot;
    over.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    let from = null;
    over.addEventListener("mousedown", (event) => { from = [event.clientX, event.clientY]; });
    over.addEventListener("click", (event) => {
      if (!from || Math.hypot(event.clientX - from[0], event.clientY - from[1]) > 4) return;
      const row = Math.round(-this.plot.posToVal(this.plot.cursor.top, "y")), us = this.plot.posToVal(this.plot.cursor.left, "x") * this.unit.us;
      const lane = row < 0 ? this.commons[-row - 1] : this.shown[row];
      this.onPick(lane ?? null, Math.max(0, Math.round(us)));
    });
    this.cursorLine = over.appendChild(element("div", "", "cursor-line"));
    this.pickedLane = over.appendChild(element("div", "", "picked-lane"));
  }

  draw(u) {
    onCanvas(u, (ctx, X, Y, dpr) => {
      const laneHeight = Math.abs(Y(1) - Y(0)), left = u.bbox.left, right = left + u.bbox.width, x0 = left - MARK * dpr, x1 = right + MARK * dpr;
      const { min, max } = u.scales.y, perUs = 1 / this.unit.us, { place } = this;
      for (const layer of this.layers.values()) {
        if (this.hidden.has(layer.entry) || !layer.rows.length) continue;
        const { columns, shape } = layer, height = Math.round(Math.max(dpr, Math.min(MOST_BAR * dpr, laneHeight) * (layer.weight ?? 0)));
        const offset = shape === "dots" ? Math.min(laneHeight * 0.32, MOST_BAR * dpr * 0.45) : 0, starts = columns.start ?? columns.taken ?? columns.t, isMark = shape === "cross" || shape === "diamond";
        const color = layer.color(), lanes = columns.lane, ends = columns.end, seen = laneHeight < dpr && shape === "bar" ? new Map() : null;
        ctx.fillStyle = color;
        ctx.beginPath();
        for (const i of layer.rows) {
          const lane = lanes[i], row = lane < 0 ? this.rowOf(lane) : place[lane];
          if (row === undefined || -row < min - 1 || -row > max + 1) continue;
          const from = X(starts[i] * perUs);
          if (isMark) { if (from > x0 && from < x1) marks[shape](ctx, from, Y(-row), MARK / 2 * dpr); continue; }
          const to = X((ends[i] === OPEN ? this.data.end : ends[i]) * perUs);
          if (to <= x0 || from >= x1 || (layer.lasting && to <= from)) continue;
          const a = Math.max(from, x0), b = Math.min(to, x1), y = Y(-row);
          if (shape === "dots") { ctx.moveTo(a, y - offset); ctx.lineTo(b, y - offset); continue; }
          const top = Math.round(y - height / 2), width = Math.max(dpr, b - a);
          if (seen !== null) { // lanes below a pixel: what is covered already need not be drawn
            const covered = seen.get(top);
            if (covered !== undefined && covered[0] <= a && covered[1] >= a + width) continue;
            if (covered === undefined || width > covered[1] - covered[0]) seen.set(top, [a, a + width]);
          }
          ctx.fillRect(a, top, width, height);
        }
        if (shape !== "bar") finish(ctx, shape, color, dpr);
      }
      this.drawPhases(ctx, X, u.bbox, dpr);
    });
    this.placeCursor();
  }

  drawPhases(ctx, X, box, dpr) {
    ctx.strokeStyle = ctx.fillStyle = colour("soft");
    ctx.font = `${11 * dpr}px ${FONT.split("px ")[1]}`;
    ctx.textBaseline = "top";
    ctx.textAlign = "left";
    ctx.lineWidth = dpr;
    ctx.setLineDash([5 * dpr, 4 * dpr]);
    this.data.phases.t.forEach((t, i) => {
      const x = Math.round(X(this.time(t))) + 0.5;
      ctx.beginPath(); ctx.moveTo(x, box.top); ctx.lineTo(x, box.top + box.height); ctx.stroke();
      ctx.fillText(this.data.phases.what[i], x + 4 * dpr, box.top + 3 * dpr);
    });
    ctx.setLineDash([]);
  }

  /** Names on the axis for the lanes in sight: as many as fit. */
  ticks(u, min, max) {
    const first = Math.max(0, Math.ceil(-max)), last = Math.min(this.shown.length - 1, Math.floor(-min)), ticks = this.commons.map((_, i) => i + 1);
    const step = Math.max(1, Math.ceil((last - first + 1) / Math.max(1, u.bbox.height / uPlot.pxRatio / 15 || 35)));
    for (let row = first; row <= last; row += step) ticks.push(-row);
    return ticks.filter((y) => y >= min && y <= max);
  }

  // --- what is where

  /** What to say of row `i` of a layer. */
  words({ columns, entry }, i) {
    const { work, deaths, detections, faults } = this.data, what = columns.what?.[i], detail = columns.detail?.[i];
    const goesOn = columns.end?.[i] === OPEN, lasted = columns.end && told(this.endOf(columns, i) - this.startOf(columns, i)) + (goesOn ? " so far" : "");
    if (columns === work) return [`task ${work.task[i]}, priority ${work.priority[i]}`, `waited ${told(work.taken[i] - work.received[i])}, ran ${lasted}${work.finished[i] || goesOn ? "" : ", not finished"}`];
    if (columns === deaths) return [`reported dead (${what})`, detail];
    if (columns === detections) return [`${what}: reported (${detail}) after ${lasted}`];
    if (columns === faults) return [detail, this.endOf(columns, i) > columns.start[i] ? `for ${lasted}` : ""];
    return [`${what} for ${lasted}`, entry === "outage" ? "" : detail];
  }

  /** The topmost thing under the pointer: marks by their distance, bars by their lane. */
  under(u) {
    const { left, top } = u.cursor;
    if (left < 0) return null;
    const at = u.posToVal(left, "x") * this.unit.us, slack = (u.posToVal(left + 3, "x") - u.posToVal(left, "x")) * this.unit.us, row = Math.round(-u.posToVal(top, "y"));
    for (const layer of [...this.layers.values()].reverse()) {
      if (this.hidden.has(layer.entry)) continue;
      const { columns } = layer, isMark = layer.shape === "cross" || layer.shape === "diamond";
      for (const i of layer.rows) {
        const own = this.rowOf(columns.lane[i]), start = this.startOf(columns, i);
        if (own === undefined) continue;
        const hit = isMark ? Math.hypot(u.valToPos(this.time(start), "x") - left, u.valToPos(-own, "y") - top) < MARK
          : own === row && start - slack <= at && at <= this.endOf(columns, i) + slack;
        if (hit) return [`${this.nameOf(columns.lane[i])} at ${moment(Math.max(start, isMark ? start : Math.min(at, this.endOf(columns, i))))}`, ...this.words(layer, i).filter(Boolean)];
      }
    }
    return null;
  }

  /** Show the moment that is looked at; null for none. */
  setCursor(us) { this.cursorUs = us; this.placeCursor(); }

  /** Mark a lane; null for none. */
  pick(lane) { this.picked = lane; this.placeCursor(); }

  placeCursor() {
    const { plot, cursorLine, pickedLane } = this;
    if (!cursorLine) return;
    const x = this.cursorUs === null ? -1 : plot.valToPos(this.time(this.cursorUs), "x");
    cursorLine.hidden = !(x >= 0 && x <= plot.over.clientWidth);
    if (!cursorLine.hidden) cursorLine.style.left = `${x}px`;
    const row = this.picked === null ? undefined : this.rowOf(this.picked);
    pickedLane.hidden = row === undefined;
    if (row === undefined) return;
    const top = plot.valToPos(-row + 0.5, "y"), height = Math.max(3, plot.valToPos(-row - 0.5, "y") - top);
    pickedLane.hidden = top < -1 || top > plot.over.clientHeight;
    pickedLane.style.top = `${top}px`;
    pickedLane.style.height = `${height}px`;
  }

  /** The lane so many rows further down in what is in sight; the first if none is picked. */
  beside(rows) {
    const at = this.picked === null || this.picked < 0 ? -1 : this.place[this.picked] ?? -1;
    return this.shown[Math.max(0, Math.min(this.shown.length - 1, at + rows))] ?? null;
  }

  // --- zoom

  get seesAll() { return this.whole === true; }

  zoomTo(x, y) {
    this.whole = false;
    this.plot.batch(() => { this.plot.setScale("x", { min: x[0], max: x[1] }); this.plot.setScale("y", { min: y[0], max: y[1] }); });
  }

  showAll() {
    this.zoomTo([0, this.time(this.endUs)], this.fullY());
    this.whole = true;
  }

  /** Zoom about a point in values of the axes; `factor` below 1 goes closer. */
  zoom(factor, about = [this.time(this.cursorUs ?? this.endUs / 2), this.picked === null ? undefined : -this.rowOf(this.picked)]) {
    const scaled = ({ min, max }, v = (min + max) / 2) => [v - (v - min) * factor, v + (max - v) * factor];
    this.zoomTo(scaled(this.plot.scales.x, about[0]), scaled(this.plot.scales.y, about[1]));
  }

  /** Ctrl and the wheel zoom about the pointer; the wheel alone scrolls the page as everywhere. */
  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const { left, top } = this.plot.cursor;
    this.zoom(event.deltaY < 0 ? 0.8 : 1.25, [this.plot.posToVal(left, "x"), this.plot.posToVal(top, "y")]);
  }

  /** Shift and drag move what is in sight. */
  pan(down) {
    const x = { ...this.plot.scales.x }, y = { ...this.plot.scales.y }, rect = this.plot.over.getBoundingClientRect();
    const move = (e) => {
      const dx = (down.clientX - e.clientX) / rect.width * (x.max - x.min), dy = (e.clientY - down.clientY) / rect.height * (y.max - y.min);
      this.zoomTo([x.min + dx, x.max + dx], [y.min + dy, y.max + dy]);
    };
    document.addEventListener("mousemove", move);
    document.addEventListener("mouseup", () => document.removeEventListener("mousemove", move), { once: true });
  }

  // --- legend

  drawLegendSoon() {
    this.legendTimer ??= setTimeout(() => { this.legendTimer = null; this.drawLegend(); }, 1000);
  }

  /** An entry for each kind of thing that is in sight, with how many; a click hides them. */
  drawLegend() {
    const entries = new Map();
    for (const layer of this.layers.values()) {
      const entry = entries.get(layer.entry) ?? { colors: [], of: 0 };
      if (!layer.silent) entry.of += layer.rows.filter((i) => this.rowOf(layer.columns.lane[i]) !== undefined).length;
      entries.set(layer.entry, Object.assign(entry, { colors: [...entry.colors, layer.color()], shape: layer.shape }));
    }
    const focused = document.activeElement?.dataset?.entry;
    this.legend.replaceChildren(...[...entries].filter(([, entry]) => entry.of).map(([name, entry]) => {
      const button = element("button"), swatch = button.appendChild(element("span", "", `swatch ${entry.shape}`));
      button.type = "button";
      button.dataset.entry = name;
      button.dataset.count = entry.of;
      button.setAttribute("aria-pressed", !this.hidden.has(name));
      swatch.style.setProperty("--c", STATUSES.includes(name) ? `var(--${name})` : name.startsWith("de") ? "var(--death)" : entry.colors.at(-1));
      if (entry.colors.length > 2) swatch.style.background = `linear-gradient(90deg, ${entry.colors.join(", ")})`;
      button.append(name === "task" ? "tasks, priority 1 to 10" : name, element("small", count(entry.of)));
      button.addEventListener("click", () => { if (!this.hidden.delete(name)) this.hidden.add(name); this.drawLegend(); this.plot.redraw(); });
      return button;
    }));
    if (focused) [...this.legend.children].find((button) => button.dataset.entry === focused)?.focus();
  }
}
