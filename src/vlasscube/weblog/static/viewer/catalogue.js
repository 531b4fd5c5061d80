"use strict";
/* What images there are, from images/index.js; names in it are foreign, so they are kept as keys of maps. */
(() => {
  const vlasscube = window.vlasscube;
  const STOKES = ["I", "Q", "U", "V"];
  /** The products: what spectra are measured on, and what the stamps of sources belong to. */
  const PRODUCT = "cutout.pbcor";
  const NOISE = "cutout.rms";

  /**
   * @typedef {object} Plane
   * @property {string} label
   * @property {string} spw
   * @property {number} frequencyHz
   * @property {string|null} outcome
   * @property {string} word
   * @property {number[]|null} reference  Sky position of the reference pixel, if it is not the frame's.
   * @property {Map<string, Map<string, string>>} images  Address by kind and Stokes.
   */
  /**
   * @typedef {object} ImageEntry  One Stokes plane of an image, not loaded.
   * @property {string} id
   * @property {string} url
   * @property {Plane} plane
   * @property {string} kind
   * @property {string} stokes
   * @property {string|null} frameName
   * @property {Frame|null} frame
   */

  const isPair = (pair) => Array.isArray(pair) && pair.length === 2 && pair.every(Number.isFinite);
  const entries = (object) => (object && typeof object === "object" ? Object.entries(object) : []);
  const list = (array) => (Array.isArray(array) ? array.filter((item) => item && typeof item === "object") : []);

  function readPlane(given) {
    const images = new Map();
    for (const [kind, files] of entries(given.images)) {
      const found = entries(files).filter(([, url]) => typeof url === "string");
      found.sort(([a], [b]) => rank(STOKES, a) - rank(STOKES, b));
      if (found.length) images.set(kind, new Map(found));
    }
    return {
      label: String(given.label),
      spw: String(given.spw ?? ""),
      frequencyHz: Number(given.frequency_hz ?? NaN),
      outcome: given.outcome ?? null,
      word: String(given.word ?? ""),
      reference: isPair(given.crval_deg) ? given.crval_deg : null,
      images,
    };
  }

  function readFrames(given) {
    const usable = (frame) => frame && [frame.crpix, frame.crval_deg, frame.cdelt_deg].every(isPair);
    const read = ([name, frame]) => [name, { ...frame, system: String(frame.system ?? "") }];
    return new Map(entries(given).filter(([, frame]) => usable(frame)).map(read));
  }

  const rank = (order, item) => (order.includes(item) ? order.indexOf(item) : order.length);

  /** The images of a run. */
  class Catalogue {
    /** @param {object} index  As images/index.js says it. */
    constructor(index) {
      this.name = String(index.image_name ?? "");
      /** @type {Plane[]} */
      this.planes = list(index.planes).map(readPlane);
      /** @type {Map<string, Frame>} */
      this.frames = readFrames(index.frames);
      this.kinds = new Map(
        entries(index.kinds).map(([kind, given]) => [
          kind,
          { title: String(given?.title ?? kind), frame: this.frames.has(given?.frame) ? given.frame : null },
        ]),
      );
      /** @type {{name: string, file: string, box: number[], peak: number[]}[]} */
      this.sources = list(index.sources)
        .filter((source) => Array.isArray(source.box) && source.box.length === 4 && isPair(source.peak))
        .map((source) => ({ ...source, name: String(source.name), file: String(source.file) }));
    }

    /** Kinds of images of a plane, in the order in which they are shown. */
    kindsOf(plane) {
      const order = [...this.kinds.keys()];
      return [...plane.images.keys()].sort((a, b) => rank(order, a) - rank(order, b));
    }

    /** Frame of the products, in which sources are given and spectra are measured. */
    get productFrame() {
      return this.kinds.get(PRODUCT)?.frame ?? null;
    }

    kindTitle(kind) {
      return this.kinds.get(kind)?.title ?? kind;
    }

    plane(label) {
      return this.planes.find((plane) => plane.label === label) ?? null;
    }

    /** @returns {ImageEntry|null} */
    image(plane, kind, stokes) {
      const url = plane?.images.get(kind)?.get(stokes);
      if (url === undefined) return null;
      const frameName = this.kinds.get(kind)?.frame ?? null;
      const frame = frameName === null ? null : this.frames.get(frameName);
      return { id: `${plane.label}/${kind}.${stokes}`, url, plane, kind, stokes, frameName, frame };
    }

    /**
     * Image named in a page: `spw2/iter3.image.I`. Kinds hold dots; the Stokes parameter is after the last.
     * @returns {ImageEntry|null}
     */
    imageById(id) {
      const slash = id.indexOf("/");
      const dot = id.lastIndexOf(".");
      if (slash < 0 || dot < slash) return null;
      return this.image(this.plane(id.slice(0, slash)), id.slice(slash + 1, dot), id.slice(dot + 1));
    }

    /** Image to begin with. */
    first() {
      const withProduct = this.planes.map((plane) => this.image(plane, PRODUCT, "I")).find(Boolean);
      return withProduct ?? this.planes.map((plane) => this.nearest(plane, PRODUCT, "I")).find(Boolean) ?? null;
    }

    /**
     * Image of a plane that is most like the wanted one: iterations differ in number between planes.
     * @returns {ImageEntry|null}
     */
    nearest(plane, kind, stokes) {
      const ending = /^iter\d+(\..+)$/.exec(kind)?.[1];
      const kinds = this.kindsOf(plane);
      const iterations = ending ? kinds.filter((name) => /^iter\d+\./.test(name) && name.endsWith(ending)) : [];
      const number = (name) => Number(/\d+/.exec(name)[0]);
      iterations.sort((a, b) => number(b) - number(a));
      for (const candidate of [kind, ...iterations, PRODUCT, ...kinds]) {
        for (const parameter of [stokes, "I", ...(plane.images.get(candidate)?.keys() ?? [])]) {
          const found = this.image(plane, candidate, parameter);
          if (found) return found;
        }
      }
      return null;
    }

    /** Sky position of the reference pixel of an image. */
    reference(image) {
      return image.plane.reference ?? image.frame?.crval_deg ?? null;
    }

    /** Coordinate system of an image; says if the position correction of its plane is not known (yet). */
    system(image) {
      const name = image.frame?.system ?? "";
      return image.plane.reference ? name : `${name} (position not corrected)`.trim();
    }

    /** Pixel of one frame in another, by their reference pixels; null if either has no place on the sky. */
    convert([x, y], from, to) {
      if (from === to) return [x, y];
      const [a, b] = [this.frames.get(from), this.frames.get(to)];
      return a && b ? [x - a.crpix[0] + b.crpix[0], y - a.crpix[1] + b.crpix[1]] : null;
    }

    /** Where a pixel of one plane is in another at the same sky position, not rounded. */
    sameSky([x, y], frame, from, to) {
      if (!frame || from === to) return [x, y];
      const references = [from.reference ?? frame.crval_deg, to.reference ?? frame.crval_deg];
      const position = vlasscube.sky.toSky(frame, references[0], x, y);
      return (position && vlasscube.sky.toPixel(frame, references[1], position)) ?? [x, y];
    }

    /** Sources whose stamps overlap a box of the cutout, the nearest to its middle first. */
    sourcesIn([x0, y0, x1, y1]) {
      const distance = ({ peak }) => Math.hypot(peak[0] - (x0 + x1) / 2, peak[1] - (y0 + y1) / 2);
      return this.sources
        .filter(({ box }) => box[0] <= x1 && box[2] >= x0 && box[1] <= y1 && box[3] >= y0)
        .sort((a, b) => distance(a) - distance(b));
    }
  }

  /**
   * The images of the run whose page this is.
   * @returns {Catalogue|null}  Null if there is no index, or nothing in it.
   */
  function readCatalogue() {
    try {
      const catalogue = new Catalogue(vlasscube.index ?? {});
      return catalogue.planes.some((plane) => plane.images.size) ? catalogue : null;
    } catch {
      return null;
    }
  }

  Object.assign(vlasscube, { Catalogue, readCatalogue, PRODUCT, NOISE, STOKES });
})();
