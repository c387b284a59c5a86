// Server-sent events over fetch: EventSource cannot send a token.

import { NotLetIn, call } from "./session.js";

const LONGEST_WAIT_MS = 10_000;
const LONGEST_SILENCE_MS = 40_000; // the server says something every 15 seconds

export class Feed {
  #aborter = null;

  // `path()` says what to ask for, `hear(kind, data)` is called for each event, `say(state)` with "live" or "lost".
  constructor(path, hear, say) {
    this.path = path;
    this.hear = hear;
    this.say = say;
  }

  // `begun` is an answer that was asked for already.
  open(begun = null) {
    this.close();
    this.#aborter = begun?.aborter ?? new AbortController();
    this.#keep(this.#aborter.signal, begun?.answer);
  }

  close() {
    this.#aborter?.abort();
    this.#aborter = null;
  }

  async #keep(signal, begun) {
    for (let wait = 250; !signal.aborted; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
      try {
        const answer = begun ?? (await answered(this.path(), signal));
        begun = null;
        if (answer.ok) {
          wait = 250;
          this.say("live");
          await this.#read(answer.body.getReader(), signal);
        }
      } catch (error) {
        if (error instanceof NotLetIn) return;
      }
      if (signal.aborted) return;
      this.say("lost");
      await new Promise((done) => setTimeout(done, wait));
    }
  }

  async #read(reader, signal) {
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { value, done } = await inTime(reader.read(), () => reader.cancel());
      if (done) return;
      const events = (rest + decoder.decode(value, { stream: true })).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        if (signal.aborted) return; // what is heard may open another feed
        const found = /^event: (.*)\ndata: (.*)$/.exec(event);
        if (found) this.hear(found[1], JSON.parse(found[2]));
      }
    }
  }
}

function answered(path, signal) {
  const attempt = new AbortController();
  return inTime(call(path, { signal: AbortSignal.any([signal, attempt.signal]) }), () => attempt.abort());
}

// A connection may be dead without anybody saying so: what does not come in time is given up.
function inTime(coming, giveUp) {
  const timer = setTimeout(giveUp, LONGEST_SILENCE_MS);
  return coming.finally(() => clearTimeout(timer));
}
