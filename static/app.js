/* Enhancements only. Every page works without this file: forms post, links navigate, menus are native popovers. */
(() => {
  "use strict";
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  const say = text => {
    const line = document.createElement("p");
    line.className = "vh";
    line.textContent = text;
    one("#toasts")?.append(line);
    setTimeout(() => line.remove(), 4000);
  };

  /* small actions of buttons and links, by the data attribute they carry */
  const actions = {
    async copy(button, selector) {
      await navigator.clipboard?.writeText(one(selector).textContent);
      const before = [...button.childNodes];
      button.replaceChildren("Copied");
      say("Copied");
      setTimeout(() => button.replaceChildren(...before), 1600);
    },
    dismiss: button => button.closest(".toast, .notice").remove(),
    show(button, id) {
      const field = document.getElementById(id), hide = field.type === "text";
      field.type = hide ? "password" : "text";
      button.textContent = hide ? "Show" : "Hide";
      button.setAttribute("aria-pressed", String(!hide));
    },
    dialog: (link, id, event) => { event.preventDefault(); document.getElementById(id).showModal(); },
    close: button => button.closest("dialog").close(),
    goto(link, number, event) {
      const area = one("[data-code] textarea"), lines = area.value.split("\n");
      const start = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
      event.preventDefault();
      area.focus();
      area.setSelectionRange(start, start + (lines[number - 1] ?? "").length);
    },
    fill(button, selector) { /* selector of a <template> whose text goes into the editor */
      const area = one("[data-code] textarea");
      area.value = one(selector).content.textContent.trim();
      area.dispatchEvent(new Event("input"));
      area.focus();
    },
  };
  document.addEventListener("click", event => {
    const target = event.target.closest(Object.keys(actions).map(name => `[data-${name}]`).join());
    for (const name in actions) if (target && name in target.dataset) actions[name](target, target.dataset[name], event);
  });

  /* a sent form shows that it is busy, if the answer takes a while */
  document.addEventListener("submit", event => setTimeout(() => {
    if (!event.defaultPrevented || event.target.matches("[hx-post]")) event.submitter?.setAttribute("aria-busy", "true");
  }, 150));
  addEventListener("pageshow", () => all("[aria-busy]").forEach(button => button.removeAttribute("aria-busy")));

  /* JSON editor: the numbered lines follow the text; marks go once the text changes */
  const editor = box => {
    const area = one("textarea", box), list = one("ol", box);
    const sync = () => {
      const count = area.value.split("\n").length;
      while (list.children.length < count) list.append(document.createElement("li"));
      while (list.children.length > count) list.lastChild.remove();
      area.rows = Math.max(count, 8);
    };
    area.addEventListener("input", () => { sync(); all(".hit", list).forEach(line => line.classList.remove("hit")); });
    sync();
  };

  /* picker: filters as you type, Enter opens the first match; the server does the same with ?q= */
  const picker = input => {
    const list = one(input.dataset.filter), count = one(`${input.dataset.filter}-count`), none = one(`${input.dataset.filter}-none`);
    const filter = () => {
      const words = input.value.trim().toLowerCase(), items = all("[data-name]", list);
      items.forEach(item => item.hidden = !item.dataset.name.includes(words));
      const left = items.filter(item => !item.hidden).length;
      if (count) count.textContent = left === 1 ? "1 provider" : `${left} providers`;
      if (none) none.hidden = left > 0;
    };
    input.addEventListener("input", filter);
    input.form.addEventListener("submit", event => {
      const hit = one("[data-name]:not([hidden]) a", list);
      if (hit) { event.preventDefault(); hit.click(); }
    });
  };

  /* chart: pointer or arrow keys read it out; the numbers come from the table below it */
  const chart = figure => {
    const plot = one(".plot", figure), svg = one("svg", plot), table = one(figure.dataset.chart);
    const days = all("g.day", svg), rows = all("tbody tr", table), heads = all("thead th", table).slice(1, -1);
    const tip = document.createElement("div"), title = document.createElement("b"), list = document.createElement("ul");
    tip.className = "tip";
    tip.append(title, list);
    plot.append(tip);
    let at = -1;
    const part = (text, name = "") => Object.assign(document.createElement("span"), { textContent: text, className: name });
    const show = index => {
      at = index;
      days.forEach((day, number) => day.classList.toggle("on", number === index));
      svg.classList.toggle("live", index >= 0);
      tip.hidden = index < 0;
      if (index < 0) return;
      const cells = [...rows[index].children].map(cell => cell.textContent.trim());
      title.textContent = cells[0];
      list.replaceChildren(...heads.map((head, number) => {
        const line = document.createElement("li");
        line.append(part("", `sw s${number + 1}`), part(head.textContent.trim()), part(cells[number + 1]));
        return line;
      }));
      const width = plot.clientWidth, x = (index + 0.5) / days.length * width;
      tip.style.left = `${Math.max(0, Math.min(x > width / 2 ? x - tip.offsetWidth - 14 : x + 14, width - tip.offsetWidth))}px`;
      plot.setAttribute("aria-valuenow", index + 1);
      plot.setAttribute("aria-valuetext", `${cells[0]}, ${cells.at(-1)}`);
    };
    const within = index => Math.max(0, Math.min(days.length - 1, index));
    plot.addEventListener("pointermove", event => {
      const box = plot.getBoundingClientRect();
      show(within(Math.floor((event.clientX - box.left) / box.width * days.length)));
    });
    ["pointerleave", "blur"].forEach(name => plot.addEventListener(name, () => show(-1)));
    plot.addEventListener("keydown", event => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) { event.preventDefault(); show(at < 0 ? (step < 0 ? days.length - 1 : 0) : within(at + step)); }
    });
    show(-1);
  };

  /* typed confirmation: the server checks too */
  const typed = input => input.addEventListener("input", () => input.setCustomValidity(
    input.value && input.value !== input.dataset.typed ? `Type ${input.dataset.typed} exactly as shown.` : ""));

  const prepare = root => {
    all("[data-show], [data-fill], [data-scripted]", root).forEach(part => part.hidden = false);
    all("[data-code]", root).forEach(editor);
    all("[data-filter]", root).forEach(picker);
    all("[data-chart]", root).forEach(chart);
    all("[data-typed]", root).forEach(typed);
    all("[hx-preserve]", root).forEach(field => field.setAttribute("aria-invalid", !one(`#${field.id}_error`).hidden));
  };
  prepare(document);
  document.addEventListener("htmx:load", event => { if (event.detail.elt !== document.body) prepare(event.detail.elt); });

  /* a part of the page could not be fetched: say so where it was asked for */
  const failed = event => event.target.after(Object.assign(document.createElement("p"), {
    className: "err", role: "alert", textContent: "That did not work. Reload the page and try again." }));
  ["htmx:responseError", "htmx:sendError"].forEach(name => document.addEventListener(name, failed));
})();
