"use strict";
/* Drawing an image on a canvas: the part in view, and what helps to read it. North is up, east is left. */
(() => {
  const vlasscube = window.vlasscube;
  /** Coloured pictures of large arrays that are kept, so that moving about does not colour anew. */
  const KEPT_PICTURES = 4;
  const INK = "#ffffff";
  const HALO = "rgba(10, 12, 16, 0.72)";
  const FONT = "500 12px system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";
  /** Of the beam on the screen: below it would be a dot, above it would cover the image. */
  const SMALLEST_BEAM = 7;
  const LARGEST_BEAM = 0.3;
  /** Of what is outlined: a smaller one gets a ring. */
  const SMALLEST_OUTLINE = 13;
  const MARGIN = 12;
  /** On smaller ones marks leave more of the image free. */
  const SMALL_CANVAS = 200;
  const ROUND_ARCSEC = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 36000,
  ];

  /**
   * @typedef {object} View
   * @property {number} x  Pixel of the image in the middle of the canvas; whole numbers are pixel centres.
   * @property {number} y
   * @property {number} zoom  Screen (CSS) pixels per image pixel.
   */
  /** @typedef {{width: number, height: number}} Size  Of the canvas in screen pixels. */

  /** @returns {number[]} screen position of a place in the image */
  const toScreen = (view, size, x, y) => [
    size.width / 2 + (x - view.x) * view.zoom,
    size.height / 2 - (y - view.y) * view.zoom,
  ];

  /** @returns {number[]} place in the image, not rounded */
  const toImage = (view, size, left, top) => [
    view.x + (left - size.width / 2) / view.zoom,
    view.y - (top - size.height / 2) / view.zoom,
  ];

  /** @returns {number[]} x0, y0, x1, y1 of the image that are in view, in whole pixels, inclusive */
  function visibleBox(view, size) {
    const [x0, y0] = toImage(view, size, 0, size.height);
    const [x1, y1] = toImage(view, size, size.width, 0);
    return [Math.round(x0), Math.round(y0), Math.round(x1), Math.round(y1)];
  }

  /** @type {Map<object, {key: string, picture: HTMLCanvasElement}>} */
  const pictures = new Map();

  function pictureOf(array, look) {
    const key = `${look.low} ${look.high} ${look.transfer} ${look.map}`;
    const found = pictures.get(array);
    pictures.delete(array);
    const entry = found?.key === key ? found : { key, picture: vlasscube.colour.colourSamples(array, look) };
    pictures.set(array, entry);
    let large = 0;
    for (const kept of [...pictures.keys()].reverse()) {
      large += kept.values.length > 1e5 ? 1 : 0.02;
      if (large > KEPT_PICTURES) pictures.delete(kept);
    }
    return entry.picture;
  }

  /**
   * Draw the part of an array that is in view.
   * @param {CanvasRenderingContext2D} context  Scaled to screen pixels.
   * @param {{array: ImageArray, left: number, bottom: number}} layer  Array, and the pixel of its first sample.
   * @param {Look} look
   * @param {View} view
   * @param {Size} size
   * @param {boolean} [once]  Colour only what is in view, and do not keep it.
   */
  function paintLayer(context, { array, left, bottom }, look, view, size, once = false) {
    const [x0, y0, x1, y1] = visibleBox(view, size);
    const { block, width, height } = array;
    const inside = (place, end) => Math.min(end, Math.max(0, place));
    const first = inside(Math.floor((x0 - left) / block), width);
    const end = inside(Math.floor((x1 - left) / block) + 1, width);
    const lowest = inside(Math.floor((y0 - bottom) / block), height);
    const top = inside(Math.floor((y1 - bottom) / block) + 1, height);
    const [columns, rows] = [end - first, top - lowest];
    if (columns <= 0 || rows <= 0) return;
    const corner = toScreen(view, size, left + first * block - 0.5, bottom + top * block - 0.5);
    const side = block * view.zoom;
    context.save();
    // The last samples of rows and columns may cover fewer pixels than the others.
    const [right, upper] = toScreen(view, size, left + array.nx - 0.5, bottom + array.ny - 0.5);
    context.beginPath();
    context.rect(-1, upper, right + 1, size.height + 1 - upper);
    context.clip();
    context.imageSmoothingEnabled = side < 1;
    context.imageSmoothingQuality = "high";
    const place = [corner[0], corner[1], columns * side, rows * side];
    if (once) {
      const picture = vlasscube.colour.colourSamples(array, look, [first, lowest, columns, rows]);
      context.drawImage(picture, 0, 0, columns, rows, ...place);
    } else {
      context.drawImage(pictureOf(array, look), first, height - top, columns, rows, ...place);
    }
    context.restore();
  }

  // ---------------------------------------------------------------------------------- what helps to read it

  function stroke(context, path, width = 1.5, halo = 1.25) {
    path();
    context.lineWidth = width + 2 * halo;
    context.strokeStyle = HALO;
    context.stroke();
    context.lineWidth = width;
    context.strokeStyle = INK;
    context.stroke();
  }

  function write(context, text, x, y, align = "left") {
    context.font = FONT;
    context.textAlign = align;
    context.textBaseline = "middle";
    context.lineJoin = "round";
    context.lineWidth = 3.5;
    context.strokeStyle = HALO;
    context.strokeText(text, x, y);
    context.fillStyle = INK;
    context.fillText(text, x, y);
  }

  const lines = (context, ...strokes) => () => {
    context.beginPath();
    for (const [x0, y0, x1, y1] of strokes) {
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
    }
  };

  /** Draw a length at the bottom right: on the sky, or in pixels of images without a place on it. */
  function paintScaleBar(context, frame, view, size) {
    const longest = Math.min(150, size.width * 0.3);
    let length;
    let text;
    if (frame) {
      const perArcsec = view.zoom / vlasscube.sky.cellArcsec(frame);
      const arcsec = ROUND_ARCSEC.filter((candidate) => candidate * perArcsec <= longest).pop();
      if (!arcsec) return;
      [length, text] = [arcsec * perArcsec, vlasscube.text.angle(arcsec)];
    } else {
      const pixels = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].filter((n) => n * view.zoom <= longest).pop();
      if (!pixels) return;
      [length, text] = [pixels * view.zoom, `${pixels} ${pixels === 1 ? "pixel" : "pixels"}`];
    }
    const [right, y] = [size.width - MARGIN, size.height - MARGIN];
    const left = right - length;
    const ends = [[left, y, right, y], [left, y - 4, left, y + 4], [right, y - 4, right, y + 4]];
    stroke(context, lines(context, ...ends), 2);
    write(context, text, (left + right) / 2, y - 13, "center");
  }

  /** Draw the beam at the bottom left. */
  function paintBeam(context, beam, frame, view, size) {
    const perArcsec = view.zoom / vlasscube.sky.cellArcsec(frame);
    const major = beam.bmaj_arcsec * perArcsec;
    const most = LARGEST_BEAM * Math.min(size.width, size.height);
    let factor = 1;
    let note = "beam";
    if (major < SMALLEST_BEAM) {
      factor = Math.ceil((2 * SMALLEST_BEAM) / major);
      note = `beam, ${factor} × enlarged`;
    } else if (major > most) {
      const smaller = Math.ceil(major / most);
      factor = 1 / smaller;
      note = `beam, ${smaller} × reduced`;
    }
    const [a, b] = [(major / 2) * factor, Math.max(0.75, (beam.bmin_arcsec / 2) * perArcsec * factor)];
    const angle = (beam.bpa_deg * Math.PI) / 180;
    const [x, y] = [MARGIN + a, size.height - MARGIN - a];
    const ellipse = () => {
      context.beginPath();
      // Position angle from north (up) to east (left).
      context.ellipse(x, y, a, b, Math.atan2(-Math.cos(angle), -Math.sin(angle)), 0, 2 * Math.PI);
    };
    ellipse();
    context.fillStyle = "rgba(255, 255, 255, 0.25)";
    context.fill();
    stroke(context, ellipse);
    write(context, note, x + (a + b) / 2 + 10, size.height - MARGIN - Math.min(a, 8));
  }

  /** Draw where north and east are, at the top left. */
  function paintCompass(context) {
    const [x, y, length] = [MARGIN + 32, MARGIN + 42, 24];
    const north = [[x, y, x, y - length], [x, y - length, x - 4, y - length + 6], [x, y - length, x + 4, y - length + 6]];
    const east = [[x, y, x - length, y], [x - length, y, x - length + 6, y - 4], [x - length, y, x - length + 6, y + 4]];
    stroke(context, lines(context, ...north, ...east));
    write(context, "N", x, y - length - 9, "center");
    write(context, "E", x - length - 8, y, "center");
  }

  /** Draw a cross around a pixel, leaving the pixel itself free. */
  function paintCross(context, view, size, x, y) {
    const [left, top] = toScreen(view, size, x, y);
    const small = size.width < SMALL_CANVAS;
    const near = Math.max(small ? 14 : 4, view.zoom / 2 + 2);
    const far = near + (small ? 6 : 11);
    const arms = [[-1, 0], [1, 0], [0, -1], [0, 1]];
    const part = ([dx, dy]) => [left + dx * near, top + dy * near, left + dx * far, top + dy * far];
    stroke(context, lines(context, ...arms.map(part)), small ? 1.2 : 2, small ? 1.25 : 2.25);
  }

  /** Draw the middle of the canvas, for those who work with the keyboard. */
  function paintMiddle(context, size) {
    const [x, y] = [size.width / 2, size.height / 2];
    stroke(context, lines(context, [x - 9, y, x + 9, y], [x, y - 9, x, y + 9]), 1);
  }

  /** Draw where there are stamps of sources. */
  function paintSources(context, sources, view, size) {
    for (const { box, name } of sources) {
      const [left, bottom] = toScreen(view, size, box[0] - 0.5, box[1] - 0.5);
      const [right, top] = toScreen(view, size, box[2] + 0.5, box[3] + 0.5);
      if (right - left < SMALLEST_OUTLINE) {
        const ring = () => {
          context.beginPath();
          context.arc((left + right) / 2, (top + bottom) / 2, SMALLEST_OUTLINE / 2, 0, 2 * Math.PI);
        };
        stroke(context, ring, 1, 0.75);
        continue;
      }
      context.setLineDash([4, 3]);
      context.lineWidth = 1;
      context.strokeStyle = "rgba(255, 255, 255, 0.75)";
      context.strokeRect(left, top, right - left, bottom - top);
      context.lineDashOffset = 4;
      context.strokeStyle = "rgba(10, 12, 16, 0.6)";
      context.strokeRect(left, top, right - left, bottom - top);
      context.lineDashOffset = 0;
      context.setLineDash([]);
      if (right - left > 14) write(context, name, left + 4, top - 8);
    }
  }

  /**
   * Make a canvas as sharp as the screen and return its context, scaled to screen pixels and cleared.
   * @param {HTMLCanvasElement} canvas
   * @param {Size} size
   * @returns {CanvasRenderingContext2D}
   */
  function prepare(canvas, size) {
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    const [width, height] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, size.width, size.height);
    return context;
  }

  vlasscube.painter = {
    toScreen, toImage, visibleBox, prepare, paintLayer, paintScaleBar, paintBeam, paintCompass, paintCross,
    paintMiddle, paintSources,
  };
})();
