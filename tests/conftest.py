"""Settings of the whole session; no module of hessium is imported before they are made."""

from __future__ import annotations

import gc
import signal
from collections import Counter

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# what a background job of a shell ignores, the processes that tests interrupt would ignore too
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# the same examples in every run, and no verdict by the clock of a shared machine
settings.register_profile("suite", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shapes",
        action="store_true",
        help="check types and shapes of all arguments and results of the library; takes twice "
        "the time",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.option.shapes:
        import support.type_checker  # noqa: F401  # before anything that it is to check

        install_import_hook("hessium", "support.type_checker.check")
    config.pluginmanager.import_plugin("support.shared_cases")


@pytest.hookimpl(tryfirst=True)  # before slow tests are deselected
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    cases = Counter[str]()
    for item in items:
        if item.get_closest_marker("sampled") and not item.get_closest_marker("slow"):
            test = item.nodeid.split("[")[0]
            if cases[test] % 3:
                item.add_marker(pytest.mark.slow)
            cases[test] += 1
    if config.option.shapes:
        checked = pytest.mark.skip(reason="the checks of --shapes come first")
        for item in items:
            if item.get_closest_marker("unchecked"):
                item.add_marker(checked)


def pytest_collection_finish() -> None:
    # what is imported by now stays; visiting it in every collection takes a twentieth of the time
    gc.collect()
    gc.freeze()
