import pytest

from hessium.errors import InputError
from hessium.runs.experiment import Registry, settings
from support.toy_experiment import toy


def test_names_are_found_and_the_nearest_is_suggested() -> None:
    registry = Registry([toy("rank-vs-samples"), toy("linearization")])
    assert [e.name for e in registry.select([])] == ["rank-vs-samples", "linearization"]
    assert [e.name for e in registry.select(["linearization", "linearization"])] == [
        "linearization"
    ]
    with pytest.raises(InputError, match="did you mean 'linearization'"):
        registry["linearisation"]
    with pytest.raises(InputError, match="hessium list"):
        registry["zzz"]
    with pytest.raises(InputError, match="two experiments of one name"):
        Registry([toy("linearization"), toy("linearization")])


def test_presets() -> None:
    assert settings(toy().config("quick"))["sizes"] == (10, 20, 40)
    with pytest.raises(InputError, match="preset: 'huge'; toy has quick, paper"):
        toy().config("huge")
