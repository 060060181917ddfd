// Quarto의 찾기에 한국어를 더합니다: 조사를 떼고, 같은 뜻의 말로도 찾고, 장과 용어집을 API보다 먼저 보입니다.
// Quarto는 Fuse로 찾으므로(quarto-search.js) Fuse의 search만 감쌉니다.

const PARTICLES = [
  "으로부터", "에서부터", "에게서", "한테서", "이라는", "이라고", "이라면", "이란", "으로", "에서", "에게", "한테", "까지", "부터",
  "처럼", "보다", "마다", "조차", "이나", "이며", "하고", "이랑", "라는", "라고", "라면", "란", "은", "는", "이", "가", "을", "를",
  "의", "에", "도", "만", "와", "과", "로", "나", "랑",
];

// 같은 뜻이거나 자주 틀리게 적는 말의 묶음. 첫째가 이 교재에서 쓰는 말입니다.
const SAME = [
  ["토크나이저", "토크나이져", "토큰화", "토크나이징", "tokenizer", "tokenization"],
  ["부분 낱말", "서브워드", "subword"],
  ["사전학습", "프리트레인", "프리트레이닝", "사전 학습", "pretraining", "pre-training"],
  ["미세 조정", "파인튜닝", "파인 튜닝", "미세조정", "fine-tuning", "finetuning"],
  ["개체명", "객체명", "ner"],
  ["질의응답", "기계 독해", "기계독해", "질의 응답", "mrc", "qa"],
  ["자연어 추론", "함의", "nli"],
  ["문서 분류", "감성 분석", "감정 분석", "텍스트 분류", "sentiment"],
  ["문장 생성", "글쓰기", "텍스트 생성", "generation"],
  ["문서 검색", "정보 검색", "retrieval"],
  ["어텐션", "주의 집중", "셀프 어텐션", "attention"],
  ["임베딩", "임베드", "embedding"],
  ["트랜스포머", "트렌스포머", "transformer"],
  ["빈칸", "마스크", "mlm", "fill-mask"],
  ["학습률", "러닝레이트", "러닝 레이트", "learning rate"],
  ["에폭", "에포크", "epoch"],
  ["손실", "로스", "loss"],
  ["과적합", "오버피팅", "overfitting"],
  ["드롭아웃", "드랍아웃", "dropout"],
  ["양자화", "퀀타이제이션", "quantization"],
  ["배포", "서빙", "deploy", "serving"],
  ["기준선", "베이스라인", "baseline"],
  ["코랩", "콜랩", "colab"],
  ["말뭉치", "코퍼스", "corpus"],
  ["혼동 행렬", "오차 행렬", "confusion matrix"],
];

// 찾는 말에서 나온 말들. 적은 그대로가 먼저이고, 조사를 뗀 것과 같은 뜻의 말이 뒤따릅니다.
export function variants(query) {
  const plain = query.trim().toLowerCase();
  const found = new Set([plain]);
  for (const particle of PARTICLES) {
    const stem = plain.slice(0, -particle.length);
    if (plain.endsWith(particle) && /[가-힣a-z\d]{2}$/.test(stem)) found.add(stem);
  }
  for (const word of [...found]) {
    for (const group of SAME.filter((each) => each.includes(word))) group.forEach((each) => found.add(each));
  }
  return [...found];
}

// 장과 용어집(0), 그 밖의 글(1), 패키지 안쪽(2), API(3)
export function rank(href) {
  if (/^nbs\/\d\d_|^pages\/glossary/.test(href)) return 0;
  if (href.startsWith("api/")) return 3;
  return href.startsWith("nbs/") ? 2 : 1;
}

const lowered = new WeakMap(); // 문서 → 소문자로 바꾼 제목과 글. 글자를 칠 때마다 다시 바꾸지 않습니다.

function contents(doc) {
  if (!lowered.has(doc)) {
    lowered.set(doc, { title: `${doc.title} ${doc.section ?? ""}`.toLowerCase(), text: (doc.text ?? "").toLowerCase() });
  }
  return lowered.get(doc);
}

// Fuse가 비슷하다고 본 `similar`에, 찾는 말의 어느 꼴이든 나오는 문서를 보태어 차례를 매깁니다. 낱말이 여럿이면 모두 나오는 문서도 찾습니다.
export function gather(docs, similar, query) {
  const whole = variants(query);
  const words = query.trim().split(/\s+/).map(variants);
  const found = new Map(similar.map((result) => [result.refIndex, result]));
  const titled = new Set();
  docs.forEach((item, refIndex) => {
    const { title, text } = contents(item);
    const has = (word) => title.includes(word) || text.includes(word);
    const score = whole.some(has) ? 0.01 : words.every((each) => each.some(has)) ? 0.05 : null;
    if (score !== null && !(found.get(refIndex)?.score <= score)) found.set(refIndex, { item, refIndex, score });
    if (whole.some((word) => title.includes(word))) titled.add(refIndex);
  });
  return [...found.values()].sort((a, b) =>
    rank(a.item.href) - rank(b.item.href) || titled.has(b.refIndex) - titled.has(a.refIndex) || a.score - b.score);
}

export function improve(Fuse) {
  const plain = Fuse.prototype.search;
  Fuse.prototype.search = function search(query, options = {}) {
    const { limit = -1, ...rest } = options;
    if (typeof query !== "string" || !query.trim() || !this._docs) return plain.call(this, query, options);
    return gather(this._docs, plain.call(this, query, rest), query).slice(0, limit > 0 ? limit : undefined);
  };
}

if (window.Fuse) improve(window.Fuse);
