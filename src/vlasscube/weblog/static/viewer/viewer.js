"use strict";
/* The viewer: which image is shown, which part of it, and which pixel is chosen. */
(() => {
  const vlasscube = window.vlasscube;
  const { painter } = vlasscube;
  const LARGEST_ZOOM = 64;
  const BUTTON_ZOOM = 1.6;
  const ARROW_STEP = 40;
  /** Stamps are drawn once a sample of the overview is this large on the screen, so many at once. */
  const STAMP_SAMPLE_SIZE = 2;
  const STAMPS_AT_ONCE = 16;
  /** Side of what is shown around a source, image pixels. */
  const SOURCE_VIEW = 120;

  /**
   * Emits on its root: `viewer:shown` (detail: id), `viewer:changed` whenever the state did,
   * `viewer:measured` from the spectrum.
   */
  class Viewer {
    /**
     * @param {HTMLElement} root  Markup of viewer_controls.html.
     * @param {Catalogue} catalogue
     */
    constructor(root, catalogue) {
      this.root = root;
      this.catalogue = catalogue;
      this.canvas = root.querySelector('[data-show="canvas"]');
      /** @type {ImageEntry|null} shown */
      this.image = null;
      /** @type {ImageEntry|null} shown or about to be */
      this.target = null;
      /** @type {ImageArray|null} */
      this.array = null;
      /** What was asked for; planes that lack it show what is nearest. */
      this.wanted = { kind: vlasscube.PRODUCT, stokes: "I" };
      /** @type {View} */
      this.view = { x: 0, y: 0, zoom: 1 };
      this.fitted = true;
      /** Views of images that are elsewhere, or nowhere, on the sky, to come back to. */
      this.leftViews = new Map();
      /** @type {{x: number, y: number, plane: Plane, frameName: string|null}|null} chosen pixel */
      this.selection = null;
      /** @type {number[]|null} pointer on the canvas */
      this.pointer = null;
      this.byKeyboard = false;
      this.follow = false;
      /** @type {Map<string, Look>} by kind and Stokes, so that planes are shown alike */
      this.looks = new Map();
      this.transfer = "linear";
      /** Stamps that are in view, by source; null while under way or if missing. */
      this.stamps = new Map();
      this.ticket = 0;
      this.size = { width: 0, height: 0 };
      this.readout = new vlasscube.readout.Readout(root);
      this.spectrum = new vlasscube.SpectrumPanel(root, catalogue);
      this.montage = new vlasscube.Montage(
        root.querySelector('[data-show="montage"]'),
        catalogue,
        (plane) => this.showPlane(plane),
      );
      this.montageTimer = 0;
      new ResizeObserver(() => this.resize()).observe(this.canvas);
    }

    // -------------------------------------------------------------------------------------- choosing images

    /**
     * Show an image; the view stays where it is on the sky.
     * @param {ImageEntry} image
     * @returns {Promise<boolean>}  False if it could not be loaded, or another was asked for meanwhile.
     */
    async show(image) {
      const ticket = ++this.ticket;
      this.target = image;
      this.root.dataset.state = "loading";
      // What loads at once needs no notice: it would flicker.
      const notice = window.setTimeout(() => this.setBusy(true), 120);
      this.changed();
      try {
        const array = await vlasscube.load(image.id, image.url);
        if (ticket !== this.ticket) return false;
        this.moveTo(image, array);
        this.say("");
        this.root.dataset.state = "shown";
        this.root.dataset.shown = image.id;
        this.root.dispatchEvent(new CustomEvent("viewer:shown", { detail: { id: image.id } }));
        return true;
      } catch (error) {
        if (ticket !== this.ticket) return false;
        this.target = this.image;
        this.root.dataset.state = "failed";
        this.say(`${this.title(image)} cannot be shown: ${error.message}.`);
        return false;
      } finally {
        window.clearTimeout(notice);
        if (ticket === this.ticket) {
          this.setBusy(false);
          this.changed();
        }
      }
    }

    /** Make a loaded image the shown one. */
    moveTo(image, array) {
      const before = this.image;
      const place = ({ frameName, kind }) => frameName ?? kind;
      const first = !this.array;
      this.image = image;
      this.array = array;
      if (before && place(before) !== place(image)) {
        this.leftViews.set(place(before), { view: this.view, fitted: this.fitted });
        const centre = this.catalogue.convert([this.view.x, this.view.y], before.frameName, image.frameName);
        const left = this.leftViews.get(place(image));
        if (centre && !this.fitted && before.frameName) {
          this.view = { ...this.view, x: centre[0], y: centre[1] };
        } else if (left && !left.fitted) {
          this.view = left.view;
          this.fitted = false;
        } else {
          this.fit();
        }
      } else if (before && this.follow && !this.fitted) {
        const centre = [this.view.x, this.view.y];
        const [x, y] = this.catalogue.sameSky(centre, image.frame, before.plane, image.plane);
        this.view = { ...this.view, x, y };
      } else if (first || this.fitted) {
        this.fit();
      }
      const key = `${image.kind}.${image.stokes}`;
      if (!this.looks.has(key)) this.setLook({ low: array.low, high: array.high, map: array.ramp });
    }

    /** Show a plane with the wanted kind and Stokes, or what is nearest to it. */
    async showPlane(plane) {
      const { kind, stokes } = this.wanted;
      const image = this.catalogue.nearest(plane, kind, stokes);
      if (!image) return false;
      const shown = await this.show(image);
      if (shown && (image.kind !== kind || image.stokes !== stokes)) {
        this.say(`spw ${plane.spw} has no “${this.catalogue.kindTitle(kind)}”, Stokes ${stokes}; this is shown instead.`);
      }
      return shown;
    }

    showKind(kind) {
      this.want(kind, this.wanted.stokes);
    }

    showStokes(stokes) {
      if (this.target && this.catalogue.image(this.target.plane, this.target.kind, stokes)) {
        this.want(this.target.kind, stokes);
      }
    }

    want(kind, stokes) {
      this.wanted = { kind, stokes };
      if (this.target) this.showPlane(this.target.plane);
    }

    /** Show an image as the first of a visit. */
    open(image) {
      this.wanted = { kind: image.kind, stokes: image.stokes };
      this.leftViews.clear();
      this.fitted = true;
      return this.show(image);
    }

    /** Next plane that has images, around the end. */
    step(by) {
      const planes = this.catalogue.planes.filter((plane) => plane.images.size);
      const here = planes.indexOf((this.target ?? this.image)?.plane);
      if (planes.length) this.showPlane(planes[(here + by + planes.length) % planes.length]);
    }

    title(image) {
      const { spw, frequencyHz } = image.plane;
      const kind = this.catalogue.kindTitle(image.kind);
      return `spw ${spw} · ${vlasscube.text.gigahertz(frequencyHz)} GHz · ${kind} · Stokes ${image.stokes}`;
    }

    // ------------------------------------------------------------------------------------------------ look

    /** @returns {Look|null} of the shown image */
    get look() {
      const look = this.image && this.looks.get(`${this.image.kind}.${this.image.stokes}`);
      return look ? { ...look, transfer: this.transfer } : null;
    }

    setLook(change) {
      if (!this.image) return;
      this.looks.set(`${this.image.kind}.${this.image.stokes}`, { ...this.look, ...change });
      this.transfer = change.transfer ?? this.transfer;
      this.changed();
    }

    resetLook() {
      const { low, high, ramp } = this.array;
      this.setLook({ low, high, map: ramp, transfer: "linear" });
    }

    /** Narrow (above 1) or widen the range of values: about zero, if it is in it. */
    changeContrast(factor) {
      const { low, high } = this.look;
      const centre = low <= 0 && high >= 0 ? 0 : (low + high) / 2;
      this.setLook({ low: centre + (low - centre) / factor, high: centre + (high - centre) / factor });
    }

    // ------------------------------------------------------------------------------------------------ view

    fit() {
      if (!this.array || !this.size.width) return;
      const { nx, ny } = this.array;
      const zoom = Math.min(this.size.width / nx, this.size.height / ny, LARGEST_ZOOM);
      this.view = { x: (nx - 1) / 2, y: (ny - 1) / 2, zoom };
      this.fitted = true;
      this.changed();
    }

    /** Zoom about a place of the canvas, its middle unless said otherwise. */
    zoomBy(factor, left = this.size.width / 2, top = this.size.height / 2) {
      if (!this.array) return;
      const { nx, ny } = this.array;
      const smallest = 0.5 * Math.min(this.size.width / nx, this.size.height / ny, LARGEST_ZOOM);
      const zoom = Math.min(LARGEST_ZOOM, Math.max(smallest, this.view.zoom * factor));
      const [x, y] = painter.toImage(this.view, this.size, left, top);
      this.lookAt(
        x - (left - this.size.width / 2) / zoom,
        y + (top - this.size.height / 2) / zoom,
        zoom,
      );
    }

    /** Move the image by screen pixels. */
    panBy(dx, dy) {
      this.lookAt(this.view.x - dx / this.view.zoom, this.view.y + dy / this.view.zoom, this.view.zoom);
    }

    lookAt(x, y, zoom) {
      if (!this.array) return;
      const { nx, ny } = this.array;
      // The middle of the canvas stays on the image, so that it cannot be lost.
      this.view = { x: Math.min(nx - 0.5, Math.max(-0.5, x)), y: Math.min(ny - 0.5, Math.max(-0.5, y)), zoom };
      this.fitted = false;
      this.changed();
    }

    zoomStep(inward) {
      this.zoomBy(inward ? BUTTON_ZOOM : 1 / BUTTON_ZOOM);
    }

    arrow(dx, dy) {
      this.byKeyboard = true;
      this.panBy(-dx * ARROW_STEP, -dy * ARROW_STEP);
    }

    /** Show and measure a source. */
    goToSource(source) {
      if (this.image?.frameName !== this.catalogue.productFrame) return;
      const span = Math.max(SOURCE_VIEW, source.box[2] - source.box[0] + 1, source.box[3] - source.box[1] + 1);
      this.lookAt(...source.peak, Math.min(this.size.width, this.size.height) / span);
      this.select(...source.peak);
    }

    // ---------------------------------------------------------------------------------------------- notices

    /** Say a sentence above the image; none if it is empty. */
    say(sentence) {
      const message = this.root.querySelector('[data-show="message"]');
      message.textContent = sentence;
      message.hidden = !sentence;
    }

    setBusy(busy) {
      this.root.querySelector('[data-show="busy"]').hidden = !busy;
    }

    /** Something is different: draw anew before the next picture of the screen. */
    changed() {
      if (this.frameRequest) return;
      this.frameRequest = window.requestAnimationFrame(() => {
        this.frameRequest = 0;
        this.draw();
        this.root.dispatchEvent(new CustomEvent("viewer:changed"));
      });
    }
  }

  vlasscube.Viewer = Viewer;
  vlasscube.viewing = { STAMP_SAMPLE_SIZE, STAMPS_AT_ONCE };
})();
