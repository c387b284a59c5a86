// The lists beside the graph, and what is asked for: the plan, a kernel's log, a screen.

import { byId, cut, el, write } from "./dom.js";
import { timeLeft } from "./geometry.js";
import { ask } from "./session.js";

const MOST_LETTERS = 120;

const path = (cluster, node, what) =>
  `/api/clusters/${encodeURIComponent(cluster)}/nodes/${encodeURIComponent(node)}/${what}`;

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
      actions && of.taken && el("button", { type: "button", onclick: () => actions.revert(of.name), "aria-label": `Revert to ${of.name}` }, "Revert…"),
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
    ["Health", node.problem || (node.state === "running" ? "nothing wrong is known" : "")],
    ["Cable", node.unplugged ? "pulled by a fault" : ""],
    ["Role", node.role],
    ["Address", node.ip],
    ["Host", node.host],
  ].filter(([, value]) => value);
  const body = byId("node-body");
  const state = JSON.stringify([facts, Boolean(actions)]);
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

export async function showPlan(panel, cluster) {
  await asked(panel, () => ask(`/api/clusters/${encodeURIComponent(cluster)}/plan`), (plan) => [
    ...plan.warnings.map((text) => el("p", { class: "warning" }, text)),
    plan.converged ? el("p", {}, "Nothing is pending: the host is as desired.") : null,
    el("ul", { class: "plain plan" }, plan.actions.map((of) =>
      el("li", { class: of.change }, el("strong", {}, `${{ create: "+", update: "~", delete: "−" }[of.change]} ${of.address}`), ` ${of.action}`,
        of.cost ? el("span", { class: "cost" }, of.cost) : null, of.drift ? el("span", { class: "cost" }, "drift") : null,
        el("span", { class: "quiet" }, ` ${of.reason}`)))),
    ...plan.obstacles.map((of) => el("p", { class: "warning" }, [of.node, of.message].filter(Boolean).join(": "))),
  ]);
}

export async function showKernel(panel, cluster, node) {
  await asked(panel, () => ask(path(cluster, node, "kernel-log")), (log) => [
    el("p", { class: "quiet" }, `${node}, from ${log.source === "kmsg" ? "the kernel's own buffer" : "the console"}. ${log.note}`),
    ...log.events.map((of) => el("details", { class: "kernel" }, el("summary", {}, el("strong", {}, of.kind), ` ${of.summary}`), el("pre", { tabindex: 0 }, of.lines.join("\n")))),
    log.lines.length
      ? el("pre", { tabindex: 0 }, log.lines.map((of) => `${of.at === null ? "" : `[${of.at.toFixed(6).padStart(12)}] `}${of.text}`).join("\n"))
      : el("p", {}, log.events.length ? "" : "No warnings and no errors."),
  ]);
}

export async function showScreen(panel, cluster, node) {
  await asked(panel, () => ask(path(cluster, node, "screen")), (picture) => {
    const url = URL.createObjectURL(picture);
    return [el("img", { src: url, alt: `The screen of ${node}`, onload: () => URL.revokeObjectURL(url) })];
  });
}

export const wholeConsole = (cluster, node) => ask(path(cluster, node, "console"));

// Asks, and shows the answer or why there is none; only the last question of a panel is answered in it.
async function asked(panel, question, shown) {
  const mine = (panel.question = Symbol());
  panel.setAttribute("aria-busy", "true");
  const again = el("button", { type: "button", onclick: () => asked(panel, question, shown) }, "Look again");
  let content;
  try {
    content = shown(await question());
  } catch (error) {
    content = [el("p", { class: "warning" }, error.message)];
  }
  if (panel.question !== mine) return;
  panel.setAttribute("aria-busy", "false");
  panel.replaceChildren(again, ...content.filter(Boolean));
}
