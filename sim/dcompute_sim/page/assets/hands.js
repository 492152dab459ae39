// Faults by click in a run that goes on: which kinds there are the server says, whom they strike is chosen here.
import { ask } from "./moment.js";

const act = (name, what) => ask(`do/${name}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(what) });

/** The panel of the faults by hand. `about`: what can be done, as /about says; `again()` shows the moment anew. */
export class Hands {
  constructor({ about, lanes, again, trouble }) {
    Object.assign(this, { lanes, again, trouble, node: "", kinds: [] });
    if (about.pace !== undefined) this.setUpPace(about.pace);
    this.take(about);
  }

  /** Take in what can be done, which is known when the run begins, and what was done. */
  take({ kinds = [], done = [] }) {
    if (!this.kinds.length && kinds.length) this.setUp(kinds);
    if (this.kinds.length) this.drawDone(done);
  }

  setUp(kinds) {
    this.kinds = kinds;
    $("hands").hidden = false;
    const form = $("hands-body").appendChild(element("form", "", "hand"));
    form.setAttribute("aria-label", "do a fault");
    this.victim = form.appendChild(element("output"));
    const label = form.appendChild(element("label", "fault "));
    this.kind = label.appendChild(element("select"));
    for (const kind of kinds) this.kind.append(new Option(kind.kind, kind.kind));
    this.fields = form.appendChild(element("span", "", "hand"));
    this.button = form.appendChild(element("button", "strike"));
    this.told = $("hands-body").appendChild(element("p", "", "facts"));
    this.told.setAttribute("role", "status");
    this.list = $("hands-body").appendChild(element("ul", "", "verdict"));
    this.list.setAttribute("aria-label", "faults done by hand");
    const save = $("hands-body").appendChild(element("button", "save what I did as a scenario"));
    save.type = "button";
    save.addEventListener("click", () => this.guarded(() => this.save()));
    this.kind.addEventListener("change", () => this.draw());
    form.addEventListener("submit", (event) => { event.preventDefault(); this.guarded(() => this.strike()); });
    this.draw();
  }

  guarded(work) { return work().catch(this.trouble); }

  setUpPace(pace) {
    $("pace-box").hidden = false;
    for (const value of unique([0, 0.1, 1, 10, 100, pace]).sort((a, b) => a - b)) $("pace").append(new Option(value ? `${value}×` : "stopped", value));
    $("pace").append(new Option("as fast as it can", "inf"));
    $("pace").value = String(pace ?? "inf");
    $("pace").addEventListener("change", () => this.guarded(() => act("pace", { pace: $("pace").value })));
  }

  choose(node) { this.node = node; if (this.kind) this.draw(); }

  draw() {
    const kind = this.kinds.find(({ kind }) => kind === this.kind.value), known = new Map([...this.fields.querySelectorAll("input, select")].map((field) => [field.name, field.value]));
    this.kind.title = kind.words;
    this.victim.textContent = kind.struck === "nodes" ? this.node || "choose a node in the lanes" : kind.struck;
    this.button.disabled = kind.struck === "nodes" && !this.node;
    this.fields.replaceChildren(...kind.fields.map((field) => {
      const label = element("label", `${field.name} `), input = label.appendChild(field.choices ? element("select") : element("input"));
      for (const choice of field.choices ?? []) input.append(new Option(choice, choice));
      input.name = field.name;
      input.title = field.description;
      if (!field.choices) input.placeholder = field.default;
      const value = known.get(field.name) ?? (field.choices ? field.default : "");
      if (value) input.value = value;
      return label;
    }));
  }

  async strike() {
    const kind = this.kinds.find(({ kind }) => kind === this.kind.value), keys = {};
    for (const input of this.fields.querySelectorAll("input, select")) if (input.value.trim()) keys[input.name] = input.value.trim();
    const answer = await act("strike", { kind: kind.kind, node: kind.struck === "nodes" ? this.node : "", keys });
    this.told.textContent = answer.error ?? `${answer.fault} is done.`;
    document.body.dataset.struck = answer.fault ?? "";
    await this.again();
  }

  drawDone(done) {
    this.list.replaceChildren(...done.map((fault) => {
      const line = element("li", `${moment(fault.t)} ${fault.fault}${fault.node ? ` of ${fault.node}` : ""} `);
      if (fault.open) {
        const undo = line.appendChild(element("button", "undo"));
        undo.type = "button";
        undo.setAttribute("aria-label", `undo ${fault.fault}`);
        undo.addEventListener("click", () => this.guarded(async () => { const { error } = await act("undo", { fault: fault.fault }); this.told.textContent = error ?? `${fault.fault} is undone.`; }));
      } else line.append(fault.ended ? `until ${moment(fault.ended)}` : "");
      return line;
    }));
  }

  async save() {
    const { name, text, error } = await act("save", {});
    if (error) { this.told.textContent = error; return; }
    const link = Object.assign(element("a"), { href: URL.createObjectURL(new Blob([text], { type: "application/yaml" })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    this.told.textContent = `${name} is saved.`;
  }

  over() {
    if (!this.kinds.length) return;
    this.button.disabled = true;
    this.list.querySelectorAll("button").forEach((button) => { button.disabled = true; });
  }
}
