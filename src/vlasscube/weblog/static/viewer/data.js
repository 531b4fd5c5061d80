"use strict";
/*
 * Data files of the viewer: loading, decoding, keeping.
 *
 * Pages are opened from disk, where a script may not read files. So each array is a script that hands itself
 * over with `vlasscube.receive(id, content)`, and is asked for by adding a <script> element.
 */
(() => {
  /**
   * @typedef {object} ImageArray  One Stokes plane of an image, decoded.
   * @property {Float32Array} values  Row by row, the southernmost first; NaN where there is no value.
   * @property {number} width  Samples in a row.
   * @property {number} height  Rows.
   * @property {number} block  A sample covers block × block image pixels, fewer at the upper ends.
   * @property {"mean"|"extreme"} combine  What a sample says of its pixels.
   * @property {number} nx  Image pixels in a row.
   * @property {number} ny
   * @property {number} step  Values are right to half of it.
   * @property {number} low  Value at the lower end of the colours, unless chosen otherwise.
   * @property {number} high
   * @property {string} ramp
   * @property {string} unit
   * @property {string} caption
   * @property {{bmaj_arcsec: number, bmin_arcsec: number, bpa_deg: number}|null} beam
   */

  const vlasscube = (window.vlasscube = window.vlasscube || {});

  /** Samples kept decoded: four bytes each. */
  const KEPT_SAMPLES = 40e6;
  /** More than any file of the web log holds: what says so is damaged. */
  const MAX_SAMPLES = 64e6;
  const RAMPS = ["inferno", "coolwarm", "viridis", "cividis", "grey", "mask"];

  /** @type {Map<string, {value: object, samples: number}>} the least recently used first */
  const kept = new Map();
  /** @type {Map<string, Promise<object>>} */
  const underWay = new Map();
  /** @type {Map<string, {content: unknown}>} what running scripts handed over */
  const expected = new Map();

  // ------------------------------------------------------------------------------------------------ loading

  /**
   * Take the content of a data file; called by the file.
   * @param {string} id
   * @param {unknown} content
   */
  function receive(id, content) {
    const entry = expected.get(id);
    if (entry) entry.content = content;
  }

  /** Run a data file and return what it handed over. */
  function runScript(id, url) {
    return new Promise((resolve, reject) => {
      const entry = { content: undefined };
      expected.set(id, entry);
      const script = document.createElement("script");
      const finish = (settle, result) => {
        expected.delete(id);
        script.remove();
        settle(result);
      };
      script.onload = () => {
        if (entry.content !== null && typeof entry.content === "object") finish(resolve, entry.content);
        else finish(reject, new Error(`the data file ${url} is damaged`));
      };
      script.onerror = () => finish(reject, new Error(`the data file ${url} is missing or cannot be read`));
      script.src = url;
      document.head.append(script);
    });
  }

  function keep(id, value, samples) {
    kept.set(id, { value, samples });
    let total = 0;
    for (const entry of kept.values()) total += entry.samples;
    for (const [oldest, entry] of kept) {
      if (total <= KEPT_SAMPLES || oldest === id) break;
      kept.delete(oldest);
      total -= entry.samples;
    }
  }

  function loadWith(id, url, decodeContent) {
    const entry = kept.get(id);
    if (entry) {
      kept.delete(id);
      kept.set(id, entry);
      return Promise.resolve(entry.value);
    }
    let promise = underWay.get(id);
    if (!promise) {
      promise = runScript(id, url)
        .then((content) => decodeContent(content, url))
        .then(({ value, samples }) => {
          keep(id, value, samples);
          return value;
        })
        .finally(() => underWay.delete(id));
      underWay.set(id, promise);
    }
    return promise;
  }

  /**
   * Load an image array; one that is kept, or under way, is not loaded again.
   * @param {string} id  As the file says it: `spw2/cutout.pbcor.I`.
   * @param {string} url
   * @returns {Promise<ImageArray>}  Rejected with a sentence if the file is missing or damaged.
   */
  function load(id, url) {
    return loadWith(id, url, async (content, file) => {
      const value = await decode(content, file);
      return { value, samples: value.values.length };
    });
  }

  /**
   * Load the full-resolution stamps of a source.
   * @param {string} id  As the file says it: `source/1`.
   * @param {string} url
   * @returns {Promise<{box: number[], planes: Map<string, Map<string, ImageArray>>}>}  By plane and Stokes.
   */
  function loadSource(id, url) {
    return loadWith(id, url, async (content, file) => {
      const box = content.box;
      const planes = new Map();
      let samples = 0;
      if (!isBox(box)) throw new Error(`the data file ${file} is damaged`);
      for (const [label, arrays] of Object.entries(content.planes ?? {})) {
        const decoded = new Map();
        planes.set(label, decoded);
        for (const [stokes, encoded] of Object.entries(arrays ?? {})) {
          const array = await decode(encoded, file);
          if (array.nx !== box[2] - box[0] + 1 || array.ny !== box[3] - box[1] + 1) {
            throw new Error(`the data file ${file} is damaged: a stamp does not fit its box`);
          }
          decoded.set(stokes, array);
          samples += array.values.length;
        }
      }
      return { value: { box, planes }, samples };
    });
  }

  /**
   * Say whether an array needs no loading.
   * @param {string} id
   * @returns {boolean}
   */
  const isKept = (id) => kept.has(id);

  const isBox = (box) =>
    Array.isArray(box) && box.length === 4 && box.every(Number.isInteger) && box[0] <= box[2] && box[1] <= box[3];

  // ----------------------------------------------------------------------------------------------- decoding

  /**
   * Decode an array as it stands in a data file.
   * @param {object} encoded
   * @param {string} url  Named if it cannot be decoded.
   * @returns {Promise<ImageArray>}
   */
  async function decode(encoded, url) {
    const problem = mistakeIn(encoded);
    if (problem) throw new Error(`the data file ${url} is damaged: ${problem}`);
    if (typeof DecompressionStream === "undefined") {
      throw new Error("this browser is too old to unpack the data: it does not support DecompressionStream");
    }
    const { width, height, bytes, step, filter, block, nx, ny } = encoded;
    let packed;
    try {
      packed = await inflate(encoded.data, width * height * bytes);
    } catch (error) {
      throw new Error(`the data file ${url} is damaged: its data cannot be unpacked`);
    }
    const ordered = Number.isFinite(encoded.low) && Number.isFinite(encoded.high) && encoded.low < encoded.high;
    return {
      values: unpack(packed, width, height, bytes, step, filter === "difference"),
      width,
      height,
      block,
      nx,
      ny,
      step,
      combine: encoded.combine === "extreme" ? "extreme" : "mean",
      low: ordered ? encoded.low : 0,
      high: ordered ? encoded.high : 1,
      ramp: RAMPS.includes(encoded.ramp) ? encoded.ramp : "inferno",
      unit: String(encoded.unit ?? ""),
      caption: String(encoded.caption ?? ""),
      beam: isBeam(encoded.beam) ? encoded.beam : null,
    };
  }

  function mistakeIn(encoded) {
    if (encoded === null || typeof encoded !== "object") return "it holds no array";
    const { width, height, block, nx, ny, bytes, step, data, filter } = encoded;
    const sizes = [width, height, block, nx, ny];
    if (!sizes.every((size) => Number.isInteger(size) && size > 0)) return "its size is not given";
    if (width * height > MAX_SAMPLES) return "it is too large";
    if (Math.ceil(nx / block) !== width || Math.ceil(ny / block) !== height) return "its sizes disagree";
    if (!Number.isInteger(bytes) || bytes < 1 || bytes > 4) return "its coding is unknown";
    if (filter !== "none" && filter !== "difference") return "its coding is unknown";
    if (!(step > 0) || !Number.isFinite(step)) return "its step is not given";
    if (typeof data !== "string") return "it holds no data";
    return "";
  }

  const isBeam = (beam) =>
    beam !== null &&
    typeof beam === "object" &&
    beam.bmaj_arcsec > 0 &&
    beam.bmin_arcsec > 0 &&
    Number.isFinite(beam.bpa_deg);

  /** Inflate base64 of zlib to exactly `length` bytes. */
  async function inflate(base64, length) {
    const text = atob(base64);
    const compressed = new Uint8Array(text.length);
    for (let k = 0; k < text.length; k++) compressed[k] = text.charCodeAt(k);
    const reader = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
    const result = new Uint8Array(length);
    let filled = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (filled + value.length > length) {
        await reader.cancel();
        throw new Error("too much data");
      }
      result.set(value, filled);
      filled += value.length;
    }
    if (filled !== length) throw new Error("too little data");
    return result;
  }

  /**
   * Turn codes into values. Byte planes, the least significant first; code 0: no value; else the number is
   * folded: 0, -1, 1, -2, …
   */
  function unpack(packed, width, height, bytes, step, differences) {
    const size = width * height;
    const values = new Float32Array(size);
    for (let row = 0; row < height; row++) {
      let previous = 0;
      for (let k = row * width; k < (row + 1) * width; k++) {
        let code = packed[k];
        for (let byte = 1; byte < bytes; byte++) code += packed[byte * size + k] * 2 ** (8 * byte);
        if (code === 0) {
          values[k] = NaN;
          continue;
        }
        let count = code % 2 === 0 ? -code / 2 : (code - 1) / 2;
        if (differences) count = previous += count;
        values[k] = count * step;
      }
    }
    return values;
  }

  Object.assign(vlasscube, { receive, load, loadSource, isKept, decode });
})();
