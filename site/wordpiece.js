// 파이썬의 토크나이저와 똑같이 나누는 WordPiece (8장). 규칙은 tokenizer.json의 BertNormalizer, BertPreTokenizer, WordPiece입니다.

const SPECIAL = /\[(?:PAD|UNK|CLS|SEP|MASK)\]/g;
const REMOVED = /(?![\t\n\r])[\ufffd\p{Cc}\p{Cf}\p{Co}]/u; // 제어 문자
const SPACE = /\p{White_Space}/u;
const PUNCTUATION = /[!-/:-@[-`{-~\p{P}]/u;
const LONGEST = 100; // 이보다 긴 낱말은 통째로 [UNK]입니다.

const IDEOGRAPHS = [
  [0x4e00, 0x9fff], [0x3400, 0x4dbf], [0x20000, 0x2a6df], [0x2a700, 0x2b73f],
  [0x2b740, 0x2b81f], [0x2b920, 0x2ceaf], [0xf900, 0xfaff], [0x2f800, 0x2fa1f],
];

const isIdeograph = (code) => IDEOGRAPHS.some(([first, last]) => first <= code && code <= last);

// 글을 낱말로: 공백에서 나누고, 문장 부호와 한자는 한 글자씩 떼어 냅니다. 낱말은 [글자, 글에서의 자리]의 목록입니다.
export function words(text) {
  const found = [];
  let word = [];
  let at = 0;
  const close = () => {
    if (word.length) found.push(word);
    word = [];
  };
  for (const letter of text) {
    if (REMOVED.test(letter)) {
      // 버립니다.
    } else if (SPACE.test(letter)) close();
    else if (PUNCTUATION.test(letter) || isIdeograph(letter.codePointAt(0))) {
      close();
      found.push([[letter, at]]);
    } else word.push([letter, at]);
    at += letter.length;
  }
  close();
  return found;
}

export class WordPiece {
  constructor(vocabulary) {
    this.tokens = vocabulary.replace(/\n$/, "").split("\n");
    this.ids = new Map(this.tokens.map((token, id) => [token, id]));
  }

  // 낱말 하나를 앞에서부터 가장 긴 조각으로: [토큰, 첫 글자의 차례, 끝]의 목록. 끝까지 나누지 못하면 통째로 [UNK]입니다.
  cut(letters) {
    const unknown = [["[UNK]", 0, letters.length]];
    if (letters.length > LONGEST) return unknown;
    const pieces = [];
    for (let start = 0, end; start < letters.length; start = end) {
      for (end = letters.length; end > start; end -= 1) {
        const piece = (start ? "##" : "") + letters.slice(start, end).join("");
        if (this.ids.has(piece)) {
          pieces.push([piece, start, end]);
          break;
        }
      }
      if (end === start) return unknown;
    }
    return pieces;
  }

  // 토큰마다 { token, start, end }. 자리는 글에서 센 것이라 `text.slice(start, end)`가 그 토큰의 글자들입니다.
  pieces(text) {
    const found = [];
    let place = 0;
    const plain = (from, to) => {
      for (const word of words(text.slice(from, to))) {
        for (const [token, first, last] of this.cut(word.map(([letter]) => letter))) {
          const [letter, at] = word[last - 1];
          found.push({ token, start: from + word[first][1], end: from + at + letter.length });
        }
      }
    };
    for (const match of text.matchAll(SPECIAL)) {
      plain(place, match.index);
      place = match.index + match[0].length;
      found.push({ token: match[0], start: match.index, end: place });
    }
    plain(place, text.length);
    return found;
  }

  tokenize(text) {
    return this.pieces(text).map(({ token }) => token);
  }

  // 모델에 넣을 번호: [CLS] 글 [SEP]. 길면 뒤를 자릅니다.
  encode(text, longest) {
    const ids = this.tokenize(text).slice(0, longest - 2).map((token) => this.ids.get(token));
    return [this.ids.get("[CLS]"), ...ids, this.ids.get("[SEP]")];
  }
}
