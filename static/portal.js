// What no element does by itself: "/" goes to the search, wherever one is.
"use strict";

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = document.querySelector("#searchbar, input[type=search]");
  if (!search) return;
  event.preventDefault();
  search.focus();
  search.select();
});
