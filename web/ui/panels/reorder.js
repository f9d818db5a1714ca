/**
 * A list whose rows can be put in another order: by dragging a row's handle, or with the arrow keys on it.
 *
 * Rows that have a `data-handle` inside can be moved, among each other; they are named by `data-key`.
 *
 * @param {HTMLElement} list
 * @param {(key: string, index: number) => void} moved the row, and its place among the others
 */
export function reorderable(list, moved) {
  const rows = () => /** @type {HTMLElement[]} */ ([...list.children].filter((row) => row.querySelector("[data-handle]")));
  const rowOf = (/** @type {EventTarget | null} */ target) =>
    target instanceof Element && target.closest("[data-handle]")
      ? /** @type {HTMLElement | null} */ (target.closest("[data-key]"))
      : null;
  list.addEventListener("keydown", (event) => {
    const row = rowOf(event.target);
    const all = rows();
    const at = row ? all.indexOf(row) : -1;
    const next = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: all.length - 1 }[event.key];
    if (!row || next === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    if (next === at || next < 0 || next >= all.length) return;
    moved(row.dataset.key ?? "", next);
  });
  list.addEventListener("pointerdown", (down) => {
    const row = rowOf(down.target);
    if (!row || down.button) return;
    down.preventDefault();
    follow(list, rows, row, down, moved);
  });
}

/**
 * @param {HTMLElement} list
 * @param {() => HTMLElement[]} rows
 * @param {HTMLElement} row
 * @param {PointerEvent} down
 * @param {(key: string, index: number) => void} moved
 */
function follow(list, rows, row, down, moved) {
  const start = rows().indexOf(row);
  list.setPointerCapture(down.pointerId);
  list.dataset.dragging = "";
  row.classList.add("lifted");
  let grabbed = down.clientY;
  const move = (/** @type {PointerEvent} */ event) => {
    const last = event.clientY;
    const all = rows();
    const [before, after] = [all[all.indexOf(row) - 1], all[all.indexOf(row) + 1]];
    const middle = (/** @type {Element} */ other) => {
      const box = other.getBoundingClientRect();
      return box.top + box.height / 2;
    };
    const height = row.offsetHeight;
    if (before && last < middle(before)) {
      before.before(row);
      grabbed -= height;
    } else if (after && last > middle(after)) {
      after.after(row);
      grabbed += height;
    }
    row.style.transform = `translateY(${last - grabbed}px)`;
  };
  const end = (/** @type {PointerEvent} */ event) => {
    list.removeEventListener("pointermove", move);
    list.removeEventListener("pointerup", end);
    list.removeEventListener("pointercancel", end);
    delete list.dataset.dragging;
    row.classList.remove("lifted");
    row.style.transform = "";
    const at = rows().indexOf(row);
    if (event.type === "pointerup" && at !== start) moved(row.dataset.key ?? "", at);
  };
  list.addEventListener("pointermove", move);
  list.addEventListener("pointerup", end);
  list.addEventListener("pointercancel", end);
}
