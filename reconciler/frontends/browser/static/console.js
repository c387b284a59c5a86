// A node's console: live, with what it said before. Stays where the reader is, and follows only at the end.

import { el } from "./dom.js";
import { wholeConsole } from "./questions.js";

const MOST_BLOCKS = 400;

export class Console {
  constructor(panel) {
    this.panel = panel;
    this.title = el("span", { class: "quiet" });
    this.earlier = el("button", { type: "button", onclick: () => this.#whole() }, "Earlier lines");
    this.text = el("pre", { role: "log", "aria-live": "off", "aria-label": "Console", tabindex: 0 });
    panel.replaceChildren(el("div", { class: "row" }, this.title, this.earlier), this.text);
  }

  open(cluster, node) {
    this.place = [cluster, node];
    this.earlier.hidden = !node;
    this.clear();
    this.title.textContent = node ? `Console of ${node}` : "Choose a node to see its console.";
  }

  clear() {
    this.text.replaceChildren();
  }

  // Blocks of lines, as they came.
  add({ missed, items }) {
    const following = this.text.scrollTop + this.text.clientHeight >= this.text.scrollHeight - 24;
    if (missed) this.text.append(el("div", { class: "quiet" }, "[… lines are missing here …]"));
    this.text.append(...items.map((lines) => el("div", {}, lines.join("\n"))));
    while (this.text.childElementCount > MOST_BLOCKS) this.text.firstElementChild.remove();
    if (following) this.text.scrollTop = this.text.scrollHeight;
  }

  async #whole() {
    const place = String(this.place);
    const shown = (show) => (answer) => String(this.place) === place && show(answer);
    await wholeConsole(...this.place).then(
      shown(({ lines }) => {
        this.text.replaceChildren(el("div", {}, lines.join("\n")));
        this.text.scrollTop = 0;
      }),
      shown((error) => (this.title.textContent = error.message)),
    );
  }
}
