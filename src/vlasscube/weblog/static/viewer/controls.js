"use strict";
/* Buttons, lists and keys of the viewer. */
(() => {
  const vlasscube = window.vlasscube;
  const BLINK_MILLISECONDS = 500;
  const BAR_COLOURS = 256;

  /** Runs through the planes, those that are loaded, until told to stop. */
  class Blinker {
    /** @param {Viewer} viewer */
    constructor(viewer, onChange) {
      this.viewer = viewer;
      this.onChange = onChange;
      this.timer = 0;
    }

    get running() {
      return this.timer !== 0;
    }

    start() {
      const { catalogue, image } = this.viewer;
      if (!image || this.running) return;
      const { kind, stokes } = image;
      const images = catalogue.planes.map((plane) => catalogue.image(plane, kind, stokes)).filter(Boolean);
      const loaded = new Set([image]);
      this.timer = window.setInterval(() => {
        const { image: shown } = this.viewer;
        if (shown.kind !== kind || shown.stokes !== stokes) {
          // Another kind was chosen: begin anew with it.
          this.stop();
          this.start();
          return;
        }
        const ready = images.filter((candidate) => loaded.has(candidate) || candidate.id === shown.id);
        const here = ready.findIndex(({ id }) => id === shown.id);
        if (ready.length > 1) this.viewer.show(ready[(here + 1) % ready.length]);
      }, BLINK_MILLISECONDS);
      const run = this.timer;
      this.onChange();
      this.preload(images, loaded, () => this.timer !== run);
    }

    async preload(images, loaded, isStale) {
      for (const image of images) {
        if (isStale()) return;
        // A plane that cannot be loaded is left out.
        await vlasscube.load(image.id, image.url).then(() => loaded.add(image), () => undefined);
      }
    }

    stop() {
      window.clearInterval(this.timer);
      this.timer = 0;
      this.onChange();
    }

    toggle() {
      if (this.running) this.stop();
      else this.start();
    }
  }

  const option = (value, text, disabled = false) =>
    Object.assign(document.createElement("option"), { value, textContent: text, disabled });

  /**
   * Connect the controls of the markup with a viewer.
   * @param {Viewer} viewer
   * @returns {{stop: () => void}}  What to call when the viewer is put away.
   */
  function connect(viewer) {
    const { root, catalogue, canvas } = viewer;
    const control = (name) => root.querySelector(`[data-control="${name}"]`);
    const shown = (name) => root.querySelector(`[data-show="${name}"]`);
    const action = (name) => root.querySelector(`[data-action="${name}"]`);
    const press = (name, pressed) => action(name).setAttribute("aria-pressed", String(pressed));

    const blinker = new Blinker(viewer, () => press("blink", blinker.running));
    const montage = () => {
      const open = viewer.montage.container.hidden;
      press("montage", open);
      viewer.setMontage(open);
      if (open) viewer.montage.container.scrollIntoView({ block: "nearest" });
    };
    const stepPlane = (by) => {
      if (blinker.running) blinker.stop();
      viewer.step(by);
    };

    // ------------------------------------------------------------------------------------------ what to do

    const actions = {
      "previous-plane": () => stepPlane(-1),
      "next-plane": () => stepPlane(1),
      blink: () => blinker.toggle(),
      montage,
      "zoom-in": () => viewer.zoomStep(true),
      "zoom-out": () => viewer.zoomStep(false),
      fit: () => viewer.fit(),
      "one-to-one": () => viewer.lookAt(viewer.view.x, viewer.view.y, 1),
      "more-contrast": () => viewer.changeContrast(2),
      "less-contrast": () => viewer.changeContrast(0.5),
      "reset-look": () => viewer.resetLook(),
      peak: () => viewer.selectPeak(),
    };
    for (const [name, act] of Object.entries(actions)) {
      action(name).addEventListener("click", () => viewer.image && act());
    }
    control("plane").addEventListener("change", ({ target }) => {
      if (blinker.running) blinker.stop();
      viewer.showPlane(catalogue.plane(target.value));
    });
    control("kind").addEventListener("change", ({ target }) => viewer.showKind(target.value));
    control("source").addEventListener("change", ({ target }) => {
      const source = catalogue.sources[Number(target.value)];
      if (target.value && source) viewer.goToSource(source);
      target.value = "";
    });
    control("marks").addEventListener("change", () => viewer.changed());
    control("follow").addEventListener("change", ({ target }) => viewer.setFollow(target.checked));
    control("transfer").addEventListener("change", ({ target }) => viewer.setLook({ transfer: target.value }));
    control("map").addEventListener("change", ({ target }) => viewer.setLook({ map: target.value }));
    for (const name of ["low", "high"]) {
      control(name).addEventListener("change", ({ target }) => {
        if (!viewer.look) return;
        const value = target.valueAsNumber / vlasscube.text.shownUnit(viewer.array.unit).factor;
        const look = { ...viewer.look, [name]: value };
        const valid = look.low < look.high;
        target.setCustomValidity(valid ? "" : "The lower end must be below the upper end.");
        if (valid) viewer.setLook({ [name]: value });
        else target.reportValidity();
      });
    }
    canvas.addEventListener("blur", () => {
      viewer.byKeyboard = false;
      viewer.changed();
    });
    const pointAt = (left, top) => {
      viewer.byKeyboard = false;
      viewer.pointer = [left, top];
      viewer.changed();
    };
    vlasscube.gestures.watchPointers(canvas, {
      pan: (dx, dy) => viewer.panBy(dx, dy),
      zoom: (factor, left, top) => viewer.zoomBy(factor, left, top),
      hover: pointAt,
      leave: () => {
        viewer.pointer = null;
        viewer.changed();
      },
      click: (left, top) => {
        viewer.byKeyboard = false;
        viewer.select(...viewer.pixelAt(left, top));
      },
      doubleClick: (left, top) => viewer.zoomBy(2, left, top),
    });
    const arrow = (dx, dy) => () => {
      viewer.pointer = null;
      viewer.arrow(dx, dy);
    };
    const stokesKeys = vlasscube.STOKES.map((stokes) => [stokes.toLowerCase(), () => viewer.showStokes(stokes)]);
    const everywhere = {
      ...Object.fromEntries(stokesKeys),
      "+": actions["zoom-in"],
      "=": actions["zoom-in"],
      "-": actions["zoom-out"],
      0: actions.fit,
      "[": actions["previous-plane"],
      "]": actions["next-plane"],
      b: actions.blink,
    };
    const onImage = {
      ArrowLeft: arrow(-1, 0),
      ArrowRight: arrow(1, 0),
      ArrowUp: arrow(0, -1),
      ArrowDown: arrow(0, 1),
      Enter: () => viewer.selectByKeyboard(),
    };
    const whenShown = (keys) =>
      Object.fromEntries(Object.entries(keys).map(([key, act]) => [key, () => viewer.image && act()]));
    vlasscube.gestures.watchKeys(root, canvas, whenShown(everywhere), whenShown(onImage));

    // ------------------------------------------------------------------------------------------- what is so

    for (const plane of catalogue.planes) {
      const outcome = plane.outcome === "imaged" || !plane.word ? "" : ` · ${plane.word}`;
      const name = `${plane.spw} · ${vlasscube.text.gigahertz(plane.frequencyHz)} GHz${outcome}`;
      control("plane").append(option(plane.label, name, !plane.images.size));
    }
    control("source").append(option("", "Go to …"));
    catalogue.sources.forEach((source, k) => control("source").append(option(String(k), `Source ${source.name}`)));
    shown("sources").hidden = !catalogue.sources.length;
    shown("marks").hidden = !catalogue.sources.length;
    shown("follow").hidden = !catalogue.planes.some((plane) => plane.reference);

    let listed = "";
    const refreshLists = (image) => {
      const { plane, kind } = image;
      control("plane").value = plane.label;
      const kinds = catalogue.kindsOf(plane);
      const parameters = [...plane.images.get(kind).keys()];
      const key = JSON.stringify([plane.label, kinds, kind, parameters]);
      if (key !== listed) {
        listed = key;
        control("kind").replaceChildren(...kinds.map((name) => option(name, catalogue.kindTitle(name))));
        const focused = document.activeElement?.dataset?.stokes;
        control("stokes").replaceChildren(
          ...parameters.map((stokes) => {
            const button = document.createElement("button");
            Object.assign(button, { type: "button", className: "viewer-button", textContent: stokes });
            button.dataset.stokes = stokes;
            button.addEventListener("click", () => viewer.showStokes(stokes));
            return button;
          }),
        );
        if (focused) [...control("stokes").children].find((b) => b.dataset.stokes === focused)?.focus();
      }
      control("kind").value = kind;
      for (const button of control("stokes").children) {
        button.setAttribute("aria-pressed", String(button.dataset.stokes === image.stokes));
      }
    };

    let coloured = "";
    const refreshLook = () => {
      const { look, array } = viewer;
      const { factor, unit } = vlasscube.text.shownUnit(array.unit);
      const key = JSON.stringify([look, unit]);
      if (key === coloured) return;
      coloured = key;
      for (const name of ["low", "high"]) {
        control(name).value = String(Number((look[name] * factor).toPrecision(4)));
        control(name).setCustomValidity("");
      }
      control("transfer").value = look.transfer;
      const mask = control("map").querySelector('[value="mask"]');
      // Not every browser hides entries of a list.
      mask.hidden = mask.disabled = array.ramp !== "mask";
      control("map").value = look.map;
      for (const place of root.querySelectorAll('[data-show="unit"]')) place.textContent = unit;
      const colours = vlasscube.colour.colourMap(look.map);
      const context = shown("colourbar").getContext("2d");
      const strip = context.createImageData(BAR_COLOURS, 1);
      for (let k = 0; k < BAR_COLOURS; k++) strip.data.set([...colours.subarray(3 * k, 3 * k + 3), 255], 4 * k);
      context.putImageData(strip, 0, 0);
      const decimals = vlasscube.text.decimalsFor(((look.high - look.low) * factor) / 200);
      [0, 0.25, 0.5, 0.75, 1].forEach((colour, k) => {
        const value = vlasscube.colour.valueOfColour(look, colour) * factor;
        shown("colour-values").children[k].textContent = vlasscube.text.fixed(value, decimals);
      });
    };

    root.addEventListener("viewer:changed", () => {
      const image = viewer.target ?? viewer.image;
      if (!image) return;
      refreshLists(image);
      shown("title").textContent = viewer.title(image);
      shown("caption").textContent = viewer.array?.caption ?? "";
      action("peak").disabled = !viewer.chosenProductPixel();
      control("source").disabled = viewer.image?.frameName !== catalogue.productFrame;
      if (viewer.look) refreshLook();
    });
    document.addEventListener("visibilitychange", () => document.hidden && blinker.running && blinker.stop());
    return { stop: () => blinker.running && blinker.stop() };
  }

  vlasscube.controls = { connect };
})();
