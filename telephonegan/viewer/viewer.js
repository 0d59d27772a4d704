// Games, attention maps, samplings and galleries from plain data: in an exported page by itself, in a notebook as an
// anywidget.
// The data come from viewer/data.py. Nothing is fetched, and text enters the page as text only.

const MILLISECONDS = 1200; // for each round, as in the animations of a chain
const FRAME_MILLISECONDS = 100; // for each picture of a sampling
const OVERLAY = 320; // pixels of its longer side
const STEP = 1 / 8; // of the picture, for each arrow key

/** Show data of one kind in an element; returns { update, close }. */
export function mount(el, data, { onRound = () => {}, onKeep = null, onFile = () => {}, onWish = () => {} } = {}) {
  el.classList.add("tg");
  let view = null;
  const draw = (shown) => {
    if (shown.games?.length === 0) return el.replaceChildren();
    if (view?.accepts(shown)) return view.update(shown);
    view?.close();
    view = new kinds[shown.kind](shown, { onRound, onFile, onWish });
    const parts = [view.root, onKeep && shown.keep?.length ? keepBar(shown.keep, onKeep) : null];
    el.replaceChildren(...parts.filter(Boolean));
  };
  draw(data);
  return {
    update: draw,
    say: (text, failed = false) => {
      const status = el.querySelector(".tg-keep output");
      if (status) [status.textContent, status.className] = [text, failed ? "tg-failed" : ""];
    },
    close: () => view?.close(),
  };
}

export default {
  render({ model, el }) {
    const view = mount(el, model.get("data"), {
      onRound: (round) => {
        model.set("round", round);
        model.save_changes();
      },
      onKeep: (name) => model.send({ keep: name }),
      onFile: (file, bytes) => model.send(file, undefined, bytes),
      onWish: (wish) => model.send(wish),
    });
    const changed = () => view.update(model.get("data"));
    const told = (message, buffers) => {
      if (message.kept) download(message.kept, message.type, buffers[0]);
      if (message.said) view.say(message.said, message.failed);
    };
    const whole = el.ownerDocument; // the controls around this widget are not inside it
    const isInside = (event) => el.isConnected && event.target.closest?.(".tg-studio")?.contains(el);
    const pressed = (event) => event.key === "Escape" && isInside(event) && model.send({ escape: true });
    const focused = (event) => isInside(event) && keepKeys(event.target);
    model.on("change:data", changed);
    model.on("msg:custom", told);
    whole.addEventListener("keydown", pressed, true);
    whole.addEventListener("focusin", focused, true);
    const unname = nameSliders(el);
    return () => {
      unname();
      model.off("change:data", changed);
      model.off("msg:custom", told);
      whole.removeEventListener("keydown", pressed, true);
      whole.removeEventListener("focusin", focused, true);
      view.close();
    };
  },
};

// ------------------------------------------------------------------------------------------------------- the game

class Games {
  constructor(data, { onRound }) {
    this.data = data;
    this.onRound = onRound;
    this.round = 0;
    this.columns = data.games.map((game) => new Column(game, data.games.length === 1, (round) => this.show(round)));
    this.bar = new Bar("round", (round) => this.show(round), MILLISECONDS);
    const label = "Broken telephone, round by round";
    this.root = element("section", { class: "tg-view tg-games", "aria-label": label }, this.bar.root);
    this.root.append(element("div", { class: "tg-columns" }, ...this.columns.map((column) => column.root)));
    this.root.addEventListener("keydown", (event) => event.key === "Escape" && this.bar.pause());
    this.show(Math.min(data.start ?? 0, this.last));
  }

  get last() {
    return Math.max(...this.data.games.map((game) => game.rounds.length)) - 1;
  }

  accepts(data) {
    const ids = (of) => of.games?.map((game) => game.id).join();
    return data.kind === "games" && ids(data) === ids(this.data);
  }

  update(data) {
    const atEnd = this.round === this.last;
    this.data = data;
    data.games.forEach((game, index) => this.columns[index].update(game));
    this.show(data.follow && atEnd ? this.last : Math.min(this.round, this.last));
  }

  show(round) {
    this.round = round;
    const said = this.data.games.map((game) => game.rounds[Math.min(round, game.rounds.length - 1)].text).join(" / ");
    this.bar.show(round, this.last, `Round ${round} of ${this.last}`, said);
    for (const column of this.columns) column.show(round);
    clearTimeout(this.telling);
    this.telling = setTimeout(() => this.onRound(round), 150);
  }

  close() {
    this.bar.pause();
    clearTimeout(this.telling);
    for (const column of this.columns) column.close();
  }
}

/** Play, a slider and a counter over numbered pictures; `onShow` is called with the number to show. */
class Bar {
  constructor(name, onShow, milliseconds) {
    [this.onShow, this.milliseconds, this.here, this.last] = [onShow, milliseconds, 0, 0];
    this.button = element("button", { class: "tg-play", type: "button" });
    this.button.onclick = () => (this.timer ? this.pause() : this.play());
    this.slider = element("input", { type: "range", min: 0, step: 1, "aria-label": name });
    this.slider.oninput = () => {
      this.pause();
      this.onShow(Number(this.slider.value));
    };
    this.counter = element("output", { class: "tg-counter" });
    this.root = element("div", { class: "tg-bar" }, this.button, this.slider, this.counter);
    this.pause();
  }

  show(here, last, place, told) {
    [this.here, this.last] = [here, last];
    this.slider.max = last;
    this.slider.value = here;
    this.slider.disabled = this.button.disabled = last === 0;
    this.slider.setAttribute("aria-valuetext", `${place}: ${told}`);
    this.counter.textContent = place;
  }

  play() {
    if (this.here >= this.last) this.onShow(0);
    this.timer = setInterval(() => {
      if (this.here < this.last) this.onShow(this.here + 1);
      if (this.here >= this.last) this.pause();
    }, this.milliseconds);
    this.button.textContent = "❚❚ Pause";
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    this.button.textContent = "▶ Play";
  }
}

/** One game: the picture, the same picture as both networks attended to it, the drift, and the captions. */
class Column {
  constructor(game, isWhole, goTo) {
    this.isWhole = isWhole;
    this.choice = null;
    this.maps = [];
    this.stills = new Map();
    const point = (place) => this.point(place);
    this.picture = new Frame("Picture", point, { steerable: true });
    this.frames = { picture: this.picture };
    if (isWhole) {
      this.frames.read = new Frame("The captioner read", point);
      this.frames.painted = new Frame("The generator painted", point);
    }
    const choose = (line) => (index, isHover) => this.choose(line, index, isHover);
    this.lines = { painted: new Sentence(choose("painted")), read: new Sentence(choose("read")) };
    this.left = element("p", { class: "tg-left" });
    this.told = element("p", { class: "tg-told", "aria-live": "polite" });
    this.curve = isWhole ? new Curve(goTo) : null;
    const frames = [...Object.values(this.frames), this.curve].filter(Boolean).map((frame) => frame.root);
    this.root = element("article", { class: isWhole ? "tg-column tg-whole" : "tg-column" });
    this.title = element("p", { class: "tg-title" });
    this.root.append(this.title, element("div", { class: "tg-frames" }, ...frames), this.text());
    this.update(game);
  }

  text() {
    const key = ["kept", "new", "lost"].map((mark) => marked(mark, mark));
    this.heads = { painted: element("span", { class: "tg-head" }), read: element("span", { class: "tg-head" }) };
    const line = (name) => element("div", { class: "tg-line" }, this.heads[name], this.lines[name].root);
    const parts = [line("painted"), line("read"), this.left, this.told];
    return element("div", { class: "tg-text" }, ...parts, element("p", { class: "tg-key" }, ...spaced(key)));
  }

  update(game) {
    this.game = game;
    this.title.textContent = game.title;
    this.maps = game.rounds.map((_, index) => this.maps?.[index]);
    game.rounds.forEach((round) => this.still(round)); // decoded before they are wanted
    const longest = (texts) => texts.reduce((one, other) => (other.length > one.length ? other : one), "");
    const captions = longest(game.rounds.map((round) => round.text));
    for (const line of Object.values(this.lines)) line.reserve(captions);
    this.curve?.update(game);
  }

  show(round) {
    this.round = Math.min(round, this.game.rounds.length - 1);
    const now = this.game.rounds[this.round];
    const before = this.game.rounds[this.round - 1];
    this.heads.painted.textContent = before ? `${this.round - 1} painted from` : "the start";
    this.heads.read.textContent = now.picture ? `${this.round} read as` : `${this.round} given`;
    this.lines.painted.fill(before ? before.words : [], {
      marks: before ? marks(before.words, now.kept, now.lost, "lost") : [],
      maps: now.painted?.places ?? [],
      instead: now.picture ? "a photograph that was given" : "a sentence that was given",
    });
    this.lines.read.fill(now.words, {
      marks: before ? marks(now.words, now.kept, now.gained, "new") : [],
      maps: now.seen ? now.words.map((_, index) => index) : [],
      instead: "(no word)",
    });
    const left = now.left.map(([word, isLeft]) => element("span", { class: "tg-word" }, marked(word, isLeft ? "kept" : "lost")));
    this.left.replaceChildren(element("span", { class: "tg-head" }, "left of round 0"));
    this.left.append(element("span", { class: "tg-words" }, ...(left.length ? spaced(left) : [element("i", { class: "tg-head" }, "no content word")])));
    this.curve?.mark(this.round);
    this.picture.showStill(this.still(now), `“${now.text}”`, now.alt);
    this.light(null);
  }

  /** The decoded picture of a round, made once: another source for one image could flash. */
  still(round) {
    if (!round.picture) return null;
    if (!this.stills.has(round.picture)) {
      this.stills.set(round.picture, element("img", { src: round.picture, alt: round.alt, decoding: "sync" }));
    }
    return this.stills.get(round.picture);
  }

  choose(line, index, isHover) {
    const words = this.lines[line].words;
    const choice = index === null ? null : { line, index, text: words[index] };
    if (!isHover) this.choice = choice;
    this.light(isHover ? choice : null);
  }

  /** Show the attention of the chosen word in both frames; while another is pointed at, of that one. */
  light(hovered) {
    const round = this.game.rounds[this.round];
    const chosen = (line) => this.lines[line].find(hovered ?? this.choice, line, this.game.content);
    const shown = { read: chosen("read"), painted: chosen("painted") };
    for (const [line, words] of Object.entries(this.lines)) words.select(shown[line]);
    if (!this.isWhole) {
      const line = (hovered ?? this.choice)?.line;
      const map = line ? this.mapsOf(line)?.[this.lines[line].maps[shown[line]]] : null;
      if (this.still(round)) this.picture.showStill(this.still(round), `“${round.text}”`, round.alt);
      if (map) this.picture.showMap(this.still(round), map, "", round.alt);
      return;
    }
    this.overlay("read", shown.read, "looked for");
    this.overlay("painted", shown.painted, "painted");
  }

  overlay(line, index, verb) {
    const round = this.game.rounds[this.round];
    const frame = this.frames[line];
    const words = this.lines[line];
    const map = index === null ? null : this.mapsOf(line)?.[words.maps[index]];
    if (!map) return frame.showNote(this.round ? "no attention is known" : line === "painted" ? "nothing is painted yet" : "no picture yet");
    const sure = line === "read" ? round.probabilities[index] : null;
    const shares = map.shares ? ` · ${percent(map.low)} to ${percent(map.peak)}` : "";
    const note = `“${words.words[index]}”${sure === null || sure === undefined ? "" : ` · ${percent(sure)} sure`}${shares}`;
    frame.showMap(this.still(round), map, note, `Where the ${line === "read" ? "captioner" : "generator"} ${verb} “${words.words[index]}” in round ${this.round}`);
  }

  mapsOf(line) {
    this.maps[this.round] ??= { read: decoded(this.game.rounds[this.round].seen), painted: decoded(this.game.rounds[this.round].painted) };
    return this.maps[this.round][line];
  }

  /** Light up the words that looked at a place of the picture, given as shares of its width and height. */
  point(place) {
    const best = [];
    for (const line of ["painted", "read"]) {
      const maps = this.mapsOf(line);
      const words = this.lines[line];
      const values = place && maps ? words.maps.map((map) => (map === undefined || map < 0 ? 0 : at(maps[map], place))) : null;
      const top = words.light(values);
      if (top !== null) best.push(`${line === "read" ? "read" : "painted"}: ${words.words[top]}`);
    }
    this.told.textContent = best.length ? `Here most: ${best.join(" · ")}` : "";
    for (const frame of Object.values(this.frames)) frame.cross(place);
  }

  close() {}
}

// ---------------------------------------------------------------------------------------- one result, many pictures

/** A picture and its words, with one or more maps for each word side by side. */
class Attention {
  constructor(data) {
    this.data = data;
    this.maps = data.maps.map((each) => decoded(each));
    const point = (place) => this.point(place);
    this.still = element("img", { src: data.picture, alt: data.alt, decoding: "sync" });
    this.picture = new Frame("Picture", point, { steerable: true });
    this.picture.showStill(this.still, `“${data.text}”`, data.alt);
    this.frames = data.maps.map((each) => new Frame(each.name, point));
    this.words = new Sentence((index, isHover) => this.choose(index, isHover));
    this.words.fill(data.words, { maps: data.words.map((_, index) => index) });
    this.told = element("p", { class: "tg-told", "aria-live": "polite" });
    const frames = [this.picture, ...this.frames].map((frame) => frame.root);
    this.root = element("section", { class: "tg-view tg-whole tg-attention", "aria-label": "Words and where they belong" });
    this.root.append(element("div", { class: "tg-text" }, this.words.root), element("div", { class: "tg-frames" }, ...frames), this.told);
    this.chosen = data.chosen;
    this.show(this.chosen);
  }

  accepts() {
    return false;
  }

  choose(index, isHover) {
    if (!isHover) this.chosen = index ?? this.chosen;
    this.show(index ?? this.chosen);
  }

  show(index) {
    this.words.select(index);
    const sure = this.data.probabilities[index];
    this.frames.forEach((frame, number) => {
      const map = this.maps[number][index];
      const size = `${map.width} × ${map.height}`;
      const more = map.shares ? ` · ${percent(map.low)} to ${percent(map.peak)}` : sure === undefined ? "" : ` · ${percent(sure)} sure`;
      const word = this.data.words[index];
      frame.showMap(this.still, map, `“${word}” · ${size}${more}`, `${this.data.maps[number].name}: where “${word}” belongs`);
    });
  }

  point(place) {
    const maps = this.maps[this.maps.length - 1];
    const top = this.words.light(place ? maps.map((map) => at(map, place)) : null);
    this.told.textContent = top === null ? "" : `Here most: ${this.data.words[top]}`;
    for (const frame of [this.picture, ...this.frames]) frame.cross(place);
  }

  close() {}
}

class Gallery {
  constructor(data) {
    this.data = data;
    this.image = element("img", { decoding: "sync" });
    this.caption = element("figcaption", { class: "tg-caption" });
    this.thumbnails = data.pictures.map((each, index) => {
      const image = element("img", { src: each.picture, alt: "", decoding: "sync" });
      const label = element("span", {}, each.label);
      const button = element("button", { type: "button", class: "tg-thumbnail", title: each.text }, image, label);
      button.setAttribute("aria-label", `${each.label}: ${each.text}`);
      button.onclick = () => this.show(index);
      return button;
    });
    const grid = element("div", { class: "tg-thumbnails", role: "toolbar", "aria-label": "pictures" }, ...this.thumbnails);
    steered(grid, this.thumbnails, (index) => this.show(index));
    const large = element("figure", { class: "tg-large" }, element("div", { class: "tg-box" }, this.image), this.caption);
    this.root = element("section", { class: "tg-view tg-gallery", "aria-label": "Gallery" }, large, grid);
    this.show(0);
  }

  accepts() {
    return false;
  }

  show(index) {
    const each = this.data.pictures[index];
    this.image.src = each.picture;
    this.image.alt = `${each.label}: ${each.text}`;
    this.caption.replaceChildren(element("span", { class: "tg-head" }, each.note), element("br", {}), each.text);
    this.thumbnails.forEach((button, number) => {
      button.setAttribute("aria-pressed", number === index);
      button.tabIndex = number === index ? 0 : -1;
    });
  }

  close() {}
}

/** The pictures of a sampling, one after another, beside the probability of what is sought. */
class Frames {
  constructor(data, { onRound }) {
    this.onRound = onRound;
    this.bar = new Bar("picture", (here) => this.show(here), FRAME_MILLISECONDS);
    this.box = element("div", { class: "tg-box" });
    this.caption = element("figcaption", { class: "tg-caption" });
    this.curve = new Curve((here) => this.show(here), "Probability");
    const picture = element("figure", { class: "tg-frame" }, this.box, this.caption);
    const frames = element("div", { class: "tg-frames" }, picture, this.curve.root);
    this.root = element("section", { class: "tg-view tg-whole", "aria-label": "Plug & play sampling" }, this.bar.root, frames);
    this.root.addEventListener("keydown", (event) => event.key === "Escape" && this.bar.pause());
    this.update(data);
  }

  accepts(data) {
    return data.kind === "frames";
  }

  update(data) {
    this.bar.pause();
    this.data = data;
    this.stills = data.frames.map((each) => element("img", { src: each.picture, alt: each.alt, decoding: "sync" }));
    this.curve.update({ rounds: data.frames, drift: data.curves, legend: data.legend, places: data.frames.map((each) => each.step) });
    this.show(data.frames.length - 1);
  }

  show(here) {
    const each = this.data.frames[here];
    const last = this.data.frames.length - 1;
    this.bar.show(here, last, `Step ${each.step}`, each.text);
    this.box.replaceChildren(this.stills[here]);
    this.caption.textContent = each.text;
    this.curve.mark(here);
    clearTimeout(this.telling);
    this.telling = setTimeout(() => this.onRound(here), 150);
  }

  close() {
    this.bar.pause();
    clearTimeout(this.telling);
  }
}

/** A button that reads one file and sends its bytes; ipywidgets' own adds a count of files to its label. */
class Upload {
  constructor(data, { onFile }) {
    this.input = element("input", { type: "file", accept: data.accept, hidden: true });
    this.button = element("button", { type: "button" }, data.label);
    this.button.onclick = () => this.input.click();
    this.input.onchange = async () => {
      const [file] = this.input.files;
      if (!file) return;
      const { name, size } = file;
      onFile({ file: name, size }, size > data.most ? [] : [await file.arrayBuffer()]);
      this.input.value = "";
    };
    this.root = element("div", { class: "tg-upload" }, this.button, this.input);
    this.update(data);
  }

  accepts(data) {
    return data.kind === "upload";
  }

  update(data) {
    this.button.textContent = data.label;
    this.button.disabled = Boolean(data.disabled);
  }

  close() {}
}

// ---------------------------------------------------------------------------------------------------------- parts

/** A square with a picture, or a map over it, and a note below. `steerable` by the arrow keys. */
class Frame {
  constructor(title, onPoint, { steerable = false } = {}) {
    this.box = element("div", { class: "tg-box" });
    this.dot = element("span", { class: "tg-dot", hidden: true });
    this.note = element("span", { class: "tg-note" });
    this.root = element("figure", { class: "tg-frame" }, this.box);
    this.root.append(element("figcaption", {}, element("b", {}, title), element("br", {}), this.note));
    this.box.onpointermove = (event) => onPoint(this.placeOf(event.clientX, event.clientY));
    this.box.onpointerleave = () => onPoint(null);
    if (steerable) this.steer(onPoint);
  }

  steer(onPoint) {
    this.box.tabIndex = 0;
    keepKeys(this.box);
    this.box.setAttribute("role", "group");
    this.box.setAttribute("aria-label", "Picture: arrow keys move a point, and the words that looked there light up");
    let place = null;
    this.box.onkeydown = (event) => {
      const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
      if (x === undefined) return;
      event.preventDefault();
      const moved = (value, step) => Math.min(1 - STEP / 2, Math.max(STEP / 2, value + step * STEP));
      place = place ? [moved(place[0], x), moved(place[1], y)] : [0.5 + STEP / 2, 0.5 + STEP / 2];
      onPoint(place);
    };
    this.box.onblur = () => onPoint((place = null));
  }

  placeOf(x, y) {
    const { left, top } = this.box.getBoundingClientRect();
    const shown = this.area();
    if (!shown) return null;
    const place = [(x - left - shown.left) / shown.width, (y - top - shown.top) / shown.height];
    return place.every((each) => each >= 0 && each < 1) ? place : null;
  }

  /** Where the picture is in the square, which it fills as far as its own shape allows. */
  area() {
    const shown = this.box.querySelector("img, canvas");
    const [across, down] = [shown?.naturalWidth ?? shown?.width, shown?.naturalHeight ?? shown?.height];
    if (!across || !down) return null;
    const side = this.box.clientWidth;
    const [width, height] = [across, down].map((length) => (side * length) / Math.max(across, down));
    return { left: (side - width) / 2, top: (side - height) / 2, width, height };
  }

  put(shown) {
    if (this.box.firstChild !== shown) this.box.replaceChildren(shown, this.dot);
  }

  showStill(still, text, alt) {
    this.map = null;
    if (still) this.put(still);
    else this.put(element("p", { class: "tg-card" }, text));
    this.note.textContent = still ? "" : alt;
  }

  /** Every overlay is drawn once and kept with its map. */
  showMap(still, map, note, alt) {
    this.map = map;
    this.note.textContent = note;
    if (!still.complete || !still.naturalWidth) {
      still.decode().then(() => this.map === map && this.showMap(still, map, note, alt), () => {});
      return;
    }
    map.canvas ??= overlayOf(still, map);
    map.canvas.setAttribute("aria-label", alt);
    this.put(map.canvas);
  }

  showNote(text) {
    this.map = null;
    this.put(element("p", { class: "tg-card" }, text));
    this.note.textContent = "";
  }

  cross(place) {
    const shown = place && this.area();
    this.dot.hidden = !shown;
    if (!shown) return;
    this.dot.style.left = `${shown.left + place[0] * shown.width}px`;
    this.dot.style.top = `${shown.top + place[1] * shown.height}px`;
  }
}

/** A caption whose words can be chosen, if they have maps: by pointing, by Tab and the arrow keys. */
class Sentence {
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.shown = element("div", { class: "tg-words" });
    this.sizer = element("div", { class: "tg-words tg-sizer", "aria-hidden": "true" });
    this.root = element("div", { class: "tg-sentence" }, this.shown, this.sizer);
    this.words = [];
    this.maps = [];
    this.parts = [];
    steered(this.shown, () => this.buttons, (_, button) => this.onChoose(this.parts.indexOf(button), true));
  }

  get buttons() {
    return this.parts.filter((part) => part.tagName === "BUTTON");
  }

  /** Keep room for the longest caption, so that nothing below moves. */
  reserve(text) {
    this.sizer.replaceChildren(...spaced(text.split(" ").map((word) => element("span", { class: "tg-word" }, word))));
  }

  fill(words, { marks = [], maps = [], instead = "" }) {
    [this.words, this.maps] = [words, maps];
    this.parts = words.map((word, index) => this.part(word, marks[index], maps[index] >= 0, index));
    this.shown.replaceChildren(...(words.length ? spaced(this.parts) : [element("i", { class: "tg-head" }, instead)]));
    if (this.buttons.length) this.shown.setAttribute("role", "toolbar");
    else this.shown.removeAttribute("role");
    this.shown.setAttribute("aria-label", `words of “${words.join(" ")}”`);
  }

  part(word, mark, hasMap, index) {
    const inner = mark ? marked(word, mark) : word;
    if (!hasMap) return element("span", { class: "tg-word" }, inner);
    const button = element("button", { type: "button", class: "tg-word", tabindex: -1 }, inner);
    button.onpointerenter = button.onfocus = () => this.onChoose(index, true);
    button.onpointerleave = button.onblur = () => this.onChoose(null, true);
    button.onclick = () => this.onChoose(index, false);
    return button;
  }

  /** Which word to show: the chosen one; else the same word of the other caption; else the first that means something. */
  find(choice, line, content) {
    const able = (index) => this.maps[index] >= 0;
    if (choice?.line === line && this.words[choice.index] === choice.text && able(choice.index)) return choice.index;
    const first = (test) => this.words.findIndex((word, index) => able(index) && test(word));
    const found = [(word) => word === choice?.text, (word) => content.includes(word), () => true].map(first);
    return found.find((index) => index >= 0) ?? null;
  }

  select(index) {
    this.parts.forEach((part, number) => {
      if (part.tagName !== "BUTTON") return;
      part.setAttribute("aria-pressed", number === index);
      part.tabIndex = number === index ? 0 : -1;
    });
  }

  /** Shade the words by these values; returns the index of the greatest, or null. */
  light(values) {
    const most = values ? Math.max(...values) : 0;
    this.parts.forEach((part, index) => {
      part.style.setProperty("--tg-light", most > 0 ? (values[index] / most) ** 2 : 0);
    });
    return most > 0 ? values.indexOf(most) : null;
  }
}

/** Similarity to round 0, with what chance and people give, or another number from 0 to 1; a click goes to that round. */
class Curve {
  constructor(goTo, title = "") {
    this.goTo = goTo;
    this.title = title;
    this.svg = shape("svg", { viewBox: "0 0 320 320", role: "img", class: "tg-curve" });
    this.note = element("span", { class: "tg-note" });
    this.root = element("figure", { class: "tg-frame" }, element("div", { class: "tg-box" }, this.svg));
    this.root.append(element("figcaption", {}, element("b", {}, title || "Still like round 0"), element("br", {}), this.note));
    this.svg.onclick = (event) => {
      const { left, width } = this.svg.getBoundingClientRect();
      const round = ((((event.clientX - left) / width) * 320 - 30) / 274) * this.last;
      this.goTo(Math.min(this.last, Math.max(0, Math.round(round))));
    };
  }

  update(game) {
    this.game = game;
    this.last = Math.max(1, game.rounds.length - 1);
    this.x = (round) => 30 + (274 * round) / this.last;
    this.y = (value) => 292 - 238 * Math.max(0, value);
    const axes = [0, 0.5, 1].flatMap((value) => [
      shape("line", { x1: 30, x2: 304, y1: this.y(value), y2: this.y(value), class: "tg-grid" }),
      shape("text", { x: 26, y: this.y(value) + 5, "text-anchor": "end" }, value),
    ]);
    const every = Math.ceil(this.last / 8);
    for (let round = 0; round <= this.last; round += every) {
      axes.push(shape("text", { x: this.x(round), y: 312, "text-anchor": "middle" }, this.place(round)));
    }
    this.marker = shape("line", { y1: this.y(0), y2: this.y(1), class: "tg-marker" });
    const curves = game.drift.flatMap((each, index) => this.curve(each, index));
    this.rings = game.drift.map((_, index) => shape("circle", { r: 6, class: `tg-ring tg-line${index}` }));
    this.svg.replaceChildren(...axes, this.marker, ...curves, ...this.rings);
  }

  /** What a round is called below the curve. */
  place(round) {
    return this.game.places?.[round] ?? round;
  }

  curve(each, index) {
    const points = each.values.map((value, round) => (value === null ? null : `${this.x(round)},${this.y(value)}`));
    const line = shape("polyline", { points: points.filter(Boolean).join(" "), class: `tg-line${index}` });
    const levels = each.references.map(({ value, dashes }) =>
      shape("line", { x1: 30, x2: 304, y1: this.y(value), y2: this.y(value), class: `tg-level tg-line${index}`, "stroke-dasharray": dashes }),
    );
    const left = 22 + 140 * (index % 2);
    const top = 14 + 20 * Math.floor(index / 2);
    const swatch = shape("line", { x1: left, x2: left + 18, y1: top, y2: top, class: `tg-line${index}` });
    return [line, ...levels, swatch, shape("text", { x: left + 23, y: top + 5 }, each.name)];
  }

  mark(round) {
    const here = Math.min(round, this.game.rounds.length - 1);
    for (const [name, value] of [["x1", this.x(here)], ["x2", this.x(here)]]) this.marker.setAttribute(name, value);
    const values = this.game.drift.map((each, index) => {
      const value = each.values[here];
      this.rings[index].setAttribute("visibility", value === null || value === undefined ? "hidden" : "visible");
      this.rings[index].setAttribute("cx", this.x(here));
      this.rings[index].setAttribute("cy", this.y(value ?? 0));
      return value === null || value === undefined ? null : `${each.name} ${value.toFixed(2)}`;
    });
    const references = this.game.drift.flatMap((each) => each.references.map(({ name, value }) => `${name}: ${each.name} ${value.toFixed(2)}`));
    const what = this.title ? `${this.title} at step ${this.place(here)}` : `Similarity of round ${here} to round 0`;
    const words = `${what}: ${values.filter(Boolean).join(", ") || "not measured"}`;
    this.svg.setAttribute("aria-label", [words, ...references].join("; "));
    this.note.textContent = this.game.legend;
  }
}

function keepBar(names, onKeep) {
  const label = element("span", { class: "tg-head" }, "Keep");
  const status = element("output", {});
  const buttons = names.map(([name, text, title]) => {
    const button = element("button", { type: "button", title }, text);
    button.onclick = () => {
      [status.textContent, status.className] = [`${text} …`, ""];
      onKeep(name);
    };
    return button;
  });
  return element("div", { class: "tg-keep", role: "group", "aria-label": "keep and share" }, label, ...buttons, status);
}

function download(name, type, buffer) {
  const address = URL.createObjectURL(new Blob([buffer], { type }));
  const link = element("a", { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

/** Arrow keys, Home and End move the focus among buttons, of which Tab reaches one. */
function steered(root, buttons, onMove) {
  root.addEventListener("keydown", (event) => {
    const all = typeof buttons === "function" ? buttons() : buttons;
    const here = all.indexOf(event.target.closest("button"));
    const to = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0, End: all.length - 1 }[event.key];
    if (here < 0 || to === undefined || !all[to]) return;
    event.preventDefault();
    all[to].focus();
    onMove(to, all[to]);
  });
}

// ----------------------------------------------------------------------------------------------------------- maps

/** Maps as Python packs them: for each word bytes from 0 to 255, which stand for 0 to its peak. */
function decoded(packed) {
  if (!packed) return null;
  const bytes = Uint8Array.from(atob(packed.levels), (letter) => letter.charCodeAt(0));
  const size = packed.height * packed.width;
  return packed.peaks.map((peak, word) => {
    const levels = bytes.subarray(word * size, (word + 1) * size);
    const low = (peak * levels.reduce((one, other) => Math.min(one, other), 255)) / 255;
    return { levels, peak, low, height: packed.height, width: packed.width, shares: packed.shares };
  });
}

function at(map, [x, y]) {
  return (map.levels[Math.floor(y * map.height) * map.width + Math.floor(x * map.width)] * map.peak) / 255;
}

/** The picture, dimmed where the map is low; a map of shares is stretched from its lowest to its highest. */
function overlayOf(still, map) {
  const canvas = element("canvas", { role: "img" });
  const longest = Math.max(still.naturalWidth, still.naturalHeight);
  const factor = OVERLAY / longest;
  const width = Math.max(1, Math.round(still.naturalWidth * factor));
  const height = Math.max(1, Math.round(still.naturalHeight * factor));
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const light = lightOf(map, width, height);
  context.drawImage(still, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const grey = (0.3 * (pixels.data[i] + pixels.data[i + 1] + pixels.data[i + 2])) / 3;
    const bright = light[i] / 255;
    for (let j = i; j < i + 3; j += 1) pixels.data[j] = grey + (pixels.data[j] - grey) * bright;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function lightOf(map, width, height) {
  const low = map.shares ? (map.low / map.peak) * 255 : 0;
  const small = document.createElement("canvas");
  [small.width, small.height] = [map.width, map.height];
  const cells = new ImageData(map.width, map.height);
  map.levels.forEach((level, index) => {
    const value = (255 * (level - low)) / Math.max(255 - low, 1e-6);
    cells.data.set([value, value, value, 255], 4 * index);
  });
  small.getContext("2d").putImageData(cells, 0, 0);
  const large = document.createElement("canvas");
  [large.width, large.height] = [width, height];
  const context = large.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}

// ------------------------------------------------------------------------------------------------------- elements

function marks(words, kept, changed, change) {
  return words.map((word) => (kept.includes(word) ? "kept" : changed.includes(word) ? change : null));
}

function marked(word, mark) {
  const tags = { kept: "u", lost: "del", new: "b" };
  return element(tags[mark], { class: `tg-${mark}`, title: mark }, word);
}

function spaced(parts) {
  return parts.flatMap((part, index) => (index ? [" ", part] : [part]));
}

function percent(value) {
  return `${value < 0.1 ? (100 * value).toFixed(1) : Math.round(100 * value)}\u00a0%`; // never broken before the sign
}

function element(tag, attributes, ...children) {
  const made = dressed(document.createElement(tag), attributes, children);
  if (tag === "input" || tag === "button") keepKeys(made);
  return made;
}

/** JupyterLab takes the arrow keys unless the element with the focus itself, not one around it, says this. */
function keepKeys(focused) {
  focused.setAttribute("data-lm-suppress-shortcuts", "true");
}

/** Sliders of ipywidgets tell nobody what they are for; those around a view get the words before them as their name. */
function nameSliders(el) {
  const panel = () => el.closest(".tg-studio, .tg-player");
  const name = () => {
    for (const slider of panel()?.querySelectorAll(".widget-inline-hbox") ?? []) {
      const handle = slider.querySelector(".noUi-handle:not([aria-label])");
      handle?.setAttribute("aria-label", slider.querySelector("label")?.textContent ?? "");
    }
  };
  const others = new MutationObserver(name); // they come after the view
  const placed = new ResizeObserver(() => {
    if (!panel()) return;
    placed.disconnect();
    others.observe(panel(), { childList: true, subtree: true });
    name();
  });
  placed.observe(el);
  return () => [placed, others].forEach((observer) => observer.disconnect());
}

function shape(tag, attributes, ...children) {
  return dressed(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function dressed(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true || value === false) made.toggleAttribute(name, value);
    else if (value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

// Views by the kind of their data. knobs.js, where it follows, adds one.
const kinds = { games: Games, attention: Attention, gallery: Gallery, frames: Frames, upload: Upload };
