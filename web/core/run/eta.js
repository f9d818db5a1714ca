/** How long a run still takes, from the pace of its steps. */
export class Pace {
  constructor() {
    /** @type {number | null} */
    this.last = null;
    this.value = 0;
    /** Seconds per unit, smoothed; null before the second report. @type {number | null} */
    this.perUnit = null;
    this.left = 0;
  }

  /**
   * @param {number} value
   * @param {number} maximum
   * @param {number} now milliseconds
   */
  report(value, maximum, now) {
    const units = value - this.value;
    if (this.last !== null && units > 0) {
      const pace = (now - this.last) / 1000 / units;
      this.perUnit = this.perUnit === null ? pace : this.perUnit * 0.7 + pace * 0.3;
    }
    this.last = now;
    this.value = value;
    this.left = maximum - value;
  }

  /** @returns {number | null} seconds, null while nothing can be said */
  get seconds() {
    return this.perUnit === null ? null : this.perUnit * this.left;
  }
}

/**
 * @param {number | null} seconds
 * @returns {string} such as "12 s" or "3 min", "" for null
 */
export function duration(seconds) {
  if (seconds === null || !Number.isFinite(seconds)) return "";
  if (seconds < 1) return `${Math.max(Math.round(seconds * 1000), 1)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
