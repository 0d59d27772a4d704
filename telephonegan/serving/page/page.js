"use strict";

const at = (id) => document.getElementById(id);
const form = at("form"), rounds = at("rounds"), status = at("status"), problem = at("problem");
let worlds = [];
let game = null;

function headers() {
  return at("token").value ? { authorization: `Bearer ${at("token").value}` } : {};
}

// The answer, or an error with the server's own words.
async function call(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } });
  if (answer.ok) return answer;
  if (answer.status === 401) at("token-field").hidden = false;
  const told = await answer.json().catch(() => null);
  throw new Error(told?.error?.message ?? `The server answered ${answer.status}.`);
}

async function showWorlds() {
  const models = await (await call("/v1/models")).json();
  worlds = models.worlds;
  at("text").maxLength = models.limits.max_text;
  at("count").max = models.limits.max_rounds;
  at("world").replaceChildren(...worlds.map(({ name }) => new Option(name, name)));
  showWorld();
}

function showWorld() {
  const world = worlds.find(({ name }) => name === at("world").value);
  at("knows").textContent = world?.knows ? `It knows ${world.knows}` : "";
  at("examples").replaceChildren(...(world?.examples ?? []).map((text) => new Option(text)));
}

function asked() {
  const body = new FormData();
  const [photo] = at("image").files;
  const text = at("text").value.trim();
  if (photo && text) throw new Error("Give either a sentence or a photograph, and clear the other.");
  if (!photo && !text) throw new Error("Type a sentence or choose a photograph.");
  body.append(photo ? "image" : "text", photo ?? text);
  if (at("world").value) {
    body.append("captioner", at("world").value);
    body.append("generator", at("world").value);
  }
  body.append("rounds", at("count").value);
  body.append("seed", at("seed").value);
  return { body, photo };
}

// Server-sent events. EventSource cannot send a token.
async function* events(path) {
  const reader = (await call(path)).body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const fields = Object.fromEntries(part.split("\n").map((line) => line.split(/: (.*)/s).slice(0, 2)));
      if (fields.event) yield { event: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

function pictureOf(round, photo) {
  const source = round.picture ?? (photo ? URL.createObjectURL(photo) : null);
  if (!source) {
    const words = document.createElement("div");
    words.className = "words";
    words.textContent = "your sentence";
    return words;
  }
  const image = document.createElement("img");
  image.src = source;
  image.alt = round.index ? `A painting of: ${rounds.lastElementChild?.dataset.caption ?? ""}` : "Your photograph";
  return image;
}

function show(round, photo) {
  const item = document.createElement("li"), figure = document.createElement("figure");
  const caption = document.createElement("figcaption"), number = document.createElement("b");
  number.textContent = round.index;
  caption.append(number, round.caption);
  if (round.dropped_words.length) {
    const note = document.createElement("small");
    note.textContent = `Not known here, so not painted: ${round.dropped_words.join(", ")}`;
    caption.append(note);
  }
  figure.append(pictureOf(round, photo), caption);
  item.dataset.caption = round.caption;
  item.append(figure);
  rounds.append(item);
  status.textContent = `Round ${round.index}: ${round.caption}`;
}

const ENDS = {
  done: "The game is over.",
  "out of words": "The game is over: the last caption holds no word that can be painted.",
  stopped: "The game was stopped.",
  failed: "The game failed.",
};

async function play() {
  const { body, photo } = asked();
  rounds.replaceChildren();
  const begun = await (await call("/v1/telephone", { method: "POST", body })).json();
  game = begun.id;
  at("stop").hidden = false;
  for await (const { event, data } of events(begun.events)) {
    if (event === "round") show(data, photo);
    else status.textContent = [ENDS[data.status] ?? data.status, data.reason].filter(Boolean).join(" ");
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.textContent = "";
  status.textContent = "Playing …";
  at("play").disabled = true;
  try {
    await play();
  } catch (error) {
    status.textContent = "";
    problem.textContent = error.message;
  } finally {
    game = null;
    at("play").disabled = false;
    at("stop").hidden = true;
  }
});

at("stop").addEventListener("click", () => game && call(`/v1/telephone/${game}`, { method: "DELETE" }).catch(() => {}));
at("world").addEventListener("change", showWorld);
at("token").addEventListener("change", () => showWorlds().catch(() => {}));
showWorlds().catch((error) => { problem.textContent = error.message; });
