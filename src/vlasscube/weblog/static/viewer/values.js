"use strict";
/* Values of pixels: from the overview of an image, or exact ones from the stamp of a source. */
(() => {
  const vlasscube = window.vlasscube;
  /** Arrays of a spectrum that are loaded at the same time. */
  const AT_ONCE = 4;
  /** How far around a pixel its peak is looked for. */
  const PEAK_PIXELS = 10;
  const PEAK_SAMPLES = 3;

  /**
   * @typedef {object} Sample
   * @property {number} value  NaN if there is none.
   * @property {number} columns  Image pixels that it covers.
   * @property {number} rows
   * @property {ImageArray} array
   * @property {boolean} exact  It is a pixel of the product itself.
   */

  /**
   * Sample of an array that covers a pixel.
   * @param {ImageArray} array
   * @param {number} x  Pixel of the image, counted from 0.
   * @param {number} y
   * @returns {Sample|null}  Null outside of the image.
   */
  function sampleAt(array, x, y) {
    if (!(x >= 0 && y >= 0 && x < array.nx && y < array.ny)) return null;
    const column = Math.floor(x / array.block);
    const row = Math.floor(y / array.block);
    return {
      value: array.values[row * array.width + column],
      columns: Math.min(array.block, array.nx - column * array.block),
      rows: Math.min(array.block, array.ny - row * array.block),
      array,
      exact: array.block === 1,
    };
  }

  const covers = ([x0, y0, x1, y1], x, y) => x >= x0 && y >= y0 && x <= x1 && y <= y1;

  /**
   * Load the stamps of a source.
   * @param {{name: string, file: string}} source
   */
  const loadStamps = (source) => vlasscube.loadSource(`source/${source.name}`, source.file);

  /**
   * Value of a pixel of an image, exact if a source's stamp has it.
   * @param {Catalogue} catalogue
   * @param {ImageEntry} image
   * @param {number} x
   * @param {number} y
   * @returns {Promise<Sample|null>}
   */
  async function measure(catalogue, image, x, y) {
    if (image.kind === vlasscube.PRODUCT) {
      for (const source of catalogue.sources.filter(({ box }) => covers(box, x, y))) {
        // Without the stamp the overview still says something.
        const stamps = await loadStamps(source).catch(() => null);
        const array = stamps?.planes.get(image.plane.label)?.get(image.stokes);
        if (array && covers(stamps.box, x, y)) return sampleAt(array, x - stamps.box[0], y - stamps.box[1]);
      }
    }
    return sampleAt(await vlasscube.load(image.id, image.url), x, y);
  }

  /**
   * @typedef {object} PlaneValues  A pixel of the products in one plane.
   * @property {Plane} plane
   * @property {number} x
   * @property {number} y
   * @property {Map<string, Sample>} values  By Stokes; those that could be measured.
   * @property {Map<string, Sample>} noise
   */

  /**
   * Measure a pixel in all planes, and the rms there.
   * @param {Catalogue} catalogue
   * @param {number[]} pixel  Of the cutout.
   * @param {{plane: Plane, follow: boolean, isStale: () => boolean,
   *          onProgress: (rows: PlaneValues[], done: number, all: number) => void}} options
   *     `plane`: in which the pixel was chosen; `follow`: the same sky position in the others.
   * @returns {Promise<{rows: PlaneValues[], problems: string[]}>}
   */
  async function measureSpectrum(catalogue, pixel, { plane: chosenIn, follow, isStale, onProgress }) {
    const jobs = [];
    const rows = [];
    for (const plane of catalogue.planes) {
      if (!plane.images.has(vlasscube.PRODUCT)) continue;
      const frame = catalogue.image(plane, vlasscube.PRODUCT, "I")?.frame ?? null;
      const [x, y] = (follow ? catalogue.sameSky(pixel, frame, chosenIn, plane) : pixel).map(Math.round);
      const row = { plane, x, y, values: new Map(), noise: new Map() };
      rows.push(row);
      for (const [urgency, stokes] of vlasscube.STOKES.entries()) {
        const image = catalogue.image(plane, vlasscube.PRODUCT, stokes);
        const noise = catalogue.image(plane, vlasscube.NOISE, stokes);
        if (image) jobs.push({ row, image, into: row.values, urgency: urgency === 0 ? 0 : 1 });
        if (noise) jobs.push({ row, image: noise, into: row.noise, urgency: urgency === 0 ? 2 : 3 });
      }
    }
    // What is there already comes first: loading the rest may push it out.
    const hurry = ({ image, urgency }) => (vlasscube.isKept(image.id) ? -1 : urgency);
    jobs.sort((a, b) => hurry(a) - hurry(b));
    const problems = [];
    const all = jobs.length;
    let done = 0;
    const work = async () => {
      for (let job = jobs.shift(); job && !isStale(); job = jobs.shift()) {
        try {
          const sample = await measure(catalogue, job.image, job.row.x, job.row.y);
          if (sample) job.into.set(job.image.stokes, sample);
        } catch (error) {
          problems.push(`${job.image.id}: ${error.message}`);
        }
        done += 1;
        if (!isStale()) onProgress(rows, done, all);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return { rows, problems };
  }

  /**
   * Brightest |I| of a plane around a pixel.
   * @param {Catalogue} catalogue
   * @param {Plane} plane
   * @param {number[]} pixel  Of the cutout.
   * @returns {Promise<number[]|null>}  Pixel; null without a value.
   */
  async function findPeak(catalogue, plane, [x, y]) {
    const image = catalogue.image(plane, vlasscube.PRODUCT, "I");
    if (!image) return null;
    let array = null;
    let [left, bottom] = [0, 0];
    for (const source of catalogue.sources.filter(({ box }) => covers(box, x, y))) {
      const stamps = await loadStamps(source).catch(() => null);
      array ??= stamps?.planes.get(plane.label)?.get("I") ?? null;
      if (array) {
        [left, bottom] = stamps.box;
        break;
      }
    }
    array ??= await vlasscube.load(image.id, image.url);
    const { block, width, height, nx, ny, values } = array;
    const reach = block === 1 ? PEAK_PIXELS : PEAK_SAMPLES;
    const [column, row] = [Math.floor((x - left) / block), Math.floor((y - bottom) / block)];
    let best = null;
    let size = -1;
    for (let j = Math.max(0, row - reach); j <= Math.min(height - 1, row + reach); j++) {
      for (let i = Math.max(0, column - reach); i <= Math.min(width - 1, column + reach); i++) {
        const value = Math.abs(values[j * width + i]);
        if (value > size) [size, best] = [value, [i, j]];
      }
    }
    const middle = (index, end) => index * block + Math.floor((Math.min(block, end - index * block) - 1) / 2);
    return best && [left + middle(best[0], nx), bottom + middle(best[1], ny)];
  }

  vlasscube.values = { sampleAt, covers, loadStamps, measureSpectrum, findPeak };
})();
