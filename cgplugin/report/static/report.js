"use strict";

/* Plots: the JSON beside each is a plotly figure. */
for (const div of document.querySelectorAll(".plot")) {
  const figure = JSON.parse(div.nextElementSibling.textContent);
  Plotly.newPlot(div, figure.data, figure.layout, {
    responsive: true,
    displaylogo: false,
    toImageButtonOptions: { format: "svg" },
    // none of those that would send the data somewhere
    modeBarButtons: [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]],
  });
}

/* The trajectory: beads, bonds and box of the frame that the slider says. */
(function () {
  const source = document.getElementById("trajectories");
  if (!source) return;
  const trajectories = JSON.parse(source.textContent);
  const get = (id) => document.getElementById(id);
  const stage = get("stage"), slider = get("frame"), play = get("play");
  const SCALE = 10; // the viewer counts in angstrom, the data are in nm
  const viewer = $3Dmol.createViewer(stage, { backgroundColor: "white", antialias: true });
  stage.viewer = viewer; // for the console, and for tests
  let current = null, boxShapes = [], timer = null;

  function decode(trajectory) {
    const bytes = Uint8Array.from(atob(trajectory.positions), (c) => c.charCodeAt(0));
    const data = new DataView(bytes.buffer);
    const n = trajectory.kind.length;
    let at = 0;
    const next = () => {
      const value = SCALE * (trajectory.origin + trajectory.step * data.getUint16(at, true));
      at += 2;
      return value;
    };
    return trajectory.times.map(() => Array.from({ length: n }, () => [next(), next(), next()]));
  }

  function drawBox(frame) {
    boxShapes.forEach((shape) => viewer.removeShape(shape));
    boxShapes = [];
    const vectors = current.boxes[Math.min(frame, current.boxes.length - 1)];
    if (!vectors) return;
    const corner = (i, j, k) => {
      const [x, y, z] = [0, 1, 2].map((c) => SCALE * (i * vectors[0][c] + j * vectors[1][c] + k * vectors[2][c]));
      return { x, y, z };
    };
    for (const [p, q] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
      const edges = [[corner(0, p, q), corner(1, p, q)], [corner(p, 0, q), corner(p, 1, q)], [corner(p, q, 0), corner(p, q, 1)]];
      for (const [start, end] of edges) boxShapes.push(viewer.addLine({ start, end, color: "#9aa1ab" }));
    }
  }

  async function show(frame) {
    await viewer.setFrame(frame);
    if (current.boxes.length > 1 || boxShapes.length === 0) drawBox(frame);
    viewer.render();
    slider.value = frame;
    get("time").textContent = `${current.times[frame]} ${current.timeUnit}, frame ${frame + 1} of ${current.times.length}`;
  }

  async function open(number) {
    current = trajectories[number];
    viewer.removeAllModels();
    viewer.removeAllShapes();
    boxShapes = [];
    const frames = decode(current);
    const neighbours = current.kind.map(() => []);
    for (const [a, b] of current.bonds) {
      neighbours[a].push(b);
      neighbours[b].push(a);
    }
    const model = viewer.addModel();
    model.addAtoms(
      frames[0].map(([x, y, z], i) => {
        const color = current.kinds[current.kind[i]].color, radius = SCALE * current.radii[i];
        const style = { sphere: { color, radius }, stick: { color: "#8d939c", radius: 0.22 * radius } };
        const bondOrder = neighbours[i].map(() => 1);
        return { elem: "C", x, y, z, index: i, serial: i, hetflag: true, bonds: neighbours[i], bondOrder, properties: {}, style };
      })
    );
    model.setCoordinates(frames, "array");
    slider.max = current.times.length - 1;
    get("legend").replaceChildren(
      ...current.kinds.map(({ name, color, n }) => {
        const item = document.createElement("li"), dot = document.createElement("i"), text = document.createElement("span");
        dot.style.background = color;
        text.textContent = `${name} (${n})`;
        item.append(dot, text);
        return item;
      })
    );
    get("shown").textContent = `Shown: ${current.remark}.`;
    drawBox(0);
    viewer.zoomTo();
    await show(0);
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶";
  }

  play.addEventListener("click", () => {
    if (timer) return stop();
    play.textContent = "❚❚";
    timer = setInterval(() => show((Number(slider.value) + 1) % current.times.length), 60);
  });
  slider.addEventListener("input", () => {
    stop();
    show(Number(slider.value));
  });
  get("which").addEventListener("change", (event) => {
    stop();
    open(Number(event.target.value));
  });
  stage.ready = open(0);
})();
