"use strict";
(() => {
  // Without this script everything is shown, one after the other; with it, one choice at a time.
  const chooser = document.getElementById("chooser");
  const views = [...document.querySelectorAll(".setting")];
  function choose() {
    const chosen = new FormData(chooser);
    let shown = null;
    for (const view of views) {
      const isChosen =
        view.dataset.threads === chosen.get("threads") && view.dataset.batch === chosen.get("batch");
      view.hidden = !isChosen;
      if (isChosen) shown = view;
    }
    document.getElementById("none").hidden = shown !== null;
    document.getElementById("shown").textContent = shown ? `Shown: ${shown.dataset.name}` : "";
  }
  if (chooser) {
    // A browser may bring back an old choice with the page.
    chooser.reset();
    chooser.hidden = false;
    chooser.addEventListener("change", choose);
    chooser.addEventListener("submit", (event) => event.preventDefault());
    choose();
  }

  // Numbers by their value, text as people read it ("int8" before "int16"); what is missing comes last.
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  function compare(one, other, isNumber, sign) {
    if (!isNumber) return sign * collator.compare(one.textContent.trim(), other.textContent.trim());
    const a = one.dataset.sort, b = other.dataset.sort;
    if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
    return sign * (Number(a) - Number(b));
  }
  function sortBy(table, column) {
    const headings = [...table.tHead.rows[0].cells];
    const heading = headings[column];
    const isAscending = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", isAscending ? "ascending" : "descending");
    const isNumber = heading.classList.contains("number");
    const body = table.tBodies[0];
    const rows = [...body.rows];
    rows.sort((one, other) =>
      compare(one.cells[column], other.cells[column], isNumber, isAscending ? 1 : -1));
    body.append(...rows);
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sortBy(table, column));
    });
  }

  const tip = document.getElementById("tip");
  function show(event) {
    const mark = event.currentTarget;
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const around = mark.getBoundingClientRect();
    const own = tip.getBoundingClientRect();
    const room = document.documentElement.clientWidth - own.width - 8;
    const middle = event.type === "focus" || event.clientX === undefined
      ? around.left + around.width / 2 : event.clientX;
    const above = around.top - own.height - 8;
    tip.style.left = `${Math.max(8, Math.min(middle - own.width / 2, room))}px`;
    tip.style.top = `${above > 8 ? above : around.bottom + 8}px`;
  }
  function hide() {
    tip.hidden = true;
  }
  for (const mark of document.querySelectorAll("[data-tip]")) {
    mark.addEventListener("pointerenter", show);
    mark.addEventListener("focus", show);
    mark.addEventListener("pointerleave", hide);
    mark.addEventListener("blur", hide);
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  document.addEventListener("scroll", () => {
    // Moving to a mark by keyboard scrolls it into view; its tip goes with it.
    const mark = document.activeElement;
    if (mark && mark.dataset && mark.dataset.tip) show({ type: "focus", currentTarget: mark });
    else hide();
  }, { passive: true });
})();
