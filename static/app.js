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
      const to = { ArrowLeft: at < 0 ? days.length - 1 : at - 1, ArrowRight: at + 1, Home: 0, End: days.length - 1 }[event.key];
      if (to !== undefined) { event.preventDefault(); show(within(to)); }
    });
    show(-1);
  };

  /* typed confirmation: the server checks too */
  const typed = input => input.addEventListener("input", () => input.setCustomValidity(
    input.value && input.value !== input.dataset.typed ? `Type ${input.dataset.typed} exactly as shown.` : ""));

  /* order: rows move by buttons, by keyboard (Space lifts, arrows move, Space drops, Escape puts back) and by pointer */
  const sorter = list => {
    const bar = one(list.dataset.sort);
    if (!bar) return;
    const rows = () => [...list.children].filter(row => row.dataset.name);
    const own = target => target && rows().find(row => row === target.closest("[data-name]"));
    const sequence = () => all("[name=order]", bar.closest("form")).map(field => field.value).join();
    const marks = rows().map(row => one("[data-mark]", row).textContent), live = bar.hidden ? sequence() : "";
    let lifted = null, next = null;
    const settle = () => {
      rows().forEach((row, index) => {
        one("[data-mark]", row).textContent = marks[index];
        all("[name=move]", row).slice(0, 2).forEach((button, down) =>
          button.setAttribute("aria-disabled", String(index === (down ? marks.length - 1 : 0))));
      });
      bar.hidden = sequence() === live;
    };
    const tell = row => say(`${row.dataset.name} is now ${rows().indexOf(row) + 1} of ${marks.length}`);
    const step = (row, by) => { rows()[rows().indexOf(row) + by]?.[by < 0 ? "before" : "after"](row); settle(); tell(row); };
    const lift = (row, up) => {
      row.classList.toggle("lifted", up);
      one(".handle", row).setAttribute("aria-pressed", String(up));
      [lifted, next] = up ? [row, row.nextSibling] : [null, null];
    };
    const putBack = row => { list.insertBefore(row, next); lift(row, false); settle(); say(`${row.dataset.name} is back`); };
    const grasp = row => {
      const held = lifted;
      if (held) lift(held, false);
      if (held !== row) lift(row, true);
      say(`${row.dataset.name} is ${lifted ? "lifted. Arrow keys move it, Space drops it, Escape puts it back." : "dropped"}`);
    };
    list.addEventListener("click", event => {
      const button = event.target.closest("[value^='up:'], [value^='down:']"), row = own(button);
      if (row) { event.preventDefault(); step(row, button.value.startsWith("up:") ? -1 : 1); button.focus(); }
    });
    list.addEventListener("keydown", event => {
      const handle = event.target.closest(".handle"), row = own(handle), by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!row || event.key !== " " && !(lifted === row && (by || event.key === "Escape"))) return;
      event.preventDefault();
      if (by) step(row, by); else if (event.key === " ") grasp(row); else putBack(row);
      handle.focus();
    });
    list.addEventListener("pointerdown", event => { /* the document listens on: moving a row would end its pointer capture */
      const handle = event.target.closest(".handle"), row = own(handle), until = new AbortController();
      if (!row || event.button) return;
      event.preventDefault();
      handle.focus();
      lift(row, true);
      document.addEventListener("pointermove", ({ clientX, clientY }) => {
        const at = document.elementFromPoint(clientX, clientY), over = rows().find(other => other !== row && other.contains(at));
        const { top, bottom } = (over ?? row).getBoundingClientRect();
        over?.[clientY < (top + bottom) / 2 ? "before" : "after"](row);
        settle();
      }, until);
      const end = () => { until.abort(); lift(row, false); tell(row); };
      ["pointerup", "pointercancel"].forEach(name => document.addEventListener(name, end, until));
    });
    settle();
  };

  /* an unsaved order is not left behind without asking, but by its own form and its own link */
  const guard = bar => {
    let leaving = false;
    bar.closest("form").addEventListener("submit", () => leaving = true);
    one("a", bar).addEventListener("click", () => leaving = true);
    addEventListener("pageshow", () => leaving = false);
    addEventListener("beforeunload", event => { if (!bar.hidden && !leaving) event.preventDefault(); });
  };

  const prepare = root => {
    all("[data-show], [data-fill], [data-scripted]", root).forEach(part => part.hidden = false);
    all("[data-code]", root).forEach(editor);
    all("[data-filter]", root).forEach(picker);
    all("[data-chart]", root).forEach(chart);
    all("[data-typed]", root).forEach(typed);
    all("[data-sort]", root).forEach(sorter);
    all(".savebar", root).forEach(guard);
    all("[hx-preserve]", root).forEach(field => field.setAttribute("aria-invalid", !one(`#${field.id}_error`).hidden));
  };
  prepare(document);
  document.addEventListener("htmx:load", event => { if (event.detail.elt !== document.body) prepare(event.detail.elt); });
  /* a link takes the keyboard along: to the place that it names, or to the title where the link itself is gone */
  document.addEventListener("htmx:afterSettle", ({ detail }) => {
    const place = detail.pathInfo?.anchor;
    if (place || document.activeElement === document.body) one(place ? `#${place}` : "h1")?.focus({ preventScroll: !place });
  });

  /* a part of the page could not be fetched: say so where it was asked for */
  const failed = event => event.target.after(Object.assign(document.createElement("p"), {
    className: "err", role: "alert", textContent: "That did not work. Reload the page and try again." }));
  ["htmx:responseError", "htmx:sendError"].forEach(name => document.addEventListener(name, failed));
})();
