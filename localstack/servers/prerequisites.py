"""What must be on the machine before anything starts. Everything that is missing is told at once, with how to get it."""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import java
from errors import StackError
from versions import at_least, minimum_rust, pinned


@dataclass(frozen=True)
class Prerequisite:
    """A program, why it is needed, how new it must be, and how to get it on each system."""

    name: str
    needed_for: str
    minimum: str | None
    found: Callable[[], str | None]
    apt: str
    dnf: str
    brew: str


@dataclass(frozen=True)
class Missing:
    """A prerequisite that is not there, or is there but too old."""

    prerequisite: Prerequisite
    version: str | None


def require(*, tests: bool = False) -> None:
    """Fails with the whole list if anything is missing, of the stack or also of the tests on real servers."""
    missing = check(prerequisites() + (of_tests() if tests else []))
    if missing:
        raise StackError(report(missing, family()))


def prerequisites() -> list[Prerequisite]:
    """What the stack needs besides Python, which is here already: python.sh found it."""
    java_minimum = str(pinned()["java"]["minimum"])
    rustup = "https://rustup.rs  (then: rustup update)"
    return [
        Prerequisite("Rust", "the functions and the poller", minimum_rust(), lambda: told("cargo", "--version"),
                     rustup, rustup, f"brew install rustup, or {rustup}"),
        Prerequisite("JDK", "Kafka and OpenSearch", java_minimum, newest_java,
                     f"sudo apt-get install openjdk-{java_minimum}-jdk-headless   (Debian 12: temurin-{java_minimum}-jdk from adoptium.net; "
                     "JAVA_HOME may name any other)",
                     f"sudo dnf install java-{java_minimum}-openjdk-devel   (or a newer one)", "brew install openjdk"),
        Prerequisite("Maven", "fetching Kafka and OpenSearch", pinned()["maven"]["minimum"], lambda: told("mvn", "--version"),
                     "sudo apt-get install maven", "sudo dnf install maven", "brew install maven"),
        Prerequisite("C compiler", "the poller's Kafka client", None, c_compiler,
                     "sudo apt-get install build-essential", "sudo dnf install gcc gcc-c++", "xcode-select --install"),
        Prerequisite("make", "the poller's Kafka client", None, lambda: told("make", "--version"),
                     "sudo apt-get install build-essential", "sudo dnf install make", "xcode-select --install"),
        Prerequisite("cmake", "the poller's Kafka client", None, lambda: told("cmake", "--version"),
                     "sudo apt-get install cmake", "sudo dnf install cmake", "brew install cmake"),
        Prerequisite("git", "the checkout", None, lambda: told("git", "--version"),
                     "sudo apt-get install git", "sudo dnf install git", "xcode-select --install"),
    ]  # fmt: skip


def of_tests() -> list[Prerequisite]:
    """What the tests on real servers need besides: they read a Kafka with TLS, and write to Elasticsearch."""
    elasticsearch = pinned()["elasticsearch"]
    oldest, too_new = str(elasticsearch["java-minimum"]), str(elasticsearch["java-below"])
    return [
        Prerequisite(f"A JDK from {oldest} on, older than {too_new}", "the tests on Elasticsearch", None,
                     lambda: next(iter(java.newest(oldest, too_new) or ()), None),
                     f"sudo apt-get install openjdk-{oldest}-jre-headless",
                     f"a JDK {oldest} or 21, for example from adoptium.net", f"brew install openjdk@{oldest}"),
        Prerequisite("OpenSSL's headers", "the tests of a Kafka with TLS", None, openssl_headers,
                     "sudo apt-get install libssl-dev pkg-config", "sudo dnf install openssl-devel pkgconf",
                     "brew install openssl pkgconf"),
    ]  # fmt: skip


def check(needed: list[Prerequisite]) -> list[Missing]:
    """The prerequisites that are not met."""
    missing = []
    for prerequisite in needed:
        version = prerequisite.found()
        if version is None or (prerequisite.minimum and not at_least(version, prerequisite.minimum)):
            missing.append(Missing(prerequisite, version))
    return missing


def report(missing: list[Missing], system: str) -> str:
    """The list of what is missing, for people: what, why, and how to get it on this system or on each."""
    lines = [f"{len(missing)} prerequisite{'s are' if len(missing) > 1 else ' is'} missing:"]
    for each in missing:
        needed = each.prerequisite
        wanted = f"{needed.name} {needed.minimum} or newer" if needed.minimum else needed.name
        have = f"; found only {each.version}" if each.version else ""
        lines.append(f"\n  {wanted} (for {needed.needed_for}{have})")
        ways = {"Debian/Ubuntu": needed.apt, "Fedora": needed.dnf, "macOS": needed.brew}
        lines += [f"    {name + ':':<15}{way}" for name, way in ways.items() if system in (name, "")]
    return "\n".join(lines)


def family() -> str:
    """Which of the systems we know this is; empty if none."""
    if platform.system() == "Darwin":
        return "macOS"
    if shutil.which("apt-get"):
        return "Debian/Ubuntu"
    return "Fedora" if shutil.which("dnf") else ""


def told(*command: str) -> str | None:
    """The first line that a program prints about its version; None if it does not run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    lines = (done.stdout or done.stderr).strip().splitlines()
    return _plain(lines[0]) if done.returncode == 0 and lines else None


def newest_java() -> str | None:
    """The version of the newest JDK that is installed."""
    from versions import parse

    return max((version for version, _ in java.installed()), key=parse, default=None)


def openssl_headers() -> str | None:
    """The version of the OpenSSL that the poller's Kafka client can be built with."""
    return told("pkg-config", "--modversion", "openssl")


def c_compiler() -> str | None:
    """The version line of the C compiler that cargo's build scripts will use."""
    return next(
        (line for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name and (line := told(name, "--version"))),
        None,
    )


def _plain(line: str) -> str:
    return line.replace("\033[1m", "").replace("\033[m", "")  # Maven writes its name in bold
