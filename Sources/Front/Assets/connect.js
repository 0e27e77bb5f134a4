// Plain JavaScript for the connect pages. Everything but the link's first page works without it.
"use strict";

// A callback's code and state are spent by now; they need not stay in the address bar.
if (location.pathname.startsWith("/oauth/callback/") && location.search) {
  history.replaceState(null, "", location.pathname);
}

// The link's first page: trades the token in the fragment for a cookie, behind a button, because mail scanners
// follow links and run scripts but press no button.
const entry = document.getElementById("continue");
if (entry) {
  const token = location.hash.slice(1);
  const notice = document.getElementById("notice");

  const tell = (heading, text) => {
    notice.querySelector("strong").textContent = heading;
    notice.querySelector("span").textContent = text;
    notice.hidden = false;
    notice.focus();
  };

  if (!token) {
    entry.disabled = true;
    tell("This link is incomplete", "Part of it was lost on the way. Copy the whole link and open it again.");
  }

  entry.addEventListener("click", async () => {
    entry.disabled = true;
    notice.hidden = true;
    try {
      const answer = await fetch("/connect/open", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ token }),
        referrerPolicy: "no-referrer",
      });
      const told = await answer.json();
      if (answer.ok) {
        // replace: the token leaves the history with this page.
        location.replace(told.location);
        return;
      }
      tell(told.heading || "Something went wrong here", told.text || "Please try again in a moment.");
      entry.disabled = told.retryable === false;
    } catch {
      tell("No connection", "The network is not reachable. Check it, then try again.");
      entry.disabled = false;
    }
  });
}

// The list filters as one types; without script the form asks the server.
const search = document.getElementById("search");
if (search) {
  const rows = [...document.querySelectorAll(".list li")];
  const none = document.getElementById("none");
  search.form.addEventListener("submit", (event) => event.preventDefault());
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.dataset.words.toLowerCase().includes(wanted);
      if (!row.hidden) shown += 1;
    }
    none.hidden = shown > 0;
  });
}

// One press is enough.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", () => {
    const button = form.querySelector("button");
    if (button) setTimeout(() => { button.disabled = true; }, 0);
  });
}
window.addEventListener("pageshow", (event) => {
  if (event.persisted) for (const button of document.querySelectorAll("button[disabled]")) button.disabled = false;
});

// A popup's last page tells the window that opened it how it went, and closes when that one has heard it. Only a document
// of our own origin can receive this.
const ended = document.querySelector("main")?.dataset.code;
if (ended && window.opener) {
  window.addEventListener("message", (event) => {
    if (event.source === window.opener && event.origin === location.origin && event.data?.type === "close") window.close();
  });
  window.opener.postMessage({ evergrant: 1, type: "popup-ended", code: ended }, location.origin);
}
