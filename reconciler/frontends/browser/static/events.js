// What happens, newest first.

import { byId, el } from "./dom.js";

const MOST = 300;
export const BAD = new Set(["ActionFailed", "ObstacleMet"]);

export class Events {
  #newest = 0;
  all = [];

  clear() {
    this.#newest = 0;
    this.all = [];
    byId("events").replaceChildren();
  }

  // Returns those that were not known.
  add(events) {
    const fresh = events.filter((of) => of.number > this.#newest);
    this.#newest = fresh.at(-1)?.number ?? this.#newest;
    this.all = [...this.all, ...fresh].slice(-MOST);
    const list = byId("events");
    list.prepend(...fresh.slice(-MOST).map(row).reverse());
    while (list.childElementCount > MOST) list.lastElementChild.remove();
    return fresh;
  }
}

function row(of) {
  const at = new Date(of.at * 1000);
  return el(
    "li",
    { class: BAD.has(of.kind) ? "bad" : of.kind.startsWith("Fault") ? "fault" : "" },
    el("time", { datetime: at.toISOString() }, at.toLocaleTimeString([], { hour12: false })),
    el("span", { class: "kind" }, of.kind.replace(/([a-z])([A-Z])/g, "$1 $2")),
    el("span", { class: "what" }, [of.node, of.subject].filter(Boolean).join(" ")),
    el("span", { class: "message" }, of.message),
  );
}
