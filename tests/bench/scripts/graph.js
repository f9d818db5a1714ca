(n) => {
  // A workflow of n nodes with two inputs, two outputs and four widgets each, and one and a half links a node.
  const [nodes, links, columns] = [[], [], Math.ceil(Math.sqrt(n))];
  const join = (from, slot, to, into) => {
    const id = links.length + 1;
    const [origin, target] = [nodes[from], nodes[to]];
    links.push([id, from + 1, slot, to + 1, into, "LATENT"]);
    origin.outputs[slot].links = [...(origin.outputs[slot].links ?? []), id];
    target.inputs[into].link = id;
  };
  for (let i = 0; i < n; i += 1) {
    nodes.push({
      id: i + 1,
      type: "BenchNode",
      pos: [(i % columns) * 360, Math.floor(i / columns) * 260],
      size: [280, 180],
      flags: {},
      order: i,
      mode: 0,
      inputs: ["first", "second"].map((name) => ({ name, type: "LATENT", link: null })),
      outputs: ["one", "two"].map((name) => ({ name, type: "LATENT", links: null })),
      properties: {},
      widgets_values: ["euler", i % 100, 0.5, `node ${i}`],
    });
  }
  for (let i = 1; i < n; i += 1) join(i - 1, 0, i, 0);
  for (let i = columns; i < n; i += 2) join(i - columns, 1, i, 1);
  return { last_node_id: n, last_link_id: links.length, nodes, links, groups: [], config: {}, extra: {}, version: 0.4 };
};
