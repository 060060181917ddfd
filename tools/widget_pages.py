"""노트북의 위젯을 사이트의 화면으로 바꿉니다. 바로 돌려 볼 수 있는 것은 `<nlpbook-demo>`로, 나머지는 화면의 그림으로. 표준 라이브러리만 씁니다."""

import ast
import json
import re
from html import escape

LIVE = {  # 장: 브라우저에서 바로 도는 화면의 종류 (site/demo.js의 KINDS)
    "01_pipeline": "sentiment",
    "02_classification": "sentiment",
    "04_ner": "ner",
    "08_tokenization": "tokens",
    "09_transformer": "layers",
    "10_pretrain": "fill-mask",
    "11_mask_attack": "attack",
}


_WIDGET = re.compile(r"(VBox|HBox|Tab|Accordion|interactive)\(children=")
_DEFAULTS = {  # 화면의 클래스: 적지 않았을 때의 칸과 단추
    "TextDemo": {"fields": ("문장",), "button": "분석하기"},
    "WritingDemo": {"fields": ("앞 글",), "button": "이어 쓰기"},
}


def is_widget(output):
    """노트북에 저장된 출력이 위젯의 글(`VBox(children=…`)이면 참."""
    return bool(_WIDGET.match("".join(output.get("data", {}).get("text/plain", ""))))


def given(source):
    """셀의 글에서 `TextDemo(…)`에 적은 것: `{이름: 값}`. 코드로 만드는 값은 뺍니다."""
    found = dict(_DEFAULTS["TextDemo"])
    for node in ast.walk(
        ast.parse("\n".join(line for line in source.split("\n") if not line.startswith(("%", "!"))))
    ):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in _DEFAULTS:
            found |= _DEFAULTS[node.func.id]
            for word in node.keywords:
                found[word.arg] = _value(word.value) or found.get(word.arg)
    return {name: value for name, value in found.items() if value}


def _value(node):
    """적힌 그대로 읽을 수 있는 값. 목록에 변수가 섞여 있으면 그것만 뺍니다."""
    if isinstance(node, (ast.Tuple, ast.List)):
        return tuple(filter(None, map(_value, node.elts)))
    return node.value if isinstance(node, ast.Constant) else None


def still(words):
    """화면의 그림: 칸과 단추의 모양."""
    fields, button = words["fields"], words["button"]
    first = words.get("examples", ("",))[0]
    first = first if isinstance(first, tuple) else (first,)
    boxes = "".join(
        f'<span class="field">{escape(field)}</span><span class="box">{escape(text)}</span>'
        for field, text in zip(fields, [*first, *[""] * len(fields)])
    )
    label = f"{', '.join(fields)} 칸과 '{button}' 단추가 있는 화면의 그림"
    return (
        f'<div class="nlpbook-still"><div role="img" aria-label="{escape(label, quote=True)}">'
        f'{boxes}<span class="button">{escape(button)}</span></div>'
        "<p>노트북에서 실행하면 여러분의 글을 넣어 볼 수 있습니다.</p></div>"
    )


def widget_html(chapter, source):
    """`chapter`장의 셀 `source`가 보이던 위젯 대신 놓을 HTML."""
    words = given(source)
    examples = [text for text in words.get("examples", ()) if isinstance(text, str)]
    if chapter not in LIVE or not examples:
        return still(words)
    shown = escape(json.dumps(examples, ensure_ascii=False), quote=True)
    return f'<nlpbook-demo kind="{LIVE[chapter]}" examples="{shown}">{still(words)}</nlpbook-demo>'
