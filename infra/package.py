"""Builds the zips that packaged.yaml deploys, for x86_64 and arm64, and one with the command line `kafka-to-search` for this machine's
architecture, with checksums and software bills of materials: `make package`. The function that account.yaml deploys is built like the command line,
for this machine's architecture.

The same sources and compiler make the same bytes of a function, in any folder: paths of the machine are left out of the programs,
and files in the zips have one date and mode.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import uuid
import zipfile
from pathlib import Path

INFRA = Path(__file__).resolve().parent
REPOSITORY = INFRA.parent
PACKAGES = INFRA / "packages"
# cargo-lambda links against the C library of Amazon Linux 2023, whatever this machine has: https://docs.aws.amazon.com/linux/al2023
GLIBC = "2.34"
TARGETS = {"x86_64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
# What the header of an ELF file says of its processor: e_machine in https://man7.org/linux/man-pages/man5/elf.5.html
ELF_MACHINES = {"x86_64": 62, "arm64": 183}
# What `uname -m` says on machines that can build the command line: its C libraries are not built for another architecture.
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
COMMAND_LINE = "kafka-to-search"
# With OpenSSL in it, so that it reads Kafka over TLS wherever it runs, and with the AWS SDK for IAM and secrets.
COMMAND_LINE_FEATURES = "aws,tls-vendored"
# The function of account.yaml. It reads Kafka too.
ACCOUNT, ACCOUNT_FEATURES = "account-records", "tls-vendored"
SPECIFICATION = "1.5"
# The oldest date that a zip can hold.
DATE = (1980, 1, 1, 0, 0, 0)
EXECUTABLE = 0o100755


class PackageError(Exception):
    """Something is missing, or a program failed."""


def functions(template: str) -> list[str]:
    """The programs of the template's functions."""
    return re.findall(r"\bBinary: ([\w-]+)", template)


def missing_targets(architectures: list[str], libraries: Path) -> list[str]:
    """What to install for architectures whose Rust standard library is not below `libraries` (`<sysroot>/lib/rustlib`)."""
    absent = [name for name in architectures if not list((libraries / TARGETS[name] / "lib").glob("libstd-*.rlib"))]
    return [f"Rust's standard library for {name}: rustup target add {TARGETS[name]}" for name in absent]


def machine_architecture(architectures: list[str], machine: str, system: str) -> str | None:
    """The one of `architectures` that the command line can be built for on this machine; none if it is not among them."""
    own = MACHINES.get(machine.lower()) if system == "Linux" else None
    return own if own in architectures else None


def check_program(name: str, program: bytes, architecture: str) -> None:
    """Fails if Lambda could not start the program: it is for another processor, or for a newer C library."""
    machine = int.from_bytes(program[18:20], "little") if program[:4] == b"\x7fELF" else None
    if machine != ELF_MACHINES[architecture]:
        raise PackageError(f"{name} is no program for {architecture}: build it with --target {TARGETS[architecture]}")
    newest = max((int(minor) for minor in re.findall(rb"\0GLIBC_2\.(\d+)", program)), default=0)
    if newest > int(GLIBC.removeprefix("2.")):
        raise PackageError(
            f"{name} needs glibc 2.{newest}, and Amazon Linux 2023 has {GLIBC}: build it with cargo-zigbuild"
        )


def zip_program(program: bytes, file: Path, name: str = "bootstrap") -> None:
    """Writes a zip whose only file, `name`, is the program. The same program makes the same bytes."""
    entry = zipfile.ZipInfo(name, DATE)
    entry.create_system = 3  # Unix, on every system: Lambda needs the mode
    entry.external_attr = EXECUTABLE << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(entry, program, compresslevel=9)


def without_paths(made: Path) -> dict[str, str]:
    """This environment, in which a build keeps neither the machine's paths of Rust code nor the time.

    OpenSSL, which the command line alone has, keeps the folder that it was built in all the same.
    """
    cargo_home = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
    flags = [f"--remap-path-prefix={cargo_home}=/cargo", f"--remap-path-prefix={REPOSITORY}=/kafka-to-search"]
    return {
        **os.environ,
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags),
        "CARGO_TARGET_DIR": str(made),
        # OpenSSL would keep when it was built: https://reproducible-builds.org/docs/source-date-epoch
        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", "315532800"),
    }


def checksums(folder: Path) -> str:
    """The lines of `sha256sum` for every file below a folder, in the order of their names."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != "SHA256SUMS")
    return "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder).as_posix()}\n" for file in files
    )


def bill_of_materials(made: dict, repository: Path, program: bytes) -> dict:
    """A bill of materials without the time and folder in which it was made, named after the program that it describes."""
    text = json.dumps(made).replace(repository.as_uri(), "file:///kafka-to-search")
    bill = json.loads(text)
    bill["metadata"].pop("timestamp", None)
    digest = hashlib.sha256(program).hexdigest()
    bill["metadata"]["component"]["hashes"] = [{"alg": "SHA-256", "content": digest}]
    bill["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"
    return bill


def package(architectures: list[str]) -> None:
    """Builds everything below `packages`. Nothing is built if something is missing for one of the architectures."""
    names = functions((INFRA / "template.yaml").read_text(encoding="utf-8"))
    cyclonedx = _check_tools(architectures)
    shutil.rmtree(PACKAGES, ignore_errors=True)
    for architecture in architectures:
        target = TARGETS[architecture]
        folder = PACKAGES / architecture
        folder.mkdir(parents=True)
        programs = _compile(names, target)
        described = _described(cyclonedx, {name: f"functions/{name}" for name in names}, target)
        for name in names:
            program = (programs / name / "bootstrap").read_bytes()
            check_program(name, program, architecture)
            zip_program(program, folder / f"{name}.zip")
            _write_bill(folder, name, described[name], program)
    own = machine_architecture(architectures, platform.machine(), platform.system())
    if own is None:
        print(
            f"{COMMAND_LINE} and {ACCOUNT} are not among the packages: they are built for the architecture of a Linux machine alone"
        )
    else:
        for name, folder, features, file in (
            (COMMAND_LINE, "cli", COMMAND_LINE_FEATURES, COMMAND_LINE),
            (ACCOUNT, f"functions/{ACCOUNT}", ACCOUNT_FEATURES, "bootstrap"),
        ):
            program = _compile_for_machine(name, features, TARGETS[own])
            check_program(name, program, own)
            zip_program(program, PACKAGES / own / f"{name}.zip", file)
            described = _described(cyclonedx, {name: folder}, TARGETS[own], features)
            _write_bill(PACKAGES / own, name, described[name], program)
    (PACKAGES / "SHA256SUMS").write_text(checksums(PACKAGES), encoding="utf-8")


def _write_bill(folder: Path, name: str, described: dict, program: bytes) -> None:
    bill = bill_of_materials(described, REPOSITORY, program)
    (folder / f"{name}.cdx.json").write_text(json.dumps(bill, indent=2) + "\n", encoding="utf-8")


def _check_tools(architectures: list[str]) -> str:
    """The program cargo-cyclonedx."""
    sysroot = _output([os.environ.get("RUSTC", "rustc"), "--print", "sysroot"]).strip()
    missing = missing_targets(architectures, Path(sysroot) / "lib" / "rustlib")
    cyclonedx = shutil.which("cargo-cyclonedx")
    if cyclonedx is None:
        missing.append("cargo-cyclonedx: cargo install cargo-cyclonedx --locked")
    for program, origin in (("cargo-lambda", "cargo-lambda"), ("python-zig", "ziglang")):
        if shutil.which(program) is None:
            missing.append(f"{program}: pip install {origin}")
    if missing:
        raise PackageError("missing is\n  " + "\n  ".join(missing))
    return cyclonedx or ""


def _compile(names: list[str], target: str) -> Path:
    """The folder with a folder for each program."""
    made = _target_directory() / "package"
    programs = made / "lambda" / target
    shutil.rmtree(programs, ignore_errors=True)
    environment = {**without_paths(made), "CARGO_LAMBDA_COMPILER": "cargo-zigbuild"}
    # cargo-lambda would install a missing target by itself: `_check_tools` has looked already.
    command = ["cargo", "lambda", "build", "--release", "--locked", "--skip-target-check"]
    command += ["--target", f"{target}.{GLIBC}", "--lambda-dir", str(programs)]
    command += [word for name in names for word in ("--bin", name)]
    _run(command, environment)
    return programs


def _compile_for_machine(name: str, features: str, target: str) -> bytes:
    """A program with a Kafka client, for the same C library as the functions."""
    made = _target_directory() / "package"
    folder = made / "lambda" / name
    shutil.rmtree(folder, ignore_errors=True)
    environment = {**without_paths(made), "CARGO_LAMBDA_COMPILER": "cargo-zigbuild"}
    command = ["cargo", "lambda", "build", "--release", "--locked", "--skip-target-check"]
    command += ["--target", f"{target}.{GLIBC}", "--lambda-dir", str(folder)]
    command += ["--package", name, "--features", features, "--bin", name]
    _run(command, environment)
    # cargo-lambda names every program so.
    return (folder / name / "bootstrap").read_bytes()


def _described(cyclonedx: str, folders: dict[str, str], target: str, features: str = "") -> dict[str, dict]:
    """The bills of materials of the crates in `folders`: what is compiled in, without what only builds or tests need."""
    # It writes beside the manifest of every crate of the workspace, whichever it is given.
    written = "packaged.cdx"
    manifests = {name: REPOSITORY / folder / "Cargo.toml" for name, folder in folders.items()}
    command = [
        cyclonedx,
        "cyclonedx",
        "--manifest-path",
        str(next(iter(manifests.values()))),
        "--format",
        "json",
        "--target",
        target,
    ]
    command += ["--spec-version", SPECIFICATION, "--no-build-deps", "--override-filename", written, "--quiet"]
    if features:
        command += ["--features", features]
    try:
        _run(command, dict(os.environ))
        files = {name: manifest.with_name(f"{written}.json") for name, manifest in manifests.items()}
        return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items()}
    finally:
        for folder in ("cli", "functions", "localstack", "tests"):
            for file in (REPOSITORY / folder).rglob(f"{written}.json"):
                file.unlink()


def _target_directory() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")).resolve()


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False)
    if done.returncode != 0:
        raise PackageError(f"`{' '.join(command)}` failed")


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise PackageError(f"`{' '.join(command)}` failed: {error}") from error


def main() -> int:
    """Makes the packages, or prints what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("architectures", nargs="*", metavar="ARCHITECTURE", help=f"{', '.join(TARGETS)} (default: all)")
    architectures = parser.parse_args().architectures or list(TARGETS)
    unknown = [name for name in architectures if name not in TARGETS]
    if unknown:
        parser.error(f"Lambda has no architecture {', '.join(unknown)}: give {' or '.join(TARGETS)}")
    try:
        package(architectures)
    except PackageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print((PACKAGES / "SHA256SUMS").read_text(encoding="utf-8"), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
