"""장의 끝에 놓는 확인 문제를 `pages/quiz.json`에서 만듭니다. 자바스크립트가 없어도 풀고 해설을 펼 수 있습니다. 표준 라이브러리만 씁니다."""

import json
import re
from html import escape
from pathlib import Path

QUIZ = Path(__file__).resolve().parent.parent / "pages" / "quiz.json"


def marked(text):
    """`코드`를 <code>로 바꾼, HTML에 넣어도 되는 글."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def question_html(chapter, number, question):
    """문제 하나: 보기는 라디오 단추, 답과 해설은 접어 둡니다."""
    name = f"quiz-{chapter[:2]}-{number}"
    choices = "".join(
        f'<div><input type="radio" name="{name}" id="{name}-{place}" value="{place}">'
        f'<label for="{name}-{place}">{marked(choice)}</label></div>'
        for place, choice in enumerate(question["choices"])
    )
    answer = question["choices"][question["answer"]]
    return (
        f'<fieldset class="quiz" data-quiz="{name}" data-answer="{question["answer"]}">'
        f"<legend>{number}. {marked(question['question'])}</legend>{choices}"
        '<p class="verdict" role="status"></p>'
        f"<details><summary>답과 해설</summary><p><strong>{marked(answer)}</strong></p>"
        f"<p>{marked(question['why'])}</p></details></fieldset>"
    )


def quiz_html(chapter):
    """`chapter`장의 확인 문제. 없으면 빈 글."""
    questions = json.loads(QUIZ.read_text(encoding="utf-8")).get(chapter, []) if chapter else []
    if not questions:
        return ""
    shown = "\n".join(question_html(chapter, number, each) for number, each in enumerate(questions, 1))
    return f"## 확인 문제\n\n푼 기록은 이 브라우저에만 남습니다.\n\n```{{=html}}\n{shown}\n```\n"
