from soak import TALLY


def pytest_terminal_summary(terminalreporter):
    if TALLY:
        terminalreporter.section("결함 시험에서 한 일")
        for what, number in sorted(TALLY.items()):
            terminalreporter.write_line(f"{number:>9,}  {what}")
