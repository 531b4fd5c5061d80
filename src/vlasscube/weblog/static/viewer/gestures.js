"use strict";
/* What pointer and keyboard mean on the image; what is done about it is the viewer's matter. */
(() => {
  const vlasscube = window.vlasscube;
  /** A press that moves further than this is no click. */
  const CLICK_REACH = { mouse: 4, pen: 6, touch: 10 };
  const DOUBLE_CLICK = { milliseconds: 320, reach: 24 };
  const LINE_HEIGHT = 16;

  /**
   * Watch pointers over a canvas. Positions are in screen pixels from its upper left corner.
   * @param {HTMLCanvasElement} canvas
   * @param {object} on
   * @param {(dx: number, dy: number) => void} on.pan
   * @param {(factor: number, left: number, top: number) => void} on.zoom
   * @param {(left: number, top: number) => void} on.hover
   * @param {() => void} on.leave
   * @param {(left: number, top: number) => void} on.click
   * @param {(left: number, top: number) => void} on.doubleClick
   */
  function watchPointers(canvas, on) {
    /** @type {Map<number, {left: number, top: number}>} pointers that are down */
    const down = new Map();
    let press = null;
    let lastClick = { time: -Infinity, left: 0, top: 0 };

    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return { left: event.clientX - box.left, top: event.clientY - box.top };
    };
    const spread = () => {
      const [a, b] = [...down.values()];
      return {
        left: (a.left + b.left) / 2,
        top: (a.top + b.top) / 2,
        distance: Math.max(10, Math.hypot(a.left - b.left, a.top - b.top)),
      };
    };

    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || down.size >= 2) return;
      const here = place(event);
      down.set(event.pointerId, here);
      press = down.size === 1 ? { ...here, moved: false } : null;
      try {
        canvas.setPointerCapture(event.pointerId);
      } catch {
        // The pointer is gone already.
      }
    });
    canvas.addEventListener("pointermove", (event) => {
      const here = place(event);
      const before = down.get(event.pointerId);
      if (!before) {
        if (event.pointerType === "mouse") on.hover(here.left, here.top);
        return;
      }
      if (down.size === 2) {
        const old = spread();
        down.set(event.pointerId, here);
        const now = spread();
        on.pan(now.left - old.left, now.top - old.top);
        on.zoom(now.distance / old.distance, now.left, now.top);
        return;
      }
      const reach = CLICK_REACH[event.pointerType] ?? CLICK_REACH.touch;
      if (press && !press.moved && Math.hypot(here.left - press.left, here.top - press.top) <= reach) return;
      if (press) press.moved = true;
      down.set(event.pointerId, here);
      canvas.classList.add("dragging");
      on.pan(here.left - before.left, here.top - before.top);
    });
    const release = (event) => {
      if (!down.delete(event.pointerId)) return;
      canvas.classList.remove("dragging");
      const clicked = event.type === "pointerup" && press !== null && !press.moved && down.size === 0;
      press = null;
      if (!clicked) return;
      const here = place(event);
      const near = Math.hypot(here.left - lastClick.left, here.top - lastClick.top) < DOUBLE_CLICK.reach;
      if (near && event.timeStamp - lastClick.time < DOUBLE_CLICK.milliseconds) {
        lastClick = { time: -Infinity, left: 0, top: 0 };
        on.doubleClick(here.left, here.top);
      } else {
        lastClick = { time: event.timeStamp, ...here };
        on.click(here.left, here.top);
      }
    };
    canvas.addEventListener("pointerup", release);
    canvas.addEventListener("pointercancel", release);
    canvas.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse" && !down.size) on.leave();
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const unit = event.deltaMode === 1 ? LINE_HEIGHT : event.deltaMode === 2 ? canvas.clientHeight : 1;
        // Touch pads report a pinch as a wheel with the control key, in small steps.
        const amount = event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.0016);
        const here = place(event);
        on.zoom(Math.exp(-Math.max(-0.7, Math.min(0.7, amount))), here.left, here.top);
      },
      { passive: false },
    );
  }

  /**
   * Watch keys in the viewer. Arrows and Enter count on the image only: elsewhere they belong to controls.
   * @param {HTMLElement} root
   * @param {HTMLCanvasElement} canvas
   * @param {Record<string, () => void>} everywhere  By key.
   * @param {Record<string, () => void>} onImage
   */
  function watchKeys(root, canvas, everywhere, onImage) {
    root.addEventListener("keydown", (event) => {
      // Some keyboards have the brackets on AltGr, which is reported as control and alt.
      const modified = (event.ctrlKey || event.altKey) && !event.getModifierState("AltGraph");
      if (modified || event.metaKey || event.defaultPrevented) return;
      const target = event.target;
      if (target instanceof HTMLElement && target.matches("input:not([type=checkbox]), select, textarea")) return;
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const keys = target === canvas && Object.hasOwn(onImage, key) ? onImage : everywhere;
      if (!Object.hasOwn(keys, key)) return;
      event.preventDefault();
      keys[key]();
    });
  }

  vlasscube.gestures = { watchPointers, watchKeys };
})();
