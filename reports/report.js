// The page can be read without this. With it: filters that live in the address, copying, arrow keys, charts.
"use strict";
(() => {
  const form = document.getElementById("filters");
  const keys = ["q", "implementation", "precision", "equation"];
  const said = document.getElementById("said");
  document.querySelectorAll(".scripted, button.copy").forEach((one) => { one.hidden = false; });

  // ------------------------------------------------------------------------------------------------ filters

  const filtered = [...document.querySelectorAll("[data-filter]")];
  const findings = [...document.querySelectorAll(".finding, .told li")];
  const searched = new Map(); // what is searched of an element, found out when it is first needed

  const textOf = (one) => {
    if (!searched.has(one)) searched.set(one, `${one.dataset.text ?? one.textContent} ${one.dataset.implementation ?? ""}`.toLowerCase());
    return searched.get(one);
  };
  const wanted = () => Object.fromEntries(keys.map((key) => [key, form.elements[key].value]));

  const matches = (one, want, words) =>
    ["implementation", "precision", "equation"].every(
      (key) => !want[key] || !(key in one.dataset) || !one.dataset[key] || one.dataset[key] === want[key]
        || (key === "equation" && one.dataset[key].split(" or ").includes(want[key])),
    ) && (!one.closest("#findings, #conventions, #platform, #expectations, #silence") || words.every((word) => textOf(one).includes(word)));

  const filter = () => {
    const want = wanted();
    const words = want.q.toLowerCase().split(/\s+/).filter(Boolean);
    for (const one of filtered) one.hidden = !matches(one, want, words);
    for (const cause of document.querySelectorAll(".cause")) {
      cause.hidden = ![...cause.querySelectorAll("[data-filter]")].some((one) => !one.hidden);
    }
    const shown = findings.filter((one) => !one.hidden).length;
    const any = keys.some((key) => want[key]);
    document.getElementById("matching").value = any && findings.length ? `${shown} of ${findings.length} findings` : "";
    const none = document.getElementById("no-match");
    if (none) none.hidden = shown > 0;
    charts.follow(want);
  };

  const remember = () => {
    const query = new URLSearchParams(Object.entries(wanted()).filter(([, value]) => value));
    history.replaceState(null, "", `${query.size ? `?${query}` : location.pathname}${location.hash}`);
  };

  const recall = (query) => {
    for (const key of keys) form.elements[key].value = query.get(key) ?? "";
    for (const select of form.querySelectorAll("select")) if (select.selectedIndex < 0) select.value = "";
  };

  form.addEventListener("input", () => { filter(); remember(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { filter(); remember(); }));
  addEventListener("popstate", () => { recall(new URLSearchParams(location.search)); filter(); });
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="?"]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const [query, hash] = link.getAttribute("href").slice(1).split("#");
    history.pushState(null, "", `?${query}#${hash}`);
    recall(new URLSearchParams(query));
    filter();
    document.getElementById(hash)?.scrollIntoView();
  });

  // ------------------------------------------------------------------------------------------------ deep links

  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.closest("[hidden]")) { form.reset(); recall(new URLSearchParams()); filter(); }
    for (let one = target.closest("details"); one; one = one.parentElement.closest("details")) one.open = true;
    const details = target.closest("details.finding");
    (details ?? target).scrollIntoView();
    details?.querySelector("summary").focus({ preventScroll: true });
  };
  addEventListener("hashchange", reveal);

  // ------------------------------------------------------------------------------------------------ keyboard

  document.getElementById("findings").addEventListener("keydown", (event) => {
    if (event.target.localName !== "summary" || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
    const shown = [...document.querySelectorAll(".finding:not([hidden]) > summary")];
    const next = shown[shown.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1)];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });

  // ------------------------------------------------------------------------------------------------ copying

  const put = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // where a file may not write to it
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    const what = button.dataset.copy;
    const here = `${location.href.split("#")[0]}${what}`;
    await put(what.startsWith("#") ? here : document.getElementById(what).textContent);
    button.classList.add("done");
    said.textContent = `Copied ${button.querySelector("span").textContent}.`;
    setTimeout(() => button.classList.remove("done"), 1500);
  });

  // ------------------------------------------------------------------------------------------------ paper

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((one) => { one.open = false; }));

  // ------------------------------------------------------------------------------------------------ charts

  const charts = {
    data: null,
    want: null,
    follow(want) {
      this.want = want;
      if (this.data) this.draw();
    },
    async load() {
      const packed = document.getElementById("margins");
      if (!packed || this.data) return;
      const bytes = Uint8Array.from(atob(packed.textContent), (character) => character.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      this.data = await new Response(stream).json();
      this.draw();
    },
    chosen() {
      return this.data.whose
        .map(([implementation, precision], place) => ({ implementation, precision, place, name: `${implementation}, ${precision}` }))
        .filter((one) => (!this.want.implementation || one.implementation === this.want.implementation)
          && (!this.want.precision || one.precision === this.want.precision));
    },
    draw() {
      const chosen = this.chosen();
      const { curves, depths, widths, lowest } = this.data;
      this.chart("plot-curves", chosen, (one) => [
        ...curves[one.place].map(([x, y]) => ({ x, y, name: one.name })), { x: 0, y: 1, name: one.name },
      ], {
        x: { label: "margin, in radii (1 is the edge)", domain: [lowest, 0.15], ticks: [-6, -5, -4, -3, -2, -1, 0], tickFormat: (x) => (x === lowest ? "exact" : x < -2 ? `1e${x}` : String(10 ** x)) },
        y: { label: "share of verdicts at most that", domain: [0, 1], tickFormat: "%", grid: true },
        edge: [Plot.ruleX([0], { stroke: "currentColor", strokeDasharray: "2 3" })],
        title: (point) => `${point.name}\n${(100 * point.y).toFixed(1)} % are at most ${(10 ** point.x).toPrecision(2)}`,
      });
      for (const [id, table, label] of [["plot-depths", depths, "layers"], ["plot-widths", widths, "width, up to"]]) {
        this.chart(id, chosen, (one) => table.columns
          .map((column, k) => ({ x: String(column), y: table.rows[one.place][k], name: one.name }))
          .filter((point) => point.y !== null), {
          x: { label, type: "point", domain: table.columns.map(String) },
          y: { label: "worst margin", domain: [0, 1], grid: true },
          edge: [Plot.ruleY([1], { stroke: "currentColor", strokeDasharray: "2 3" })],
          title: (point) => `${point.name}\n${label} ${point.x}: ${point.y}`,
          dots: true,
        });
      }
      this.heat(chosen);
    },
    chart(id, chosen, points, options) {
      const box = document.getElementById(id);
      box.hidden = !chosen.length;
      const series = chosen.map((one) => ({ one, points: points(one) }));
      const names = [...new Set(this.data.whose.map(([name]) => name))];
      const precisions = [...new Set(this.data.whose.map(([, precision]) => precision))];
      const colour = (one) => `var(--series-${names.indexOf(one.implementation) % 6})`;
      const stroke = (one) => ({ stroke: colour(one), strokeWidth: 2, strokeDasharray: ["none", "6 3", "2 3", "8 3 2 3"][precisions.indexOf(one.precision) % 4] });
      const svg = Plot.plot({
        width: Math.max(320, Math.min(id === "plot-curves" ? 1100 : 620, box.clientWidth)), height: id === "plot-curves" ? 320 : 240,
        marginLeft: 48, marginBottom: 48, style: { background: "none", color: "inherit", fontSize: "12px" },
        x: options.x, y: options.y,
        marks: [
          ...options.edge,
          ...series.map(({ points: own, one }) => Plot.line(own, { x: "x", y: "y", ...stroke(one) })),
          ...(options.dots ? series.map(({ points: own, one }) => Plot.dot(own, { x: "x", y: "y", r: 3.5, fill: colour(one), symbol: ["circle", "square", "triangle", "diamond2", "star", "wye"][names.indexOf(one.implementation) % 6] })) : []),
          Plot.tip(series.flatMap(({ points: own }) => own), Plot.pointer({ x: "x", y: "y", title: options.title, fill: "var(--page)", stroke: "currentColor" })),
        ],
      });
      svg.setAttribute("aria-hidden", "true");
      const picture = document.createElement("div");
      picture.setAttribute("role", "img");
      picture.setAttribute("aria-label", `${box.querySelector("h3").textContent}; the table below has the numbers`);
      picture.append(svg);
      const legend = document.createElement("ul");
      legend.className = "series";
      for (const { one } of series) {
        const item = document.createElement("li");
        const key = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        key.setAttribute("aria-hidden", "true");
        const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
        line.setAttribute("d", "M0 6H30");
        line.style.stroke = colour(one);
        line.style.strokeDasharray = stroke(one).strokeDasharray;
        key.append(line);
        item.append(key, one.name);
        legend.append(item);
      }
      box.querySelector(".canvas").replaceChildren(picture, legend);
    },
    heat(chosen) {
      const { activations, costs, heats } = this.data;
      const all = !this.want.implementation && !this.want.precision;
      document.getElementById("heat-of").textContent = all ? "of everybody" : `of ${[...new Set(chosen.map((one) => (this.want.implementation ? one.name : one.precision)))].join(" and ")}`;
      const rows = document.querySelectorAll("#heat tr:has(td)");
      activations.forEach((_, i) => costs.forEach((_, j) => {
        const values = chosen.map((one) => heats[one.place][i * costs.length + j]).filter((value) => value !== null);
        const cell = rows[i].cells[j + 1];
        const worst = Math.max(...values);
        cell.textContent = values.length ? (Math.floor(worst * 100) / 100).toFixed(2) : "–";
        cell.className = values.length ? `level-${Math.min(10, Math.floor(10 * worst))}` : "none";
      }));
    },
  };

  recall(new URLSearchParams(location.search));
  filter();
  reveal();
  const soon = new IntersectionObserver((entries) => {
    if (entries.some((one) => one.isIntersecting)) { soon.disconnect(); charts.load(); }
  }, { rootMargin: "600px" });
  soon.observe(document.getElementById("agreement"));
  addEventListener("beforeprint", () => charts.load());
})();
