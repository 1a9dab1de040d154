import pytest

from course_lib.lab.scale import choose


def test_small_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COURSE_SCALE", raising=False)
    assert choose(small=1, large=2) == 1
    monkeypatch.setenv("COURSE_SCALE", "large")
    assert choose(small=1, large=2) == 2


def test_another_scale_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_SCALE", "huge")
    with pytest.raises(ValueError, match="COURSE_SCALE is 'huge'; allowed are 'small' and 'large'"):
        choose(small=1, large=2)
