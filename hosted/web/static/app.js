/* What the pages do better with a script; everything works without it. */
(() => {
  "use strict";
  document.documentElement.classList.add("scripted");

  // the server writes times in this zone
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.split("; ").includes(`jmem-zone=${zone}`)) {
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `jmem-zone=${zone}; path=/; max-age=31536000; samesite=lax${secure}`;
  }

  const bar = () => document.getElementById("bar");

  function settle(root) {
    for (const button of root.querySelectorAll("[data-copy][hidden], [data-script][hidden]")) button.hidden = false;
    for (const toast of root.querySelectorAll(".toast")) fade(toast);
    count();
  }

  function fade(toast) {
    if (toast.dataset.fading) return;
    toast.dataset.fading = "1";
    const go = () => {
      if (toast.matches(":hover, :focus-within")) setTimeout(go, 3000);
      else toast.remove();
    };
    setTimeout(go, 15000);
    const all = toast.parentElement.querySelectorAll(".toast");
    if (all.length > 3) all[0].remove();
  }

  function count() {
    const found = bar();
    if (!found) return;
    const ticked = document.querySelectorAll('input[form="marked"]:checked').length;
    found.hidden = ticked === 0;
    found.querySelector(".label").textContent = ticked === 1 ? "1 marked" : `${ticked} marked`;
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches('input[form="marked"]')) count();
  });

  document.addEventListener("click", async (event) => {
    const target = event.target.closest("[data-copy], [data-dismiss], [data-mark-all], [data-show]");
    if (!target) return;
    if (target.matches("[data-dismiss]")) {
      target.closest(".toast").remove();
    } else if (target.matches("[data-mark-all]")) {
      const boxes = [...document.querySelectorAll('input[form="marked"]')];
      const all = boxes.every((box) => box.checked);
      for (const box of boxes) box.checked = !all;
      count();
    } else if (target.matches("[data-show]")) {
      const field = document.getElementById(target.dataset.show);
      const hide = field.type === "text";
      field.type = hide ? "password" : "text";
      target.textContent = hide ? "Show" : "Hide";
      target.setAttribute("aria-pressed", String(!hide));
    } else {
      const text = document.getElementById(target.dataset.copy).textContent;
      try {
        await navigator.clipboard.writeText(text);
        target.textContent = "Copied";
      } catch {
        const range = document.createRange();
        range.selectNodeContents(document.getElementById(target.dataset.copy));
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        target.textContent = "Press Ctrl-C";
      }
      setTimeout(() => { target.textContent = "Copy"; }, 2500);
    }
  });

  // what repeats by itself waits while nobody looks, and while somebody reads in it
  document.addEventListener("htmx:beforeRequest", (event) => {
    const asks = event.target;
    if (!(asks.getAttribute("hx-trigger") || "").startsWith("every")) return;
    if (document.hidden || asks.querySelector("details[open]") || asks.contains(document.activeElement)) event.preventDefault();
  });
  // where the focus goes when what had it is replaced: to what took its place, or to the next one in the list
  document.addEventListener("htmx:beforeSwap", (event) => {
    const target = event.detail.target;
    if (target && target.id === "results" && bar() && bar().contains(document.activeElement)) {
      setTimeout(() => {
        if (document.activeElement !== document.body) return;
        (target.querySelector('input[form="marked"]') || document.getElementById("q")).focus({ preventScroll: true });
      }, 50);
    }
    const item = target && target.closest(".cards > li");
    if (!item || !item.contains(document.activeElement)) return;
    const next = item.nextElementSibling || item.previousElementSibling;
    setTimeout(() => {
      if (document.activeElement !== document.body) return;
      const place = item.isConnected ? item : next;
      const found = (place && place.querySelector(".acts a, .acts button, .texts button")) || document.getElementById("q");
      if (found) found.focus();
    }, 50);
  });
  document.addEventListener("htmx:load", (event) => {
    settle(event.target);
    if (event.target === document.body) again();
  });
  // with the swap, not once it has settled: by then somebody may write in another field
  document.addEventListener("htmx:afterSwap", (event) => {
    count();
    const wanted = event.target.querySelector && event.target.querySelector("[data-focus]");
    if (wanted) { wanted.focus(); wanted.removeAttribute("data-focus"); }
  });
  function unreachable() {
    const toasts = document.getElementById("toasts");
    for (const before of toasts.querySelectorAll("[data-unreachable]")) before.remove();
    const toast = document.createElement("div");
    toast.className = "toast bad";
    toast.dataset.unreachable = "1";
    toast.innerHTML = '<p></p><button type="button" class="close" data-dismiss aria-label="Close this message">✕</button>';
    toast.firstChild.textContent = "The server can't be reached. What you wrote is still here; try again in a moment.";
    toasts.append(toast);
    fade(toast);
  }
  document.addEventListener("htmx:sendError", unreachable);
  document.addEventListener("htmx:timeout", unreachable);

  // a question is in no address: the tab's own entry keeps it, so that one who comes back finds the answer again
  const asked = () => document.getElementById("q");
  const note = () => { if (asked()) history.replaceState({ ...history.state, q: asked().value }, ""); };
  document.addEventListener("input", (event) => { if (event.target === asked()) note(); });
  document.addEventListener("htmx:replacedInHistory", note);
  function again() {
    const kept = history.state && history.state.q;
    if (!kept || !asked() || asked().value) return;
    asked().value = kept;
    asked().dispatchEvent(new Event("input", { bubbles: true }));
  }

  // a form that is on its way is sent once, however often its button is pressed; one that was stopped may go again
  const free = (form) => { form.removeAttribute("aria-busy"); };
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.matches("[data-stays]")) return;
    if (form.hasAttribute("aria-busy")) {
      event.preventDefault();
      return;
    }
    form.setAttribute("aria-busy", "true");
    setTimeout(free, 10000, form);
  });
  addEventListener("pageshow", () => { document.querySelectorAll("form[aria-busy]").forEach(free); });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => settle(document));
  else settle(document);
})();
