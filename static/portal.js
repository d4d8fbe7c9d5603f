// Behaviour that HTML elements do not have.
"use strict";

// "/" moves the focus to the search field, if there is one.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = document.querySelector("#searchbar, input[type=search]");
  if (!search) return;
  event.preventDefault();
  search.focus();
  search.select();
});

// A double click submits a form once: a second submit within a second is ignored.
const sent = new WeakMap();
document.addEventListener("submit", (event) => {
  if (event.timeStamp - sent.get(event.target) < 1000) event.preventDefault();
  else sent.set(event.target, event.timeStamp);
});

// A part that has the focus is not refreshed: the focus would be lost.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.contains(document.activeElement)) event.preventDefault();
});

// On wide screens the filters are open, also where the stylesheet cannot open them.
const filters = document.querySelector(".filters");
const isWide = matchMedia("(min-width: 768px)").matches;
if (filters && isWide && !CSS.supports("selector(::details-content)")) filters.open = true;
