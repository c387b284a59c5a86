// The last minutes: when faults were in force, and when something happened.

import { byId, set, svg, write } from "./dom.js";
import { BAD } from "./events.js";

const SPANS_S = [180, 900];
const HEIGHT = 84;
const BARS = 3;
const BAR = 12;

export function drawTimeline(events, now) {
  const root = byId("timeline");
  const width = root.clientWidth;
  if (!width) return;
  const oldest = Math.min(...events.map((of) => of.at));
  const span = SPANS_S.find((of) => oldest > now - of) ?? SPANS_S.at(-1);
  const begin = now - span;
  const x = (at) => Math.max(0, ((at - begin) / span) * width);
  const recent = events.filter((of) => of.at >= begin);
  const bars = faultBars(events, now).filter((bar) => bar.end >= begin);
  set(root, { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT });
  root.replaceChildren(
    svg("title", {}, told(recent, bars, span / 60)),
    ...[0, 1, 2, 3].map((third) => (third * span) / 180).map((minutes) => tick(x(now - minutes * 60), minutes, width)),
    ...bars.slice(-12).map((bar, row) => {
      const y = 4 + (row % BARS) * (BAR + 3);
      const length = Math.max(2, x(bar.end) - x(bar.begin));
      return svg("g", { class: "bar" }, svg("title", {}, `${bar.name}: ${bar.message}`),
        svg("rect", { x: x(bar.begin), y, width: length, height: BAR, rx: 2 }),
        length > 60 ? svg("text", { x: x(bar.begin) + 4, y: y + 10 }, bar.name) : "");
    }),
    ...recent.filter((of) => !of.kind.startsWith("Fault")).map((of) =>
      svg("line", { class: BAD.has(of.kind) ? "bad" : of.kind.startsWith("Drift") ? "drift" : of.kind.startsWith("Condition") ? "condition" : "action",
        x1: x(of.at), x2: x(of.at), y1: 52, y2: 66 }, svg("title", {}, `${of.kind} ${of.node ?? ""} ${of.subject}: ${of.message}`))),
  );
}

function tick(x, minutes, width) {
  const end = minutes === 0;
  return svg("g", { class: "tick" }, svg("line", { x1: x, x2: x, y1: 0, y2: 68 }),
    svg("text", { x: end ? width - 2 : x + 3, y: 80, class: end ? "end" : "" }, end ? "now" : `${minutes} min ago`));
}

function faultBars(events, now) {
  const bars = new Map();
  for (const of of events) {
    if (of.kind === "FaultInjected") bars.set(of.subject, { name: of.subject, begin: of.at, end: now, message: of.message });
    else if (of.kind.startsWith("Fault") && bars.has(of.subject)) bars.get(of.subject).end = of.at;
  }
  return [...bars.values()];
}

function told(events, bars, minutes) {
  const failed = events.filter((of) => BAD.has(of.kind)).length;
  return `Timeline of ${minutes} minutes: ${bars.length} faults, ${events.length} events, ${failed} of them failures`;
}
