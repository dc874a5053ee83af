// A table that sorts, searches, filters, and opens a row for its details. It draws as many rows as are asked for.

const ROWS = 50;

class Table {
  // what: {caption, columns, rows, search(row), filters, detail(row), start: {column, down}, noun}
  // column: {title, cell(row), value(row), kind: "text" | "number" | "picture"}
  constructor(place, what) {
    this.what = what;
    this.shown = ROWS;
    this.order = what.start || null;
    this.body = el("tbody");
    this.hits = el("p", { class: "hits", role: "status", "aria-live": "polite" });
    this.more = el("div", { class: "more" });
    this.opened = new Set();
    this.id = `${place.dataset.id}`;
    place.append(this.tools(), this.hits, this.table(), this.more);
    this.refresh();
  }

  tools() {
    this.query = el("input", {
      type: "search", placeholder: `Search ${this.what.noun}s`, "aria-label": `Search ${this.what.noun}s`,
      on: { input: () => this.again() },
    });
    this.chosen = this.what.filters.map((filter) => this.filter(filter));
    return el("div", { class: "tools", role: "group", "aria-label": this.what.caption },
      this.query, ...this.chosen.map((one) => one.element), this.sorting());
  }

  // Stands in for the headings where a narrow window has no room for them.
  sorting() {
    const options = this.what.columns.flatMap(({ title, value }, place) => (value ? ["up", "down"].map((way) =>
      el("option", { value: `${place} ${way}` }, `${title} ${way === "up" ? "↑" : "↓"}`)) : []));
    this.ordered = el("select", { class: "sorting", "aria-label": "Order", on: { change: () => this.arrange() } },
      el("option", { value: "" }, "Order: as listed"), ...options);
    return this.ordered;
  }

  arrange() {
    const [column, way] = this.ordered.value.split(" ");
    this.order = way ? { column: Number(column), down: way === "down" } : null;
    this.again();
  }

  filter(filter) {
    if (filter.keep) {
      const input = el("input", { type: "checkbox", on: { change: () => this.again() } });
      return {
        element: el("label", {}, input, filter.title),
        clear: () => { input.checked = false; },
        keeps: (row) => !input.checked || filter.keep(row),
      };
    }
    const options = filter.options.map(([value, title]) => el("option", { value }, title));
    const select = el("select", { "aria-label": filter.title, on: { change: () => this.again() } },
      el("option", { value: "" }, `${filter.title}: all`), ...options);
    return {
      element: select,
      filter,
      clear: () => { select.value = ""; },
      choose: (value) => { select.value = value; },
      keeps: (row) => !select.value || filter.matches(row, select.value),
    };
  }

  table() {
    this.heads = this.what.columns.map((column, place) => {
      const sorts = column.value ? el("button", { type: "button", on: { click: () => this.sort(place) } }, column.title) : column.title;
      return el("th", { scope: "col", class: column.kind === "number" ? "num" : null }, sorts);
    });
    return el("div", { class: "scroll" },
      el("table", { class: "data" }, el("caption", { class: "sr" }, this.what.caption),
        el("thead", {}, el("tr", {}, ...this.heads)), this.body));
  }

  sort(place) {
    const isNumber = this.what.columns[place].kind === "number";
    const isSame = this.order && this.order.column === place;
    this.order = { column: place, down: isSame ? !this.order.down : isNumber };
    this.again();
  }

  again() {
    this.shown = ROWS;
    this.refresh();
  }

  matching() {
    const words = this.query.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = this.what.rows.filter((row) => {
      const text = this.what.search(row).toLowerCase();
      return words.every((word) => text.includes(word)) && this.chosen.every((one) => one.keeps(row));
    });
    if (!this.order) return rows;
    const { value } = this.what.columns[this.order.column];
    const sign = this.order.down ? -1 : 1;
    const keyed = rows.map((row, place) => [value(row), place, row]);
    keyed.sort(([a, i], [b, j]) => compared(a, b, sign) || i - j);
    return keyed.map(([, , row]) => row);
  }

  refresh() {
    const rows = this.matching();
    this.heads.forEach((head, place) => {
      const isOrder = this.order && this.order.column === place;
      if (isOrder) head.setAttribute("aria-sort", this.order.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    this.ordered.value = this.order ? `${this.order.column} ${this.order.down ? "down" : "up"}` : "";
    this.body.replaceChildren(...rows.slice(0, this.shown).flatMap((row) => this.lines(row)));
    const { noun } = this.what;
    this.hits.textContent = rows.length === this.what.rows.length
      ? plural(rows.length, noun) : `${whole(rows.length)} of ${plural(this.what.rows.length, noun)}`;
    const left = rows.length - this.shown;
    this.more.replaceChildren();
    if (left > 0) this.more.append(this.button(`Show ${Math.min(left, 200)} more`, 200), this.button(`Show all ${whole(rows.length)}`, left));
  }

  button(title, more) {
    return el("button", { type: "button", class: "quiet", on: { click: () => { this.shown += more; this.refresh(); } } }, title);
  }

  lines(row) {
    const isOpen = this.opened.has(row);
    const cells = this.what.columns.map((column, place) => {
      const cell = column.cell(row);
      if (place === 0) return el("th", { scope: "row" }, this.opener(row, cell, isOpen));
      const classes = column.kind === "number" ? "num" : column.kind === "picture" ? "wide" : null;
      return el("td", { class: classes, "data-label": column.kind === "picture" ? null : column.title }, cell);
    });
    const line = el("tr", { class: "row", id: this.name(row), on: { click: (event) => this.clicked(event, row) } }, ...cells);
    if (!isOpen) return [line];
    const panel = el("td", { colspan: cells.length }, this.what.detail(row));
    return [line, el("tr", { class: "detail", id: `${this.name(row)}-detail` }, panel)];
  }

  opener(row, title, isOpen) {
    // Where a long name may be broken, a screen reader would make a pause.
    const attributes = { type: "button", class: "open", "aria-label": row.name, "aria-expanded": String(isOpen), "aria-controls": isOpen ? `${this.name(row)}-detail` : null, on: { click: () => this.toggle(row) } };
    return el("button", attributes, title);
  }

  clicked(event, row) {
    if (!event.target.closest("button, a") && !String(getSelection())) this.toggle(row);
  }

  toggle(row) {
    if (!this.opened.delete(row)) this.opened.add(row);
    const old = document.getElementById(this.name(row));
    const hadFocus = old.contains(document.activeElement);
    document.getElementById(`${this.name(row)}-detail`)?.remove();
    const lines = this.lines(row);
    old.replaceWith(...lines);
    if (hadFocus) lines[0].querySelector("button").focus({ preventScroll: true });
  }

  name(row) {
    return `${this.id}-t${row.place}`;
  }

  // Opens a row and brings it into view, whatever is searched for at the moment.
  open(row) {
    this.opened.add(row);
    if (!this.matching().includes(row)) {
      this.query.value = "";
      for (const one of this.chosen) one.clear();
    }
    this.shown = Math.max(this.shown, this.matching().indexOf(row) + 1);
    this.refresh();
    const line = document.getElementById(this.name(row));
    line.scrollIntoView({ block: "start" });
    line.querySelector("button").focus({ preventScroll: true });
  }
}

function compared(a, b, sign) {
  // What has no value comes last, whichever way the table is sorted.
  const [noA, noB] = [a, b].map((one) => one === null || one === undefined || Number.isNaN(one));
  if (noA || noB) return noA - noB;
  if (typeof a === "string") return sign * COUNTING.compare(a, b);
  return sign * (a < b ? -1 : a > b ? 1 : 0);
}
