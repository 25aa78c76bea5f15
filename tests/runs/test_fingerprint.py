from pathlib import Path

import pytest

from hessium.runs import fingerprint as module


def test_it_covers_what_is_imported_and_nothing_else() -> None:
    sources = module._sources("support.toy_experiment")
    assert "hessium.figures.records" in sources
    assert "hessium.errors" in sources
    assert not any(name.startswith(("hessium.cli", "hessium.report")) for name in sources)
    assert not any(name.startswith("numpy") for name in sources)


def test_it_follows_relative_imports_and_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "hessium_like"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("def f():\n    from .b import c\n    import hessium_like.d\n")
    (package / "b.py").write_text("c = 1\n")
    (package / "d.py").write_text("import numpy\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "_PACKAGE", "hessium_like")
    before = module._sources("hessium_like.a")
    assert set(before) == {"hessium_like.a", "hessium_like.b", "hessium_like.d"} | (
        {"hessium_like"} & set(before)
    )
    fingerprint = module.fingerprint.__wrapped__
    old = fingerprint("hessium_like.a")
    assert fingerprint("hessium_like.a") == old
    (package / "b.py").write_text('"""What it says."""\n\nc = 1  # a comment\n')
    assert fingerprint("hessium_like.a") == old
    (package / "b.py").write_text("c = 2\n")
    assert fingerprint("hessium_like.a") != old


def test_it_covers_what_a_lazy_package_names_in_its_stub() -> None:
    assert "hessium.curvature.hessian" in module._sources("hessium")


def test_versions_name_what_computes() -> None:
    found = module.versions()
    assert {"python", "hessium", "torch", "numpy", "scipy"} <= set(found)


def test_wording_and_drawing_recompute_nothing() -> None:
    sources = module._sources("hessium.studies.rank_vs_samples.compute")
    assert "hessium.curvature.hessian" in sources
    assert "hessium.problem.risk" in sources
    assert not any(name.startswith(("hessium.plots", "hessium.report")) for name in sources)
    assert "hessium.studies.rank_vs_samples.charts" not in sources
    assert "hessium.figures.formatting" not in sources
