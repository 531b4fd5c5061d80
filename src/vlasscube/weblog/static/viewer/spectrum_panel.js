"use strict";
/* The spectrum of a pixel: plots, table, and the same as a file. */
(() => {
  const vlasscube = window.vlasscube;
  const { STOKES } = vlasscube;
  /** Between drawings while planes are loaded. */
  const REDRAW_MILLISECONDS = 150;
  /** Polarisation below this many times the noise has no angle worth the name. */
  const SIGNIFICANT = 3;
  const OUTSIDE = "This pixel is outside the cutout, so it has no spectrum.";
  const HEIGHT = { I: 178, QUV: 208 };

  const make = (name, properties = {}, data = {}) => {
    const made = Object.assign(document.createElement(name), properties);
    Object.assign(made.dataset, data);
    return made;
  };

  /** How samples relate to the pixels of the product. */
  function basis(samples) {
    const words = (sample) =>
      sample.columns * sample.rows === 1 ? "pixels of the product" : vlasscube.text.sampleWords(sample.array, sample, true);
    return [...new Set(samples.map(words))].join(", ") || "no values";
  }

  /** Linear polarisation and its angle; both NaN unless Q and U are known. */
  function polarisation(row) {
    const [q, u] = ["Q", "U"].map((stokes) => row.values.get(stokes)?.value ?? NaN);
    const noise = Math.max(...["Q", "U"].map((stokes) => row.noise.get(stokes)?.value ?? 0));
    const linear = Math.hypot(q, u);
    return { linear, angle: (Math.atan2(u, q) / 2) * (180 / Math.PI), weak: linear < SIGNIFICANT * noise };
  }

  class SpectrumPanel {
    /**
     * @param {HTMLElement} root  Of the viewer.
     * @param {Catalogue} catalogue
     */
    constructor(root, catalogue) {
      this.root = root;
      this.catalogue = catalogue;
      this.part = (name) => root.querySelector(`[data-spectrum="${name}"]`);
      this.ticket = 0;
      this.rows = [];
      /** Which pixel is shown: of the cutout, in the plane in which it was chosen. */
      this.request = null;
      this.address = "";
      for (const stokes of STOKES) {
        const item = make("span", { className: "viewer-legend-item" });
        item.append(vlasscube.plot.legendMarker(stokes), `Stokes ${stokes}`);
        this.part(stokes === "I" ? "legend-I" : "legend-QUV").append(item);
      }
      new ResizeObserver(() => this.drawPlots()).observe(this.part("plots"));
      root.dataset.spectrumState = "idle";
    }

    /** Show nothing but a sentence. */
    clear(sentence) {
      this.ticket += 1;
      this.request = null;
      this.rows = [];
      this.part("hint").textContent = sentence;
      this.part("hint").hidden = false;
      this.part("result").hidden = true;
      this.root.dataset.spectrumState = "idle";
    }

    /**
     * Measure a pixel and show its spectrum.
     * @param {number[]} pixel  Of the cutout.
     * @param {Plane} plane  In which it was chosen.
     * @param {boolean} follow  The same sky position in the other planes.
     */
    async measure(pixel, plane, follow) {
      const request = `${pixel} ${plane.label} ${follow}`;
      if (request === this.request) return;
      this.request = request;
      const ticket = ++this.ticket;
      const isStale = () => ticket !== this.ticket;
      this.root.dataset.spectrumState = "loading";
      this.part("hint").hidden = true;
      this.part("result").hidden = false;
      this.part("problem").hidden = true;
      this.describe(pixel, plane);
      const progress = this.part("progress");
      progress.hidden = false;
      progress.value = 0;
      let drawn = performance.now();
      const onProgress = (rows, done, all) => {
        progress.max = all;
        progress.value = done;
        if (performance.now() - drawn < REDRAW_MILLISECONDS) return;
        drawn = performance.now();
        this.show(rows);
      };
      const { rows, problems } = await vlasscube.values.measureSpectrum(this.catalogue, pixel, {
        plane,
        follow,
        isStale,
        onProgress,
      });
      if (isStale()) return;
      progress.hidden = true;
      if (!problems.length && !rows.some((row) => row.values.size)) {
        this.clear(rows.length ? OUTSIDE : "No plane has a cutout yet, so there is no spectrum.");
        return;
      }
      // What failed may work another time.
      if (problems.length) this.request = null;
      this.show(rows);
      this.offerFile(pixel);
      const problem = this.part("problem");
      problem.hidden = !problems.length;
      const others = problems.length > 1 ? ` (and ${problems.length - 1} more)` : "";
      problem.textContent = problems.length ? `Some values could not be measured. ${problems[0]}${others}.` : "";
      this.root.dataset.spectrumState = "done";
      this.root.dispatchEvent(new CustomEvent("viewer:measured", { detail: { pixel, rows, problems } }));
    }

    describe(pixel, plane) {
      const image = this.catalogue.image(plane, vlasscube.PRODUCT, "I");
      const reference = image && this.catalogue.reference(image);
      const position = reference && image.frame && vlasscube.sky.toSky(image.frame, reference, ...pixel);
      const place = position ? ` · ${vlasscube.sky.positionText(position, this.catalogue.system(image))}` : "";
      this.part("pixel").textContent = `Pixel ${pixel[0]}, ${pixel[1]} of the cutout${place}`;
    }

    show(rows) {
      this.rows = rows.filter((row) => row.values.size);
      const all = (name) => this.rows.flatMap((row) => [...row[name].values()]);
      const noise = all("noise");
      const bars = noise.length ? ` Error bars: rms there, ${basis(noise)}.` : " No rms is known there.";
      this.part("basis").textContent = `Values: ${basis(all("values"))}.${bars}`;
      this.unit = vlasscube.text.shownUnit(all("values")[0]?.array.unit ?? "Jy/beam");
      this.drawPlots();
      this.fillTable();
    }

    // ---------------------------------------------------------------------------------------------- plots

    points(wanted) {
      const { factor, unit } = this.unit;
      const points = [];
      for (const { plane, values, noise } of this.rows) {
        for (const stokes of wanted) {
          const sample = values.get(stokes);
          if (!sample || Number.isNaN(sample.value) || !Number.isFinite(plane.frequencyHz)) continue;
          const text = `${vlasscube.text.valueText(sample.value, sample.array)} ${unit}`;
          const outcome = plane.outcome === "imaged" || !plane.word ? "" : ` (${plane.word})`;
          points.push({
            x: plane.frequencyHz / 1e9,
            y: sample.value * factor,
            error: (noise.get(stokes)?.value ?? NaN) * factor,
            stokes,
            open: plane.outcome === "rejected",
            title: `spw ${plane.spw}${outcome}, ${vlasscube.text.gigahertz(plane.frequencyHz)} GHz: ${stokes} ${text}`,
            label: plane.label,
          });
        }
      }
      return points;
    }

    drawPlots() {
      const width = Math.round(this.part("plots").clientWidth);
      if (!this.rows.length || width < 50) return;
      const frequencies = this.rows.map(({ plane }) => plane.frequencyHz / 1e9).filter(Number.isFinite);
      const range = [Math.min(...frequencies), Math.max(...frequencies)];
      const { unit } = this.unit;
      const draw = (name, stokes, zero) => {
        const points = this.points(stokes);
        this.part(`figure-${name}`).hidden = !points.length;
        if (!points.length) return;
        const height = HEIGHT[name];
        vlasscube.plot.drawPlot(this.part(`plot-${name}`), { width, height, points, range, unit, zero });
      };
      draw("I", ["I"], false);
      draw("QUV", ["Q", "U", "V"], true);
    }

    // ---------------------------------------------------------------------------------------------- table

    /** Cells of a row: what they hold, as text in the shown unit and as number. */
    cells(row) {
      const { linear, angle, weak } = polarisation(row);
      const accuracy = row.values.get("Q")?.array;
      const cell = (sample) => ({
        text: !sample ? "" : Number.isNaN(sample.value) ? "no value" : vlasscube.text.valueText(sample.value, sample.array),
        value: sample?.value ?? NaN,
      });
      return [
        ...STOKES.map((stokes) => ({ name: stokes, ...cell(row.values.get(stokes)) })),
        { name: "sigma", ...cell(row.noise.get("I")) },
        {
          name: "linear",
          text: Number.isNaN(linear) ? "" : vlasscube.text.valueText(linear, accuracy),
          value: linear,
        },
        { name: "angle", text: Number.isNaN(angle) ? "" : vlasscube.text.fixed(angle, 1), value: angle, weak },
      ];
    }

    fillTable() {
      this.part("unit").textContent = this.unit.unit;
      const body = this.part("rows");
      body.replaceChildren();
      for (const row of this.rows) {
        const { label, spw, frequencyHz, outcome, word } = row.plane;
        const line = make("tr", {}, { label });
        const name = make("th", { scope: "row", textContent: spw });
        if (outcome === "rejected") {
          name.append(" ", make("span", { className: "viewer-open-mark", textContent: "○", title: word }));
        }
        line.append(name, make("td", { className: "num", textContent: vlasscube.text.gigahertz(frequencyHz) }));
        for (const { name: stokes, text, value, weak } of this.cells(row)) {
          const cell = make("td", { className: "num", textContent: text }, { label, stokes });
          if (Number.isFinite(value)) cell.dataset.value = String(value);
          if (weak) {
            cell.classList.add("viewer-weak");
            cell.title = "polarisation below three times the noise";
          }
          line.append(cell);
        }
        body.append(line);
      }
    }

    // ----------------------------------------------------------------------------------------------- file

    /** The table and more, comma-separated; values in the unit of the images, unrounded. */
    toCsv() {
      // What begins like this is a formula to a spreadsheet; names are foreign.
      const guarded = (text) => (/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);
      const quoted = (text) => `"${guarded(text).replaceAll('"', '""')}"`;
      const number = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(7))) : "");
      const unit = this.rows[0]?.values.values().next().value?.array.unit ?? "";
      const names = STOKES.flatMap((stokes) => [`${stokes}`, `rms_${stokes}`]);
      const head = ["plane", "spw", "outcome", "frequency_hz", "x", "y", "ra_deg", "dec_deg", ...names];
      const rows = this.rows.map((row) => {
        const image = this.catalogue.image(row.plane, vlasscube.PRODUCT, "I");
        const position = image?.frame
          ? vlasscube.sky.toSky(image.frame, this.catalogue.reference(image), row.x, row.y)
          : null;
        const { linear, angle } = polarisation(row);
        const first = row.values.values().next().value;
        return [
          quoted(row.plane.label),
          quoted(row.plane.spw),
          quoted(row.plane.word),
          String(row.plane.frequencyHz),
          row.x,
          row.y,
          position ? position[0].toFixed(7) : "",
          position ? position[1].toFixed(7) : "",
          ...STOKES.flatMap((stokes) => [
            number(row.values.get(stokes)?.value ?? NaN),
            number(row.noise.get(stokes)?.value ?? NaN),
          ]),
          number(linear),
          number(angle),
          `${first.columns}x${first.rows}`,
          quoted(unit),
        ];
      });
      head.push("linear_polarisation", "angle_deg", "pixels_per_value", "unit");
      return [head, ...rows].map((cells) => cells.join(",")).join("\r\n") + "\r\n";
    }

    offerFile([x, y]) {
      const link = this.part("file");
      if (this.address) URL.revokeObjectURL(this.address);
      this.address = URL.createObjectURL(new Blob([this.toCsv()], { type: "text/csv" }));
      link.href = this.address;
      link.download = `spectrum-${x}-${y}.csv`;
    }
  }

  vlasscube.SpectrumPanel = SpectrumPanel;
})();
