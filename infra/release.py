"""Prepares a release of what `make package` made: `release.py notes v1.2.3`, `release.py bundle v1.2.3`.

The bundle is what `sam deploy -t packaged.yaml` needs, for people without Rust. The same packages make the same bytes.
"""

import argparse
import gzip
import hashlib
import io
import re
import sys
import tarfile
import tomllib
from pathlib import Path

INFRA = Path(__file__).resolve().parent
# expand.py and the template it reads are for older SAM CLIs. The rules of topics are the user's to change.
FILES = (
    "packaged.yaml",
    "monitoring.yaml",
    "account.yaml",
    "pipeline.yaml",
    "samconfig.toml",
    "expand.py",
    "template.yaml",
)
# The folder that becomes the layer.
LINKS = {"pipeline-layer/pipeline.yaml": "../pipeline.yaml"}
ARCHITECTURES = ("x86_64", "arm64")
KINDS = (".zip", ".cdx.json")


class ReleaseError(Exception):
    """The release can't be made."""


def notes(changelog: str, version: str) -> str:
    """The section of the changelog about a version."""
    number = re.escape(version.removeprefix("v"))
    section = re.search(rf"^## \[?v?{number}\]?(?:\s.*)?\n(?P<text>(?:(?!## ).*\n?)*)", changelog, re.MULTILINE)
    if not section or not section["text"].strip():
        raise ReleaseError(
            f"CHANGELOG.md has no section {version.removeprefix('v')}: name what is under Unreleased after it"
        )
    return section["text"].strip() + "\n"


def check_version(manifest: str, version: str) -> None:
    """Refuses a tag that does not name the workspace's version."""
    own = tomllib.loads(manifest)["workspace"]["package"]["version"]
    if version != f"v{own}":
        raise ReleaseError(f"the tag is {version}, but Cargo.toml has version {own}: they must be the same")


def bundle(infra: Path, version: str) -> bytes:
    """A tar.gz with one folder: the templates, and the packages of both architectures with their checksums."""
    name = f"kafka-to-search-{version}"
    made = _packages(infra / "packages")
    files = {file: (infra / file).read_bytes() for file in FILES} | {
        f"packages/{path}": data for path, data in made.items()
    }
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, data in sorted(files.items()):
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
        for path, target in LINKS.items():
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return gzip.compress(written.getvalue(), mtime=0)


def _packages(folder: Path) -> dict[str, bytes]:
    listed = (folder / "SHA256SUMS").read_text(encoding="utf-8") if (folder / "SHA256SUMS").exists() else ""
    made = {path: (folder / path).read_bytes() for path in re.findall(r"^\w{64}  (.+)$", listed, re.MULTILINE)}
    absent = [each for each in ARCHITECTURES if not any(path.startswith(f"{each}/") for path in made)]
    if absent:
        raise ReleaseError(f"no packages for {' and '.join(absent)}: run `make package`")
    return {**made, "SHA256SUMS": listed.encode()}


def write(infra: Path, version: str) -> list[Path]:
    """The files of a release, in `packages/release`: the bundle, each package and SBOM on its own, and their checksums."""
    release = infra / "packages" / "release"
    files = {f"kafka-to-search-{version}.tar.gz": bundle(infra, version)}
    for path, data in _packages(infra / "packages").items():
        architecture, _, name = path.rpartition("/")
        for kind in KINDS:
            if name.endswith(kind):
                files[f"{name.removesuffix(kind)}-{version}-{architecture}{kind}"] = data
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    release.mkdir(parents=True, exist_ok=True)
    for name, data in {**files, "SHA256SUMS": sums.encode()}.items():
        (release / name).write_bytes(data)
    return sorted(release.iterdir())


def main() -> int:
    """Prints the notes, or writes the files of a release."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["notes", "bundle"])
    parser.add_argument("version", help="the tag, such as v1.2.3")
    arguments = parser.parse_args()
    repository = INFRA.parent
    try:
        check_version((repository / "Cargo.toml").read_text(encoding="utf-8"), arguments.version)
        if arguments.what == "notes":
            sys.stdout.write(notes((repository / "CHANGELOG.md").read_text(encoding="utf-8"), arguments.version))
        else:
            print(*write(INFRA, arguments.version), sep="\n")
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
