// Asks for the feed while the rest of the page is still on its way. What is chosen is in the address.

import { call, enter } from "./session.js";

export const TABS = [["events", "Events"], ["console", "Console"], ["kernel", "Kernel log"], ["screen", "Screen"], ["plan", "Plan"]];
export const shown = { cluster: "", node: "", tab: "events" };

export const consoleNode = () => (shown.tab === "console" ? shown.node : "");
export const asked = () => ({ cluster: shown.cluster, node: consoleNode() });
export const feedPath = (of) => `/api/feed?${new URLSearchParams(of)}`;
export const remember = () =>
  history.replaceState(null, "", `#${new URLSearchParams(Object.entries(shown).filter(([, value]) => value))}`);

async function first() {
  const said = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(shown)) if (said.get(name)) shown[name] = said.get(name);
  if (!TABS.some(([id]) => id === shown.tab)) shown.tab = "events";
  remember(); // the code is gone from the address before anything else happens
  const aborter = new AbortController();
  const [path, signal] = [feedPath(asked()), aborter.signal];
  const entered = said.has("code") && (await enter(said.get("code"), { feed: asked(), signal }));
  const answer = entered && isFeed(entered) ? entered : await call(path, { signal });
  return { path, aborter, answer };
}

const isFeed = (answer) => answer.headers.get("Content-Type").startsWith("text/event-stream");

// The first answer of the feed; nothing if there was none.
export const begun = first().catch(() => null);
