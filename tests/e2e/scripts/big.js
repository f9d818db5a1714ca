(n) => {
  const [nodes, links, columns] = [[], [], Math.ceil(Math.sqrt(n))];
  for (let i = 0; i < n; i += 1) {
    const ports = [
      ["model", "MODEL"],
      ["positive", "CONDITIONING"],
      ["negative", "CONDITIONING"],
      ["latent_image", "LATENT"],
    ];
    nodes.push({
      id: i + 1,
      type: "KSampler",
      pos: [(i % columns) * 380, Math.floor(i / columns) * 360],
      size: [300, 290],
      flags: {},
      order: i,
      mode: 0,
      inputs: ports.map(([name, type]) => ({ name, type, link: i && name === "latent_image" ? i : null })),
      outputs: [{ name: "LATENT", type: "LATENT", links: i + 1 < n ? [i + 1] : null }],
      properties: {},
      widgets_values: [i, "fixed", 20, 8, "euler", "simple", 1],
    });
    if (i) links.push([i, i, 0, i + 1, 3, "LATENT"]);
  }
  const start = performance.now();
  loom.tabs.open(
    { last_node_id: n, last_link_id: n, nodes, links, groups: [], config: {}, extra: {}, version: 0.4 },
    { name: "Big" },
  );
  Object.assign(loom.session.viewport, { scale: 1, offset: [-3000, -3000] });
  loom.editor.moved();
  return performance.now() - start;
};
