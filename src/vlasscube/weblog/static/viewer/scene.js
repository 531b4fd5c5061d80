"use strict";
/* What the viewer draws: image, stamps, marks, readout, montage. */
(() => {
  const vlasscube = window.vlasscube;
  const { painter, Viewer } = vlasscube;
  const { STAMP_SAMPLE_SIZE, STAMPS_AT_ONCE } = vlasscube.viewing;
  const MONTAGE_MILLISECONDS = 120;

  Object.assign(Viewer.prototype, {
    /** Follow the size of the canvas on the page. */
    resize() {
      const { clientWidth: width, clientHeight: height } = this.canvas;
      if (!width || !height) return;
      const fitted = this.fitted || !this.size.width;
      this.size = { width, height };
      if (fitted) this.fit();
      this.changed();
    },

    draw() {
      if (!this.size.width) return;
      const context = painter.prepare(this.canvas, this.size);
      if (!this.array || !this.look) return;
      const { image, array, look, view, size } = this;
      painter.paintLayer(context, { array, left: 0, bottom: 0 }, look, view, size);
      const stamps = this.stampsInView();
      for (const stamp of stamps) painter.paintLayer(context, stamp, look, view, size);
      this.root.dataset.stamps = String(stamps.length);
      const marks = this.root.querySelector('[data-control="marks"]')?.checked;
      if (marks && image.frameName === this.catalogue.productFrame) {
        const sources = this.catalogue.sourcesIn(painter.visibleBox(view, size));
        painter.paintSources(context, sources, view, size);
      }
      if (image.frame) painter.paintCompass(context);
      if (image.frame && array.beam) painter.paintBeam(context, array.beam, image.frame, view, size);
      painter.paintScaleBar(context, image.frame, view, size);
      const chosen = this.selectionIn(image);
      if (chosen) painter.paintCross(context, view, size, ...chosen);
      if (this.byKeyboard && document.activeElement === this.canvas) painter.paintMiddle(context, size);
      this.drawn = { stamps };
      this.read();
      this.planMontage();
    },

    /** Layers of the stamps in view, as far as they are loaded; asks for the others. */
    stampsInView() {
      const { image, array, view } = this;
      const coarse = array.block > 1 && array.block * view.zoom >= STAMP_SAMPLE_SIZE;
      if (image.kind !== vlasscube.PRODUCT || !coarse) {
        this.stamps.clear();
        return [];
      }
      const wanted = this.catalogue.sourcesIn(painter.visibleBox(view, this.size)).slice(0, STAMPS_AT_ONCE);
      const kept = new Map();
      const layers = [];
      for (const source of wanted) {
        kept.set(source.name, this.stamps.get(source.name) ?? null);
        if (!this.stamps.has(source.name)) this.loadStampsOf(source);
        const stamps = kept.get(source.name);
        const found = stamps?.planes.get(image.plane.label)?.get(image.stokes);
        if (found) layers.push({ array: found, left: stamps.box[0], bottom: stamps.box[1], box: stamps.box });
      }
      this.stamps = kept;
      return layers;
    },

    async loadStampsOf(source) {
      try {
        const stamps = await vlasscube.values.loadStamps(source);
        if (this.stamps.has(source.name)) this.stamps.set(source.name, stamps);
        this.changed();
      } catch (error) {
        this.say(`The pixels of source ${source.name} cannot be shown: ${error.message}.`);
      }
    },

    /** Sample that is shown at a pixel. */
    sampleShown([x, y]) {
      const stamp = this.drawn?.stamps.findLast(({ box }) => vlasscube.values.covers(box, x, y));
      if (!stamp) return vlasscube.values.sampleAt(this.array, x, y);
      const sample = vlasscube.values.sampleAt(stamp.array, x - stamp.left, y - stamp.bottom);
      return sample && { ...sample, fromStamp: true };
    },

    /** Show what is under the pointer; without one, in the middle for the keyboard, or at the chosen pixel. */
    read() {
      const { image, view } = this;
      let pixel = null;
      if (this.pointer) pixel = this.pixelAt(...this.pointer);
      else if (this.byKeyboard) pixel = [Math.round(view.x), Math.round(view.y)];
      else pixel = this.selectionIn(image);
      if (pixel && !this.isInside(pixel)) pixel = null;
      const reference = image.frame && this.catalogue.reference(image);
      const position = pixel && reference ? vlasscube.sky.toSky(image.frame, reference, ...pixel) : null;
      this.readout.show(pixel, pixel && this.sampleShown(pixel), position, this.catalogue.system(image));
    },

    /** Bring the montage up to date when the view has come to rest. */
    planMontage() {
      const { container } = this.montage;
      if (container.hidden) return;
      const { image, look, view } = this;
      const chosen = this.selectionIn(image);
      const [x, y] = (chosen ?? [view.x, view.y]).map(Math.round);
      const scene = JSON.stringify([image.kind, image.stokes, image.plane.label, x, y, look, this.follow]);
      if (scene === this.montageScene) return;
      this.montageScene = scene;
      window.clearTimeout(this.montageTimer);
      this.montageTimer = window.setTimeout(() => {
        const pixelIn = (plane) =>
          this.follow ? this.catalogue.sameSky([x, y], image.frame, image.plane, plane) : [x, y];
        this.montage.update({ image, pixelIn, look });
      }, MONTAGE_MILLISECONDS);
    },

    setMontage(shown) {
      this.montage.container.hidden = !shown;
      this.montageScene = "";
      this.changed();
    },
  });
})();
