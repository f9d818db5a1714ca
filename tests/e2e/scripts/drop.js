([bytes, name, type, x, y]) => {
  const data = new DataTransfer();
  data.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], name, { type }));
  const target = document.elementFromPoint(x, y);
  for (const kind of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(
      new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true, clientX: x, clientY: y }),
    );
  }
};
