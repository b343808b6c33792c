"""template.yaml is what its parts give, and no part can take the place of another."""

import assemble
import pytest
import stack

HEAD = (assemble.FOLDER / assemble.HEAD).read_text(encoding="utf-8")
GROUP = "Group: G\n\nParameters:\n  A:\n    Type: String\n"


def test_the_template_is_current():
    made = assemble.assemble(assemble.read(), HEAD)
    assert (stack.INFRA / "template.yaml").read_text(encoding="utf-8") == made, "run `make expand`"


def test_each_part_is_one_subject():
    for file, text in assemble.read().items():
        assert text.startswith("# "), f"{file} says what it holds"
        assert len(text.splitlines()) <= 300, f"{file} is too long to be read at once"


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"a.yaml": GROUP, "b.yaml": GROUP}, "b.yaml: a.yaml has A in Parameters too"),
        ({"a.yaml": "Parameter:\n  A: {}\n"}, "a.yaml: Parameter is no section of a part"),
        ({"a.yaml": "Parameters:\n  A: {}\n"}, "a.yaml: its parameters need a group"),
    ],
)
def test_a_part_that_would_be_lost_is_refused(parts, problem):
    with pytest.raises(assemble.PartError, match=problem):
        assemble.assemble(parts, HEAD)


def test_a_file_that_is_not_in_the_order_is_refused(tmp_path, monkeypatch):
    (tmp_path / "new.yaml").write_text("", encoding="utf-8")
    monkeypatch.setattr(assemble, "FOLDER", tmp_path)
    monkeypatch.setattr(assemble, "PARTS", ("kafka.yaml",))
    with pytest.raises(assemble.PartError, match=r"kafka\.yaml, new\.yaml"):
        assemble.read()
