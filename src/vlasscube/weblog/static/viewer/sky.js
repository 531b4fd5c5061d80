"use strict";
/* Pixels and the sky: orthographic (SIN) projection, north up. Pixels are counted from 0. */
(() => {
  const vlasscube = window.vlasscube;
  const RADIAN = Math.PI / 180;

  /**
   * @typedef {object} Frame  Where the pixels of an image are.
   * @property {number[]} crpix  Reference pixel, counted from 0.
   * @property {number[]} crval_deg  Right ascension and declination of it.
   * @property {number[]} cdelt_deg  Size of a pixel; negative along x, as east is left.
   * @property {string} system
   */

  /**
   * Sky position of a pixel.
   * @param {Frame} frame
   * @param {number[]} reference  Sky position of the reference pixel, degrees.
   * @param {number} x
   * @param {number} y
   * @returns {number[]|null}  Degrees; null beyond the edge of the sky.
   */
  function toSky(frame, reference, x, y) {
    const l = (x - frame.crpix[0]) * frame.cdelt_deg[0] * RADIAN;
    const m = (y - frame.crpix[1]) * frame.cdelt_deg[1] * RADIAN;
    const square = l * l + m * m;
    if (!(square <= 1)) return null;
    const n = Math.sqrt(1 - square);
    const dec0 = reference[1] * RADIAN;
    const northward = n * Math.cos(dec0) - m * Math.sin(dec0);
    const ra = reference[0] + Math.atan2(l, northward) / RADIAN;
    const dec = Math.atan2(m * Math.cos(dec0) + n * Math.sin(dec0), Math.hypot(l, northward)) / RADIAN;
    return [((ra % 360) + 360) % 360, dec];
  }

  /**
   * Pixel of a sky position, not rounded.
   * @param {Frame} frame
   * @param {number[]} reference
   * @param {number[]} position  Degrees.
   * @returns {number[]|null}  Null if it is on the other side of the sky.
   */
  function toPixel(frame, reference, position) {
    const difference = (position[0] - reference[0]) * RADIAN;
    const dec = position[1] * RADIAN;
    const dec0 = reference[1] * RADIAN;
    const l = Math.cos(dec) * Math.sin(difference);
    const m = Math.sin(dec) * Math.cos(dec0) - Math.cos(dec) * Math.sin(dec0) * Math.cos(difference);
    const n = Math.sin(dec) * Math.sin(dec0) + Math.cos(dec) * Math.cos(dec0) * Math.cos(difference);
    if (n < 0) return null;
    return [
      frame.crpix[0] + l / RADIAN / frame.cdelt_deg[0],
      frame.crpix[1] + m / RADIAN / frame.cdelt_deg[1],
    ];
  }

  /**
   * Sky position as text.
   * @param {number[]} position
   * @param {string} system
   * @returns {string}
   */
  function positionText(position, system) {
    const { rightAscension, declination } = vlasscube.text;
    return `${rightAscension(position[0])} ${declination(position[1])} ${system}`.trim();
  }

  /**
   * Size of a pixel.
   * @param {Frame} frame
   * @returns {number}
   */
  const cellArcsec = (frame) => Math.abs(frame.cdelt_deg[1]) * 3600;

  vlasscube.sky = { toSky, toPixel, positionText, cellArcsec };
})();
