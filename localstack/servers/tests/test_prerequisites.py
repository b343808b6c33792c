"""Everything that is missing is reported at once, with how to get it."""

from local_stack.prerequisites import Missing, Prerequisite, check, report


def prerequisite(name, found, minimum=None):
    return Prerequisite(name, "the tests", minimum, lambda: found, f"apt {name}", f"dnf {name}", f"brew {name}")


def test_what_is_new_enough_is_not_missing():
    assert check([prerequisite("jdk", "21.0.2", "21"), prerequisite("make", "GNU Make 4.3")]) == []


def test_absent_and_outdated_prerequisites_are_all_found():
    absent, old = prerequisite("cmake", None), prerequisite("jdk", "17.0.15", "21")

    assert check([absent, prerequisite("git", "git version 2.39"), old]) == [
        Missing(absent, None),
        Missing(old, "17.0.15"),
    ]


def test_the_report_names_what_is_missing_why_it_is_needed_and_how_to_get_it_on_this_system():
    missing = check([prerequisite("cmake", None), prerequisite("jdk", "17.0.15", "21")])

    assert report(missing, "Fedora") == (
        "2 prerequisites are missing:\n"
        "\n  cmake (for the tests)\n"
        "    Fedora:        dnf cmake\n"
        "\n  jdk 21 or newer (for the tests; found only 17.0.15)\n"
        "    Fedora:        dnf jdk"
    )


def test_on_an_unknown_system_the_report_names_every_way():
    assert report(check([prerequisite("cmake", None)]), "") == (
        "1 prerequisite is missing:\n"
        "\n  cmake (for the tests)\n"
        "    Debian/Ubuntu: apt cmake\n"
        "    Fedora:        dnf cmake\n"
        "    macOS:         brew cmake"
    )
