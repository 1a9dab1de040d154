// The page side of the token highlighter: sends the typed text and draws the rows that Python computed.
// Text reaches the page through textContent only, so typed text cannot become HTML.

const UNDER = ["id", "bytes", "nothing"];

function element(tag, className = "", text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

function tokenElement(token, index) {
  const root = element("span", `ct-token ct-${index % 6}`);
  root.title = `id ${token.id} · ${token.bytes}`;
  const face = element("bdi", "ct-face");
  face.append(...token.parts.map((part) => element("span", `ct-${part.kind}`, part.text)));
  root.append(face, element("span", "ct-under ct-id", token.id), element("span", "ct-under ct-hex", token.bytes));
  return root;
}

function summary(row) {
  const plural = row.count === 1 ? "" : "s";
  const [count, bytes] = [row.count, row.bytes].map((number) => number.toLocaleString("en"));
  return `${count} token${plural} · ${bytes} bytes · ${row.ratio.toFixed(2)} bytes/token`;
}

function rowElement(row) {
  const root = element("section", "ct-row");
  const header = element("header");
  header.append(element("b", "", row.name), element("span", "ct-count", row.error ? "" : summary(row)));
  const line = element("div", row.error ? "ct-line ct-error" : "ct-line", row.error);
  row.tokens.forEach((token, index) => {
    line.append(tokenElement(token, index));
    if (token.breaks) line.append(document.createElement("br"));
  });
  const hidden = row.count - row.tokens.length;
  if (hidden > 0) line.append(element("span", "ct-more", `… and ${hidden.toLocaleString("en")} more tokens`));
  root.append(header, line);
  return root;
}

function button(label, press) {
  const node = element("button", "", label);
  node.type = "button";
  node.addEventListener("click", press);
  return node;
}

function render({ model, el }) {
  const root = element("div", "course-tokens");
  root.dataset.under = "id";
  // The notebook would treat arrow keys, Enter and letters as commands.
  root.addEventListener("keydown", (event) => event.stopPropagation());

  const input = element("textarea");
  input.setAttribute("aria-label", "Text to tokenize");
  input.spellcheck = false;
  input.value = model.get("text");
  const send = () => {
    model.set("text", input.value);
    model.save_changes();
  };
  input.addEventListener("input", send);

  const tools = element("div", "ct-tools");
  const samples = model.get("samples");
  if (samples.length > 1) {
    tools.append(...samples.map((sample) => button(sample, () => { input.value = sample; send(); })));
  }
  const choices = UNDER.map((name) => button(name, () => choose(name)));
  const choose = (name) => {
    root.dataset.under = name;
    choices.forEach((choice) => choice.setAttribute("aria-pressed", choice.textContent === name));
  };
  choose("id");
  const below = element("span", "ct-below", "below each token:");
  below.append(...choices);
  tools.append(element("span", "ct-gap"), below);

  const rows = element("div");
  rows.setAttribute("aria-live", "polite");
  const draw = () => rows.replaceChildren(...model.get("rows").map(rowElement));
  // For changes from Python. While the reader types, the box is newer than any delayed echo.
  const follow = () => { if (input.getRootNode().activeElement !== input) input.value = model.get("text"); };
  model.on("change:rows", draw);
  model.on("change:text", follow);
  draw();

  root.append(input, tools, rows);
  el.append(root);
  return () => {
    model.off("change:rows", draw);
    model.off("change:text", follow);
  };
}

export default { render };
