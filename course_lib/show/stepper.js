// The page side of the merge stepper. The states of training are computed in Python, and the reader's word is encoded here,
// so that everything works without a kernel. A token is the hexadecimal of its bytes ("6c6f" is "lo") until it is displayed.
// Text reaches the page through textContent only, so typed text cannot become HTML.

const MAX_LISTED = 60;  // merges of a list that are displayed one by one
const BAR_PIXELS = 110;
const MARKS = { "\n": "↵", "\r": "␍", "\t": "⇥" };
const STEPS = [["First", "|◀"], ["Back", "◀"], ["Next", "▶"], ["Last", "▶|"]];

// --- byte-level BPE ---------------------------------------------------------------------------------------------------

const hexOf = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"));
const bytesOf = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (digits) => parseInt(digits, 16));
const keyOf = (left, right) => `${left}+${right}`;

// The states of encoding one pre-token, as in course_lib.show.replay.encoding_states: merge the first occurrence of the
// pair with the lowest rank, then search again.
function encodingStates(word, merges) {
  const ranks = new Map(merges.map(([left, right], rank) => [keyOf(left, right), rank]));
  let tokens = hexOf(new TextEncoder().encode(word));
  const states = [];
  for (;;) {
    const gaps = tokens.slice(1).map((right, index) => ranks.get(keyOf(tokens[index], right)));
    const present = [...new Set(gaps.filter((rank) => rank !== undefined))].sort((a, b) => a - b);
    states.push({ tokens, gaps, present });
    if (present.length === 0) return states;
    const place = gaps.indexOf(present[0]);
    tokens = [...tokens.slice(0, place), tokens[place] + tokens[place + 1], ...tokens.slice(place + 2)];
  }
}

// The places where a pair is merged, from left to right without overlap.
function places(tokens, [left, right]) {
  const found = [];
  tokens.forEach((token, index) => {
    if (token === left && tokens[index + 1] === right && found.at(-1) !== index - 1) found.push(index);
  });
  return found;
}

// --- tokens on the page -----------------------------------------------------------------------------------------------

// As course_lib.show.segments.parts_of: text, marks for invisible characters, bytes that do not form a character.
function partsOf(hex) {
  const bytes = bytesOf(hex);
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const parts = [];
  const add = (kind, text) => {
    const last = parts.at(-1);
    if (kind !== "mark" && last?.kind === kind) last.text += kind === "bytes" ? ` ${text}` : text;
    else parts.push({ kind, text });
  };
  for (let index = 0; index < bytes.length;) {
    const lead = bytes[index];
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    try {
      const character = decoder.decode(bytes.subarray(index, index + length));
      const point = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      if (MARKS[character]) add("mark", MARKS[character]);
      else if (/^[\p{C}\p{Zl}\p{Zp}]$/u.test(character)) add("mark", `⟨U+${point}⟩`);
      else add("text", character);
      index += length;
    } catch {
      add("bytes", lead.toString(16).toUpperCase().padStart(2, "0"));
      index += 1;
    }
  }
  return parts.map(({ kind, text }) => ({ kind, text: kind === "bytes" ? `⟨${text}⟩` : text }));
}

const face = (hex) => partsOf(hex).map((part) => part.text).join("");
const plural = (noun, count) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

function element(tag, className = "", ...children) {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...children);  // a string becomes a text node
  return node;
}

function tokenElement(hex, className = "") {
  const parts = partsOf(hex).map(({ kind, text }) => element("span", `ms-${kind}`, text));
  const node = element("bdi", `ms-token ${className}`, ...parts);
  node.title = hex.toUpperCase().match(/../g).join(" ");
  return node;
}

const pairElement = ([left, right]) => element("span", "ms-pair", tokenElement(left), " + ", tokenElement(right));

// --- training ---------------------------------------------------------------------------------------------------------

function wordElement(tokens, next, made) {
  const starts = next ? places(tokens, next) : [];
  const chosen = new Set(starts.flatMap((place) => [place, place + 1]));
  const classOf = (token, index) => `${token === made ? "ms-new" : ""} ${chosen.has(index) ? "ms-chosen" : ""}`;
  return element("span", "ms-word", ...tokens.map((token, index) => tokenElement(token, classOf(token, index))));
}

function trainingFrame(states, learned, step) {
  const state = states[step];
  const next = step < states.length - 1 ? state.pairs[0].pair : null;
  const made = step > 0 ? learned[step - 1].join("") : null;
  const words = state.words.map(({ tokens, count }) =>
    element("div", "ms-row", element("span", "ms-count", `${count} ×`), wordElement(tokens, next, made)));
  if (state.more_words) words.push(element("div", "ms-more", `… and ${plural("more word", state.more_words)}`));
  const highest = state.pairs[0]?.count;
  const pairs = state.pairs.map(({ pair, count }, index) => {
    const bar = element("span", "ms-bar");
    bar.style.width = `${Math.round((BAR_PIXELS * count) / highest)}px`;
    const tied = count === highest && (index > 0 || state.pairs[1]?.count === highest);
    const row = element("div", "ms-row", pairElement(pair), element("span", "ms-count", `${count}`), bar,
      element("span", "ms-note", tied ? "tied" : ""));
    if (next && index === 0) row.classList.add("ms-next");
    return row;
  });
  if (state.more_pairs) pairs.push(element("div", "ms-more", `… and ${plural("more pair", state.more_pairs)}`));
  return {
    say: state.say,
    titles: ["Corpus", "Pairs by count", `Merges learned: ${step}`],
    left: words,
    right: pairs.length ? pairs : [element("div", "ms-more", "no pair is left")],
    merges: learned.slice(0, step).map((pair, rank) => mergeElement(pair, rank, rank === step - 1 ? "ms-now" : "")),
  };
}

function mergeElement(pair, rank, className) {
  return element("span", `ms-merge ${className}`, element("span", "ms-rank", `${rank}`), pairElement(pair));
}

// --- encoding ---------------------------------------------------------------------------------------------------------

// The word after so many merges, with the rank of each pair between its tokens.
function historyElement(states, index, last) {
  const { tokens, gaps, present } = states[index];
  const place = gaps.indexOf(present[0]);
  const before = index > 0 ? states[index - 1] : null;
  const made = before ? before.gaps.indexOf(before.present[0]) : -1;
  const word = element("span", "ms-word");
  tokens.forEach((token, position) => {
    const chosen = present.length > 0 && (position === place || position === place + 1);
    word.append(tokenElement(token, `${position === made ? "ms-new" : ""} ${chosen ? "ms-chosen" : ""}`));
    if (position < gaps.length) {
      const gap = element("span", "ms-gap", `${gaps[position] ?? "·"}`);
      if (present.length > 0 && position === place) gap.classList.add("ms-best");
      word.append(gap);
    }
  });
  return element("div", `ms-row ${last ? "ms-current" : ""}`, element("span", "ms-count", `${index}`), word);
}

function candidateElements(states, merges, step) {
  const { tokens, present } = states[step];
  const rows = present.map((rank, index) => {
    const count = places(tokens, merges[rank]).length;
    const note = count > 1 ? `${count} places` : "";
    const row = element("div", "ms-row", element("span", "ms-rank", `${rank}`), pairElement(merges[rank]),
      element("span", "ms-note", note));
    if (index === 0) row.classList.add("ms-next");
    return row;
  });
  return [...rows, ...goneRanks(states, step).map((rank) =>
    element("div", "ms-row ms-gone", element("span", "ms-rank", `${rank}`), pairElement(merges[rank]),
      element("span", "ms-note", "gone")))];
}

// Candidates of the state before that were not merged and exist no more.
function goneRanks(states, step) {
  if (step === 0) return [];
  return states[step - 1].present.slice(1).filter((rank) => !states[step].present.includes(rank));
}

function encodingFrame(states, list, step) {
  const { tokens, present } = states[step];
  const { merges, name } = list;
  const applied = states.slice(0, step).map((state) => state.present[0]);
  const classOf = (rank) =>
    rank === present[0] ? "ms-now" : applied.includes(rank) ? "ms-applied" : present.includes(rank) ? "ms-present" : "";
  const listed = merges.length <= MAX_LISTED ? merges.map((_, rank) => rank) : [...new Set(applied)];
  const candidates = candidateElements(states, merges, step);
  return {
    say: sayEncoding(states, merges, step),
    titles: [
      "Word, and the rank of each pair in it",
      "Pairs that are in the list, by rank",
      merges.length <= MAX_LISTED ? `Merge list: ${name}` : `Applied so far, of ${plural("merge", merges.length)}`,
    ],
    left: tokens.length ? states.slice(0, step + 1).map((_, index) => historyElement(states, index, index === step)) : [],
    right: candidates.length ? candidates : [element("div", "ms-more", "none")],
    merges: listed.map((rank) => mergeElement(merges[rank], rank, classOf(rank))),
  };
}

function sayEncoding(states, merges, step) {
  const { tokens, present } = states[step];
  const name = (rank) => merges[rank].map(face).join(" + ");
  if (tokens.length === 0) return "Type a word.";
  const gone = goneRanks(states, step);
  const lost = gone.length
    ? `${gone.map(name).join(", ")} ${gone.length === 1 ? "is" : "are"} gone: one of its tokens was merged. `
    : "";
  if (present.length === 0) return `${lost}No pair in the word is in the merge list. Done: ${plural("token", tokens.length)}.`;
  if (present.length === 1) return `${lost}One candidate: ${name(present[0])}, rank ${present[0]}.`;
  return `${lost}${present.length} candidates. The lowest rank is merged next: ${name(present[0])}, rank ${present[0]}.`;
}

// --- the widget -------------------------------------------------------------------------------------------------------

function button(label, content, press) {
  const node = element("button", "", content);
  node.type = "button";
  node.setAttribute("aria-label", label);
  node.title = label;
  node.addEventListener("click", press);
  return node;
}

function panel(label) {
  const title = element("div", "ms-title");  // a heading would enter JupyterLab's table of contents
  const body = element("div", "ms-panel");
  body.tabIndex = 0;  // it scrolls, so it must be reachable by keyboard
  body.setAttribute("role", "region");
  body.setAttribute("aria-label", label);
  return { title, body, section: element("section", "", title, body) };
}

function render({ model, el }) {
  const lists = model.get("lists");
  const training = model.get("training");
  const samples = model.get("samples");
  const learned = lists.at(-1).merges;
  const view = { mode: "training", step: { training: 0, encoding: 0 }, word: model.get("word"), list: 0, encoding: [] };

  const modes = ["training", "encoding"].map((mode) => {
    const label = mode === "training" ? "Training" : "Encoding";
    return button(label, label, () => { view.mode = mode; draw(); });
  });
  const slider = element("input", "ms-slider");
  Object.assign(slider, { type: "range", min: 0, step: 1 });
  slider.setAttribute("aria-label", "Merges done");
  slider.addEventListener("input", () => go(Number(slider.value)));
  const buttons = STEPS.map(([name, sign]) => button(`${name} step`, sign, () => go(target(name))));
  const position = element("span", "ms-position");
  const reset = button("Reset", "Reset", () => { view.step = { training: 0, encoding: 0 }; start(samples[0]); });

  const input = element("input", "ms-input");
  Object.assign(input, { type: "text", maxLength: 64, spellcheck: false, autocomplete: "off" });
  input.setAttribute("aria-label", "Word to encode");
  input.addEventListener("input", () => { view.word = input.value; encode(); });
  const choice = element("select", "", ...lists.map((list, index) => {
    const option = element("option", "", list.name);
    option.value = index;
    return option;
  }));
  choice.setAttribute("aria-label", "Merge list");
  choice.addEventListener("change", () => { view.list = Number(choice.value); encode(); });
  const examples = samples.map((sample) => button(`Encode ${sample.word}`, sample.word, () => start(sample)));
  const rule = element("span", "ms-rule", "Count the pairs, merge the most frequent one everywhere, count again.");
  const tools = element("div", "ms-tools", rule, input, element("label", "", "merges ", choice), ...examples);

  const say = element("div", "ms-say");
  say.setAttribute("aria-live", "polite");
  const [left, right, bottom] = [panel("Tokens"), panel("Pairs"), panel("Merges")];
  bottom.section.classList.add("ms-bottom");

  const root = element("div", "course-stepper",
    element("div", "ms-tools", ...modes, element("span", "ms-space"), ...buttons.slice(0, 2), slider, ...buttons.slice(2),
      position, reset),
    tools, say, element("div", "ms-stage", left.section, right.section), bottom.section);

  const count = () => (view.mode === "training" ? training.length : view.encoding.length) - 1;
  const target = (name) => {
    const now = view.step[view.mode];
    return { First: 0, Back: now - 1, Next: now + 1, Last: count() }[name];
  };
  const go = (step) => { view.step[view.mode] = Math.max(0, Math.min(count(), step)); draw(); };
  const encode = () => {
    view.encoding = encodingStates(view.word, lists[view.list].merges);
    view.step.encoding = 0;
    draw();
  };
  const start = (sample) => {
    [view.word, view.list] = [sample.word, sample.list];
    [input.value, choice.value] = [sample.word, sample.list];
    encode();
  };

  function draw() {
    const step = view.step[view.mode];
    const frame = view.mode === "training"
      ? trainingFrame(training, learned, step)
      : encodingFrame(view.encoding, lists[view.list], step);
    root.dataset.mode = view.mode;
    modes.forEach((mode) => mode.setAttribute("aria-pressed", mode.textContent.toLowerCase() === view.mode));
    [slider.max, slider.value] = [count(), step];
    slider.setAttribute("aria-valuetext", `${step} of ${plural("merge", count())} done`);
    // Not the disabled attribute: it would take the keyboard focus away at both ends.
    buttons.forEach((node, index) => node.setAttribute("aria-disabled", index < 2 ? step === 0 : step === count()));
    position.textContent = `merge ${step} of ${count()}`;
    say.textContent = frame.say;
    [left, right, bottom].forEach(({ title }, index) => { title.textContent = frame.titles[index]; });
    left.body.replaceChildren(...frame.left);
    right.body.replaceChildren(...frame.right);
    bottom.body.replaceChildren(...frame.merges);
    if (view.mode === "encoding") left.body.scrollTop = left.body.scrollHeight;
    bottom.body.querySelector(".ms-now")?.scrollIntoView?.({ block: "nearest", inline: "nearest" });
  }

  root.addEventListener("keydown", (event) => {
    event.stopPropagation();  // the notebook would treat arrow keys and letters as commands
    if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    const name = { Home: "First", ArrowLeft: "Back", ArrowRight: "Next", End: "Last" }[event.key];
    if (!name) return;
    event.preventDefault();
    go(target(name));
  });
  const follow = () => { view.word = input.value = model.get("word"); encode(); };
  model.on("change:word", follow);
  start({ ...samples[0], word: view.word });
  el.append(root);
  return () => model.off("change:word", follow);
}

export default { render };
