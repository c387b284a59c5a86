// What is shown when it is asked for: the plan, a kernel's log, a screen, a whole console.

import { el } from "./dom.js";
import { ask } from "./session.js";

const path = (cluster, node, what) =>
  `/api/clusters/${encodeURIComponent(cluster)}/nodes/${encodeURIComponent(node)}/${what}`;

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

// Shows nothing that was answered about something else, nor what is still being answered.
export function forgetAnswers(...panels) {
  for (const panel of panels) {
    panel.question = null;
    panel.replaceChildren();
  }
}

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
