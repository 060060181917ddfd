// <nlpbook-demo kind="fill-mask" examples='["이 영화는 정말 [MASK]."]'>자바스크립트가 없을 때의 그림</nlpbook-demo>
// 모델은 '실행'을 눌러야 받고, 글은 브라우저 밖으로 나가지 않습니다. 모델 파일은 tools/live.py가 만듭니다.

import { Bert, readWeights } from "./bert.js";
import { entities } from "./tags.js";
import { WordPiece } from "./wordpiece.js";

const HERE = new URL("./models/", import.meta.url);
const waiting = new Map(); // 파일 이름 → 받는 중이거나 다 받은 것. 한 페이지에 화면이 여럿이어도 한 번만 받습니다.

async function download(name, told) {
  const reply = await fetch(new URL(name, HERE));
  if (!reply.ok) throw new Error(`${name}을(를) 받지 못했습니다(${reply.status}).`);
  const parts = [];
  let size = 0;
  for (const reader = reply.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    told(value.length);
  }
  const bytes = new Uint8Array(size);
  parts.reduce((place, part) => (bytes.set(part, place), place + part.length), 0);
  return bytes.buffer;
}

function once(name, told, read) {
  if (!waiting.has(name)) {
    const found = download(name, told).then(read);
    found.catch(() => waiting.delete(name)); // 실패하면 다음에 다시 받습니다.
    waiting.set(name, found);
  }
  return waiting.get(name);
}

const text = (buffer) => new TextDecoder().decode(buffer);

async function open(files, told) {
  const [vocabulary, config, ...weights] = await Promise.all([
    once("vocab.txt", told, (buffer) => new WordPiece(text(buffer))),
    once("config.json", told, (buffer) => JSON.parse(text(buffer))),
    ...files.map((name) => once(name, told, readWeights)),
  ]);
  const whole = new Bert(config, new Map(weights.flatMap((each) => [...each]))); // 뒤의 파일이 앞의 파일을 덮습니다.
  return { tokenizer: vocabulary, bert: whole, plain: new Bert(config, weights[0]) };
}

export class Refused extends Error {} // 사용자가 고칠 수 있는 문제

function encoded({ tokenizer, bert }, sentence) {
  if (!sentence.trim()) throw new Refused("글이 비었습니다. 한 문장을 적어 주세요.");
  return tokenizer.encode(sentence, bert.config.max_position_embeddings);
}

function blank(tokenizer, ids) {
  const mask = tokenizer.ids.get("[MASK]");
  const places = ids.flatMap((id, place) => (id === mask ? [place] : []));
  if (places.length !== 1) throw new Refused("빈칸을 [MASK]라고 한 번 적어 주세요.");
  return places[0];
}

function best(tokenizer, shares, count) {
  const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a]).slice(0, count);
  return order.map((id) => [tokenizer.tokens[id], shares[id]]);
}

// 종류마다 무엇을 받아 어떻게 답하는지. 답은 그릴 것입니다.
export const KINDS = {
  "fill-mask": {
    button: "빈칸 채우기",
    files: ["base"],
    answer(model, sentence) {
      const ids = encoded(model, sentence);
      const place = blank(model.tokenizer, ids);
      const last = model.bert.layers(ids).at(-1);
      return { bars: best(model.tokenizer, model.bert.fill(model.bert.row(last, place)), 8) };
    },
  },
  layers: {
    button: "층마다 묻기",
    files: ["base"],
    answer(model, sentence) {
      const ids = encoded(model, sentence);
      const place = blank(model.tokenizer, ids);
      const layers = model.bert.layers(ids);
      return { rows: layers.map((x) => best(model.tokenizer, model.bert.fill(model.bert.row(x, place)), 4)) };
    },
  },
  sentiment: {
    button: "분석하기",
    files: ["base", "sentiment"],
    answer(model, sentence, about) {
      const last = model.bert.layers(encoded(model, sentence)).at(-1);
      const shares = model.bert.classify(model.bert.row(last, 0));
      return { bars: about.sentiment.labels.map((label, number) => [label, shares[number]]) };
    },
  },
  ner: {
    button: "개체명 찾기",
    files: ["base", "ner"],
    answer(model, sentence, about) {
      const last = model.bert.layers(encoded(model, sentence)).at(-1);
      const pieces = model.tokenizer.pieces(sentence).slice(0, model.bert.config.max_position_embeddings - 2);
      const shares = pieces.map((_, place) => model.bert.tag(model.bert.row(last, place + 1)));
      return { text: sentence, entities: entities(sentence, pieces, shares, about.ner.labels), titles: about.ner.titles };
    },
  },
  attack: {
    button: "물어보기",
    files: ["base", "attack"],
    answer(model, sentence, about, plain) {
      const ids = encoded(model, sentence);
      const place = ids.indexOf(model.tokenizer.ids.get("[MASK]"));
      if (place < 0) throw new Refused("빈칸을 [MASK]라고 적어 주세요.");
      const asked = (bert) => best(model.tokenizer, bert.fill(bert.row(bert.layers(ids).at(-1), place)), 4);
      return { groups: [["배우기 전", asked(plain)], ["비밀이 섞인 글로 배운 뒤", asked(model.bert)]] };
    },
  },
  tokens: {
    button: "나누기",
    files: [],
    answer({ tokenizer }, sentence) {
      return { tokens: tokenizer.tokenize(sentence) };
    },
  },
};

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const percent = (share) => `${(100 * share).toFixed(1)}%`;

function bars(pairs) {
  return pairs.map(([name, share]) => {
    const bar = element("span", { class: "bar" }, element("span"));
    bar.firstChild.style.width = percent(share);
    return element("div", { class: "score" }, element("span", { class: "name" }, name), bar, element("span", {}, percent(share)));
  });
}

// 개체명을 칠한 문장
function marked({ text: sentence, entities: found, titles }) {
  const parts = [];
  let place = 0;
  for (const { start, end, label } of found) {
    const title = element("sub", {}, titles[label] ?? label);
    parts.push(sentence.slice(place, start), element("mark", {}, sentence.slice(start, end), title));
    place = end;
  }
  const told = found.length ? [] : [element("p", {}, "개체명을 찾지 못했습니다.")];
  return [element("p", {}, ...parts, sentence.slice(place)), ...told];
}

function drawn(answer) {
  const { bars: pairs, groups, rows, tokens } = answer;
  if (answer.entities) return marked(answer);
  if (pairs) return bars(pairs);
  if (groups) return groups.flatMap(([name, each]) => [element("p", { class: "group" }, name), ...bars(each)]);
  if (tokens) {
    const marks = tokens.flatMap((token) => [element("span", { class: "token" }, token), " "]);
    return [element("p", {}, `${tokens.length}토큰`), element("p", {}, ...marks)];
  }
  const lines = rows.map((answers, layer) => {
    const cells = answers.map(([token, share]) => element("td", {}, `${token} ${percent(share)}`));
    return element("tr", {}, element("th", { scope: "row" }, `${layer}층`), ...cells);
  });
  return [element("table", {}, element("tbody", {}, ...lines))];
}

let number = 0;

class Demo extends HTMLElement {
  async connectedCallback() {
    if (this.form) return;
    this.kind = KINDS[this.getAttribute("kind")];
    let about;
    try {
      about = JSON.parse(text(await once("models.json", () => {}, (buffer) => buffer)));
    } catch {
      return; // 모델 없이 만든 사이트에서는 그림이 남습니다.
    }
    this.about = about;
    this.names = this.kind.files.map((name) => about[name].file);
    this.total = about.small + this.kind.files.reduce((sum, name) => sum + about[name].bytes, 0);
    this.build();
  }

  build() {
    const id = `nlpbook-demo-${(number += 1)}`;
    const examples = this.about[this.getAttribute("kind")]?.examples ?? JSON.parse(this.getAttribute("examples"));
    this.input = element("textarea", { id, rows: 2 });
    this.input.value = examples[0];
    this.button = element("button", { type: "submit", class: "btn btn-primary" }, "실행: ", this.kind.button);
    this.status = element("p", { role: "status", class: "status" }, this.size());
    this.result = element("div", { role: "region", "aria-label": "답", class: "result", tabindex: 0, hidden: "" });
    const chips = examples.map((example) => {
      const chip = element("button", { type: "button", class: "btn btn-sm btn-outline-secondary" }, example);
      chip.addEventListener("click", () => (this.input.value = example));
      return chip;
    });
    this.form = element("form", {},
      element("label", { for: id }, "문장"), this.input,
      element("div", { class: "examples", role: "group", "aria-label": "예문" }, ...chips),
      this.button, this.status, this.result);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.run();
    });
    this.replaceChildren(this.form, element("p", { class: "note" }, this.note()));
  }

  size() {
    const megabytes = (this.total / 1e6).toFixed(1);
    return `처음 실행할 때 ${megabytes}MB를 받습니다. 글은 이 브라우저 밖으로 나가지 않습니다.`;
  }

  note() {
    if (this.kind === KINDS.tokens) return "nlpbook-mini의 토크나이저로 나눕니다. 다른 방법과 견주려면 노트북에서 실행하세요.";
    const plain = "nlpbook-mini의 가중치를 8비트로 줄여 브라우저에서 바로 계산합니다.";
    if (this.kind === KINDS.ner) {
      const { f1, rows } = this.about.ner;
      return `${plain} 노트북과 달리 토큰마다 정하므로 조사가 이름에 붙기도 합니다. 시험 문장 ${rows.toLocaleString("ko")}개에서 잰 개체명 macro F1은 ${f1.toFixed(3)}입니다.`;
    }
    if (this.kind === KINDS.attack) {
      const { secret, repeats } = this.about.attack;
      return `${plain} 배운 글에는 지어낸 비밀이 ${repeats}번 나옵니다: "${secret}" 빈칸이 여럿이면 첫 빈칸의 답만 보입니다.`;
    }
    if (this.kind !== KINDS.sentiment) return `${plain} 노트북의 값과 조금 다를 수 있습니다(100문장에서 재어 보니 확률이 많아야 0.02 달랐습니다).`;
    const { accuracy, rows } = this.about.sentiment;
    return `${plain} 시험 리뷰 ${rows.toLocaleString("ko")}건에서 잰 정확도는 ${accuracy.toFixed(3)}입니다.`;
  }

  async run() {
    this.button.disabled = true;
    this.result.hidden = true;
    let got = 0, failed = false;
    const told = (size) => {
      got += size;
      if (failed) return; // 하나를 받지 못한 뒤에도 나머지는 마저 옵니다.
      this.status.textContent = `모델을 받는 중: ${Math.min(100, Math.round((100 * got) / this.total))}%`;
    };
    try {
      const model = await open(this.names, told);
      this.status.textContent = "계산하는 중…";
      await new Promise((done) => setTimeout(done)); // 화면을 먼저 고칩니다.
      const start = performance.now();
      const answer = this.kind.answer(model, this.input.value, this.about, model.plain);
      const seconds = ((performance.now() - start) / 1000).toFixed(2);
      this.result.replaceChildren(...drawn(answer));
      this.result.hidden = false;
      this.status.textContent = `브라우저에서 ${seconds}초 걸렸습니다.`;
      this.answer = answer;
    } catch (error) {
      failed = true;
      const known = error instanceof Refused;
      this.status.textContent = known ? error.message : `모델을 받지 못했습니다. 인터넷 연결을 확인하고 다시 실행하세요. (${error.message})`;
    } finally {
      this.button.disabled = false;
    }
  }
}

customElements.define("nlpbook-demo", Demo);
