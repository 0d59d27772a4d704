// Knobs for a generator: a picture, and for each feature a slider with a lock and a meter. It follows viewer.js.
// The data come from viewer/knobs.py. The kernel paints one wish at a time; of moves that wait, only the last is kept.

const REST = 180; // milliseconds without a wish, after which the scores are measured
const PATIENCE = 1500; // milliseconds after which the view says that it waits

class Knobs {
  constructor(data, { onWish }) {
    this.wishes = new Wishes(onWish, {
      onBusy: (isBusy) => this.shown.setAttribute("aria-busy", String(isBusy)),
      onLate: (isLate) => this.root.classList.toggle("tg-late", isLate),
    });
    this.picture = element("img", { decoding: "sync" });
    this.before = element("img", { class: "tg-before", decoding: "sync", alt: "" });
    this.told = element("figcaption", { class: "tg-caption" });
    this.said = element("p", { class: "tg-said", role: "alert" });
    this.knobs = data.features.map((feature) => new Knob(feature, data, this));
    const box = element("div", { class: "tg-box" }, this.picture, this.before);
    this.shown = element("figure", { class: "tg-shown", "aria-busy": "false" }, box, this.told);
    const list = element("div", { class: "tg-list", role: "group", "aria-label": "features" }, ...this.knobs.map((knob) => knob.root));
    const left = element("div", { class: "tg-side" }, this.shown, this.makeTools(), this.makeText(data), this.makeShare());
    const right = element("div", { class: "tg-side" }, this.said, list, this.legend(data));
    this.root = element("section", { class: "tg-view tg-knobs", "aria-label": "Knobs of a generator" }, left, right);
    this.root.addEventListener("keydown", (event) => this.pressed(event));
    this.update(data);
  }

  accepts(data) {
    const names = (of) => of.features?.map((feature) => feature.name).join("\n");
    return data.kind === "knobs" && names(data) === names(this.data);
  }

  update(data) {
    this.data = data;
    this.wishes.answered(data.answered);
    if (this.picture.src !== data.picture) this.picture.src = data.picture;
    if (this.before.src !== data.start) this.before.src = data.start;
    this.picture.alt = data.alt;
    const dropped = data.dropped.length ? ` · not known here: ${data.dropped.join(", ")}` : "";
    this.told.textContent = data.alt + dropped;
    this.said.textContent = data.error;
    this.tools.undo.disabled = !data.can_undo;
    this.tools.redo.disabled = !data.can_redo;
    this.tools.reset.disabled = this.tools.compare.disabled = !data.moved;
    if (this.text && document.activeElement !== this.text) this.text.value = data.text;
    if (this.pin) this.pin.checked = data.pinned;
    if (document.activeElement !== this.share) this.share.value = data.share;
    for (const knob of this.knobs) knob.update(data);
    clearTimeout(this.resting);
    if (data.measurable && data.changes === null && this.wishes.areDone) {
      this.resting = setTimeout(() => this.wishes.areDone && this.wish({ do: "measure" }), REST);
    }
  }

  wish(wish) {
    this.wishes.add(wish);
  }

  makeTools() {
    const names = { undo: ["↶ Undo", "Control+Z"], redo: ["↷ Redo", "Control+Y"], reset: ["Reset"], random: ["⚄ Random"] };
    this.tools = {};
    for (const [name, [label, keys]] of Object.entries(names)) {
      this.tools[name] = element("button", { type: "button", "aria-keyshortcuts": keys }, label);
      this.tools[name].onclick = () => this.wish({ do: name });
    }
    this.tools.compare = element("button", { type: "button", title: "Hold it down to see the picture before all moves" }, "Hold to compare");
    this.holds(this.tools.compare);
    return element("div", { class: "tg-tools", role: "group", "aria-label": "changes" }, ...Object.values(this.tools));
  }

  /** While the button is held, by pointer or key, the start covers the picture. */
  holds(button) {
    const show = (isBefore) => {
      this.root.classList.toggle("tg-comparing", isBefore);
      button.setAttribute("aria-pressed", isBefore);
    };
    const isKey = (event) => event.key === " " || event.key === "Enter";
    button.addEventListener("pointerdown", () => show(true));
    button.addEventListener("keydown", (event) => isKey(event) && show(true));
    for (const end of ["pointerup", "pointerleave", "pointercancel", "blur", "keyup"]) button.addEventListener(end, () => show(false));
  }

  /** The caption of a generator that paints texts; pinned, Random keeps it. */
  makeText(data) {
    if (data.text === null) return "";
    this.text = element("input", { type: "text", "aria-label": "caption", spellcheck: "false" });
    onCommit(this.text, () => this.text.value !== this.data.text && this.wish({ do: "text", text: this.text.value }));
    this.pin = element("input", { type: "checkbox" });
    this.pin.onchange = () => this.wish({ do: "pin", pinned: this.pin.checked });
    const pinned = data.texts.length > 1 ? [element("label", { title: "Random keeps this caption" }, this.pin, " pin text")] : [];
    return element("div", { class: "tg-field" }, this.text, ...pinned);
  }

  makeShare() {
    this.share = element("input", { type: "text", spellcheck: "false", "aria-label": "this state as text; paste another one to go there" });
    this.share.title = "Seed, steps and locks. Paste another one here and press Enter to go there.";
    this.share.onfocus = () => this.share.select();
    this.share.onkeydown = (event) => event.key === "Enter" && this.wish({ do: "restore", text: this.share.value });
    const copy = element("button", { type: "button" }, "Copy");
    copy.onclick = async () => {
      copy.textContent = (await copied(this.share)) ? "Copied" : "Press Ctrl+C";
      setTimeout(() => (copy.textContent = "Copy"), 2000);
    };
    return element("div", { class: "tg-field" }, this.share, copy);
  }

  legend(data) {
    const omitted = data.omitted.length ? `Left out, for their axes do nothing one could see: ${data.omitted.join(", ")}. ` : "";
    const meters = data.measurable
      ? "The dot below a slider is how far the feature's score has really moved, in standard deviations of random pictures: from the start or, of a locked feature, since it was locked. The band is how far the change of a score may be from what its axis predicts; a locked feature should stay inside."
      : data.why_not;
    return element("p", { class: "tg-legend" }, omitted, meters);
  }

  pressed(event) {
    if (!(event.ctrlKey || event.metaKey) || event.target.type === "text" || event.target.type === "number") return;
    const key = event.key.toLowerCase();
    const name = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : null;
    if (!name) return;
    event.preventDefault();
    event.stopPropagation();
    if (!this.tools[name].disabled) this.wish({ do: name });
  }

  close() {
    clearTimeout(this.resting);
    this.wishes.close();
  }
}

/** One feature: −, slider, +, a number in σ, lock, meter. */
class Knob {
  constructor(feature, { reach, most, measurable }, knobs) {
    this.feature = feature;
    this.knobs = knobs;
    const { name } = feature;
    const button = (label, title) => element("button", { type: "button", "aria-label": title, title }, label);
    this.less = button("−", `${name}: ${feature.low}`);
    this.more = button("+", `${name}: ${feature.high}`);
    this.slider = element("input", { type: "range", min: -reach, max: reach, step: 0.1, "aria-label": name });
    this.number = element("input", { type: "number", min: -most, max: most, step: 0.1, "aria-label": `${name} in σ` });
    this.lock = element("button", { type: "button", class: "tg-lock" }, padlock());
    this.less.onclick = () => this.set(this.value - 0.4);
    this.more.onclick = () => this.set(this.value + 0.4);
    this.slider.oninput = () => this.move(Number(this.slider.value));
    this.slider.onchange = () => this.set(Number(this.slider.value));
    this.slider.addEventListener("keydown", (event) => event.key === "l" && this.toggle());
    this.number.oninput = () => (this.isTyping = true); // what a reader types is not written over
    onCommit(this.number, () => {
      this.isTyping = false;
      if (this.number.value === "") this.show(this.value);
      else this.set(Number(this.number.value));
    });
    this.lock.onclick = () => this.toggle();
    this.meter = new Meter(feature, reach);
    const badge = element("span", { class: `tg-badge tg-${feature.grade}`, title: feature.told }, feature.badge);
    this.why = element("span", { class: "tg-note" });
    const head = element("div", { class: "tg-knob-head" }, element("b", {}, name), this.why, badge);
    const ends = [element("span", {}, feature.low), element("span", {}, feature.high)];
    const below = element("div", { class: "tg-below" }, ...(measurable ? [this.meter.root] : []), element("div", { class: "tg-ends" }, ...ends));
    const row = [this.less, this.slider, this.more, this.number, this.lock, below];
    this.root = element("div", { class: "tg-knob", role: "group", "aria-label": name }, head, ...row);
  }

  update(data) {
    const { name } = this.feature;
    this.isLocked = data.locked.includes(name);
    this.value = data.values[name];
    const reason = data.disabled[name] ?? "";
    for (const part of [this.less, this.more, this.slider, this.number]) part.disabled = this.isLocked || reason !== "";
    this.why.textContent = reason;
    this.lock.setAttribute("aria-pressed", this.isLocked);
    this.lock.setAttribute("aria-label", `${this.isLocked ? "unlock" : "lock"} ${name}`);
    this.lock.title = this.isLocked ? "Locked: it stays while others move" : "Lock it, so that it stays while others move";
    this.meter.show(data.changes, this.isLocked);
    if (!this.knobs.wishes.concern(name)) this.show(this.value);
  }

  /** Show a place on the way, without making it a step. */
  move(sigmas) {
    this.show(sigmas);
    this.knobs.wish({ do: "try", name: this.feature.name, sigmas });
  }

  set(sigmas) {
    const wanted = Number(sigmas.toFixed(3));
    this.show(wanted);
    this.knobs.wish({ do: "set", name: this.feature.name, sigmas: wanted });
  }

  toggle() {
    this.knobs.wish({ do: "lock", name: this.feature.name, locked: !this.isLocked });
  }

  show(sigmas) {
    this.slider.value = sigmas;
    this.slider.setAttribute("aria-valuetext", `${sigmas} σ`);
    if (!this.isTyping) this.number.value = sigmas;
  }
}

/** How far a score has moved: a dot, over the band of what cannot be told from nothing. */
class Meter {
  constructor(feature, reach) {
    this.feature = feature;
    this.reach = reach;
    this.dot = element("i", {});
    this.number = element("span", { class: "tg-moved" });
    const band = element("b", {});
    const share = Math.min(1, (feature.error ?? 0) / reach);
    band.style.left = `${50 - 50 * share}%`;
    band.style.width = `${100 * share}%`;
    this.root = element("div", { class: "tg-meter", role: "img", "aria-label": "score not measured yet" }, band, this.dot);
  }

  show(changes, isLocked) {
    this.root.classList.toggle("tg-stale", changes === null);
    if (changes === null) return;
    const moved = changes[this.feature.name];
    const isInside = Math.abs(moved) <= (this.feature.error ?? 0);
    const side = Math.max(-this.reach, Math.min(this.reach, moved));
    this.dot.style.left = `${50 + (50 * side) / this.reach}%`;
    this.dot.className = isLocked ? (isInside ? "tg-held" : "tg-lost") : "";
    const held = isLocked ? (isInside ? ", locked: within the error" : ", locked, but beyond the error") : "";
    const words = `score moved by ${moved >= 0 ? "+" : ""}${moved.toFixed(2)}, error ${(this.feature.error ?? 0).toFixed(2)}${held}`;
    this.root.setAttribute("aria-label", words);
    this.root.title = words;
  }
}

/** Wishes on their way to the kernel: one at a time, and of several moves of one knob only the last. */
class Wishes {
  constructor(send, { onBusy, onLate }) {
    this.send = send;
    this.onBusy = onBusy;
    this.onLate = onLate;
    this.own = Math.random().toString(36).slice(2); // the same widget may be shown twice
    this.count = 0;
    this.queue = [];
    this.open = null;
  }

  get areDone() {
    return !this.open && !this.queue.length;
  }

  /** Whether a move of this knob is still to come. */
  concern(name) {
    return [this.open, ...this.queue].some((wish) => wish?.name === name);
  }

  add(wish) {
    const last = this.queue.at(-1);
    if (last?.do === "try" && last.name === wish.name) this.queue.pop();
    this.queue.push(wish);
    this.onBusy(true);
    this.next();
  }

  answered(id) {
    if (!this.open || id !== this.open.id) return;
    this.open = null;
    clearTimeout(this.waiting);
    this.onLate(false);
    this.next();
    this.onBusy(!this.areDone);
  }

  next() {
    if (this.open || !this.queue.length) return;
    this.open = { ...this.queue.shift(), id: `${this.own}-${(this.count += 1)}` };
    this.waiting = setTimeout(() => this.onLate(true), PATIENCE);
    this.send(this.open);
  }

  close() {
    clearTimeout(this.waiting);
  }
}

/** Acts when a field is left, and at Enter, for which in JupyterLab no "change" comes. */
function onCommit(field, act) {
  field.addEventListener("change", act);
  field.addEventListener("keydown", (event) => event.key === "Enter" && act());
}

async function copied(field) {
  try {
    await navigator.clipboard.writeText(field.value);
    return true;
  } catch {
    field.select(); // no permission, or no secure address
    return document.execCommand("copy");
  }
}

function padlock() {
  const body = shape("rect", { x: 4, y: 10, width: 16, height: 11, rx: 2 });
  const bow = shape("path", { d: "M8 10V7a4 4 0 0 1 8 0v3", class: "tg-shut" });
  const open = shape("path", { d: "M8 10V6a4 4 0 0 1 7.5-2", class: "tg-open" });
  return shape("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, body, bow, open);
}

kinds.knobs = Knobs;
