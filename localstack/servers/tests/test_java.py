"""The newest of several JDKs is found."""

import pytest

from local_stack import java
from local_stack.errors import StackError


@pytest.fixture
def jdks(tmp_path, monkeypatch):
    """Installs JDKs of given versions where JDKs are searched for; returns their folder."""

    def install(*versions):
        for version in versions:
            home = tmp_path / f"jdk-{version}"
            (home / "bin").mkdir(parents=True)
            (home / "bin" / "java").touch()
            (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
        monkeypatch.setattr(java, "PLACES", (f"{tmp_path}/*",))
        monkeypatch.delenv("JAVA_HOME", raising=False)
        monkeypatch.setattr(java.shutil, "which", lambda _: None)
        forget()
        return tmp_path

    def forget():
        java.home.cache_clear()
        java.newest.cache_clear()

    yield install
    forget()


def test_the_newest_fitting_jdk_is_chosen(jdks):
    folder = jdks("17.0.15", "21.0.9", "100.0.1", "25.0.3")

    assert java.home() == folder / "jdk-100.0.1"


def test_a_server_that_needs_an_older_jdk_gets_the_newest_that_fits(jdks):
    folder = jdks("11.0.2", "17.0.15", "21.0.9", "25.0.3")

    assert java.newest("17", below="24") == ("21.0.9", folder / "jdk-21.0.9")
    assert java.newest("26") is None


def test_without_a_new_enough_jdk_the_search_fails(jdks):
    jdks("17.0.15", "11")

    with pytest.raises(StackError, match="no JDK 21 or newer"):
        java.home()


def test_java_home_is_considered_wherever_it_is(jdks, monkeypatch, tmp_path_factory):
    jdks("17.0.15")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "bin").mkdir()
    (elsewhere / "bin" / "java").touch()
    (elsewhere / "release").write_text('JAVA_VERSION="22"\n')
    monkeypatch.setenv("JAVA_HOME", str(elsewhere))

    assert java.home() == elsewhere
