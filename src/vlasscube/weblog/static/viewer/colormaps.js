"use strict";
/* Colour maps: perceptually uniform, readable without red or green; and how values become colours. */
(() => {
  const vlasscube = window.vlasscube;

  const TABLES = vlasscube.ramps;
  const MASK = [[38, 43, 51], [240, 196, 83]];
  /** Of pixels without value; the same as on the pictures. */
  const BLANK = [128, 134, 142];
  /** Entries of a table of colours along the range of values. */
  const FINENESS = 4096;
  /** How far asinh departs from a straight line. */
  const SOFTENING = 10;

  /** @type {Map<string, Uint8Array>} */
  const known = new Map();

  /**
   * Colours of a map.
   * @param {string} name
   * @returns {Uint8Array}  256 times red, green, blue.
   */
  function colourMap(name) {
    let colours = known.get(name);
    if (!colours) {
      colours = new Uint8Array(768);
      if (Object.hasOwn(TABLES, name)) {
        const digits = TABLES[name].join("");
        for (let k = 0; k < 768; k++) colours[k] = parseInt(digits.slice(2 * k, 2 * k + 2), 16);
      } else {
        for (let k = 0; k < 256; k++) {
          colours.set(name === "mask" ? MASK[k < 128 ? 0 : 1] : [k, k, k], 3 * k);
        }
      }
      known.set(name, colours);
    }
    return colours;
  }

  /**
   * @typedef {object} Look  How values are shown.
   * @property {number} low
   * @property {number} high
   * @property {"linear"|"asinh"|"sqrt"} transfer
   * @property {string} map
   */

  const CURVES = {
    linear: { to: (t) => t, from: (c) => c },
    asinh: {
      to: (t) => Math.asinh(SOFTENING * t) / Math.asinh(SOFTENING),
      from: (c) => Math.sinh(c * Math.asinh(SOFTENING)) / SOFTENING,
    },
    sqrt: { to: Math.sqrt, from: (c) => c * c },
  };

  /** A map with two arms is stretched on both sides of its middle, so that the middle stays where it is. */
  function bothSides(curve, look, t) {
    if (look.map !== "coolwarm") return curve(t);
    const side = 2 * t - 1;
    return (1 + Math.sign(side) * curve(Math.abs(side))) / 2;
  }

  /**
   * Value that is shown in a colour of the map.
   * @param {Look} look
   * @param {number} colour  0 to 1 along the map.
   * @returns {number}
   */
  function valueOfColour(look, colour) {
    return look.low + (look.high - look.low) * bothSides(CURVES[look.transfer].from, look, colour);
  }

  const pixel = (red, green, blue) => (255 << 24) | (blue << 16) | (green << 8) | red;

  /**
   * Colours along the range of values.
   * @param {Look} look
   * @returns {Int32Array}  As the words of an ImageData.
   */
  function colourTable(look) {
    const colours = colourMap(look.map);
    const table = new Int32Array(FINENESS);
    for (let k = 0; k < FINENESS; k++) {
      const along = bothSides(CURVES[look.transfer].to, look, k / (FINENESS - 1));
      const entry = 3 * Math.min(255, Math.floor(256 * along));
      table[k] = pixel(colours[entry], colours[entry + 1], colours[entry + 2]);
    }
    return table;
  }

  /**
   * Picture of part of an array, one pixel per sample, north up.
   * @param {ImageArray} array
   * @param {Look} look
   * @param {number[]} [part]  First column, first row, columns, rows; else all.
   * @returns {HTMLCanvasElement}
   */
  function colourSamples(array, look, part = [0, 0, array.width, array.height]) {
    const [column, row, columns, rows] = part;
    const canvas = document.createElement("canvas");
    canvas.width = columns;
    canvas.height = rows;
    const context = canvas.getContext("2d");
    const picture = context.createImageData(columns, rows);
    // All browsers run on machines that store the least significant byte first.
    const words = new Int32Array(picture.data.buffer);
    const table = colourTable(look);
    const blank = pixel(...BLANK);
    const last = FINENESS - 1;
    const scale = last / (look.high - look.low);
    for (let y = 0; y < rows; y++) {
      const start = (row + y) * array.width + column;
      const target = (rows - 1 - y) * columns;
      for (let x = 0; x < columns; x++) {
        const value = array.values[start + x];
        if (value !== value) {
          words[target + x] = blank;
        } else {
          const place = (value - look.low) * scale;
          words[target + x] = table[place <= 0 ? 0 : place >= last ? last : Math.round(place)];
        }
      }
    }
    context.putImageData(picture, 0, 0);
    return canvas;
  }

  vlasscube.colour = { colourMap, colourSamples, valueOfColour };
})();
