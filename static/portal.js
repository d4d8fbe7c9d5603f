// What no element does by itself.
"use strict";

// "/" goes to the search, wherever one is.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = document.querySelector("#searchbar, input[type=search]");
  if (!search) return;
  event.preventDefault();
  search.focus();
  search.select();
});

// A double click is one press: what was sent a moment ago is not sent again.
const sent = new WeakMap();
document.addEventListener("submit", (event) => {
  if (event.timeStamp - sent.get(event.target) < 1000) event.preventDefault();
  else sent.set(event.target, event.timeStamp);
});

// What shows itself anew waits while somebody is in it: the focus would be lost.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.contains(document.activeElement)) event.preventDefault();
});

// On a desk the filters lie open, also where the stylesheet cannot open them.
const filters = document.querySelector(".filters");
const isDesk = matchMedia("(min-width: 768px)").matches;
if (filters && isDesk && !CSS.supports("selector(::details-content)")) filters.open = true;
