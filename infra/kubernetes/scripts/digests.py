"""Pins the images of the base and of the components by digest, beside their tags: digests.py [--remove]

It asks each registry for the digest of the tag, with `docker buildx imagetools inspect`, so it needs Docker and access to the
registries. A tag can be moved to another image; a digest can't. The images of this repository keep their tags alone until you
push them to a registry and set `newName`.
"""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

KUBERNETES = Path(__file__).resolve().parent.parent
ENTRY = re.compile(
    r"^  - name: (?P<name>\S+)\n(?:    newName: (?P<other>\S+)\n)?    newTag: (?P<tag>\S+)\n(?:    digest: \S+\n)?",
    re.MULTILINE,
)
OWN = "kafka-to-search/"


def main() -> int:
    """Writes the files with or without digests, or none if the digest of any image is unknown."""
    if sys.argv[1:] not in ([], ["--remove"]):
        print(__doc__, file=sys.stderr)
        return 2
    files = [KUBERNETES / "base" / "kustomization.yaml", *sorted(KUBERNETES.glob("components/*/kustomization.yaml"))]
    try:
        digest = (lambda _: None) if sys.argv[1:] else cache(digest_of)
        changed = {file: pinned(file.read_text(), digest) for file in files}
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        print(f"digests.py: {error} {getattr(error, 'stderr', '') or ''}".rstrip(), file=sys.stderr)
        return 1
    for file, text in changed.items():
        file.write_text(text)
    return 0


def pinned(text: str, digest) -> str:
    """The kustomization with the digest of each image; `digest(image)` returns None for none."""

    def entry(found: re.Match) -> str:
        lines = [f"  - name: {found['name']}"]
        if found["other"]:
            lines.append(f"    newName: {found['other']}")
        lines.append(f"    newTag: {found['tag']}")
        name = found["other"] or found["name"]
        value = None if name.startswith(OWN) else digest(f"{name}:{found['tag'].strip(chr(34))}")
        if value:
            lines.append(f"    digest: {value}")
        return "\n".join(lines) + "\n"

    return ENTRY.sub(entry, text)


def digest_of(image: str) -> str:
    """The digest of the list of an image's platforms."""
    command = ["docker", "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", image]
    digest = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.strip()
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ValueError(f"{image}: not a digest: {digest!r}")
    print(f"{image}: {digest}", flush=True)
    return digest


if __name__ == "__main__":
    sys.exit(main())
