// What was so at the chosen moment: broker, master, every node, the chosen node, the events about it.
import { link } from "./words.js";

const ROW = 24; // pixels, as in the style sheet
const COLUMNS = [["node", ""], ["believed", ""], ["program", ""], ["faults", ""], ["at work", "n"], ["waiting", "n"], ["under way", "n"]];

/** Fetch as JSON; what goes wrong is told at the bottom of the page. */
export async function ask(path, what = {}) {
  const answer = await fetch(path, what);
  const body = await answer.text();
  if (!answer.ok && answer.status !== 422) throw new Error(body.trim() || answer.statusText);
  return JSON.parse(body);
}

/** The text beside one run. `go({position, node, us})` leads to another moment or node, `again()` asks for this one. */
export class MomentPanel {
  constructor(box, number, name, lanes, go, again) {
    Object.assign(this, { number, lanes, go, state: null });
    box.append(this.root = element("div"));
    this.root.innerHTML = `
      <details open><summary><h2></h2></summary><div class="chips"></div></details>
      <details><summary><h2>Broker</h2></summary><div class="broker"></div></details>
      <details open><summary><h2>Node</h2></summary><div class="node"></div></details>
      <details open><summary><h2>Nodes</h2></summary><div class="scroll nodes" role="region" tabindex="0"></div></details>
      <details><summary><h2>Under way</h2></summary><div class="scroll under-way" role="region" tabindex="0" aria-label="messages under way"></div></details>
      <details open><summary><h2>Events</h2></summary><div class="scroll events" role="region" tabindex="0"></div></details>`;
    const [first, broker, node, nodes, underWay, events] = this.root.children;
    this.title = first.querySelector("h2");
    this.name = name;
    this.chips = first.querySelector(".chips");
    this.node = node.querySelector(".node");
    this.nodeBox = node;
    this.brokerBox = broker;
    broker.addEventListener("toggle", () => { if (broker.open) again(); });
    this.underWayBox = underWay;
    underWay.addEventListener("toggle", () => this.drawUnderWay());
    this.nodes = nodes.querySelector(".scroll");
    this.nodes.setAttribute("aria-label", "nodes");
    this.events = events.querySelector(".scroll");
    this.events.setAttribute("aria-label", "events about this moment");
    this.nodes.addEventListener("scroll", () => this.drawNodes());
    const table = this.nodes.appendChild(element("table")), head = table.appendChild(element("thead")).appendChild(element("tr"));
    for (const [name, kind] of COLUMNS) head.append(Object.assign(element("th", name, kind), { scope: "col" }));
    this.body = table.appendChild(element("tbody"));
    this.table = table;
  }

  /** Show this state, as /state answers, as that of the moment `us`. */
  show(state, us) {
    this.state = state;
    const { broker, master, nodes, held } = state, retained = held?.statuses ?? broker.retained;
    this.title.textContent = `${this.name}At ${moment(us)}, after event ${count(state.position + 1)} of ${count(state.of)}`;
    const by = (values) => [...values.reduce((counts, value) => counts.set(value, (counts.get(value) ?? 0) + 1), new Map())].map(([value, n]) => `${count(n)} ${value || "unknown"}`).join(", ");
    const chips = [
      ["broker", broker.up ? "up" : "down"], ["master", master.connected ? "connected" : "not connected"],
      ["connections", count(broker.connections)], ["tasks under way", count(broker.tasks)], ["results under way", count(broker.results)],
      ["dropped", !held?.figures && broker.dropped && count(broker.dropped)],
      ["retained", Object.entries(retained).map(([status, n]) => `${count(n)} ${status}`).join(", ")],
      ["programs", by(nodes.link)], ["believed", by(nodes.believed)],
      ["faults going on", Object.values(state.faults).join(", ")],
      ["also here", state.others.map(([name, role]) => name === role ? name : `${name} (${role})`).join(", ")],
    ];
    this.chips.replaceChildren(...chips.filter(([, value]) => value).map(([name, value]) => {
      const chip = element("span", `${name}: `);
      chip.append(element("b", String(value)));
      return chip;
    }));
    this.drawNode();
    this.drawNodes();
    this.drawBroker();
    this.drawUnderWay();
    this.drawEvents();
  }

  /** Whether somebody looks at what the broker holds: only then it is asked for, and drawn. */
  get sessions() { return Number(this.brokerBox.open); }

  /** What the broker holds of whom, and what it retains. */
  drawBroker() {
    if (!this.state) return;
    const { held, broker } = this.state, box = this.brokerBox, known = held?.figures;
    const figures = known && Object.entries(known).filter(([name, n]) => n || !["of absent clients", "retained"].includes(name));
    box.querySelector("h2").textContent = known ? `Broker: ${broker.up ? figures.map(([name, n]) => `${count(n)} ${name}`).join(", ") : "down"}` : "Broker";
    if (!box.open || known && !held.sessions) return;
    const names = new Set(this.lanes.data.nodes), named = (name) => names.has(name) ? link(name, () => this.go({ node: name })) : name;
    box.querySelector(".broker").replaceChildren(...(known ? [
      ...table("sessions at the broker", ["client", "session", "in flight", "queued", "dropped", "subscriptions"],
        held.sessions.map(([client, ...rest]) => [named(client), ...rest.map((value) => typeof value === "number" ? (value ? count(value) : "") : value)]), held.of_sessions, 2),
      ...table("retained messages", ["topic", "retained"], held.retained, held.of_retained, 2)] : [element("p", held ?? "The run is being made again to look into its broker.")]));
  }

  /** The messages that are sent and not there yet, the oldest first; drawn when somebody looks. */
  drawUnderWay() {
    if (!this.state) return;
    const { tasks, results } = this.state.broker, of = tasks + results, box = this.underWayBox;
    box.querySelector("h2").textContent = of ? `Under way: ${count(of)} messages` : "Under way: nothing";
    if (!box.open) return;
    const table = element("table"), head = table.appendChild(element("thead")).appendChild(element("tr"));
    for (const name of ["what", "node", "since"]) head.append(Object.assign(element("th", name, name === "since" ? "n" : ""), { scope: "col" }));
    const body = table.appendChild(element("tbody"));
    for (const [what, name, since] of this.state.under_way) {
      const line = body.appendChild(element("tr"));
      line.append(element("td", what));
      line.appendChild(element("td")).append(link(name, () => this.go({ node: name })));
      line.appendChild(element("td", "", "n")).append(link(moment(since), () => this.go({ us: since })));
    }
    if (of > this.state.under_way.length) body.appendChild(element("tr")).appendChild(element("td", `and ${count(of - this.state.under_way.length)} more`)).colSpan = 3;
    box.querySelector(".under-way").hidden = !of;
    box.querySelector(".under-way").replaceChildren(table);
  }

  /** Bring the chosen node's row into sight. */
  reveal() {
    const row = this.lanes.picked === null ? -1 : this.lanes.shown.indexOf(this.lanes.picked), top = row * ROW, height = this.nodes.clientHeight - 2 * ROW;
    if (row >= 0 && (top < this.nodes.scrollTop || top > this.nodes.scrollTop + height)) this.nodes.scrollTop = Math.max(0, top - height / 2);
    this.drawNodes();
  }

  drawNode() {
    this.nodeBox.hidden = !this.state.node;
    if (!this.state.node) return;
    const list = element("dl", "", "facts-of");
    for (const [name, value] of this.state.node) list.append(element("dt", name), element("dd", value));
    this.nodeBox.querySelector("h2").textContent = this.chosen;
    this.node.replaceChildren(list);
  }

  get chosen() { return this.lanes.picked === null ? "" : this.lanes.nameOf(this.lanes.picked); }

  /** Only the rows in sight. */
  drawNodes() {
    if (!this.state) return;
    const { nodes } = this.state, lanes = this.lanes.shown.filter((lane) => lane < nodes.link.length), { data } = this.lanes;
    const first = Math.max(0, Math.floor(this.nodes.scrollTop / ROW) - 4), last = Math.min(lanes.length, first + Math.ceil(this.nodes.clientHeight / ROW) + 8);
    this.table.setAttribute("aria-rowcount", lanes.length + 1);
    const spacer = (rows) => {
      const line = element("tr", "", "spacer"), cell = line.appendChild(element("td"));
      cell.colSpan = COLUMNS.length;
      cell.style.height = `${rows * ROW}px`;
      line.setAttribute("aria-hidden", "true");
      return line;
    };
    const lines = lanes.slice(first, last).map((lane, n) => {
      const line = element("tr", "", lane === this.lanes.picked ? "now" : ""), name = data.nodes[lane], believed = nodes.believed[lane];
      line.setAttribute("aria-rowindex", first + n + 2);
      line.appendChild(element("td")).append(link(name, () => this.go({ node: name })));
      line.appendChild(element("td")).append(element("span", believed || "–", `state ${believed}`));
      line.append(element("td", nodes.link[lane]), element("td", nodes.faults[lane]));
      for (const figure of [nodes.at_work[lane], nodes.waiting[lane], nodes.under_way[lane]]) line.append(element("td", figure ? count(figure) : "", "n"));
      return line;
    });
    this.body.replaceChildren(...(first ? [spacer(first)] : []), ...lines, ...(last < lanes.length ? [spacer(lanes.length - last)] : []));
  }

  drawEvents() {
    const { log, position } = this.state;
    this.events.replaceChildren(eventTable(log, position, this.go));
    const now = this.events.querySelector("tr.now");
    if (now) this.events.scrollTop = now.offsetTop - this.events.clientHeight / 3;
  }
}

/** Events as a table; each leads to its moment and its node. */
export function eventTable(events, position, go) {
  const table = element("table"), head = table.appendChild(element("thead")).appendChild(element("tr"));
  for (const name of ["time", "event", "node", "what it says"]) head.append(Object.assign(element("th", name, name === "time" ? "n" : ""), { scope: "col" }));
  const body = table.appendChild(element("tbody"));
  for (const event of events) {
    const line = body.appendChild(element("tr", "", event.position === position ? "now" : position !== null && event.position > position ? "later" : ""));
    if (event.position === position) line.setAttribute("aria-current", "true");
    line.appendChild(element("td", "", "n")).append(link((event.t / S).toFixed(6), () => go({ position: event.position })));
    line.append(element("td", event.what));
    const node = line.appendChild(element("td"));
    if (event.lane) node.append(link(event.node, () => go({ node: event.node, position: event.position })));
    else node.textContent = event.node;
    line.append(element("td", event.text, "text"));
  }
  return table;
}

/** A table in a box that scrolls; columns from `figures` on are numbers. Nothing, if there are no rows. */
function table(label, heads, rows, of, figures) {
  if (!rows.length) return [];
  const scroll = element("div", "", "scroll rows"), made = scroll.appendChild(element("table")), head = made.appendChild(element("thead")).appendChild(element("tr"));
  Object.entries({ role: "region", tabindex: "0", "aria-label": label }).forEach((pair) => scroll.setAttribute(...pair));
  heads.forEach((name, at) => head.append(Object.assign(element("th", name, at >= figures ? "n" : ""), { scope: "col" })));
  const body = made.appendChild(element("tbody"));
  for (const row of rows) {
    const line = body.appendChild(element("tr"));
    row.forEach((cell, at) => line.appendChild(element("td", "", at >= figures ? "n" : heads[at] === "retained" ? "text" : "")).append(cell));
  }
  if (of > rows.length) body.appendChild(element("tr")).appendChild(element("td", `and ${count(of - rows.length)} more`)).colSpan = heads.length;
  return [scroll];
}
