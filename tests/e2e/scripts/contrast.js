() => {
  const parse = (c) =>
    c
      .match(/[\d.]+/g)
      .slice(0, 3)
      .map((part) => Number(part) * (c.startsWith("color(srgb") ? 255 : 1));
  const lum = (c) => {
    const [r, g, b] = parse(c).map((v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (!/, 0\)|transparent/.test(c)) return c;
    }
    return "rgb(0,0,0)";
  };
  return [".node-name", ".socket-name", ".widget-label", ".run-label", ".tab-name", ".badge"].map((s) => {
    const e = document.querySelector(s);
    const [a, b] = [lum(getComputedStyle(e).color), lum(ground(e))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  });
};
