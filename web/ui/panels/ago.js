/** How long ago something was, in few words. @param {number} time milliseconds */
export function ago(time) {
  const minutes = Math.round((Date.now() - time) / 60000);
  if (minutes < 1) return "now";
  if (minutes < 60) return `${minutes} min`;
  return minutes < 1440 ? `${Math.round(minutes / 60)} h` : new Date(time).toLocaleDateString();
}
