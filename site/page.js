// 휴대 전화에서도 차례를 보고, 옆으로 긴 코드와 표를 키보드로도 움직이게 합니다.

// 좁은 화면에서는 Quarto가 차례를 감추므로, 접어 둔 차례를 본문 위에 하나 더 둡니다. 넓은 화면에서는 CSS가 감춥니다.
const toc = document.querySelector("#TOC > ul");
const title = document.querySelector("#title-block-header");
if (toc && title) {
  const small = document.createElement("details");
  small.className = "toc-small";
  const summary = document.createElement("summary");
  summary.textContent = "이 페이지의 차례";
  const list = toc.cloneNode(true);
  for (const node of list.querySelectorAll("[id]")) node.removeAttribute("id");
  for (const link of list.querySelectorAll("a")) link.addEventListener("click", () => (small.open = false));
  small.append(summary, list);
  title.after(small);
}

// 넘치는 곳은 초점을 받아야 화살표로 움직입니다. 이름이 있어야 화면을 읽어 주는 프로그램이 무엇인지 말합니다.
for (const box of document.querySelectorAll("main pre, main table, main .cell-output-display > div, main math[display=block]")) {
  if (box.scrollWidth <= box.clientWidth || box.hasAttribute("tabindex")) continue;
  box.tabIndex = 0;
  if (!["PRE", "DIV"].includes(box.tagName)) continue;
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", box.closest(".cell-output") ? "실행 결과" : "코드");
}
for (const button of document.querySelectorAll("button.code-copy-button")) button.setAttribute("aria-label", "코드 복사하기");
