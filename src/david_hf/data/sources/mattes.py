"""What sets of pictures with mattes have in common."""

from pathlib import Path

from david_hf.data.rows import Row, picture

from .listing import check_all_known, files_by_stem


def pair_mattes(images: Path, mattes: Path) -> list[tuple[Path, Path]]:
    """Pictures and mattes of the same name, whatever their suffixes, in the order of the pictures.

    Args:
        images: Folder of the pictures.
        mattes: Folder of their mattes.

    Raises:
        ValueError: If a folder is missing or empty, or a file of either has no counterpart.
    """
    pictures, alphas = files_by_stem(images), files_by_stem(mattes)
    check_all_known(pictures, alphas, f"matte in {mattes}")
    check_all_known(alphas, pictures, f"picture in {images}")
    return [(path, alphas[stem]) for stem, path in pictures.items()]


def matte_row(image: bytes, alpha: bytes, identifier: str, source: str) -> Row:
    """A row of an encoded picture and its encoded matte."""
    return Row(
        image=picture(image),
        alpha=picture(alpha),
        depth=None,
        normals=None,
        foreground=None,
        intrinsics=None,
        category="",
        id=identifier,
        source=source,
        factors=None,
    )
