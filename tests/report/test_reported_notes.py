"""Each reported figure against the notes on the papers, read by a parser of its own.

The second section of the notes is tables, and runs such as ``AD-NeRF 3.25 / 3.33 / 3.02; RAD-NeRF
...``. Both are read here into figures, each with its file, setting, subject, method and metric, and
must be those of ``experiments/reported``: none missing, none more, none under another name.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

from gstalker.report.reported import folder, read

METRICS = {
    "PSNR": ["psnr"], "SSIM": ["ssim"], "MS-SSIM": ["ms_ssim"], "LPIPS": ["lpips"], "FID": ["fid"],
    "LMD": ["lmd"], "AUE": ["aue"], "Sync": ["sync_c"], "Sync-C": ["sync_c"], "LSE-C": ["sync_c"],
    "Sync-D": ["sync_d"], "NIQE": ["niqe"], "BRISQUE": ["brisque"], "CSIM": ["csim"],
    "FVMD": ["fvmd"], "training": ["train_time"], "FPS": ["fps"], "MB": ["size"],
    "FPS (L40S)": ["fps"], "FPS (RTX 2060)": ["fps"], "AUE pair": ["aue_lower", "aue_upper"],
    "PSNR all / face": ["psnr", "psnr_face"], "LPIPS all / face": ["lpips", "lpips_face"],
}  # fmt: skip
AS_WE_SAY = {
    "Ground truth": "ground truth",
    "ground truth Sync": "ground truth",
    "RAD-NeRF with AU45 and whole-image LPIPS fine-tune": "RAD-NeRF + AU45 + LPIPS",
    "RAD-NeRF with AU45 and LPIPS": "RAD-NeRF + AU45 + LPIPS",
    "ER-NeRF with expression features": "ER-NeRF + expression",
    "SyncTalk without Portrait": "SyncTalk",
    "SyncTalk with Portrait": "SyncTalk + Portrait",
    "GaussianTalker*": "GaussianTalker (KU, small)",
    "GaussianTalker (which of the two is not said)": "GaussianTalker (unclear which)",
}
UNCLEAR = ("2.2", "2.9")
"""Sections that do not say which of the two GaussianTalkers is meant; the others mean KU's."""
TABLES = {
    ("2.1", 0): ("er-nerf", "self-driven", "mean of 4 videos", "table 1"),
    ("2.2", 0): ("pd-gs", "self-driven", "Obama and May", "table 1"),
    ("2.3", 0): ("talkinggaussian", "self-driven", "Macron, Lieu, Obama, May", "table 1"),
    ("2.4", 0): ("synctalk", "self-driven", "about 8,843 frames a video", "table 1"),
    ("2.5", 0): ("instag", "seconds of video", "5 s of training video", "table not known"),
    ("2.6", 0): ("d3-talker", "seconds of video", "10 s of training video", "table 1"),
    ("2.7", 0): ("fg-3dgs", "self-driven", "about 6,500 frames a clip", "table I"),
    ("2.8", 0): ("embedtalk", "self-driven", "Macron, Paul, Obama, May, Stabenow", "tables 1 to 3"),
    ("2.9", 0): ("ggtalker", "self-driven", "not known", "table not known"),
    ("2.10", 0): ("emotag", "seconds of video", "5 s of training video", "table not known"),
    ("2.13", 0): ("gaussiantalker", "self-driven", "not known", "table 1"),
}
"""The tables that are laid out as such; ER-NeRF's second stands below."""
AB = ("audio A", "audio B")
RUNS = (
    ("2.1", "lip-sync / image / realness): ", "er-nerf", "user study", ["18 people, 28 clips"],
     ["user_lip_sync", "user_image", "user_realness"], "table 3"),
    ("2.4", "(LSE-D / LSE-C, A then B): ", "synctalk", "cross-driven", AB,
     ["sync_d", "sync_c"], "table 2"),
    ("2.5", "data (5 / 10 / 20 s): ", "instag", "seconds of video",
     [f"{s} s of training video" for s in (5, 10, 20)], ["psnr"], "amount of data"),
    ("2.6", "(Sync-C / Sync-D, audio Obama then May): ", "d3-talker", "cross-driven",
     ["audio Obama", "audio May"], ["sync_c", "sync_d"], "table 3"),
    ("2.7", "(LSE-D / LSE-C, A then B): ", "fg-3dgs", "cross-driven", AB,
     ["sync_d", "sync_c"], "table II"),
    ("2.8", "(PSNR / LMD / Sync-C): ", "embedtalk", "self-driven",
     ["Macron, Paul, Obama, May, Stabenow"], ["psnr", "lmd", "sync_c"], "tables 1 to 3"),
    ("2.9", "other person, then other language): ", "ggtalker", "cross-driven",
     ["another person", "another language"], ["sync_d", "sync_c"], "foreign audio"),
    ("2.13", "(Sync / LMD / AUE, test set A then B): ", "gaussiantalker", "cross-driven", AB,
     ["sync_c", "lmd", "aue"], "table 2"),
    ("2.14", "PSNR / SSIM / FID / LPIPS / Sync / LMD: ", "esgaussianface", "another data set",
     ["MEAD, emotional speech"], ["psnr", "ssim", "fid", "lpips", "sync_c", "lmd"],
     "tables I and II"),
)  # fmt: skip
"""Section, the words before a run of figures, and what its figures are."""
QUALITY = ["psnr", "lpips", "lmd"]
HELD = ("ablation", "mean of 4 videos")
LISTS = (
    ("2.1", r"true torso PSNR (\S+), LPIPS (\S+), LMD (\S+);", "er-nerf-readme",
     ("self-driven", "Obama"), "ER-NeRF, true torso", QUALITY, "README"),
    ("2.1", r"both rendered PSNR (\S+), LPIPS (\S+), LMD (\S+)\.", "er-nerf-readme",
     ("self-driven", "Obama"), "ER-NeRF, own torso", QUALITY, "README"),
    ("2.1", r"For AD-NeRF on A, .* repeats Sync (\S+),", "er-nerf", ("cross-driven", AB[0]),
     "AD-NeRF", ["sync_c"], "table 2"),
    ("2.1", r"AUE is 1.629 in table 1 and (\S+) in tables 4 and 5", "er-nerf", HELD,
     "ER-NeRF: tri-plane hash + attention", ["aue"], "table 5"),
    ("2.3", r"Ground-truth Sync-C (\S+)\.\n", "talkinggaussian", TABLES["2.3", 0][1:3],
     "ground truth", ["sync_c"], "table 1"),
    ("2.3", r"AD-NeRF Obama Sync-E (\S+), Sync-C (\S+);", "talkinggaussian",
     ("cross-driven", "Obama, audio A"), "AD-NeRF", ["sync_d", "sync_c"], "table 2"),
    ("2.3", r"May Sync-E (\S+), Sync-C (\S+);", "talkinggaussian",
     ("cross-driven", "May, audio A"), "AD-NeRF", ["sync_d", "sync_c"], "table 2"),
    ("2.4", r"without Portrait PSNR (\S+), LPIPS (\S+), LMD (\S+);", "synctalk-readme",
     ("self-driven", "May"), "SyncTalk", QUALITY, "README"),
    ("2.4", r"with Portrait (\d\S+), (\S+), (\S+)\.", "synctalk-readme",
     ("self-driven", "May"), "SyncTalk + Portrait", QUALITY, "README"),
    ("2.8", r"that Sonic \((\S+)\) exceeds", "embedtalk", ("cross-driven", "overall"), "Sonic",
     ["sync_c"], "tables 1 to 3"),
    ("2.9", r"quotes (\d+ h) of training for AD-NeRF", "ggtalker", TABLES["2.9", 0][1:3],
     "AD-NeRF", ["train_time"], "table not known"),
    ("2.13", r"Ground-truth Sync (\S+)\.\n", "gaussiantalker", TABLES["2.13", 0][1:3],
     "ground truth", ["sync_c"], "table 1"),
    *(
        ("2.11", rf"{name} (?:SSIM )?(\S+), (?:M-LMD )?(\S+), (?:Sync )?(\S+), (\S+) FPS, (.+? h)",
         "s3d-nerf", ("self-driven", "AD-NeRF's videos"), name,
         ["ssim", "m_lmd", "sync_c", "fps", "train_time"], "table not known")
        for name in ("AD-NeRF", "ER-NeRF", "S3D-NeRF")
    ),
    ("2.12", r"GaussianTalker \(KU-\S+ \S+: up to (\d+) FPS", "abstracts", ("claim", "not said"),
     "GaussianTalker (KU)", ["fps"], "abstract"),
    ("2.12", r"GaussianTalker \(Alibaba .*?: (\d+) FPS", "abstracts", ("claim", "not said"),
     "GaussianTalker (Alibaba)", ["fps"], "abstract"),
    ("2.12", r"GSTalker: (\d+ min), (\d+) FPS", "abstracts", ("claim", "not said"), "GSTalker",
     ["train_time", "fps"], "abstract"),
    ("2.12", r"RAD-NeRF README: .*? at (\d+) FPS on a V100 with about (\d+) GB", "abstracts",
     ("claim", "not said"), "RAD-NeRF", ["fps", "memory"], "README"),
)  # fmt: skip
"""Section, a sentence with figures, and what they are."""
PAIRS = (
    ("2.2", "VoxCeleb2 subset, LMD only: ", "pd-gs", ("another data set", "VoxCeleb2 subset"),
     "lmd", "VoxCeleb2 table"),
    ("2.8", "Cross-driven Sync-C overall: ", "embedtalk", ("cross-driven", "overall"), "sync_c",
     "tables 1 to 3"),
    ("2.14", "FPS: ", "esgaussianface", ("another data set", "MEAD, emotional speech"), "fps",
     "tables I and II"),
)  # fmt: skip
"""Section, the words before ``NAME FIGURE, NAME FIGURE``, and what they are."""


@pytest.fixture(scope="module")
def sections(shared):
    """The text of each section of the notes that reports figures, by its number."""
    notes = (shared / "reference" / "papers.md").read_text()
    parts = re.split(r"^### (2\.\d+) ", notes, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def method(name, section):
    name = name.strip().strip("*") if name.strip().startswith("**") else name.strip()
    name = AS_WE_SAY.get(name, name)
    if name == "GaussianTalker":
        return f"{name} ({'unclear which' if section in UNCLEAR else 'KU'})"
    return name


def amount(text):
    """A figure as the files hold it: bound, number, and the unit of a time; clocks in seconds."""
    text = text.strip().strip("*").replace("under ", "<")
    if re.fullmatch(r"\d+:\d\d:\d\d", text):
        hours, minutes, seconds = map(int, text.split(":"))
        return "", float(3600 * hours + 60 * minutes + seconds), "s"
    found = re.match(r"([<>]?)(\d+(?:\.\d+)?)(?: (h|min)$)?", text)
    return found and (found[1], float(found[2]), found[3] or "")


def tables(text):
    """The Markdown tables of a section, each a list of rows of cells."""
    rows, found = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            found.append([row for row in rows if set("".join(row)) - set("-")])
            rows = []
    return found


def of_tables(sections):
    for (section, number), (stem, *place, where) in TABLES.items():
        heads, *rows = tables(sections[section])[number]
        for name, *cells in rows:
            who = method(name, section)
            for head, cell in zip(heads[1:], cells, strict=True):
                for metric, text in zip(METRICS[head], cell.split(" / "), strict=False):
                    if amount(text):
                        yield (stem, *place, who, metric, where, amount(text))
                if "FPS)" in cell:  # one cell holds the size and the speed
                    yield stem, *place, who, "fps", where, amount(cell.partition("(")[2])
    heads, *rows = tables(sections["2.1"])[1]
    for name, *cells in rows:
        for head, cell in zip(heads[1:], cells, strict=True):
            subject, metric = f"audio {head[0]}", METRICS[head[2:]][0]
            who = method(name, "2.1")
            yield "er-nerf", "cross-driven", subject, who, metric, "table 2", amount(cell)


def of_runs(sections):
    for section, lead, stem, setting, subjects, metrics, where in RUNS:
        run = re.split(r"\.(?: [A-Z(]|\n)", sections[section].partition(lead)[2])[0]
        for part in run.split("; "):
            found = re.match(r"(\D.*?) (\d[\d. /,-]*)", part)
            groups = found[2].strip(" .").split(", ")
            if len(groups) == 1 and len(subjects) > 1:  # 5 / 10 / 20 s of one metric
                groups = groups[0].split(" / ")
            for subject, group in zip(subjects, groups, strict=True):
                for metric, text in zip(metrics, group.split(" / "), strict=False):
                    if amount(text):
                        who = method(found[1], section)
                        yield stem, setting, subject, who, metric, where, amount(text)


def of_lists(sections):
    for section, pattern, stem, place, who, metrics, where in LISTS:
        found = re.search(pattern, sections[section])
        for metric, text in zip(metrics, found.groups(), strict=True):
            yield stem, *place, who, metric, where, amount(text)
    for section, lead, stem, place, metric, where in PAIRS:
        run = re.split(r"[.;] ", sections[section].partition(lead)[2] + " ")[0]
        for name, text in re.findall(r"([A-Z][^,;]*?(?: \(KU\))?) (\d+\.\d+)", run):
            yield stem, *place, method(name, section), metric, where, amount(text)


def of_ablations(sections):
    five = ["psnr", "lpips", "lmd", "aue", "sync_c"]
    text = sections["2.1"]
    for table in ("4", "5"):
        run = re.search(rf"Table {table}(?:, ablation)?: (.*?)\.(?: |\n)", text)[1]
        before = ""
        for name, cells in re.findall(r"([A-Za-z3][^;,]*?) ((?:\d+\.\d+ / ){4}\d+\.\d+)", run):
            short = name.replace("(is AD-NeRF)", "").strip()
            short = f"{before} + attention" if short == "with attention" else short
            before = short
            for metric, cell in zip(five, cells.split(" / "), strict=True):
                yield "er-nerf", *HELD, f"ER-NeRF: {short}", metric, f"table {table}", amount(cell)
    seconds = [f"{s} s of training video" for s in (5, 10, 15, 20)]
    rows = re.search(r"Table 2 \(InsTaG at .*?\): PSNR (.*?); LMD (.*?); Sync-C (.*?)\.\n",
                     sections["2.6"]).groups()  # fmt: skip
    for metric, cells in zip(("psnr", "lmd", "sync_c"), rows, strict=True):
        for subject, cell in zip(seconds, cells.split(" / "), strict=True):
            yield (
                "d3-talker",
                "seconds of video",
                subject,
                "InsTaG",
                metric,
                "table 2",
                amount(cell),
            )


def _amount(figure):
    unit = figure.unit if figure.metric == "train_time" else ""
    return figure.bound, figure.value, unit


def test_every_figure_of_the_notes_is_entered_under_its_method_metric_and_subject(sections):
    parsers = (of_tables, of_runs, of_lists, of_ablations)
    told = Counter(figure for parser in parsers for figure in parser(sections))
    entered = Counter(
        (path.stem, f.setting, f.subject, f.method, f.metric, f.table, _amount(f))
        for path in sorted(folder().glob("*.csv"))
        for f in read(path)
    )
    assert len(told) > 900
    assert sorted((told - entered).elements()) == [], "told in the notes and not entered"
    assert sorted((entered - told).elements()) == [], "entered and not told in the notes"


@pytest.mark.parametrize("section", [section for section, _ in TABLES])
def test_whether_the_paper_itself_or_a_note_of_it_was_read_is_told(sections, section):
    stem = TABLES[section, 0][0]
    read_was = re.search(r"\[(paper|note)\b", sections[section].partition("\n\n")[0])[1]
    (path,) = folder().glob(f"{stem}.csv")
    assert {figure.sure for figure in read(path)} - {"inferred", "copied"} == {read_was}
