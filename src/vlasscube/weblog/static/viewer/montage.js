"use strict";
/* All planes side by side: the surroundings of one pixel, in the same colours. */
(() => {
  const vlasscube = window.vlasscube;
  /** Side of what a tile shows: image pixels, and at least so many samples. */
  const SIDE_PIXELS = 64;
  const SIDE_SAMPLES = 24;
  const TILE = { width: 132, height: 132 };
  const AT_ONCE = 2;

  class Montage {
    /**
     * @param {HTMLElement} container
     * @param {Catalogue} catalogue
     * @param {(plane: Plane) => void} onChoose
     */
    constructor(container, catalogue, onChoose) {
      this.container = container;
      this.catalogue = catalogue;
      this.onChoose = onChoose;
      this.ticket = 0;
      this.key = "";
      /** @type {Map<string, {button: HTMLButtonElement, canvas: HTMLCanvasElement, value: HTMLElement}>} */
      this.tiles = new Map();
    }

    /**
     * Show the surroundings of a pixel.
     * @param {object} scene
     * @param {ImageEntry} scene.image  The shown image: its kind and Stokes are shown of all planes.
     * @param {(plane: Plane) => number[]} scene.pixelIn
     * @param {Look} scene.look
     */
    async update({ image, pixelIn, look }) {
      const ticket = ++this.ticket;
      const images = this.catalogue.planes
        .map((plane) => this.catalogue.image(plane, image.kind, image.stokes))
        .filter(Boolean);
      this.arrange(images);
      for (const [label, { button }] of this.tiles) {
        button.setAttribute("aria-current", String(label === image.plane.label));
      }
      const queue = [...images];
      const work = async () => {
        for (let next = queue.shift(); next && ticket === this.ticket; next = queue.shift()) {
          await this.paint(next, pixelIn(next.plane), look, () => ticket !== this.ticket);
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      if (ticket === this.ticket) this.container.dataset.state = "done";
    }

    arrange(images) {
      this.container.dataset.state = "loading";
      const key = images.map(({ plane }) => plane.label).join("\n");
      if (key === this.key) return;
      this.key = key;
      this.tiles.clear();
      const buttons = images.map(({ plane }) => {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "viewer-tile";
        button.dataset.label = plane.label;
        const canvas = document.createElement("canvas");
        const caption = document.createElement("span");
        const value = document.createElement("span");
        const rejected = plane.outcome && plane.outcome !== "imaged" ? ` · ${plane.word}` : "";
        caption.textContent = `spw ${plane.spw} · ${vlasscube.text.gigahertz(plane.frequencyHz)} GHz${rejected}`;
        caption.className = "viewer-tile-name";
        value.className = "viewer-tile-value";
        button.append(canvas, caption, value);
        button.addEventListener("click", () => this.onChoose(plane));
        this.tiles.set(plane.label, { button, canvas, value });
        return button;
      });
      this.container.replaceChildren(...buttons);
    }

    async paint(image, pixel, look, isStale) {
      const { canvas, value } = this.tiles.get(image.plane.label);
      const [x, y] = pixel.map(Math.round);
      let array;
      let stamp = null;
      try {
        array = await vlasscube.load(image.id, image.url);
        if (array.block > 1 && image.kind === vlasscube.PRODUCT) stamp = await this.stampAt(image, x, y);
      } catch (error) {
        if (!isStale()) value.textContent = "could not be loaded";
        return;
      }
      if (isStale()) return;
      const side = Math.max(SIDE_PIXELS, SIDE_SAMPLES * (stamp ? 1 : array.block));
      const view = { x, y, zoom: TILE.width / side };
      const context = vlasscube.painter.prepare(canvas, TILE);
      vlasscube.painter.paintLayer(context, { array, left: 0, bottom: 0 }, look, view, TILE, true);
      if (stamp) vlasscube.painter.paintLayer(context, stamp, look, view, TILE, true);
      vlasscube.painter.paintCross(context, view, TILE, x, y);
      const sample = stamp
        ? vlasscube.values.sampleAt(stamp.array, x - stamp.left, y - stamp.bottom)
        : vlasscube.values.sampleAt(array, x, y);
      value.textContent = vlasscube.readout.valueWords(sample);
    }

    async stampAt(image, x, y) {
      const source = this.catalogue.sources.find(({ box }) => vlasscube.values.covers(box, x, y));
      const stamps = source && (await vlasscube.values.loadStamps(source).catch(() => null));
      const array = stamps?.planes.get(image.plane.label)?.get(image.stokes);
      return array ? { array, left: stamps.box[0], bottom: stamps.box[1] } : null;
    }
  }

  vlasscube.Montage = Montage;
})();
