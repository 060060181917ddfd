"""만들어진 사이트의 페이지가 얼마나 무겁고 언제 보이는지 잽니다: `python tools/weigh_pages.py 사이트_폴더 [페이지 …]`. `make docs`가 마지막에 부릅니다.

사이트를 이 컴퓨터에서만 보이게 띄우고, 아무것도 받아 둔 것이 없는 크로미움으로 여러 번 열어 가운데 값을 마크다운 표로 냅니다. 서버는 GitHub Pages처럼 글을
gzip으로 줄여 보냅니다. 휴대 전화는 너비 390에 계산은 4배 느리고, 1초에 1.6Mbit를 받으며 요청마다 0.15초 늦습니다. 주소를 찾고 암호를 맞추는 시간과
HTTP/2의 이득은 들어 있지 않습니다. 사이트는 바깥에서 아무것도 받지 않기로 했으므로, 이 컴퓨터를 벗어나려는 요청은 막아서 보이고 1로 끝납니다.
크로미움이 없으면 2로 끝나고, `--if-possible`을 붙이면 그렇다고 말하고 0으로 끝납니다.
"""

import argparse
import functools
import gzip
import http.server
import io
import shutil
import statistics
import sys
import threading
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

PAGES = ("index.html", "nbs/02_classification.html", "nbs/11_mask_attack.html", "pages/glossary.html")
KINDS = {  # 크로미움이 부르는 종류: 표에 적을 이름
    "Document": "문서",
    "Script": "스크립트",
    "Stylesheet": "스타일",
    "Font": "글꼴",
    "Image": "그림",
    "Other": "그 밖",
}
SCREENS = {
    "책상": {"viewport": {"width": 1280, "height": 900}},
    "전화": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 3,
        "is_mobile": True,
        "has_touch": True,
    },
}
SLOW = {"offline": False, "latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 93_750}  # 바이트
SLOWDOWN = 4
QUIET = 5  # 조용한지 1초에 몇 번 보는지
LONGEST = 120  # 페이지 하나와 '실행' 하나를 기다리는 초
# 바깥 주소는 아무도 듣지 않는 대리 서버로 보냅니다. 이 컴퓨터의 주소는 대리 서버를 거치지 않습니다.
SHUT = ("--proxy-server=127.0.0.1:9",)
SQUEEZED = {"application/javascript", "application/json", "application/xml", "image/svg+xml", "font/ttf"}
OBSERVE = """
window.weighed = { shifts: [] };
new PerformanceObserver((list) => { for (const each of list.getEntries()) if (each.name === "first-contentful-paint") weighed.fcp = each.startTime; })
  .observe({ type: "paint", buffered: true });
new PerformanceObserver((list) => { for (const each of list.getEntries()) weighed.lcp = each.startTime; })
  .observe({ type: "largest-contentful-paint", buffered: true });
new PerformanceObserver((list) => { for (const each of list.getEntries()) if (!each.hadRecentInput) weighed.shifts.push([each.startTime, each.value]); })
  .observe({ type: "layout-shift", buffered: true });
"""
TIMES = "({ ...weighed, dcl: performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd })"
RUN = "nlpbook-demo button[type=submit]"


@functools.cache
def squeezed(path):
    return gzip.compress(path.read_bytes(), 6, mtime=0)


class Handler(http.server.SimpleHTTPRequestHandler):
    """GitHub Pages처럼 글을 gzip으로 줄여 보내는 서버."""

    protocol_version = "HTTP/1.1"
    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".json": "application/json",
        ".svg": "image/svg+xml",
        ".woff2": "font/woff2",
    }

    def send_head(self):
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        kind = self.guess_type(str(path))
        if not path.is_file() or not (kind.startswith("text/") or kind in SQUEEZED):
            return super().send_head()
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(squeezed(path))))
        self.end_headers()
        return io.BytesIO(squeezed(path))

    def log_message(self, *words):
        pass


@contextmanager
def served(folder):
    """`folder`를 이 컴퓨터에서만 보이게 띄운 주소."""
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class NoBrowserError(Exception):
    """playwright나 크로미움이 없습니다."""


@contextmanager
def chromium():
    """바깥과 이어지지 않는 머리 없는 크로미움. PATH에 없으면 playwright가 받아 둔 것을 씁니다."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise NoBrowserError(
            "playwright가 없어 페이지의 무게를 재지 않았습니다. pip install playwright로 설치하세요."
        ) from None
    installed = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=installed, args=SHUT)
        except Error as error:
            raise NoBrowserError(
                "크로미움을 열지 못해 페이지의 무게를 재지 않았습니다. playwright install chromium으로 받으세요. "
                f"({str(error).splitlines()[0]})"
            ) from None
        yield browser
        browser.close()


class Requests:
    """페이지가 보낸 요청들: 종류마다 받은 바이트와 푼 바이트, 바깥으로 나가려던 주소."""

    def __init__(self, session):
        self.kind, self.done, self.outside = {}, set(), set()
        self.got, self.whole = defaultdict(int), defaultdict(int)
        session.on("Network.requestWillBeSent", self.sent)
        session.on("Network.requestServedFromCache", lambda event: self.kind.pop(event["requestId"], None))
        session.on("Network.dataReceived", self.received)
        session.on("Network.loadingFinished", self.finished)
        session.on("Network.loadingFailed", lambda event: self.done.add(event["requestId"]))
        session.on("Network.webSocketCreated", lambda event: self.outside.add(event["url"]))
        session.send("Network.enable")

    def sent(self, event):
        address = urlsplit(event["request"]["url"])
        if address.scheme not in ("http", "https"):
            return  # 페이지에 든 data: 그림
        if address.hostname != "127.0.0.1":
            self.outside.add(event["request"]["url"])
            return
        kind = event.get("type", "Other")
        self.kind[event["requestId"]] = kind if kind in KINDS else "Other"

    def received(self, event):
        self.whole[event["requestId"]] += event["dataLength"]

    def finished(self, event):
        self.got[event["requestId"]] = int(event["encodedDataLength"])
        self.done.add(event["requestId"])

    def wait(self, page):
        """받던 것을 다 받고 1초 동안 새로 받는 것이 없을 때까지 기다립니다. 느린 계산이 끝나야 그 1초를 셉니다."""
        calm, before = 0, -1
        for _ in range(LONGEST * QUIET):
            if calm == QUIET:
                break
            page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
            page.wait_for_timeout(1000 / QUIET)
            calm = calm + 1 if before == len(self.kind) and not self.kind.keys() - self.done else 0
            before = len(self.kind)

    def weights(self):
        """`{종류: (받은 바이트, 푼 바이트)}`. 받은 바이트에는 응답의 머리도 들어 있습니다."""
        found = dict.fromkeys(KINDS, (0, 0))
        for number, kind in self.kind.items():
            got, whole = found[kind]
            found[kind] = (got + self.got[number], whole + self.whole[number])
        return found

    def model(self):
        """화면의 '실행'이 받는 것의 바이트. 단추로 가느라 지나친 그림은 세지 않습니다."""
        return sum(got for kind, (got, _) in self.weights().items() if kind != "Image")


def shifted(shifts):
    """누적 레이아웃 이동(CLS): 1초 안에 이어지고 5초를 넘지 않는 묶음 가운데 가장 큰 합."""
    worst, total, start, last = 0, 0, float("-inf"), float("-inf")
    for when, value in shifts:
        if when - last > 1000 or when - start > 5000:
            total, start = 0, when
        total, last = total + value, when
        worst = max(worst, total)
    return worst


def load(browser, address, screen, run=False):
    """처음 온 사람처럼 페이지를 한 번 열고 잰 것들. `run`이면 화면의 '실행'을 눌러 그때 받는 바이트도 잽니다."""
    from playwright.sync_api import TimeoutError as Late

    context = browser.new_context(**SCREENS[screen], locale="ko-KR", service_workers="block")
    page = context.new_page()
    page.set_default_timeout(1000 * LONGEST)
    page.add_init_script(OBSERVE)
    session = context.new_cdp_session(page)
    requests = Requests(session)
    if screen == "전화":
        session.send("Network.emulateNetworkConditions", SLOW)
        session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWDOWN})
    page.goto(address, wait_until="load")
    requests.wait(page)
    times = page.evaluate(TIMES)
    found = {name: times.get(name, 0) for name in ("fcp", "lcp", "dcl")}
    found |= {"cls": shifted(times["shifts"]), "requests": len(requests.kind), "weights": requests.weights()}
    if run and page.locator(RUN).count():
        before = requests.model()
        page.locator(RUN).first.click()
        try:
            page.locator("nlpbook-demo .result").first.wait_for()
            found["run"] = requests.model() - before
        except Late:
            found["stuck"] = True
    context.close()
    return found | {"outside": requests.outside}


def middle(loads):
    """여러 번 잰 것의 가운데 값."""
    names = ("fcp", "lcp", "dcl", "cls", "requests")
    found = {name: statistics.median(each[name] for each in loads) for name in names}
    found["weights"] = {
        kind: tuple(statistics.median(each["weights"][kind][place] for each in loads) for place in (0, 1))
        for kind in KINDS
    }
    return found | {"run": next((each["run"] for each in loads if "run" in each), None)}


def line(name, screen, found):
    """표의 한 줄. 무게는 `받은 KB / 푼 KB`, 시간은 초입니다."""
    weights = [*found["weights"].values()]
    weights.append(tuple(map(sum, zip(*weights, strict=True))))
    cells = [f"{got / 1000:,.1f} / {whole / 1000:,.1f}" if whole else "–" for got, whole in weights]
    times = [f"{found[each] / 1000:.2f}" if found[each] else "–" for each in ("fcp", "lcp", "dcl")]
    times.append(f"{found['cls']:.3f}")
    run = "–" if found["run"] is None else f"{found['run'] / 1000:,.0f}"
    words = [name, screen, str(round(found["requests"])), *cells, *times, run]
    return f"| {' | '.join(words)} |"


def weigh(site, pages, loads):
    """표를 한 줄씩 내고, 잘못된 것을 적은 문장들을 돌려줍니다."""
    heads = ["페이지", "화면", "요청", *KINDS.values(), "모두", "FCP", "LCP", "DCL", "CLS", "실행 뒤 KB"]
    faults = []
    with chromium() as browser, served(site) as address:
        print(f"| {' | '.join(heads)} |\n|---|---|{'---:|' * (len(heads) - 2)}")
        for name in pages:
            outside, stuck = set(), False
            for screen in SCREENS:
                # 실행 뒤에 받는 것은 화면이나 회선에 따라 다르지 않으므로 한 번만 잽니다.
                first = screen == "책상"
                every = [
                    load(browser, f"{address}/{name}", screen, first and not turn) for turn in range(loads)
                ]
                print(line(name, screen, middle(every)), flush=True)
                outside |= {link for each in every for link in each["outside"]}
                stuck = stuck or any("stuck" in each for each in every)
            faults += [f"{name}: 바깥에 요청합니다: {link}" for link in sorted(outside)]
            if stuck:
                faults.append(f"{name}: 화면의 '실행'을 눌러도 답이 나오지 않습니다")
    print(
        f"\n{loads}번 연 것의 가운데 값. 무게는 받은 KB / 푼 KB(1KB는 1,000바이트), 시간은 초입니다. FCP는 무엇이든 처음 보인 때, LCP는 가장 큰 것이 보인 때, "
        "DCL은 문서를 끝까지 읽은 때이고, CLS는 보이던 것이 밀려난 정도입니다(0이면 밀리지 않았습니다). 바쁜 컴퓨터에서는 시간이 길어집니다."
    )
    return faults


def main():
    parser = argparse.ArgumentParser(description="페이지의 무게와 보이기까지의 시간을 잽니다.")
    parser.add_argument("site", type=Path, help="만들어진 사이트의 폴더 (_docs)")
    parser.add_argument("pages", nargs="*", default=PAGES, help="그 폴더에서의 경로")
    parser.add_argument("--loads", type=int, default=5, help="페이지마다 여는 횟수")
    parser.add_argument("--if-possible", action="store_true", help="크로미움이 없어도 0으로 끝냅니다")
    args = parser.parse_args()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")
    missing = [name for name in args.pages if not (args.site / name).is_file()]
    if missing or args.loads < 1:
        parser.error(
            f"{args.site}에 {', '.join(missing)}이(가) 없습니다. 사이트를 먼저 만드세요."
            if missing
            else "--loads는 1보다 작을 수 없습니다."
        )
    try:
        faults = weigh(args.site, args.pages, args.loads)
    except NoBrowserError as error:
        print(error)
        sys.exit(0 if args.if_possible else 2)
    for fault in faults:
        print(fault)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
