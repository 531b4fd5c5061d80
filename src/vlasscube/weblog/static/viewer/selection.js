"use strict";
/* The chosen pixel of the viewer: where it is in each image, and what is measured there. */
(() => {
  const vlasscube = window.vlasscube;
  const { painter, Viewer } = vlasscube;

  Object.assign(Viewer.prototype, {
    /** Pixel at a place of the canvas. */
    pixelAt(left, top) {
      return painter.toImage(this.view, this.size, left, top).map(Math.round);
    },

    isInside([x, y]) {
      return Boolean(this.array) && x >= 0 && y >= 0 && x < this.array.nx && y < this.array.ny;
    },

    /** Choose a pixel of the shown image and measure it in all planes. */
    select(x, y) {
      if (!this.isInside([x, y])) return;
      this.selection = { x, y, plane: this.image.plane, frameName: this.image.frameName };
      this.measure();
      this.changed();
    },

    /** Choose what the keyboard points at: the middle, once it was moved there; else the chosen pixel again. */
    selectByKeyboard() {
      const middle = [Math.round(this.view.x), Math.round(this.view.y)];
      this.select(...(this.byKeyboard || !this.selection ? middle : this.selectionIn(this.image) ?? middle));
    },

    /** Pixel of the products that is chosen, or null. */
    chosenProductPixel() {
      if (!this.selection) return null;
      const { x, y, frameName } = this.selection;
      return frameName === null ? null : this.catalogue.convert([x, y], frameName, this.catalogue.productFrame);
    },

    measure() {
      const pixel = this.chosenProductPixel();
      if (!pixel) {
        this.spectrum.clear("This image has no sky coordinates, so its pixels have no spectrum.");
        return;
      }
      this.spectrum.measure(pixel.map(Math.round), this.selection.plane, this.follow).catch((error) => {
        this.spectrum.clear(`The spectrum could not be measured: ${error.message}.`);
      });
    },

    /** Move to the brightest pixel around the chosen one. */
    async selectPeak() {
      const pixel = this.chosenProductPixel();
      if (!pixel) return;
      const { plane } = this.image;
      const { frame } = this.catalogue.image(plane, vlasscube.PRODUCT, "I") ?? {};
      const here = this.follow && frame ? this.catalogue.sameSky(pixel, frame, this.selection.plane, plane) : pixel;
      try {
        const peak = await vlasscube.values.findPeak(this.catalogue, plane, here.map(Math.round));
        if (!peak) {
          this.say(`spw ${plane.spw} has no values there.`);
          return;
        }
        this.selection = { x: peak[0], y: peak[1], plane, frameName: this.catalogue.productFrame };
        this.measure();
        this.changed();
      } catch (error) {
        this.say(`The peak could not be found: ${error.message}.`);
      }
    },

    setFollow(follow) {
      this.follow = follow;
      if (this.selection) this.measure();
      this.changed();
    },

    /** Chosen pixel in an image, not rounded when following; null if it has none. */
    selectionIn(image) {
      if (!this.selection) return null;
      const { x, y, plane, frameName } = this.selection;
      const pixel = this.catalogue.convert([x, y], frameName, image.frameName);
      if (!pixel || !this.follow) return pixel;
      return this.catalogue.sameSky(pixel, image.frame, plane, image.plane).map(Math.round);
    },
  });
})();
