/**
 * The wheel zooms; two fingers on a trackpad pan, and pinch to zoom.
 * @param {import("../editor.js").Editor} editor
 */
export function listenWheel(editor) {
  editor.stage.addEventListener(
    "wheel",
    (event) => {
      const { session } = editor;
      if (!session) return;
      event.preventDefault();
      const unit = event.deltaMode === 1 ? 18 : event.deltaMode === 2 ? 400 : 1;
      const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
      const pinch = event.ctrlKey || event.metaKey;
      if (pinch || wheelZooms(editor, event, dx, dy)) {
        const factor = Math.exp(-Math.max(-160, Math.min(160, dy)) * (pinch && Math.abs(dy) < 40 ? 0.01 : 0.0016));
        session.viewport.zoomAt(factor, editor.local(event));
      } else if (event.shiftKey && !dx) {
        session.viewport.panBy(-dy, 0);
      } else {
        session.viewport.panBy(-dx, -dy);
      }
      editor.moved();
    },
    { passive: false },
  );
}

/**
 * A wheel turns in big steps and only one way; a trackpad gives small ones.
 * @param {import("../editor.js").Editor} editor
 * @param {WheelEvent} event
 * @param {number} dx
 * @param {number} dy
 */
function wheelZooms(editor, event, dx, dy) {
  const choice = editor.services.setting("wheel");
  if (choice === "zoom" || choice === "pan") return choice === "zoom";
  return !event.shiftKey && dx === 0 && (event.deltaMode !== 0 || Math.abs(dy) >= 40);
}
