"use strict";
/* Puts the viewer to work: in a dialog on pages with pictures, at once on its own page. */
(() => {
  const vlasscube = window.vlasscube;
  const FIRST_SENTENCE = "Click on the image to measure a pixel in all planes.";

  /** Set the viewer of a page up; null if the page has none, or there is nothing to show. */
  function setUp(place, root) {
    const catalogue = vlasscube.readCatalogue();
    if (!catalogue) return null;
    root.hidden = false;
    const viewer = new vlasscube.Viewer(root, catalogue);
    const { stop } = vlasscube.controls.connect(viewer);
    viewer.spectrum.clear(FIRST_SENTENCE);
    vlasscube.viewer = viewer;
    return { viewer, catalogue, stop };
  }

  /** Let links to pictures open the dialog. */
  function serveLinks(dialog, root) {
    let works = null;
    let opener = null;
    const close = root.querySelector('[data-action="close"]');
    close.hidden = false;
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      works?.stop();
      opener?.focus();
    });
    document.addEventListener("click", async (event) => {
      const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
      const link = event.target instanceof Element ? event.target.closest("a[data-image]") : null;
      if (!plain || !link || event.defaultPrevented || typeof dialog.showModal !== "function") return;
      works ??= setUp(dialog, root);
      const image = works?.catalogue.imageById(link.dataset.image);
      if (!image) return;
      event.preventDefault();
      opener = link;
      const loading = works.viewer.open(image);
      dialog.showModal();
      works.viewer.canvas.focus({ preventScroll: true });
      const shown = await loading;
      if (!shown && works.viewer.root.dataset.state === "failed") {
        // The picture itself is still there.
        dialog.close();
        window.location.assign(link.href);
      }
    });
  }

  /** Show what the address of the page asks for, and keep the address up to date. */
  function servePage(section, root) {
    const works = setUp(section, root);
    if (!works) {
      root.hidden = false;
      root.classList.add("viewer-without-images");
      const message = root.querySelector('[data-show="message"]');
      message.textContent = "There are no image data for the viewer in this web log.";
      message.hidden = false;
      root.dataset.state = "empty";
      return;
    }
    const { viewer, catalogue } = works;
    const asked = new URLSearchParams(window.location.search);
    const id = asked.get("image");
    const wanted = id === null ? null : catalogue.imageById(id);
    const image = wanted ?? catalogue.first();
    const missing = id !== null && !wanted ? `There is no image “${id.slice(0, 100)}”; the first one is shown.` : "";
    const number = (name) => (/^\d+$/.test(asked.get(name) ?? "") ? Number(asked.get(name)) : NaN);
    const begin = async () => {
      const shown = await viewer.open(image);
      if (missing) viewer.say(missing);
      else if (shown) viewer.select(number("x"), number("y"));
      else await openAnother();
      keepAddress();
    };
    /** The image asked for cannot be loaded: there may be others. */
    const openAnother = async () => {
      const reason = root.querySelector('[data-show="message"]').textContent;
      const first = catalogue.first();
      if (root.dataset.state !== "failed" || first.id === image.id) return;
      if (await viewer.open(first)) viewer.say(`${reason} The first image is shown instead.`);
    };
    const keepAddress = () => {
      let last = "";
      root.addEventListener("viewer:changed", () => {
        if (!viewer.image) return;
        const state = new URLSearchParams({ image: viewer.image.id });
        const chosen = viewer.selectionIn(viewer.image);
        if (chosen) chosen.forEach((place, k) => state.set("xy"[k], String(place)));
        if (String(state) === last) return;
        last = String(state);
        try {
          window.history.replaceState(null, "", `?${state}`);
        } catch {
          // Browsers may refuse this for pages from disk, or if it is done too often; nothing hangs on it.
        }
      });
    };
    begin();
  }

  /** On paper everything is to be seen: pictures that were not scrolled to, and what was folded. */
  function servePrinting() {
    let folded = [];
    window.addEventListener("beforeprint", () => {
      for (const image of document.querySelectorAll("img[loading=lazy]")) image.loading = "eager";
      folded = [...document.querySelectorAll("main details:not([open])")];
      for (const details of folded) details.open = true;
    });
    window.addEventListener("afterprint", () => {
      for (const details of folded) details.open = false;
    });
  }

  servePrinting();
  const place = document.getElementById("viewer");
  const root = place?.querySelector("[data-viewer]");
  if (root) {
    if (place instanceof HTMLDialogElement) serveLinks(place, root);
    else servePage(place, root);
  }
})();
