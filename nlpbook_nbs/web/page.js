"use strict";
// 받은 글은 모두 textContent로만 넣습니다. 글에 든 HTML은 글자로 보이고 실행되지 않습니다.
const $ = (id) => document.getElementById(id);
const base = location.pathname.endsWith("/") ? location.pathname : location.pathname + "/";

function make(tag, text, ...children) {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = text;
  node.append(...children);
  return node;
}

function bar(name, share) {
  const fill = make("i");
  fill.style.width = Math.max(0, Math.min(100, share)) + "%";
  const row = make("div", null, make("span", name), make("span", null, fill));
  row.className = "bar";
  return row;
}

const hidden = ["id", "source", "scores"];  // 표에는 두지 않고 '받은 JSON'에서 봅니다.

function cell(value) {
  const text = shown(value), node = make("td", text);
  if (text.length < 16) node.className = "short";
  return node;
}

function table(caption, rows) {
  const all = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const names = all.filter((name) => !hidden.includes(name) && !(all.includes("passage") && /^(start|end)$/.test(name)));
  const head = make("tr", null, make("th", "#"), ...names.map((name) => make("th", titles[name] || name)));
  for (const cell of head.children) cell.scope = "col";
  const lines = rows.map((row, place) =>
    make("tr", null, cell(place + 1), ...names.map((name) => cell(row[name]))));
  const box = make("div", null,
    make("table", null, make("caption", caption), make("thead", null, head), make("tbody", null, ...lines)));
  box.className = "wide";
  return box;
}

const titles = {
  token: "토큰", predicted_tag: "태그", top_prob: "확률", passage: "문서", score: "점수",
  text: "글", label: "레이블", start: "시작", end: "끝", title: "제목",
};
const shown = (value) =>
  typeof value === "number" && !Number.isInteger(value) ? value.toFixed(4)
    : typeof value === "object" && value !== null ? JSON.stringify(value) : String(value ?? "");

function marked(text, spans) {
  const line = make("p"), letters = Array.from(text);  // 파이썬처럼 글자(코드 포인트)로 셉니다.
  let place = 0;
  for (const span of spans) {
    line.append(letters.slice(place, span.start).join(""), make("mark", letters.slice(span.start, span.end).join("")));
    place = span.end;
  }
  line.append(letters.slice(place).join(""));
  return line;
}

function draw(answer) {
  if (answer === null || typeof answer !== "object") return [make("p", shown(answer))];
  const nodes = [];
  const widths = Object.keys(answer).filter((name) => name.endsWith("_width"));
  for (const name of ["sentence", "premise", "hypothesis"])
    if (typeof answer[name] === "string") nodes.push(make("p", answer[name]));
  const verdict = answer.prediction ?? answer.label ?? (answer.labels && (answer.labels.join(", ") || "해당 없음"));
  if (verdict !== undefined) nodes.push(make("p", null, make("strong", verdict)));
  for (const name of widths) {
    const data = name.replace("_width", "_data");
    nodes.push(bar(answer[data] ?? name, parseFloat(answer[name])));
  }
  if (answer.scores) {
    const order = Object.entries(answer.scores).sort((a, b) => b[1] - a[1]);
    for (const [name, share] of order) nodes.push(bar(`${name} ${(100 * share).toFixed(1)}%`, 100 * share));
  }
  if ("answer" in answer) {
    nodes.push(make("p", null, make("strong", answer.answer || answer.message || "답을 찾지 못했습니다.")));
    const context = answer.context ?? answer.passage ?? ($("context") && $("context").value);
    if (answer.answer && context && Number.isInteger(answer.start))
      nodes.push(marked(context, [answer]));
  }
  if (Array.isArray(answer.entities)) {
    nodes.push(marked(answer.text, answer.entities));
    nodes.push(table("개체명", answer.entities));
  }
  if (Array.isArray(answer.results))
    nodes.push(answer.results.length ? table("찾은 글", answer.results) : make("p", "찾은 글이 없습니다."));
  if (Array.isArray(answer.result)) nodes.push(table("결과", answer.result));
  else if ("result" in answer) nodes.push(make("p", shown(answer.result)));
  if (verdict === undefined && nodes.length === 0 && typeof answer.score === "number")
    nodes.push(make("p", null, make("strong", shown(answer.score))));
  const details = make("details", null, make("summary", "받은 JSON"), make("pre", JSON.stringify(answer, null, 2)));
  return [...nodes, details];
}

function body() {
  const values = {};
  for (const input of $("form").querySelectorAll("[data-kind]")) {
    if (input.dataset.kind === "text") values[input.id] = input.value;
    else if (input.value.trim() !== "") values[input.id] = Number(input.value);
  }
  const names = Object.keys(values);
  return $("form").querySelectorAll("[data-kind]").length === 1 ? values[names[0]] : values;
}

function tell(text, keep) {
  $("answer").hidden = !keep;  // 앞서 보인 답을 새로 물은 것의 답으로 읽지 않게 합니다.
  $("problem").textContent = text;
  $("problem").hidden = false;
  $("problem").focus();
}

async function follow(reply) {
  const line = make("p"), reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  $("answer").replaceChildren(line);
  $("answer").hidden = false;
  for (let rest = "", done = false, value; !done; ) {
    ({ done, value } = await reader.read());
    const parts = (rest + (value || "")).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const found = JSON.parse(part.slice("data: ".length));
      if (found.error) tell(found.error.message, true);
      else line.textContent = found.result ?? line.textContent + found.piece;
    }
  }
}

async function ask() {
  const headers = { "Content-Type": "application/json", Accept: "text/event-stream, application/json" };
  if ($("key")) headers["X-API-Key"] = $("key").value;
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 60000);
  try {
    const reply = await fetch(base + "api", { method: "POST", headers, body: JSON.stringify(body()), signal: stop.signal });
    if ((reply.headers.get("content-type") || "").startsWith("text/event-stream")) return await follow(reply);
    const found = await reply.json();
    if (!reply.ok) return tell(found.error ? found.error.message : `오류 ${reply.status}`);
    $("answer").replaceChildren(...draw(found));
    $("answer").hidden = false;
  } catch (error) {
    tell(error.name === "AbortError" ? "60초가 지나도 답이 오지 않았습니다. 잠시 뒤에 다시 해 보세요."
      : "서버에 닿지 못했습니다. 서버가 멈추지 않았는지 확인하고 다시 해 보세요.");
  } finally {
    clearTimeout(timer);
  }
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("run").disabled = true;
  $("state").textContent = "답을 찾고 있습니다…";
  $("problem").hidden = true;
  await ask();
  $("run").disabled = false;
  $("state").textContent = "";
});
$("form").addEventListener("keydown", (event) => {
  const quick = event.target.dataset && event.target.dataset.enter !== undefined;
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && quick) {
    event.preventDefault();
    $("form").requestSubmit();
  }
});
