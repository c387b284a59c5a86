from tests.least_covered import SHOWN, lines


def test_the_total_comes_first_and_then_the_modules_with_the_most_left_out() -> None:
    files = {f"m{n}.py": {"summary": {"percent_covered": 100.0 - n, "num_statements": n}} for n in range(20)}
    total, *least = lines({"totals": {"percent_covered": 90.05, "num_statements": 190}, "files": files})
    assert total == "coverage of 20 modules:  90.0 % of 190 statements"
    assert len(least) == SHOWN
    assert least[0] == "   81.0 % of 19 statements  m19.py"
    assert least[-1] == "   90.0 % of 10 statements  m10.py"
