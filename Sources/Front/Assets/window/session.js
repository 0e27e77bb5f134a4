// The session's calls to its own origin. The token travels in a header, and in nothing else.

/** A failure with a code; `error.<code>` in the language files has the words. */
export class Failure extends Error {
  constructor(code, more = {}) {
    super(more.hint ?? more.text ?? code);
    this.code = code;
    this.retryable = more.retryable ?? true;
    this.field = more.field ?? null;
    this.integration = more.integration ?? null;
    this.reference = more.request_id ?? null;
    this.hint = more.hint ?? null;
  }
}

export class Session {
  constructor(token) { this.token = token; }

  get headers() { return { Authorization: `Bearer ${this.token}` }; }

  async call(path, body, signal) {
    let answer;
    try {
      answer = await fetch(`/connect/api/${path}`, {
        method: body === undefined ? "GET" : "POST", cache: "no-store", signal,
        headers: body === undefined ? this.headers : { ...this.headers, "Content-Type": "application/json" },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Failure("network_lost");
    }
    const told = await answer.json().catch(() => null);
    if (!answer.ok || told === null) throw new Failure(told?.code ?? "our_trouble", told ?? {});
    return told;
  }

  /**
   * Tells every change of the session's outcome until `signal` ends it. It comes from the server, by a stream, or by
   * asking again where no stream gets through; never by way of the other window, which headers of a provider or of the
   * page may have cut off.
   */
  async watch(tell, signal) {
    let plain = 0;
    while (!signal.aborted) {
      const started = Date.now();
      try {
        if (plain > 0) {
          tell(await this.call("outcome", undefined, signal));
          plain -= 1;
        } else {
          await this.#stream(tell, signal);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error.code === "session_expired" || error.code === "session_unknown") { tell({ state: "expired" }); return; }
        plain = 15;
      }
      // A stream that a proxy cuts at once must not become a storm.
      await pause(Date.now() - started > 5000 ? 100 : 2000, signal);
    }
  }

  async #stream(tell, signal) {
    const answer = await fetch("/connect/api/events", { headers: this.headers, cache: "no-store", signal });
    if (!answer.ok) throw new Failure((await answer.json().catch(() => ({}))).code ?? "our_trouble");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) if (part.startsWith("data: ")) tell(JSON.parse(part.slice(6)));
    }
  }
}

/** Ends early, and quietly, with `signal`. */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
