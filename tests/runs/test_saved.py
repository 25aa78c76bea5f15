"""Every public law is stored as its construction, and what a stranger's file may not do."""

from __future__ import annotations

import dataclasses
import inspect
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch

import hessium as hs
from hessium import theory
from hessium.errors import InputError
from hessium.theory import Law

POINTS = np.random.default_rng(0).standard_normal(60)
UNEQUAL = theory.Empirical([0.1, 0.2, 3.0], weights=[0.2, 0.3, 0.5])
SEMICIRCLE = theory.Semicircle(variance=0.3)
WISHART = theory.MarchenkoPastur(ratio=0.5, scale=1.5)
FLAT = theory.Uniform(0.5, 2.0)
LAWS: dict[str, Callable[[], Law]] = {
    "Arcsine": lambda: theory.Arcsine(1.5),
    "Semicircle": lambda: SEMICIRCLE,
    "MarchenkoPastur": lambda: WISHART,
    "Uniform": lambda: FLAT,
    "Empirical": lambda: UNEQUAL,
    "Empirical of many": lambda: theory.Empirical(POINTS),
    "Empirical of a spectrum": lambda: theory.Empirical(
        hs.spectral_measure(torch.diag(torch.linspace(1.0, 2.0, 90)), 3, 10, rng=0)
    ),
    "FreeLevy": lambda: theory.FreeLevy(drift=0.1, variance=0.2, rates=(0.7, 9.1), jumps=(2, -0.3)),
    "Affine": lambda: FLAT.scaled(-0.7).shifted(0.3),
    "Affine of a product": lambda: theory.free_product(FLAT, UNEQUAL).shifted(1 / 3),
    "free_sum": lambda: theory.free_sum(FLAT, theory.Empirical(POINTS)),
    "free_sum of three": lambda: theory.free_sum(FLAT, theory.Arcsine(), UNEQUAL),
    "free_sum of two atoms": lambda: theory.free_sum(
        theory.Empirical([-1.0, 1.0]), theory.Empirical([0.0, 3.0])
    ),
    "free_sum of noise": lambda: theory.free_sum(WISHART, SEMICIRCLE),
    "free_sum with noise": lambda: theory.free_sum(UNEQUAL, WISHART, SEMICIRCLE),
    "free_sum of two with noise": lambda: theory.free_sum(FLAT, UNEQUAL, SEMICIRCLE),
    "free_sum far from zero": lambda: theory.free_sum(
        theory.Empirical(POINTS + 1e3), theory.Empirical(POINTS[:7] * 0.1 - 77.7), SEMICIRCLE
    ),
    "free_sum of sums": lambda: theory.free_sum(
        theory.free_power(FLAT, 2.5), theory.free_product(FLAT, WISHART)
    ),
    "free_product": lambda: theory.free_product(WISHART, UNEQUAL),
    "free_product of a sum": lambda: theory.free_product(
        theory.free_sum(FLAT, UNEQUAL), theory.free_power(FLAT, 1.3)
    ),
    "free_power": lambda: theory.free_power(theory.Empirical(POINTS), 1.7),
    "free_power of noise": lambda: theory.free_power(WISHART, 0.4),
    "free_compression": lambda: theory.free_compression(UNEQUAL, 0.3),
    "wishart_wigner": lambda: theory.wishart_wigner(0.1, 0.25),
    "relu_residual": lambda: theory.relu_residual(0.1, 2.0),
    "relu_hessian": lambda: theory.relu_hessian(0.1, 0.25, 2.0),
    "hessian_law": lambda: theory.hessian_law(0.2, 0.5, "relu"),
}
OTHERS: dict[str, Callable[[], Any]] = {
    "TracyWidom": lambda: theory.TracyWidom(4),
    "SpacingRatio": lambda: theory.SpacingRatio("gue"),
    "SoftEdge": lambda: theory.soft_edge(WISHART, 100, beta=4),
    "Sensitivity": lambda: theory.sensitivity("energy", 0.1, 0.5, "relu"),
    "Outlier": lambda: theory.outliers([5.0], WISHART)[0],
    "NetworkRank": lambda: theory.linear_network_rank([3, 4, 2], 3),
    "BlockHessian": lambda: theory.two_layer_hessian(3, 5, 0.1, rng=0),
}


def again(result: Any, folder: Path) -> Any:
    hs.save(result, folder / "file")
    return hs.load(folder / "file")


def fields_of(law: Any) -> Any:
    """All fields, down to numbers; arrays by their bits."""
    if dataclasses.is_dataclass(law):
        return type(law), [fields_of(getattr(law, f.name)) for f in dataclasses.fields(law)]
    if isinstance(law, tuple):
        return [fields_of(one) for one in law]
    return (law.dtype, law.tobytes()) if isinstance(law, np.ndarray) else law


def test_every_public_law_is_here() -> None:
    made = set()
    for name in theory.__all__:
        public = getattr(theory, name)
        if inspect.isclass(public):
            law = issubclass(public, Law) and not inspect.isabstract(public)
        else:
            kind = get_type_hints(public).get("return")
            law = inspect.isclass(kind) and issubclass(kind, Law)
        made |= {name} if law else set()
    assert len(made) >= 13
    assert made <= set(LAWS)
    found = [type(LAWS[name]()) for name in LAWS]
    parents = [Law]
    while parents:
        parents += (children := parents.pop().__subclasses__())
        for kind in children:
            if kind.__module__.startswith("hessium") and not inspect.isabstract(kind):
                assert kind in found or any(issubclass(one, kind) for one in found), kind


@pytest.mark.parametrize("name", LAWS | OTHERS)
def test_a_law_is_loaded_to_the_last_bit(name: str, tmp_path: Path) -> None:
    law = (LAWS | OTHERS)[name]()
    found = again(law, tmp_path)
    assert fields_of(found) == fields_of(law)
    assert repr(found) == repr(law)
    if isinstance(law, Law):
        np.testing.assert_array_equal(found.free_cumulants(4), law.free_cumulants(4))


def test_a_loaded_law_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        again(UNEQUAL, tmp_path).nodes[0] = 7.0


@pytest.mark.parametrize("wrong", [3, None, (FLAT,), {"law": FLAT}, float("nan")])
def test_what_is_no_result_is_refused(tmp_path: Path, wrong: object) -> None:
    with pytest.raises(InputError, match=r"result: .* a result or a law of hessium is required"):
        hs.save(wrong, tmp_path / "file")


def test_an_empirical_law_keeps_weights_that_do_not_add_up_to_one_exactly(tmp_path: Path) -> None:
    """Its constructor would divide them by their sum once more."""
    for size in range(3, 200):
        shares = np.random.default_rng(size).random(size)
        law = theory.Empirical(np.arange(size), weights=shares / shares.sum())
        if law.weights.sum() != 1:
            break
    assert law.weights.sum() != 1
    assert fields_of(again(law, tmp_path)) == fields_of(law)


def test_points_that_are_not_in_order_are_sorted(tmp_path: Path) -> None:
    hs.save(theory.Empirical([1.0, 2.0, 3.0]), tmp_path / "file")
    pair = (np.array([1.0, 2.0]).tobytes(), np.array([2.0, 1.0]).tobytes())
    edited(tmp_path / "file", *pair, member="array0.npy")
    np.testing.assert_array_equal(hs.load(tmp_path / "file").nodes, [1.0, 2.0, 3.0])


def test_a_law_of_ones_own_is_refused(tmp_path: Path) -> None:
    class Own(theory.Uniform):
        pass

    with pytest.raises(InputError, match=r"result\.1 is a Own, which cannot be stored"):
        hs.save(theory.free_product(FLAT, Own(1.0, 3.0)), tmp_path / "file")
    assert not (tmp_path / "file").exists()


def edited(path: Path, old: bytes, new: bytes, member: str = "document.json") -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert old in members[member]
    members[member] = members[member].replace(old, new, 1)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("free_sum", "free_compression"),
        ("free_sum", "eval"),
        ("free_sum", "__class__"),
        ('"call"', '"calls"'),
        ('"arguments": {"tuple"', '"arguments": {"tuples"'),
        ('"Uniform"', '"Empirical"'),
        ('"Uniform"', '"Law"'),
        ('"Uniform"', '"haar"'),
        ('"Uniform"', '"TracyWidom"'),
        ('"Uniform"', '"nothing"'),
        ("0.5, 2.0", "3.5, 2.0"),
        ("0.5, 2.0", "0.5"),
        ("0.5, 2.0", '"0.5", 2.0'),
        ("0.5, 2.0", '{"float": "half"}, 2.0'),
        ("0.5, 2.0", "[0.5], 2.0"),
        ("0.5, 2.0", '{"array": "array9"}, 2.0'),
        ("0.5, 2.0", '{"class": "os.system", "fields": {"mapping": {}}}, 2.0'),
        ("0.5, 2.0", '{"class": "theory.laws.law.np", "fields": {"mapping": {}}}, 2.0'),
        ("0.5, 2.0", '{"class": "theory.nothing.Law", "fields": {"mapping": {}}}, 2.0'),
        ("0.5, 2.0", '{"class": "cli.parser.Parser", "fields": {"mapping": {}}}, 2.0'),
        ('{"array": "array0"}', '{"array": "document"}'),
        ('{"array": "array1"}', '{"array": "array0"}'),
        ('{"array": "array0"}', '{"tensor": "array0", "dtype": "load"}'),
    ],
)
def test_a_document_that_was_edited_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "file"
    hs.save(theory.free_sum(FLAT, UNEQUAL), path)
    edited(path, old.encode(), new.encode())
    with pytest.raises(InputError, match=r"path: .* is damaged"):
        hs.load(path)


@pytest.mark.parametrize("maker", ["goe", "TracyWidom", "index"])
def test_a_document_calls_nothing_but_makers_of_laws(tmp_path: Path, maker: str) -> None:
    call = {"call": maker, "arguments": {"tuple": [2] if maker != "index" else [0.1, 0.5]}}
    with zipfile.ZipFile(tmp_path / "file", "w") as archive:
        archive.writestr("document.json", json.dumps({"format": 1, "result": call}))
    with pytest.raises(InputError, match="makes no law"):
        hs.load(tmp_path / "file")


def test_a_class_has_the_name_of_the_module_that_defines_it(tmp_path: Path) -> None:
    """Else a document could name any class that some module of hessium has imported."""
    for module, message in (("levy_triple", None), ("levy", "is not a result")):
        name = f"theory.laws.{module}.LevyTriple"
        fields = {"drift": 0.5, "variance": 1.0, "rates": {"tuple": []}, "jumps": {"tuple": []}}
        made = {"class": name, "fields": {"mapping": fields}}
        with zipfile.ZipFile(tmp_path / "file", "w") as archive:
            archive.writestr("document.json", json.dumps({"format": 1, "result": made}))
        if message is None:
            assert hs.load(tmp_path / "file").drift == 0.5
        else:
            with pytest.raises(InputError, match=message):
                hs.load(tmp_path / "file")


@pytest.mark.parametrize("text", ["3", "[]", "{}", '{"format": 1}', '{"format": 2, "result": 3}'])
def test_a_document_of_another_format_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("document.json", text)
    with pytest.raises(InputError, match="path: "):
        hs.load(path)


def test_the_file_is_plain_json_and_numpy(tmp_path: Path) -> None:
    hs.save(UNEQUAL, tmp_path / "file")
    with zipfile.ZipFile(tmp_path / "file") as archive:
        document = json.loads(archive.read("document.json"))
    assert document["result"]["call"] == "Empirical"
    with np.load(tmp_path / "file", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["array0"], UNEQUAL.nodes)
