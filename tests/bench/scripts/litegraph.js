async ({ record, address }) => {
  // The same workflow in LiteGraph, with its shadows and connection markers left as they are by default.
  const { LiteGraph, LGraph, LGraphCanvas, LGraphNode } = await import(address);
  class BenchNode extends LGraphNode {
    constructor() {
      super("Bench node");
      for (const name of ["first", "second"]) this.addInput(name, "LATENT");
      for (const name of ["one", "two"]) this.addOutput(name, "LATENT");
      this.addWidget("combo", "sampler", "euler", () => {}, { values: ["euler", "heun", "dpm"] });
      this.addWidget("number", "steps", 20, () => {}, { min: 0, max: 100, step2: 1 });
      this.addWidget("slider", "strength", 0.5, () => {}, { min: 0, max: 1 });
      this.addWidget("text", "words", "", () => {});
      this.serialize_widgets = true;
    }
  }
  LiteGraph.registerNodeType("BenchNode", BenchNode);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [innerWidth, innerHeight];
  document.body.replaceChildren(canvas);
  const begin = performance.now();
  const graph = new LGraph();
  graph.configure(record);
  const view = new LGraphCanvas(canvas, graph, { skip_render: true });
  view.draw(true, true);
  window.bench = {
    canvas: view,
    move(scale, x, y) {
      view.ds.scale = scale;
      view.ds.offset[0] = x / scale;
      view.ds.offset[1] = y / scale;
      view.draw(true, true);
    },
  };
  return performance.now() - begin;
};
