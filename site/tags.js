// 토큰마다의 태그 확률에서 개체명을 고릅니다(4장). I-종류는 같은 종류의 B나 I 다음에만 올 수 있습니다.

// 규칙에 맞는 태그의 열 가운데 로그 확률의 합이 가장 높은 것 (비터비)
export function bestPath(shares, names) {
  const may = (before, tag) => !names[tag].startsWith("I-") ||
    (before !== null && names[before] !== "O" && names[before].slice(2) === names[tag].slice(2));
  const tags = [...names.keys()];
  let best = null;
  const came = shares.map((row) => {
    const from = [];
    const next = tags.map((tag) => {
      let top = best === null ? (may(null, tag) ? 0 : -Infinity) : -Infinity;
      for (const before of best === null ? [] : tags) {
        if (may(before, tag) && best[before] > top) [top, from[tag]] = [best[before], before];
      }
      return top + Math.log(row[tag]);
    });
    best = next;
    return from;
  });
  const path = [];
  let tag = best === null ? 0 : best.indexOf(Math.max(...best));
  for (let step = shares.length - 1; step >= 0; step -= 1) {
    path.unshift(tag);
    tag = came[step][tag];
  }
  return path;
}

// { text, label, start, end, score }의 목록. 점수는 고른 태그의 확률의 평균입니다.
export function entities(text, pieces, shares, names) {
  const found = [];
  bestPath(shares, names).forEach((tag, place) => {
    const [kind, label] = [names[tag][0], names[tag].slice(2)];
    if (kind === "B") found.push({ label, start: pieces[place].start, tokens: [] });
    if (kind === "O") return;
    Object.assign(found.at(-1), { end: pieces[place].end });
    found.at(-1).tokens.push(shares[place][tag]);
  });
  return found.map(({ tokens, ...each }) => ({
    ...each,
    text: text.slice(each.start, each.end),
    score: tokens.reduce((a, b) => a + b) / tokens.length,
  }));
}
