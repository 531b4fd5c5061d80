"""Inputs to start from, as real runs have them, and the words of each format."""

from __future__ import annotations

import dataclasses
import io
import struct
import tarfile
import types
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
from astropy.io import fits

from vlasscube.parameters.lists import KEYS
from vlasscube.products.manifest import (
    Manifest,
    ManifestFile,
    ManifestPlane,
    PipelineManifest,
    pipeline_manifest_xml,
)
from vlasscube.recipe import RECIPE
from vlasscube.records import Beam, Outcome
from vlasscube.workspace.record_json import to_json

from .targets import MS, PRODUCT, RECORDS, SE

NAME = "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1"
CUBE = f"""imagename='{NAME}'
phasecenter='J2000 00:50:0.366 -02.30.0.0000'
imaging_mode='VLASS-SE-CUBE'
imsize=[12500, 12500]
cell=['0.6arcsec']
spw=['2','3','4, 5','6','17']
niter=20000
threshold='0.1mJy'
robust=1.0
uvtaper=['2.6476arcsec']
scales=[0,5,12]
mask=['a.mask', "b'.mask", 'pb']
vlass_plane_reject_ms={{'apply': True, 'exclude_spw': '2, 3', 'flagpct_thresh': 0.9, 'nfield_thresh': 12}}
"""
CONTINUUM = f"""# continuum\r
imagename='{SE}'
phasecenter='J2000 00:50:0.366 -02.30.0.0000'
imaging_mode='VLASS-SE-CONT-MOSAIC'
spw='2~17'
field=['5,6,7']
nterms=2
reffreq='3.0GHz'
uvrange='<12km'
conjbeams=False
search_radius_arcsec=1000.0
nsigma=-999.
"""
TEMPLATE = """# flags
mode='manual' spw='2:0~15;20' antenna='ea05&&ea06' timerange='10:00:00~10:20:00'
mode=clip clipminmax=[0.0,5.0] clipoutside=true reason='too high'
mode='rflag' timedev=[[1,2,0.1]] freqdev=5.0
mode='shadow' addantenna={'antenna1':{'diameter':25.0,'name':'VA07'}}
"""


# --------------------------------------------------------------------------------------------- records


def example(kind: Any) -> Any:
    """A value of a type, as small as can be without being empty."""
    origin, arguments = get_origin(kind), get_args(kind)
    plain = {int: 3, float: 1.5, str: "x", bool: True, Any: {"a": [1, None]}, type(None): None, object: "x"}
    if kind in plain:
        found = plain[kind]
    elif dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        values = {field.name: example(hints[field.name]) for field in dataclasses.fields(kind)}
        found = Beam(2.0, 1.0, 0.0) if kind is Beam else _built(kind, values)
    elif origin is Literal:
        found = arguments[0]
    elif origin is types.UnionType:
        found = example(arguments[0])
    elif origin is tuple:
        kinds = arguments[:1] if Ellipsis in arguments else arguments
        found = tuple(map(example, kinds))
    elif isinstance(kind, type) and issubclass(kind, Enum):
        found = next(iter(kind))
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        found = {example(arguments[0]): example(arguments[1])}
    else:
        raise TypeError(f"no example of {kind}")
    return found


def _built(cls: type[Any], values: dict[str, Any]) -> Any:
    try:
        return cls(**values)
    except Exception:
        # Some choices exclude each other; the defaults do not.
        return cls()


# --------------------------------------------------------------------------------------- archives and FITS


def tar(members: Mapping[str, bytes], tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tar_format) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
            if name.startswith("é"):
                info.pax_headers = {"comment": "x", "mtime": "1596623588.5"}
            archive.addfile(info, io.BytesIO(content))
    # Without most of the padding.
    return stream.getvalue().rstrip(b"\0") + bytes(512 * 3)


def resources() -> bytes:
    members = {f"{MS}.flagversions/": b"", f"{MS}.flagversions/FLAG_VERSION_LIST": b"statwt_1 : before\n"}
    for name in (
        f"{MS}.flagversions/flags.statwt_1",
        f"{MS}.hifv_selfcal.s8_1.phase-self-cal.tbl",
        *(f"s13_0.{SE}.{mask}.mask" for mask in ("QLcatmask-tier1", "combined-tier2")),
        *(f"s5_0.{SE}.I.iter1.model.tt{term}" for term in (0, 1)),
    ):
        members[f"{name}/table.dat"] = b"x"
    data = tar(members)
    return data + bytes(-len(data) % 512)


def cards(*texts: str) -> bytes:
    return "".join(text.ljust(80)[:80] for text in texts).encode("latin-1")


HEADER = cards(
    "SIMPLE  =                    T",
    "NAXIS   =                    4",
    "CTYPE1  = 'RA---SIN'",
    "CRVAL1  =               12.500",
    "CTYPE2  = 'DEC--SIN'",
    "CRVAL2  =                 -2.5",
    "CTYPE3  = 'FREQ    '",
    "CRVAL3  =       2.02800000E+09 / Hz",
    "CTYPE4  = 'STOKES  '",
    "BMAJ    =                0.001",
    "BMIN    =               0.0009",
    "BPA     =                 10.0",
    "OBJECT  = 'it''s'              / name",
    "CASAMBM =                    F",
    "POSCORR =                    F",
    "LONG    = 'text that goes on&'",
    "CONTINUE  'here'",
    "HISTORY Uncorrected CRVAL1 = 1.250000000000E+01 deg",
    "HISTORY Position correction (1.0E-01/cos(CRVAL2), 2.0E-01) arcsec applied",
)


def fits_file(*, beams: int = 0, planes: int = 3) -> bytes:
    hdu = fits.PrimaryHDU(np.ones((planes, 1, 2, 2), np.float32))
    for axis, (kind, value) in enumerate(
        (("RA---SIN", 12.5), ("DEC--SIN", -2.5), ("FREQ", 2.028e9), ("STOKES", 1.0)), start=1
    ):
        hdu.header[f"CTYPE{axis}"], hdu.header[f"CRVAL{axis}"] = kind, value
        hdu.header[f"CRPIX{axis}"], hdu.header[f"CDELT{axis}"] = 1.0, 1.0
    hdu.header["BMAJ"], hdu.header["BMIN"], hdu.header["BPA"] = 1e-3, 9e-4, 10.0
    hdu.header["BUNIT"], hdu.header["OBJECT"] = "Jy/beam", "J005000-023000"
    hdu.header["DATE-OBS"], hdu.header["DATE-END"] = "2020-08-05T10:13:10", "2020-08-05T10:14:10"
    hdu.header["VLASSPL"], hdu.header["VLASSRJ"] = "IQU", False
    hdus = fits.HDUList([hdu])
    if beams:
        hdu.header["CASAMBM"] = True
        columns = [fits.Column(name, "1E", array=[3.0] * beams) for name in ("BMAJ", "BMIN", "BPA")]
        columns += [fits.Column(name, "1J", array=range(beams)) for name in ("CHAN", "POL")]
        hdus.append(fits.BinTableHDU.from_columns(columns, name="BEAMS"))
    stream = io.BytesIO()
    hdus.writeto(stream)
    return stream.getvalue()


# ------------------------------------------------------------------------------------------------- seeds


def _manifest() -> bytes:
    files = (ManifestFile("a.fits", "0" * 64, 5, "image", "spw2"), ManifestFile("../b", "0", 1, "other"))
    planes = (ManifestPlane("spw2", (2,), 2.028e9, Outcome.IMAGED),)
    return to_json(Manifest(NAME, planes, files, {"vlasscube": "0.1.0"}), indent=None).encode()


def _xml() -> bytes:
    content = PipelineManifest(NAME, "6.7.0", "0.1.0", ("a.fits", "b.fits"), ("SEIP_parameter.list",))
    return pipeline_manifest_xml(content).encode()


def seeds(target: str) -> tuple[bytes, ...]:
    """Inputs of a target to start from."""
    import gzip

    table: dict[str, tuple[bytes | str, ...]] = {
        "literals": (
            *(line.partition("=")[2] for line in (CUBE + CONTINUUM).splitlines()),
            "[(1, -2.5e-3), {'a': None}, \"x\\n\", {1, 2}] # end",
        ),
        "parameter_list": (CUBE, CONTINUUM, "\ufeff" + CUBE, CONTINUUM.replace("<12km", "0.1~12klambda")),
        "spw_lists": ("2~17", "2028MHz,2156", "2, 3|4,05|17", "2,3,4"),
        "image_names": (
            NAME,
            SE,
            "Coarse_Test",
            "my.IQUV.spw2.iter3",
            "VLASS1.2.se.Txxxx.J133335+164400.v1",
            f"{NAME}/..",
        ),
        "product_names": (
            PRODUCT,
            f"/x/{NAME}.spw2_3_4.V.iter3.image.residual.pbcor.tt0.rms.subim.com.fits",
            f"{NAME.removesuffix('.v1')}.V_mean_minmaxrej.subim.fits",
            f"{NAME}.spw2.I.iter0.sumwt.tt0.fits",
        ),
        "other_names": ("/data/fsid_split.ms/", "2, 3,4", f"s7_0.{NAME}.spw2.IQUV.iter3.image.tt0", "a.fits"),
        "positions": (
            "J2000 00:50:0.366 -02.30.0.0000",
            "12h16m04.6 +059d24m50.3",
            "ICRS 187.5deg -40 deg",
            "1.2rad -4e1deg",
            "ICRS 18h42m0.165s -00d30m0.0s",
            '"1447214-161911"',
            "T32t02.NCP",
        ),
        "records": tuple(f"{name}\n{to_json(example(cls), indent=None)}" for name, cls in RECORDS.items()),
        "run_options": ("2,3", " 2 , 3 ", ""),
        "stage_names": tuple(
            text for entry in RECIPE for text in (entry.name, entry.task, str(entry.number))
        ),
        "flag_templates": (TEMPLATE, *TEMPLATE.splitlines()),
        "lock_owner": (
            '{"host": "a", "pid": 12, "started": "2026-01-01T00:00:00Z", "boot_id": "x", "token": ""}',
        ),
        "fits_headers": (HEADER, HEADER[: 80 * 9], HEADER[80 * 13 :]),
        "fits_files": (fits_file(), fits_file(beams=3), fits_file(planes=1), gzip.compress(fits_file())),
        "history": (
            struct.pack("<8d", 37, 12, 0.3, 12.5, -2.5, 12.50001, -2.50001, 59066.4) + b"text " * 40,
        ),
        "manifest_json": (_manifest(),),
        "manifest_xml": (_xml(), b"<!DOCTYPE a>" + _xml()),
        "archive_gzip": (gzip.compress(resources(), mtime=0), gzip.compress(tar({"a": b"x"}), 0, mtime=0)),
        "archive_tar": (
            resources(),
            tar({"é/b": b"x" * 600, "d/": b""}),
            tar({"x" * 150: b"x", "é": b""}, tarfile.GNU_FORMAT),
            tar({"a/b": b"x", "./a/c": b""}, tarfile.USTAR_FORMAT),
        ),
        "texts": ("The observer's name\x1b[31m\u202eé\ud800".encode("utf-8", "surrogatepass"), "a\nb\t" * 60),
        "quantities": ("0.1mJy/beam", "3.0GHz", "5klambda,3klambda,30deg", "2.6arcsec"),
        "selections": ("2,5~7", "<12km", ">1km", "0.1~12klambda"),
    }
    return tuple(seed.encode() if isinstance(seed, str) else seed for seed in table[target])


WORDS: Mapping[str, tuple[str, ...]] = {
    "literals": (
        "True",
        "False",
        "None",
        "1e999",
        "'",
        '"',
        "\\x",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        "#",
        "__import__",
    ),
    "parameter_list": (
        *(f"\n{key}=" for key in KEYS),
        "-999.",
        "'mosaic'",
        "VLASS-SE-CUBE",
        "1e400",
        "''",
        "[]",
    ),
    "spw_lists": ("~", "MHz", ":", "|", "e99", "99999"),
    "image_names": ("VLASS", ".cc.", ".se.", ".ql.", ".T10t02.", ".v1", "J005000-023000", "/", ".."),
    "product_names": (
        ".spw2",
        "_3",
        ".IQUV.",
        ".iter3",
        ".tt0",
        ".rms",
        ".subim",
        ".com",
        ".fits",
        "pbcor",
        "/",
    ),
    "other_names": (".IQUV.", ".ms", "_split", ".fits", "/", ",", " "),
    "positions": ("J2000", "ICRS", "h", "d", "m", "s", ":", ".", "-", "+", "T"),
    "records": ("null", "NaN", "Infinity", "1e999", "true", '"failed"', '"nan"', "-1", "\\ud800", '"2"'),
    "fits_headers": (
        "NAXIS   = ",
        "CTYPE3  = 'FREQ'",
        "CRVAL1  = ",
        "POSCORR = T",
        "CONTINUE  '",
        "HISTORY ",
    ),
    "fits_files": ("XTENSION= 'BINTABLE'", "NAXIS   = ", "PCOUNT  = ", "TFORM1  = ", "END", "999999999"),
    "flag_templates": (
        "timedev=",
        "mode=",
        "addantenna=",
        "{",
        "[",
        "True",
        "true",
        "'",
        "\u2028",
        "autocorr=",
    ),
    "archive_tar": (
        "ustar",
        "path=",
        "size=",
        "GNU.sparse.major=1\n",
        "hdrcharset=BINARY",
        "././@LongLink",
        "..",
    ),
    "manifest_xml": ("<ous>", "</ous>", "<!DOCTYPE", "<?xml", "name=", "&amp;", "<![CDATA[", "]]>", "&#0;"),
    "quantities": ("mJy", "uJy", "/beam", "GHz", "klambda", "arcsec", "deg", "1e999", "1e-320", ","),
    "selections": ("~", "<", ">", "klambda", "km", ",", "&"),
    "run_options": (",", " ", "\t", "\n"),
    "manifest_json": ("null", "NaN", '"image"', "schema_version", "../", "\\u0000"),
    "lock_owner": ("null", "NaN", "Infinity", "[", "{"),
}
"""What a fuzzer would hardly find by itself, by target."""
