// What the page does to a cluster, each with a question first where something is lost.

import { announce, byId, el, write } from "./dom.js";
import { NotLetIn, act, ask } from "./session.js";

// A question is about the cluster that was shown when it was asked, whatever is shown when it is answered.
export class Actions {
  #asking = false;

  // `cluster()` is the name of the cluster that is shown, `view()` what is known of it, `graph` where lines are drawn.
  constructor(cluster, view, graph) {
    this.cluster = cluster;
    this.view = view;
    this.graph = graph;
  }

  toolbar() {
    return [
      el("button", { type: "button", onclick: () => this.start(null) }, "Start all"),
      el("button", { type: "button", onclick: () => this.snapshot() }, "Snapshot…"),
      el("button", { type: "button", id: "draw", onclick: () => this.draw() }, "Draw a cut"),
      el("button", { type: "button", onclick: () => this.partition([], []) }, "Partition…"),
      el("button", { type: "button", onclick: () => this.heal(null) }, "Heal all"),
    ];
  }

  start(nodes) {
    return this.#do(this.cluster(), "start", { nodes }, nodes ? `Starting ${nodes.join(", ")}` : "Starting all nodes");
  }

  heal(fault) {
    return this.#do(this.cluster(), "heal", { fault }, fault ? `Healing ${fault}` : "Healing all faults");
  }

  async crash(node) {
    const cluster = this.cluster();
    const body = [el("p", {}, "Its power is cut: what it has not written to its disk is lost. Then it boots again.")];
    if (await this.#one(() => confirmed(`Crash ${node} of ${cluster}?`, body, "Crash"))) await this.#do(cluster, "crash", { node }, `Crashing ${node}`);
  }

  async snapshot() {
    const cluster = this.cluster();
    const name = el("input", {
      name: "name", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*", value: suggested(this.view()), autocomplete: "off",
      title: "Letters, digits, dots, hyphens and underscores; the first is a letter or digit", onfocus: () => name.select(),
    });
    const memory = el("input", { type: "checkbox", name: "memory" });
    const body = [el("label", {}, "Name ", name), el("label", {}, memory, " with memory")];
    if (await this.#one(() => confirmed(`Take a snapshot of ${cluster}`, body, "Take")))
      await this.#do(cluster, "snapshot", { name: name.value, memory: memory.checked }, `Taking snapshot ${name.value}`);
  }

  // `button` is the one that was pressed.
  async revert(name, button) {
    const cluster = this.cluster();
    const agreed = await this.#one(async () => {
      const losses = await this.#losses(cluster, name, button);
      const body = [el("p", {}, "All nodes go back to it. This is lost:"), el("ul", {}, losses?.map((text) => el("li", {}, text)) ?? [])];
      return losses && confirmed(`Revert ${cluster} to ${name}?`, body, "Revert");
    });
    if (agreed) await this.#do(cluster, "revert", { name }, `Reverting to ${name}`);
  }

  // In words; null if they are not known.
  async #losses(cluster, name, button) {
    button.disabled = true;
    try {
      return lossesInWords(await ask(`/api/clusters/${encodeURIComponent(cluster)}/snapshots/${encodeURIComponent(name)}/losses`));
    } catch (error) {
      await refused(error);
      return null;
    } finally {
      button.disabled = false;
      if (document.activeElement === document.body) button.focus();
    }
  }

  draw() {
    const hint = byId("hint");
    hint.textContent = "Draw a line between the nodes to cut apart. Escape cancels.";
    this.graph.cutBy((left, right) => {
      hint.textContent = "";
      if (left) this.partition(left, right);
      else announce("That line divides nothing.");
    });
  }

  async partition(left, right) {
    const cluster = this.cluster();
    const sides = this.view().nodes.map(({ name }) => {
      const radio = (side, checked) => el("input", { type: "radio", name: `side-${name}`, value: side, checked, "aria-label": `${name}: ${side || "untouched"}` });
      const neither = !left.includes(name) && !right.includes(name);
      return el("tr", { "data-node": name }, el("th", { scope: "row" }, name),
        el("td", {}, radio("left", left.includes(name))), el("td", {}, radio("right", right.includes(name))), el("td", {}, radio("", neither)));
    });
    const table = el("table", {}, el("thead", {}, el("tr", {}, ["Node", "One side", "Other side", "Untouched"].map((text) => el("th", { scope: "col" }, text)))), el("tbody", {}, sides));
    const seconds = el("input", { type: "number", name: "seconds", min: 1, step: "any", value: 60 });
    const body = [el("div", { class: "scroll" }, table), el("label", {}, "Heals by itself after ", seconds, " seconds; empty: never")];
    if (!(await this.#one(() => confirmed(`Cut the links between two sides of ${cluster}`, body, "Cut")))) return;
    const chosen = (side) => sides.filter((row) => row.querySelector("input:checked")?.value === side).map((row) => row.dataset.node);
    const groups = [chosen("left"), chosen("right")];
    await this.#do(cluster, "partition", { groups, duration_s: seconds.value ? Number(seconds.value) : null }, `Cutting ${groups[0].join(", ")} from ${groups[1].join(", ")}`);
  }

  // The answer to a question, of which there is one at a time, from the click on; nothing if there is another one.
  async #one(question) {
    if (this.#asking) return null;
    this.#asking = true;
    try {
      return await question();
    } finally {
      this.#asking = false;
    }
  }

  async #do(cluster, action, details, told) {
    const tell = (text) => write(byId("hint"), cluster === this.cluster() || !text ? text : `${cluster}: ${text}`);
    tell(`${told} …`);
    announce(told);
    try {
      const done = await act(cluster, action, details);
      tell(done);
      announce(done);
    } catch (error) {
      tell("");
      await refused(error);
    }
  }
}

const suggested = (view) => {
  const names = new Set(view.snapshots.map((of) => of.name));
  let number = names.size + 1;
  while (names.has(`page-${number}`)) number += 1;
  return `page-${number}`;
};

function lossesInWords({ nodes }) {
  return Object.entries(nodes).map(([name, of]) => {
    const written = of.written_bytes === null ? "an unknown amount" : `${(of.written_bytes / 2 ** 20).toFixed(1)} MiB`;
    return `${name}: ${written} on its disks${of.memory ? ", and what is in its memory" : ""}${of.kept_by ? ` since snapshot ${of.kept_by}` : ""}`;
  });
}

export function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) dialog.close("");
}

// A browser that is not let in is told so by the page itself.
const refused = async (error) => error instanceof NotLetIn || confirmed("That did not work", [el("p", {}, error.message)], null);

// Asks in a dialog of its own, so that an answer is to this question; `yes` is the word to agree with, null if there is nothing to agree to.
function confirmed(title, body, yes) {
  const dialog = el("dialog", { "aria-label": title }, el("form", { method: "dialog" }, el("h2", {}, title), ...body,
    el("div", { class: "buttons" }, el("button", { type: "button", onclick: () => dialog.close("") }, yes ? "Cancel" : "Close"),
      yes && el("button", { type: "submit", value: "yes", class: "main" }, yes))));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((answer) =>
    dialog.addEventListener("close", () => {
      dialog.remove();
      answer(dialog.returnValue === "yes");
    }),
  );
}
