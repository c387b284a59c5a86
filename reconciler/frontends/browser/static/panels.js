// What is beside the graph: how the cluster is, what is wrong, and its lists.

import { byId, cut, el, write } from "./dom.js";
import { timeLeft } from "./geometry.js";

const MOST_LETTERS = 120;

// Replaces the rows of a list, unless nothing has changed: focus stays where it is.
function rows(list, key, items, empty, row) {
  const state = JSON.stringify([key, items]);
  if (list.dataset.state === state) return;
  list.dataset.state = state;
  list.replaceChildren(...(items.length ? items.map(row) : [el("li", { class: "quiet" }, empty)]));
}

export function showFaults(view, actions, now) {
  const list = byId("faults");
  rows(list, Boolean(actions), view.faults, "No faults.", (fault) =>
    el(
      "li",
      {},
      el("div", {}, el("strong", {}, fault.name), " ", el("span", { title: fault.effect }, cut(fault.effect, MOST_LETTERS))),
      el("span", { class: "left", "data-ends": fault.ends_at ?? "" }),
      actions && el("button", { type: "button", onclick: () => actions.heal(fault.name), "aria-label": `Heal ${fault.name}` }, "Heal"),
    ),
  );
  write(byId("left-out"), view.left_out);
  tickFaults(now);
}

export function tickFaults(now) {
  for (const left of byId("faults").querySelectorAll("[data-ends]"))
    write(left, left.dataset.ends ? timeLeft(Number(left.dataset.ends) - now()) : "until healed");
}

export function showConditions(view) {
  rows(byId("conditions"), "", view.conditions, "No round has run yet.", (of) =>
    el(
      "li",
      { class: of.status === "Unknown" ? "unknown" : of.good ? "good" : "bad" },
      el("div", {}, el("strong", {}, of.type), " ", el("span", { class: "status" }, of.status), " ", el("span", { class: "quiet" }, of.reason)),
      of.message && !of.good ? el("p", {}, of.message) : null,
    ),
  );
}

export function showSnapshots(view, actions) {
  rows(byId("snapshots"), Boolean(actions), view.snapshots, "No snapshots.", (of) =>
    el(
      "li",
      {},
      el("div", {}, el("strong", {}, of.name), of.memory ? el("span", { class: "quiet" }, " with memory") : null),
      of.taken || el("span", { class: "quiet" }, "not taken yet"),
      actions && of.taken && el("button", { type: "button", onclick: ({ currentTarget }) => actions.revert(of.name, currentTarget), "aria-label": `Revert to ${of.name}` }, "Revert…"),
    ),
  );
}

export function showNode(view, name, actions) {
  const node = view.nodes.find((of) => of.name === name);
  byId("node").hidden = !node;
  if (!node) return;
  write(byId("node-title"), node.name);
  const facts = [
    ["State", node.state],
    ["Health", node.problem || (node.state === "running" ? "no known problems" : "")],
    ["Cable", node.unplugged ? "pulled by a fault" : ""],
    ["Role", node.role],
    ["Address", node.ip],
    ["Host", node.host],
  ].filter(([, value]) => value);
  const body = byId("node-body");
  const state = JSON.stringify([name, facts, Boolean(actions)]);
  if (body.dataset.state === state) return;
  body.dataset.state = state;
  const buttons = actions && [
    el("button", { type: "button", onclick: () => actions.crash(name) }, "Crash…"),
    el("button", { type: "button", onclick: () => actions.start([name]), disabled: node.state === "running" }, "Start"),
  ];
  body.replaceChildren(
    el("dl", {}, facts.map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value)))),
    ...(buttons ? [el("div", { class: "buttons" }, buttons)] : []),
  );
}

export function showReady(view) {
  const ready = view.conditions.find((of) => of.type === "Ready");
  const good = ready?.status === "True";
  write(byId("ready"), !ready ? "" : !good ? `not ready: ${ready.reason}` : view.settled ? "Ready" : "changing …");
  byId("ready").className = `badge ${!ready || ready.status === "Unknown" || (good && !view.settled) ? "unknown" : good ? "good" : "bad"}`;
  document.title = `${view.name}${ready && ready.status !== "True" ? " (not ready)" : ""} - vmcluster`;
}

export function showTrouble(message) {
  byId("trouble").hidden = !message;
  write(byId("trouble"), message ?? "");
}

// Shows nothing of any cluster.
export function clearPanels() {
  for (const id of ["faults", "conditions", "snapshots"]) {
    byId(id).replaceChildren();
    delete byId(id).dataset.state;
  }
  byId("node").hidden = true;
  write(byId("left-out"), "");
  write(byId("ready"), "");
  byId("ready").className = "badge";
}
