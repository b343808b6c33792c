"""What must be installed before anything starts. Everything that is missing is reported at once, with how to get it."""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from local_stack import java
from local_stack.errors import StackError
from local_stack.versions import at_least, minimum_rust, parse, pinned

# The names of Chromium and Google Chrome, the first of which is taken.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


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
    """A prerequisite that is not installed, or is too old."""

    prerequisite: Prerequisite
    version: str | None


def require(needed: list[Prerequisite]) -> None:
    """Fails with the whole list if anything is missing."""
    missing = check(needed)
    if missing:
        raise StackError(report(missing, family()))


def check(needed: list[Prerequisite]) -> list[Missing]:
    """The prerequisites that are not met."""
    missing = []
    for prerequisite in needed:
        version = prerequisite.found()
        if version is None or (prerequisite.minimum and not at_least(version, prerequisite.minimum)):
            missing.append(Missing(prerequisite, version))
    return missing


def report(missing: list[Missing], system: str) -> str:
    """The list of what is missing, for people: what, why, and how to get it on this system, or on each if it is unknown."""
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
    """The name of this system in the reports; empty if it is none of those."""
    if platform.system() == "Darwin":
        return "macOS"
    if shutil.which("apt-get"):
        return "Debian/Ubuntu"
    return "Fedora" if shutil.which("dnf") else ""


@cache
def rust() -> Prerequisite:
    """Rust; Cargo.toml has its version."""
    rustup = "https://rustup.rs  (then: rustup update)"
    return Prerequisite(
        "Rust", "the functions and the poller", minimum_rust(), lambda: version_line("cargo", "--version"),
        rustup, rustup, f"brew install rustup, or {rustup}",
    )  # fmt: skip


@cache
def jdk() -> Prerequisite:
    """The JDK of Kafka, OpenSearch and keytool."""
    minimum = str(pinned()["java"]["minimum"])
    return Prerequisite(
        "JDK", "Kafka and OpenSearch", minimum, newest_java,
        f"sudo apt-get install openjdk-{minimum}-jdk-headless   (Debian 12: temurin-{minimum}-jdk from adoptium.net; "
        "JAVA_HOME may name any other)",
        f"sudo dnf install java-{minimum}-openjdk-devel   (or a newer one)", "brew install openjdk",
    )  # fmt: skip


@cache
def older_jdk() -> Prerequisite:
    """The JDK of Elasticsearch, which runs on none of the newest."""
    oldest, too_new = (str(pinned()["elasticsearch"][name]) for name in ("java-minimum", "java-below"))
    return Prerequisite(
        f"A JDK from {oldest} on, older than {too_new}", "the tests on Elasticsearch", None,
        lambda: next(iter(java.newest(oldest, too_new) or ()), None),
        f"sudo apt-get install openjdk-{oldest}-jre-headless",
        f"a JDK {oldest} or 21, for example from adoptium.net", f"brew install openjdk@{oldest}",
    )  # fmt: skip


@cache
def maven() -> Prerequisite:
    """Maven, which downloads the servers."""
    return Prerequisite(
        "Maven", "fetching Kafka and OpenSearch", pinned()["maven"]["minimum"], lambda: version_line("mvn", "--version"),
        "sudo apt-get install maven", "sudo dnf install maven", "brew install maven",
    )  # fmt: skip


@cache
def c_toolchain() -> tuple[Prerequisite, ...]:
    """What librdkafka, the poller's Kafka client, is compiled with."""
    needed_for = "the poller's Kafka client"
    return (
        Prerequisite("C compiler", needed_for, None, c_compiler,
                     "sudo apt-get install build-essential", "sudo dnf install gcc gcc-c++", "xcode-select --install"),
        Prerequisite("make", needed_for, None, lambda: version_line("make", "--version"),
                     "sudo apt-get install build-essential", "sudo dnf install make", "xcode-select --install"),
        Prerequisite("cmake", needed_for, None, lambda: version_line("cmake", "--version"),
                     "sudo apt-get install cmake", "sudo dnf install cmake", "brew install cmake"),
    )  # fmt: skip


@cache
def git() -> Prerequisite:
    """git, which the lints list files with."""
    return Prerequisite(
        "git", "the checkout", None, lambda: version_line("git", "--version"),
        "sudo apt-get install git", "sudo dnf install git", "xcode-select --install",
    )  # fmt: skip


@cache
def openssl() -> Prerequisite:
    """OpenSSL's headers, without which the poller can't read a Kafka with TLS."""
    return Prerequisite(
        "OpenSSL's headers", "the tests of a Kafka with TLS", None, openssl_headers,
        "sudo apt-get install libssl-dev pkg-config", "sudo dnf install openssl-devel pkgconf", "brew install openssl pkgconf",
    )  # fmt: skip


@cache
def chromium() -> Prerequisite:
    """A browser, and the program that drives it; the demo needs neither."""
    return Prerequisite(
        "Chromium and chromedriver", "the tests of the console's page", None, browser,
        "sudo apt-get install chromium chromium-driver", "sudo dnf install chromium chromedriver",
        "brew install --cask chromium chromedriver",
    )  # fmt: skip


def version_line(*command: str) -> str | None:
    """The first line that a program prints about its version; None if it does not run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    lines = (done.stdout or done.stderr).strip().splitlines()
    return _plain(lines[0]) if done.returncode == 0 and lines else None


def newest_java() -> str | None:
    """The version of the newest JDK that is installed."""
    return max((version for version, _ in java.installed()), key=parse, default=None)


def openssl_headers() -> str | None:
    """The version of OpenSSL that the poller's Kafka client can be built with."""
    return version_line("pkg-config", "--modversion", "openssl")


def browser() -> str | None:
    """The version line of the first browser that is installed, if chromedriver is too."""
    if not shutil.which("chromedriver"):
        return None
    return next((line for name in BROWSERS if (line := version_line(name, "--version"))), None)


def c_compiler() -> str | None:
    """The version line of the C compiler that cargo's build scripts will use."""
    candidates = (os.environ.get("CC"), "cc", "gcc", "clang")
    return next((line for name in candidates if name and (line := version_line(name, "--version"))), None)


def _plain(line: str) -> str:
    return line.replace("\033[1m", "").replace("\033[m", "")  # Maven prints its name in bold
