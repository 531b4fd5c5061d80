"use strict";
/* Plot of values against frequency, as SVG; all looks are in viewer.css. */
(() => {
  const vlasscube = window.vlasscube;
  const NAMESPACE = "http://www.w3.org/2000/svg";
  const EDGE = { left: 58, right: 10, top: 10, bottom: 34 };
  const HALF = 4;

  /**
   * @typedef {object} Point
   * @property {number} x  GHz.
   * @property {number} y  In the shown unit.
   * @property {number} error  NaN if it is not known.
   * @property {string} stokes
   * @property {boolean} open  Drawn hollow.
   * @property {string} title
   * @property {string} label  Of the plane.
   */

  function element(name, attributes, text) {
    const made = document.createElementNS(NAMESPACE, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  const round = (number) => Math.round(number * 100) / 100;

  /**
   * Marker of a Stokes parameter: told apart by shape as well as by colour.
   * @param {string} stokes
   * @param {number} x
   * @param {number} y
   * @returns {SVGElement}
   */
  function marker(stokes, x, y) {
    const at = (points) => points.map(([dx, dy]) => `${round(x + dx)},${round(y + dy)}`).join(" ");
    const r = HALF;
    if (stokes === "Q") return element("rect", { x: round(x - r), y: round(y - r), width: 2 * r, height: 2 * r });
    if (stokes === "U") return element("polygon", { points: at([[0, -r - 1], [r + 1, r], [-r - 1, r]]) });
    if (stokes === "V") {
      return element("polygon", { points: at([[0, -r - 1.5], [r + 1.5, 0], [0, r + 1.5], [-r - 1.5, 0]]) });
    }
    return element("circle", { cx: round(x), cy: round(y), r: r + 0.5 });
  }

  /**
   * Small picture of a marker, for a legend.
   * @param {string} stokes
   * @returns {SVGElement}
   */
  function legendMarker(stokes) {
    const svg = element("svg", { width: 14, height: 14, viewBox: "0 0 14 14", "aria-hidden": "true" });
    const group = element("g", { class: `stokes-${stokes}` });
    group.append(marker(stokes, 7, 7));
    svg.append(group);
    return svg;
  }

  function extent(points, withZero) {
    let [low, high] = withZero ? [0, 0] : [Infinity, -Infinity];
    for (const { y, error } of points) {
      const reach = Number.isFinite(error) ? error : 0;
      low = Math.min(low, y - reach);
      high = Math.max(high, y + reach);
    }
    const room = (high - low || Math.abs(high) || 1) * 0.08;
    return [low - room, high + room];
  }

  /**
   * Draw a plot into an SVG element.
   * @param {SVGSVGElement} svg
   * @param {object} plot
   * @param {number} plot.width
   * @param {number} plot.height
   * @param {Point[]} plot.points
   * @param {number[]} plot.range  Lowest and highest frequency, GHz.
   * @param {string} plot.unit
   * @param {boolean} plot.zero  With a line at zero.
   */
  function drawPlot(svg, { width, height, points, range, unit, zero }) {
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    const [right, bottom] = [width - EDGE.right, height - EDGE.bottom];
    const [x0, x1] = [range[0] - 0.04 * (range[1] - range[0] || 1), range[1] + 0.04 * (range[1] - range[0] || 1)];
    const [y0, y1] = extent(points, zero);
    const toX = (x) => EDGE.left + ((x - x0) / (x1 - x0)) * (right - EDGE.left);
    const toY = (y) => bottom - ((y - y0) / (y1 - y0)) * (bottom - EDGE.top);
    const line = (name, xa, ya, xb, yb) =>
      element("line", { class: name, x1: round(xa), y1: round(ya), x2: round(xb), y2: round(yb) });

    const horizontal = vlasscube.text.ticks(x0, x1, Math.max(3, width / 75));
    for (const place of horizontal.places) {
      svg.append(line("plot-grid", toX(place), EDGE.top, toX(place), bottom));
      const text = vlasscube.text.fixed(place, horizontal.decimals);
      svg.append(element("text", { class: "plot-tick", x: toX(place), y: bottom + 14, "text-anchor": "middle" }, text));
    }
    const vertical = vlasscube.text.ticks(y0, y1, Math.max(3, height / 40));
    for (const place of vertical.places) {
      svg.append(line("plot-grid", EDGE.left, toY(place), right, toY(place)));
      const text = vlasscube.text.fixed(place, vertical.decimals);
      svg.append(element("text", { class: "plot-tick", x: EDGE.left - 6, y: toY(place) + 4, "text-anchor": "end" }, text));
    }
    if (zero) svg.append(line("plot-zero", EDGE.left, toY(0), right, toY(0)));
    const [boxWidth, boxHeight] = [right - EDGE.left, bottom - EDGE.top];
    svg.append(element("rect", { class: "plot-box", x: EDGE.left, y: EDGE.top, width: boxWidth, height: boxHeight }));
    svg.append(
      element("text", { class: "plot-name", x: (EDGE.left + right) / 2, y: height - 4, "text-anchor": "middle" }, "GHz"),
    );
    const middle = (EDGE.top + bottom) / 2;
    const turned = { class: "plot-name", "text-anchor": "middle", transform: `translate(12 ${middle}) rotate(-90)` };
    svg.append(element("text", turned, unit));

    for (const stokes of vlasscube.STOKES) {
      const own = points.filter((point) => point.stokes === stokes).sort((a, b) => a.x - b.x);
      if (!own.length) continue;
      const group = element("g", { class: `stokes-${stokes}` });
      const path = own.map(({ x, y }) => `${round(toX(x))},${round(toY(y))}`).join(" ");
      group.append(element("polyline", { class: "plot-path", points: path }));
      for (const { x, y, error, open, title, label } of own) {
        const item = element("g", { class: open ? "plot-point open" : "plot-point", "data-stokes": stokes });
        item.setAttribute("data-label", label);
        if (error > 0) item.append(line("plot-error", toX(x), toY(y - error), toX(x), toY(y + error)));
        item.append(marker(stokes, toX(x), toY(y)), element("title", {}, title));
        group.append(item);
      }
      svg.append(group);
    }
  }

  vlasscube.plot = { drawPlot, legendMarker };
})();
