/** Draws once per frame at most, however often it is asked. */
export class Scheduler {
  /** @param {(now: number) => boolean} work returns true when another frame is needed at once */
  constructor(work) {
    this.work = work;
    this.asked = false;
  }

  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame((now) => {
      this.asked = false;
      if (this.work(now)) this.ask();
    });
  }
}
