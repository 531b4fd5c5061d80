"use strict";
/* Numbers as text: values in handy units with no more decimals than they are right to, angles, ticks. */
(() => {
  const vlasscube = window.vlasscube;

  /**
   * Unit in which values are shown.
   * @param {string} unit  Of the values.
   * @returns {{factor: number, unit: string}}
   */
  function shownUnit(unit) {
    return unit.startsWith("Jy") ? { factor: 1000, unit: `m${unit}` } : { factor: 1, unit };
  }

  /**
   * Decimals that a value right to half a step deserves.
   * @param {number} step
   * @returns {number}
   */
  function decimalsFor(step) {
    return Math.min(12, Math.max(0, Math.ceil(-Math.log10(step) - 0.3)));
  }

  /**
   * Text of a number, never "-0.00".
   * @param {number} value
   * @param {number} decimals
   * @returns {string}
   */
  function fixed(value, decimals) {
    const text = value.toFixed(decimals);
    return Number(text) === 0 ? (0).toFixed(decimals) : text;
  }

  /**
   * Text of a value of an image, in the shown unit, without it.
   * @param {number} value
   * @param {{step: number, unit: string}} array  Of which it is.
   * @returns {string}
   */
  function valueText(value, array) {
    const { factor } = shownUnit(array.unit);
    return fixed(value * factor, decimalsFor(array.step * factor));
  }

  /**
   * Text of a number whose accuracy is unknown or does not matter.
   * @param {number} value
   * @param {number} [digits]
   * @returns {string}
   */
  function significant(value, digits = 3) {
    if (!Number.isFinite(value)) return "–";
    const text = value.toPrecision(digits);
    return text.includes("e") && Math.abs(value) >= 1e-4 && Math.abs(value) < 1e6
      ? fixed(Number(text), Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value)))))
      : text;
  }

  /**
   * Frequency as it stands everywhere in the viewer.
   * @param {number} frequencyHz
   * @returns {string}
   */
  const gigahertz = (frequencyHz) => (Number.isFinite(frequencyHz) ? (frequencyHz / 1e9).toFixed(3) : "?");

  const pad = (number, places = 2) => String(number).padStart(places, "0");

  /** Split an amount into whole sixtieths of sixtieths; rounded first, so that no 60 appears. */
  function sixtieths(amount, decimals) {
    const unit = 10 ** decimals;
    const total = Math.round(amount * 3600 * unit);
    const seconds = Math.floor(total / unit) % 60;
    const minutes = Math.floor(total / unit / 60) % 60;
    const whole = Math.floor(total / unit / 3600);
    return { whole, minutes, seconds: `${pad(seconds)}.${pad(total % unit, decimals)}` };
  }

  /**
   * Right ascension in hours.
   * @param {number} degrees
   * @returns {string}
   */
  function rightAscension(degrees) {
    const { whole, minutes, seconds } = sixtieths((((degrees % 360) + 360) % 360) / 15, 3);
    return `${pad(whole % 24)}:${pad(minutes)}:${seconds}`;
  }

  /**
   * Declination in degrees.
   * @param {number} degrees
   * @returns {string}
   */
  function declination(degrees) {
    const { whole, minutes, seconds } = sixtieths(Math.abs(degrees), 2);
    return `${degrees < 0 ? "-" : "+"}${pad(whole)}:${pad(minutes)}:${seconds}`;
  }

  /**
   * Length on the sky.
   * @param {number} arcsec
   * @returns {string}
   */
  function angle(arcsec) {
    if (arcsec >= 3600) return `${Number((arcsec / 3600).toPrecision(3))}°`;
    if (arcsec >= 60) return `${Number((arcsec / 60).toPrecision(3))}′`;
    return `${Number(arcsec.toPrecision(3))}″`;
  }

  /**
   * Round places along an axis.
   * @param {number} low
   * @param {number} high
   * @param {number} about  How many are wanted.
   * @returns {{places: number[], decimals: number}}
   */
  function ticks(low, high, about) {
    const rough = (high - low) / about;
    if (!(rough > 0) || !Number.isFinite(rough)) return { places: [], decimals: 0 };
    const power = 10 ** Math.floor(Math.log10(rough));
    const interval = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) * power;
    const places = [];
    const first = Math.ceil(low / interval - 1e-9);
    for (let k = first; k * interval <= high + interval * 1e-9; k++) places.push(k * interval);
    return { places, decimals: Math.max(0, -Math.floor(Math.log10(interval) + 1e-9)) };
  }

  /**
   * Extent of a sample, in words.
   * @param {{combine: string}} array
   * @param {{columns: number, rows: number}} sample
   * @param {boolean} [plural]
   * @returns {string}  `''` if a sample is a pixel.
   */
  function sampleWords(array, sample, plural = false) {
    if (sample.columns * sample.rows === 1) return "";
    const word = array.combine === "extreme" ? "largest" : plural ? "means" : "mean";
    return `${word} of ${sample.columns} × ${sample.rows} pixels`;
  }

  vlasscube.text = {
    shownUnit, decimalsFor, fixed, valueText, significant, gigahertz, rightAscension, declination, angle, ticks,
    sampleWords,
  };
})();
