/** Things that float beside something else and go away when one looks elsewhere. */

const GAP = 4;
const MARGIN = 8;

/**
 * @param {HTMLElement} content
 * @param {HTMLElement | {x: number, y: number}} anchor an element, or a point in CSS pixels
 * @param {{minimumWidth?: number, closed?: () => void, className?: string}} [options]
 * @returns {{close: () => void, root: HTMLElement}}
 */
export function openPopup(content, anchor, { minimumWidth = 0, closed = () => {}, className = "" } = {}) {
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  const root = document.createElement("div");
  root.className = `popup ${className}`.trim();
  root.append(content);
  document.body.append(root);
  let open = true;
  const close = () => {
    if (!open) return;
    open = false;
    const inside = root.contains(document.activeElement);
    document.removeEventListener("pointerdown", outside, true);
    document.removeEventListener("keydown", escape, true);
    root.remove();
    if (inside && before?.isConnected) before.focus({ preventScroll: true });
    closed();
  };
  const outside = (/** @type {PointerEvent} */ event) => {
    if (!root.contains(/** @type {Node} */ (event.target))) close();
  };
  const escape = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    event.preventDefault();
    close();
  };
  document.addEventListener("pointerdown", outside, true);
  document.addEventListener("keydown", escape, true);
  if (anchor instanceof HTMLElement)
    root.style.minWidth = `${Math.max(anchor.getBoundingClientRect().width, minimumWidth)}px`;
  place(root, anchor);
  return { close, root };
}

/**
 * @param {HTMLElement} root
 * @param {HTMLElement | {x: number, y: number}} anchor
 */
function place(root, anchor) {
  const at = anchor instanceof HTMLElement ? anchor.getBoundingClientRect() : new DOMRect(anchor.x, anchor.y, 0, 0);
  const update = () => {
    const { width, height } = root.getBoundingClientRect();
    const below = at.bottom + GAP + height <= window.innerHeight - MARGIN;
    const top = below
      ? at.bottom + GAP
      : Math.max(MARGIN, at.top - GAP - height > MARGIN ? at.top - GAP - height : window.innerHeight - height - MARGIN);
    root.style.left = `${Math.max(MARGIN, Math.min(at.left, window.innerWidth - width - MARGIN))}px`;
    root.style.top = `${top}px`;
  };
  update();
  requestAnimationFrame(update);
}
