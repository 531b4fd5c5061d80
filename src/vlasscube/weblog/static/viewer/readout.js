"use strict";
/* What is under the cursor: pixel, position, value. */
(() => {
  const vlasscube = window.vlasscube;
  /** Rest after which screen readers are told. */
  const ANNOUNCE_MILLISECONDS = 500;
  const NOTHING = "–";

  /**
   * Value of a sample in words.
   * @param {Sample|null} sample
   * @returns {string}
   */
  function valueWords(sample) {
    if (!sample) return "outside";
    if (Number.isNaN(sample.value)) return "no value";
    const { unit } = vlasscube.text.shownUnit(sample.array.unit);
    return `${vlasscube.text.valueText(sample.value, sample.array)} ${unit}`.trim();
  }

  class Readout {
    /** @param {HTMLElement} root */
    constructor(root) {
      const field = (name) => root.querySelector(`[data-readout="${name}"]`);
      this.fields = Object.fromEntries(["pixel", "position", "value", "note", "announcement"].map((n) => [n, field(n)]));
      this.timer = 0;
    }

    /**
     * Show what is known of a pixel.
     * @param {number[]|null} pixel  Null: there is none.
     * @param {Sample|null} sample
     * @param {number[]|null} position  On the sky, degrees.
     * @param {string} system
     */
    show(pixel, sample, position, system) {
      const { fields } = this;
      fields.pixel.textContent = pixel ? `${pixel[0]}, ${pixel[1]}` : NOTHING;
      fields.position.textContent = position ? vlasscube.sky.positionText(position, system) : NOTHING;
      fields.value.textContent = pixel ? valueWords(sample) : NOTHING;
      const note = sample ? vlasscube.text.sampleWords(sample.array, sample) : "";
      fields.note.textContent = sample?.fromStamp ? "pixel of the product" : note;
      Object.assign(fields.pixel.dataset, { x: pixel?.[0] ?? "", y: pixel?.[1] ?? "" });
      Object.assign(fields.position.dataset, { ra: position?.[0] ?? "", dec: position?.[1] ?? "" });
      fields.value.dataset.value = sample && !Number.isNaN(sample.value) ? String(sample.value) : "";
      window.clearTimeout(this.timer);
      if (!pixel) return;
      this.timer = window.setTimeout(() => {
        const where = `Pixel ${pixel[0]}, ${pixel[1]}`;
        fields.announcement.textContent = `${where}: ${fields.value.textContent} ${fields.note.textContent}`.trim();
      }, ANNOUNCE_MILLISECONDS);
    }
  }

  vlasscube.readout = { Readout, valueWords };
})();
