() => {
  // What each node says of its state, in the order in which it says so.
  window.watchedStates = [];
  const watcher = new MutationObserver((changes) => {
    for (const { target } of changes) {
      const seen = [target.dataset.node, target.dataset.state];
      const last = window.watchedStates.findLast(([node]) => node === seen[0]);
      if (seen[1] && last?.[1] !== seen[1]) window.watchedStates.push(seen);
    }
  });
  watcher.observe(document.querySelector(".nodes"), { subtree: true, attributeFilter: ["data-state"] });
};
