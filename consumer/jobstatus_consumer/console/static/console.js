"use strict";
// What moves: the part of a page that a stream sends anew, and the charts. Pages work without any of it.
(() => {
  document.documentElement.classList.add("js");

  // Make `now` what `wanted` is, and leave alone what is the same: focus, selection and scrolling stay.
  function morph(now, wanted) {
    const to = [...wanted.childNodes];
    to.forEach((node, place) => {
      const old = now.childNodes[place];
      if (!old) now.append(node);
      else if (old.nodeType !== node.nodeType || old.nodeName !== node.nodeName) old.replaceWith(node);
      else if (node.nodeType !== Node.ELEMENT_NODE) { if (old.data !== node.data) old.data = node.data; }
      else {
        for (const { name } of [...old.attributes]) if (!node.hasAttribute(name)) old.removeAttribute(name);
        for (const { name, value } of [...node.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
        morph(old, node);
      }
    });
    while (now.childNodes.length > to.length) now.lastChild.remove();
  }

  const live = document.querySelector("[data-stream]");
  if (live) {
    let source;
    let heard = Date.now();
    const lost = document.createElement("p");
    lost.className = "note bad";
    lost.setAttribute("role", "alert");
    function open() {
      source = new EventSource(live.dataset.stream);
      source.onmessage = (event) => {
        heard = Date.now();
        lost.remove();
        const part = new DOMParser().parseFromString(JSON.parse(event.data).html, "text/html");
        morph(live, part.body);
      };
    }
    open();
    setInterval(() => {
      if (Date.now() - heard < 12000) return;
      lost.textContent = `✕ The console itself gives no answer since ${new Date(heard).toISOString().slice(11, 19)} UTC. What you see is as old.`;
      if (!lost.isConnected) live.before(lost);
      if (source.readyState === EventSource.CLOSED) open();
    }, 2000);
    addEventListener("pagehide", () => source.close());
    addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  }

  const charts = document.querySelector("[data-trends]");
  if (charts && window.uPlot) {
    const style = () => getComputedStyle(document.documentElement);
    const colour = (number) => style().getPropertyValue(`--line-${(number % 4) + 1}`).trim();
    const dash = (number) => (number < 4 ? undefined : [6, 4]);
    const plots = {};
    function series(names) {
      return [{ label: "UTC", value: "{HH}:{mm}:{ss}" }, ...names.map((label, number) => (
        { label, stroke: colour(number), dash: dash(number), width: 1.5, points: { show: false }, spanGaps: false,
          value: (_, value) => (value == null ? "–" : Math.round(value * 10) / 10) }))];
    }
    function draw(place, names, data) {
      const box = charts.querySelector(`[data-chart=${place}]`);
      const key = names.join();
      const known = plots[place];
      if (known && known.key === key) { known.plot.setData(data); return; }
      if (known) known.plot.destroy();
      const muted = style().getPropertyValue("--muted").trim();
      const line = style().getPropertyValue("--line").trim();
      const axis = { stroke: muted, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "11px system-ui" };
      const plot = new uPlot({
        width: box.clientWidth, height: 138, series: series(names), tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1e3), "Etc/UTC"),
        cursor: { y: false, drag: { x: false, y: false } },
        scales: { y: { range: (_, low, high) => [0, Math.max(1, high == null ? 1 : high * 1.1)] } },
        axes: [{ ...axis, space: 80, values: (_, stamps, __, ___, step) => stamps.map((stamp) => new Date(stamp * 1e3).toISOString().slice(11, step < 60 ? 19 : 16)) }, { ...axis, size: 44, values: (_, values) => values.map((value) => value >= 1e6 ? `${value / 1e6}M` : value >= 1e4 ? `${value / 1e3}k` : value) }],
      }, data, box);
      plots[place] = { plot, key };
    }
    async function refresh() {
      try {
        const answer = await fetch(charts.dataset.trends, { headers: { accept: "application/json" } });
        if (!answer.ok) return;
        const found = await answer.json();
        const partitions = Object.keys(found).filter((name) => name.startsWith("partition "));
        draw("seconds", ["oldest unwritten", "freshness"], [found.at, found.lag_seconds, found.freshness]);
        draw("lag", partitions, [found.at, ...partitions.map((name) => found[name])]);
      } catch { /* the stream says that there is no answer */ }
    }
    refresh();
    setInterval(() => { if (!document.hidden) refresh(); }, 2000);
    addEventListener("resize", () => { for (const { plot } of Object.values(plots)) plot.setSize({ width: plot.root.parentNode.clientWidth, height: 138 }); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const name of Object.keys(plots)) { plots[name].plot.destroy(); delete plots[name]; } refresh(); });
  }
})();
