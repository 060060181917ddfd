// 브라우저에서 도는 BERT. 9장에서 손으로 만든 계산을 그대로 옮긴 것이라 라이브러리가 필요 없습니다.
// 가중치는 nlpbook_nbs.core.storage의 pack_weights가 줄마다 8비트로 담은 safetensors 파일입니다.

// 파일을 {이름: Float32Array}로. 8비트로 담은 행렬은 줄마다 배율을 곱해 되돌립니다.
export function readWeights(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const raw = (name) => {
    const { dtype, data_offsets: [begin, end] } = header[name];
    const bytes = buffer.slice(8 + length + begin, 8 + length + end);
    return dtype === "I8" ? new Int8Array(bytes) : new Float32Array(bytes);
  };
  const found = new Map();
  for (const name of Object.keys(header)) {
    if (name === "__metadata__" || name.endsWith(".scale")) continue;
    const values = raw(name);
    if (header[name].dtype !== "I8") {
      found.set(name, values);
      continue;
    }
    const [rows, columns] = header[name].shape;
    const scale = raw(name + ".scale");
    const weight = new Float32Array(values.length);
    for (let row = 0, place = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1, place += 1) weight[place] = values[place] * scale[row];
    }
    found.set(name, weight);
  }
  return found;
}

// 선형층: x (줄, 입력) → (줄, 출력). 가중치는 파이토치처럼 (출력, 입력)입니다.
function linear(x, weight, bias) {
  const outputs = bias.length;
  const inputs = weight.length / outputs;
  const rows = x.length / inputs;
  const y = new Float32Array(rows * outputs);
  for (let out = 0; out < outputs; out += 1) {
    const from = out * inputs;
    for (let row = 0; row < rows; row += 1) {
      const start = row * inputs;
      let a = 0, b = 0, c = 0, d = 0;
      for (let k = 0; k < inputs; k += 4) {
        a += x[start + k] * weight[from + k];
        b += x[start + k + 1] * weight[from + k + 1];
        c += x[start + k + 2] * weight[from + k + 2];
        d += x[start + k + 3] * weight[from + k + 3];
      }
      y[row * outputs + out] = a + b + c + d + bias[out];
    }
  }
  return y;
}

function layerNorm(x, gain, bias, epsilon) {
  const width = gain.length;
  for (let start = 0; start < x.length; start += width) {
    const row = x.subarray(start, start + width);
    let mean = 0, variance = 0;
    for (const value of row) mean += value / width;
    for (const value of row) variance += (value - mean) ** 2 / width;
    const scale = 1 / Math.sqrt(variance + epsilon);
    for (let k = 0; k < width; k += 1) row[k] = (row[k] - mean) * scale * gain[k] + bias[k];
  }
  return x;
}

// 오차 함수의 어림식 (Abramowitz와 Stegun, 식 7.1.26). 오차는 1.5e-7을 넘지 않습니다.
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - tail * Math.exp(-x * x));
}

const gelu = (x) => x.map((value) => 0.5 * value * (1 + erf(value / Math.SQRT2)));

export function softmax(scores) {
  const most = scores.reduce((a, b) => Math.max(a, b));
  const grown = scores.map((score) => Math.exp(score - most));
  const total = grown.reduce((a, b) => a + b);
  return grown.map((value) => value / total);
}

export class Bert {
  constructor(config, weights) {
    this.config = config;
    this.weights = weights;
  }

  dense(x, name) {
    return linear(x, this.weights.get(`${name}.weight`), this.weights.get(`${name}.bias`));
  }

  norm(x, name) {
    const [gain, bias] = ["weight", "bias"].map((part) => this.weights.get(`${name}.LayerNorm.${part}`));
    return layerNorm(x, gain, bias, this.config.layer_norm_eps);
  }

  embed(ids) {
    const width = this.config.hidden_size;
    const [words, places, kinds] = ["word", "position", "token_type"].map((name) =>
      this.weights.get(`bert.embeddings.${name}_embeddings.weight`));
    const x = new Float32Array(ids.length * width);
    ids.forEach((id, place) => {
      for (let k = 0; k < width; k += 1) {
        x[place * width + k] = words[id * width + k] + places[place * width + k] + kinds[k];
      }
    });
    return this.norm(x, "bert.embeddings");
  }

  attend(x, name) {
    const { hidden_size: width, num_attention_heads: heads } = this.config;
    const [q, k, v] = ["query", "key", "value"].map((part) => this.dense(x, `${name}.self.${part}`));
    const rows = x.length / width, size = width / heads;
    const mixed = new Float32Array(x.length);
    for (let head = 0; head < heads; head += 1) {
      for (let row = 0; row < rows; row += 1) {
        const scores = new Float32Array(rows);
        for (let other = 0; other < rows; other += 1) {
          let total = 0;
          for (let c = 0; c < size; c += 1) {
            total += q[row * width + head * size + c] * k[other * width + head * size + c];
          }
          scores[other] = total / Math.sqrt(size);
        }
        softmax(scores).forEach((share, other) => {
          for (let c = 0; c < size; c += 1) {
            mixed[row * width + head * size + c] += share * v[other * width + head * size + c];
          }
        });
      }
    }
    return this.dense(mixed, `${name}.output.dense`);
  }

  // 임베딩과 층마다의 벡터들: [(토큰, 너비), …]
  layers(ids) {
    const found = [this.embed(ids)];
    const plus = (a, b) => a.map((value, place) => value + b[place]);
    for (let layer = 0; layer < this.config.num_hidden_layers; layer += 1) {
      const x = found[found.length - 1];
      const name = `bert.encoder.layer.${layer}`;
      const attended = this.norm(plus(x, this.attend(x, `${name}.attention`)), `${name}.attention.output`);
      const inner = gelu(this.dense(attended, `${name}.intermediate.dense`));
      found.push(this.norm(plus(attended, this.dense(inner, `${name}.output.dense`)), `${name}.output`));
    }
    return found;
  }

  row(x, place) {
    return x.slice(place * this.config.hidden_size, (place + 1) * this.config.hidden_size);
  }

  // 토큰 하나의 벡터 → 어휘의 토큰마다의 확률
  fill(vector) {
    const name = "cls.predictions";
    const x = this.norm(gelu(this.dense(vector, `${name}.transform.dense`)), `${name}.transform`);
    return softmax(linear(x, this.weights.get("bert.embeddings.word_embeddings.weight"), this.weights.get(`${name}.bias`)));
  }

  // 토큰 하나의 벡터 → 태그마다의 확률
  tag(vector) {
    return softmax(this.dense(vector, "classifier"));
  }

  // [CLS]의 벡터 → 레이블마다의 확률
  classify(vector) {
    return softmax(this.dense(this.dense(vector, "bert.pooler.dense").map(Math.tanh), "classifier"));
  }
}
