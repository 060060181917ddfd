// 확인 문제: 고르면 바로 맞았는지 알려 주고, 맞힌 문제를 이 브라우저에 남겨 사이드바의 장 곁에 보입니다.

const KEY = "nlpbook-quiz"; // {"quiz-02-1": true, …}
const EACH = 3; // 장마다 있는 문제의 수

function solved() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {}; // 저장을 막아 둔 브라우저에서는 그때그때만 알려 줍니다.
  }
}

function remember(name) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...solved(), [name]: true }));
  } catch {
    console.info("이 브라우저에서는 저장이 막혀 있어 푼 기록이 남지 않습니다.");
  }
}

// 사이드바의 장마다 맞힌 문제의 수. 하나도 없으면 적지 않습니다.
function showProgress() {
  const names = Object.keys(solved());
  for (const link of document.querySelectorAll(".sidebar-navigation a[href]")) {
    const chapter = link.getAttribute("href").match(/nbs\/(\d\d)_\w+\.html$|(?:^|\/)(\d\d)_\w+\.html$/);
    if (!chapter) continue;
    const count = names.filter((name) => name.startsWith(`quiz-${chapter[1] ?? chapter[2]}-`)).length;
    let mark = link.querySelector(".quiz-count");
    if (!mark && count) {
      mark = document.createElement("span");
      mark.className = "quiz-count";
      link.append(mark);
    }
    if (!mark) continue;
    mark.textContent = count === EACH ? " ✓" : ` ${count}/${EACH}`;
    mark.setAttribute("aria-label", ` 확인 문제 ${EACH}개 가운데 ${count}개 맞힘`);
    mark.setAttribute("role", "img");
  }
}

for (const box of document.querySelectorAll("fieldset.quiz")) {
  const name = box.dataset.quiz;
  const verdict = box.querySelector(".verdict");
  if (solved()[name]) verdict.textContent = "맞힌 문제입니다.";
  box.addEventListener("change", (event) => {
    const right = event.target.value === box.dataset.answer;
    verdict.textContent = right ? "맞았습니다. 해설도 읽어 보세요." : "아닙니다. 다시 골라 보세요.";
    verdict.classList.toggle("right", right);
    if (right) {
      remember(name);
      box.querySelector("details").open = true;
      showProgress();
    }
  });
}
showProgress();
